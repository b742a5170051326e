"""The numbers of a round, under the names Stable-Baselines3 made usual and a few of our own.

What each of them means stands above the function that makes it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import jax.numpy as jnp
import numpy as np

from duopoly.equilibrium.model_leader import Norms
from duopoly.equilibrium.policy_leader import LeaderInfo
from duopoly.model.fit import FitInfo
from duopoly.model.outcomes import OutcomeError
from duopoly.types import Episode, Metrics
from duopoly.world.interaction import CollectResult
from duopoly.world.task import Task

COLLECTION: Final[Mapping[str, str]] = {
    "time/total_timesteps": "environment steps so far, each repeat of an action counted",
    "rollout/ep_rew_mean": "mean return of the complete episodes collected",
    "rollout/ep_len_mean": "their mean length in actions",
    "rollout/success_rate": "share of them that succeeded",
    "rollout/num_episodes": "complete episodes collected",
    "rollout/sim_divergence": "episodes dropped because the simulation diverged",
}


def of_collection(result: CollectResult, task: Task, env_steps: int) -> Metrics:
    """Summarises what the policy player met in the real world."""
    complete = [episode for episode in result.episodes if episode.complete]
    return {
        "time/total_timesteps": env_steps,
        "rollout/ep_rew_mean": _mean([episode.return_ for episode in complete]),
        "rollout/ep_len_mean": _mean([len(episode.reward) for episode in complete]),
        "rollout/success_rate": success_rate(complete, task),
        "rollout/num_episodes": len(complete),
        "rollout/sim_divergence": len(result.drops),
    }


EVALUATION: Final[Mapping[str, str]] = {
    "time/evaluate_s": "seconds of the evaluation episodes, which the next round may overlap",
    "eval/mean_reward": "mean return of the evaluation episodes (mean action)",
    "eval/std_reward": "standard deviation of their returns",
    "eval/mean_ep_length": "their mean length in actions",
    "eval/success_rate": "share of them that succeeded",
    "eval/sim_divergence": "evaluation episodes dropped because the simulation diverged",
}


def of_evaluation(result: CollectResult, task: Task) -> Metrics:
    """Summarises the evaluation episodes."""
    returns = [episode.return_ for episode in result.episodes]
    return {
        "eval/mean_reward": _mean(returns),
        "eval/std_reward": float(np.std(returns)) if returns else math.nan,
        "eval/mean_ep_length": _mean([len(episode.reward) for episode in result.episodes]),
        "eval/success_rate": success_rate(result.episodes, task),
        "eval/sim_divergence": len(result.drops),
    }


FIT: Final[Mapping[str, str]] = {
    "model/train_loss": "mean loss of the last epoch, all that is fitted, in target variances",
    "model/holdout_error": "loss of the parameters kept on the data held out of the fit",
    "model/epochs": "passes over the data, mean over the members",
    "model/num_steps": "gradient steps of the member that took the most",
    "model/refused_fits": "members whose fit turned non-finite and was refused",
}


def of_fit(info: FitInfo) -> Metrics:
    """Summarises a fit."""
    return {
        "model/train_loss": float(jnp.mean(info.loss)),
        "model/holdout_error": float(jnp.mean(info.holdout_error)),
        "model/epochs": float(jnp.mean(info.num_epochs)),
        "model/num_steps": int(info.num_steps),
        "model/refused_fits": int(jnp.sum(info.is_refused)),
    }


LEARNED_OUTPUTS: Final[Mapping[str, str]] = {
    "model/reward_error": "squared error of a learned reward on the latest data, before fitting "
    "them, in variances of the rewards fitted so far",
    "model/termination_error": "logistic loss of a learned termination on them, in nats",
}


def of_outcomes(error: OutcomeError) -> Metrics:
    """Summarises how well the model predicts what it learns beside the next observation."""
    return {
        "model/reward_error": float(jnp.mean(error.reward)),
        "model/termination_error": float(jnp.mean(error.termination)),
    }


LEADER: Final[Mapping[str, str]] = {
    "leader/cg_residual": "relative residual of the solve for the implicit term",
    "leader/failed_solves": "implicit terms that failed, so that a step was of first order",
    "leader/fold_cosine": "mean cosine between the term's policy gradients on disjoint parts of "
    "the real data, before the round's first step",
    "leader/effective_sample_size": "share of the real data that is left of them, by the ratios "
    "of the policies after and before the round's steps",
}
"""Beside these, a leader has those of a gradient's policy step (`policy.gradient.player`)."""


def of_leader(infos: Sequence[LeaderInfo]) -> Metrics:
    """Summarises the implicit terms of a round."""
    return {
        "leader/cg_residual": _mean([float(info.residual) for info in infos]),
        "leader/failed_solves": sum(bool(info.is_failed) for info in infos),
        "leader/fold_cosine": float(infos[0].fold_cosine),
    }


def of_leading_model(norms: Norms) -> Metrics:
    """Summarises what the implicit term is in the loss of a model that leads."""
    return {
        "leader/implicit_share": float(norms.term / norms.whole),
        "leader/gradient_norm": float(norms.term),
        "leader/first_order_norm": float(norms.first),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def success_rate(episodes: Sequence[Episode], task: Task) -> float:
    """Returns the share of episodes that succeeded; NaN where the task has no such measure."""
    if task.success_fn is None:
        return math.nan
    return _mean([task.success_fn(episode) for episode in episodes])
