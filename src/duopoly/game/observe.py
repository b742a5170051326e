"""What is observed of the game, round by round, and never fed back.

How good the policy is in the real world, and how far the players are from an equilibrium: the terms
of Theorem 1 (Eq. 5).
"""

import itertools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from duopoly.equilibrium.gaps import imagine_policy, mean_return, policy_gap
from duopoly.equilibrium.open_loop import open_loop_error
from duopoly.equilibrium.visitation import visitation_distance
from duopoly.game import report
from duopoly.game.moves import controller_of
from duopoly.game.state import Game, GameState, Players
from duopoly.game.views import fresh_data, learned_world, opponent_of, start_states
from duopoly.model.fit import disagreement_on, prediction_error
from duopoly.model.outcomes import outcome_error
from duopoly.networks import Normaliser
from duopoly.schedule import Leader, Schedule
from duopoly.types import Decision, Metrics, Rollouts, Transitions
from duopoly.world.crew import Crew
from duopoly.world.interaction import evaluate_by

NUM_SEGMENTS: Final = 200
"""Pieces of real episodes on which the open-loop error is measured."""

NUM_PAIRS: Final = 500
"""State-action pairs of either kind between which the visitation distance is measured."""


METRICS: Final[Mapping[str, str]] = {
    "game/model_objective": "ℓ(M̂, µ^π): error on the latest data, before fitting them",
    "model/open_loop_error": "error after that many actions of a real episode, open loop",
    "model/disagreement": "mean disagreement of the members on logged data, once they are fitted",
    "model/disagreement_99": "that which it exceeds on one in a hundred of them",
    "imagined/horizon_share": "actions imagined, as a share of an episode's at most",
    "game/visitation_distance": "between its imagined and its real state-action pairs (MMD)",
    "game/return_gap": "J(π, M̂) − J(π, M) of the policy that collected, before the fit",
    "game/policy_gap": "return that gap_steps more policy steps gain in the model, from below ε_π",
    "game/leader_loss": "what the schedule's leader minimises",
    "world/num_changes": "times that the world has changed by the end of the round",
}


ActionFn = Callable[[], None]
"""Told before each action of an evaluation, which an exception that it raises ends."""


def evaluate_policy(
    game: Game, crew: Crew, state: GameState, on_action: ActionFn | None = None
) -> Metrics:
    """Evaluates the policy that a round came to on episodes that never enter the data.

    Without its noise. ``state`` is that after the round. Workers cannot be sent an ``on_action``.
    """
    begin = time.perf_counter()
    controller, number = controller_of(game, state.players), game.settings.evaluation.num_episodes
    if on_action is not None:
        controller = controller._replace(act=_telling(controller.act, on_action))
    with crew.playing(controller, state.env_steps, deterministic=True) as play:
        result = evaluate_by(play, game.task, number, game.seed, state.round - 1)
    seconds = time.perf_counter() - begin
    return report.of_evaluation(result, game.task) | {"time/evaluate_s": seconds}


def _telling(act: Callable[..., Decision], on_action: ActionFn) -> Callable[..., Decision]:
    def told(*seen: Any) -> Decision:
        on_action()
        return act(*seen)

    return told


def measure_model_error(
    key: Key[Array, ""], game: Game, before: Players, state: GameState
) -> Metrics:
    """Measures the model on what its policy has just collected, before it fits that.

    The model is the one in which the policy that collected was chosen. Where nothing was fitted yet
    it is measured, but not told: so the first round compiles all that the others need.
    """
    ensemble, fresh = before.model.ensemble, fresh_data(game, state)
    key_visits, key_replay = jax.random.split(key)
    key_imagine, key_draw = jax.random.split(key_visits)
    num_actions = min(game.settings.evaluation.open_loop_steps, game.task.horizon)
    scale = jnp.zeros(fresh.obs.shape[1]).at[jnp.asarray(ensemble.learned)].set(1.0)
    scale = scale * ensemble.inputs.std[: fresh.obs.shape[1]]
    world = learned_world(game, before)
    drift = open_loop_error(key_replay, world, fresh, scale, (NUM_SEGMENTS, num_actions))
    found = {
        "game/model_objective": float(jnp.mean(prediction_error(ensemble, fresh))),
        "model/open_loop_error": float(drift[-1]),
    }
    if ensemble.outcomes is not None:
        found |= report.of_outcomes(outcome_error(ensemble.outcomes, fresh))
    if (act_fn := game.player.act_fn) is not None:
        act, starts = act_fn(before.policy, False), start_states(game, state)
        rollouts = imagine_policy(key_imagine, act, world, starts, game.settings)
        found |= compare_visits(key_draw, game, rollouts, fresh, ensemble.inputs)
    return found if int(before.model.num_fits) > 0 else {}


def compare_visits(
    key: Key[Array, ""], game: Game, rollouts: Rollouts, fresh: Transitions, inputs: Normaliser
) -> Metrics:
    """Compares what the policy that collected imagined with what it met."""
    imagined, longest = game.settings.imagination.horizon, game.task.horizon
    distance = visitation_distance(key, fresh, rollouts, inputs, NUM_PAIRS)
    alike = jax.tree.map(lambda x: x[:, :, :longest], rollouts)
    return {
        "game/visitation_distance": float(distance),
        "game/return_gap": float(mean_return(alike)) - mean_return_of(fresh, imagined, longest),
    }


def measure_disagreement(game: Game, state: GameState) -> Metrics:
    """Measures by how much the members differ where data were logged, after they were fitted.

    It is what a limit for imagination (`robustness.max_disagreement`) is to be measured by.
    """
    logged = fresh_data(game, state)
    seen = np.asarray(disagreement_on(state.players.model.ensemble, logged))[
        : int(logged.num_valid)
    ]
    return {
        "model/disagreement": float(seen.mean()),
        "model/disagreement_99": float(np.quantile(seen, 0.99)),
    }


def measure_policy_gap(key: Key[Array, ""], game: Game, state: GameState) -> Metrics:
    """Measures what a few policy steps would still gain in the model: at most ε_π (Eq. 5)."""
    players = state.players
    settings = game.settings
    is_measured = settings.evaluation.gap_steps > 0 and game.player.act_fn is not None
    if not is_measured or int(players.model.num_fits) == 0:
        return {}
    world = learned_world(game, players)
    opponent = opponent_of(game, players, state)
    gap = policy_gap(key, game.player, players.policy, world, opponent, settings)
    return {"game/policy_gap": float(gap)}


def mean_return_of(data: Transitions, num_actions: int, horizon: int) -> float:
    """Returns the mean reward sum of an episode's first actions over those that had as many.

    Or that ended before, by themselves or at the task's horizon.
    """
    num_valid = int(data.num_valid)
    reward, first = np.asarray(data.reward)[:num_valid], np.asarray(data.first)[:num_valid]
    terminated = np.asarray(data.terminated)[:num_valid]
    bounds = [*np.flatnonzero(first), num_valid]
    returns = [
        float(reward[begin : min(end, begin + num_actions)].sum())
        for begin, end in itertools.pairwise(bounds)
        if end - begin >= min(num_actions, horizon) or terminated[end - 1]
    ]
    return float(np.mean(returns)) if returns else math.nan


def leader_loss(schedule: Schedule, metrics: Metrics) -> float:
    """Returns what the leader minimises, the measure of progress (section 4.2)."""
    match schedule.leader:
        case Leader.POLICY:
            return -metrics["game/policy_objective"]
        case Leader.MODEL:
            return metrics["game/model_objective"]
        case Leader.NOBODY:
            return float("nan")
