"""The policy players npg, trpo and pg: one factory over a way to step."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from duopoly.narrow import narrow
from duopoly.policy.gaussian import GaussianPolicy, act_by, entropy, gaussian_controller
from duopoly.policy.gradient.improve import (
    LEADER_READS,
    READS,
    ImprovementInfo,
    PolicyState,
    fix_inputs,
    improve_policy,
    init_state,
    renew_inputs,
)
from duopoly.policy.gradient.natural_gradient import natural_gradient_step
from duopoly.policy.gradient.plain_gradient import init_optimiser, plain_gradient_step
from duopoly.policy.gradient.step import InitOptimiser, StepFn
from duopoly.policy.gradient.trust_region import trust_region_step
from duopoly.policy.player import (
    OBJECTIVE,
    ActionNetwork,
    Opponent,
    PlayerError,
    PolicyPlayer,
    Values,
)
from duopoly.settings import PolicySettings, Settings
from duopoly.types import Metrics, Transitions

METRICS: Final[Mapping[str, str]] = {
    "imagined/return_mean": "mean imagined return at the last policy step, bonus left out",
    "imagined/return_spread": "standard deviation of its mean over the members",
    "imagined/ep_len_mean": "mean imagined length in actions",
    "imagined/terminated_share": "share of imagined rollouts that terminated",
    "imagined/num_steps": "imagined steps of this round, padding excluded",
    "policy/kl": "KL divergence of a policy step, mean over the round",
    "policy/gradient_norm": "norm of the policy gradient",
    "policy/cg_residual": "relative residual of the conjugate gradient solve",
    "policy/backtracks": "times that TRPO shortened a step, mean over the round",
    "policy/refused_steps": "policy steps refused: a number broke down, or TRPO found none",
    "policy/num_steps": "policy steps taken or refused",
    "train/std": "mean standard deviation of the policy, in policy units",
    "train/entropy": "entropy of the policy's actions",
    "train/refused_value_fits": "fits of the value function that turned non-finite",
    "train/explained_variance": "share of the λ-returns' variance explained by the value function",
    **OBJECTIVE,
    "leader/implicit_share": "norm of the implicit term, as it is added, over that of the leader's "
    "whole gradient",
    "leader/gradient_norm": "norm of the implicit term as it was measured, before it is averaged "
    "and bounded",
    "leader/first_order_norm": "norm of the first-order part beside it",
    "leader/fisher_share": "length of the averaged term over that of the first-order part, in the "
    "Fisher norm, before it is bounded",
}


class Improvement(NamedTuple):
    """What is observed of a round's policy steps."""

    steps: list[ImprovementInfo]
    leader: list[Any]
    """Of the implicit terms of a policy that leads, as its `LeaderFn` tells them."""
    std: Float[Array, ""]
    """Mean standard deviation of the policy after them."""
    entropy: Float[Array, ""]


def gradient_player(
    step_fn: StepFn, init_optimiser: InitOptimiser, reads: tuple[str, ...]
) -> PolicyPlayer:
    """Returns the player that moves its policy by ``step_fn``, which ``reads`` settings."""
    return PolicyPlayer(
        init=functools.partial(init_state, init_optimiser=init_optimiser),
        adapt=adapt,
        explore=explore,
        improve=functools.partial(improve, step_fn=step_fn, reads=(*READS, *reads)),
        report=report,
        controller=lambda state, _world, _settings: gaussian_controller(state.policy),
        report_actions=lambda _seen: {},
        act_fn=lambda state, deterministic: act_by(state.policy, deterministic),
        value_fn=values_of,
        network_fn=lambda state: ActionNetwork(state.policy.network, state.policy.inputs, False),
        metrics=METRICS,
    )


def values_of(
    key: Key[Array, ""],
    state: PolicyState,
    obs: Float[Array, "N obs"],
    action: Float[Array, "N act"],
) -> Values:
    """Returns V of every observation, whatever the action."""
    del key, action
    value = jax.vmap(lambda one: state.value.function(state.policy.inputs(one)))(obs)
    return Values(value, jnp.zeros_like(value))


def adapt(state: PolicyState, seen: Transitions, is_first: bool) -> PolicyState:
    """Normalises the inputs by the data; but for the first data the function stays the same."""
    return fix_inputs(state, seen) if is_first else renew_inputs(state, seen)


def explore(state: PolicyState, settings: Settings) -> PolicyState:
    """Raises the policy's standard deviation to that of the start, where it has fallen below.

    Steps of a bounded KL divergence are in units of it: a policy that has settled can only creep.
    """
    log_std = jnp.maximum(state.policy.log_std, settings.policy.initial_log_std)
    return eqx.tree_at(lambda s: s.policy.log_std, state, log_std)


def improve(
    key: Key[Array, ""],
    state: PolicyState,
    opponent: Opponent,
    num_steps: int,
    settings: Settings,
    *,
    step_fn: StepFn,
    reads: tuple[str, ...],
) -> tuple[PolicyState, Improvement]:
    """Takes policy steps one after another; a step is compiled once, whatever their number.

    Raises:
        PlayerError: no gradient of them is finite.
    """
    first_order = narrow(settings, reads)
    with_term = narrow(settings, (*reads, *LEADER_READS))
    infos: list[ImprovementInfo] = []
    terms: list[Any] = []
    for step, key_step in enumerate(jax.random.split(key, num_steps)):
        implicit, read = None, first_order
        leads_now = step == 0 or settings.leader.steps == "all"
        if opponent.leader_fn is not None and leads_now:
            read = with_term
            implicit, seen = opponent.leader_fn(step, state)
            terms.append(seen)
        state, info = improve_policy(
            key_step, state, opponent.world, opponent.starts, read, step_fn, implicit
        )
        infos.append(info)
    if infos and not any(bool(jnp.isfinite(info.step.gradient_norm)) for info in infos):
        imagined = float(jnp.mean(infos[-1].imagined_return))
        raise PlayerError(f"no policy gradient is finite, and the imagined return is {imagined:g}")
    std = jnp.mean(jnp.exp(state.policy.log_std))
    return state, Improvement(infos, terms, std, entropy(state.policy))


def report(info: Improvement) -> Metrics:
    """Summarises the policy steps of a round."""
    steps = info.steps
    first, last = steps[0], steps[-1]
    found = {
        "imagined/return_mean": float(jnp.mean(last.imagined_return)),
        "imagined/return_spread": float(jnp.std(last.imagined_return)),
        "imagined/ep_len_mean": float(last.imagined_length),
        "imagined/terminated_share": float(last.terminated_share),
        "imagined/num_steps": sum(int(one.num_steps) for one in steps),
        "policy/kl": _mean([float(one.step.kl) for one in steps]),
        "policy/gradient_norm": _mean([float(one.step.gradient_norm) for one in steps]),
        "policy/cg_residual": _mean([float(one.step.residual) for one in steps]),
        "policy/backtracks": _mean([int(one.step.num_backtracks) for one in steps]),
        "policy/refused_steps": sum(bool(one.step.is_refused) for one in steps),
        "policy/num_steps": len(steps),
        "train/std": float(info.std),
        "train/entropy": float(info.entropy),
        "train/explained_variance": float(last.value.explained_variance),
        "train/refused_value_fits": sum(bool(one.value.is_refused) for one in steps),
        "game/policy_objective": float(jnp.mean(first.imagined_return)),
    }
    return found | _report_leader(steps) if info.leader else found


def _report_leader(steps: Sequence[ImprovementInfo]) -> Metrics:
    """Summarises what the implicit terms were in policy steps, those without one left out."""
    terms = [(one.leader_term, one.step) for one in steps if one.leader_term is not None]
    return {
        "leader/implicit_share": _mean(
            [float(term.norm / step.gradient_norm) for term, step in terms]
        ),
        "leader/gradient_norm": _mean([float(term.newest_norm) for term, _ in terms]),
        "leader/first_order_norm": _mean([float(term.first_norm) for term, _ in terms]),
        "leader/fisher_share": _mean([float(term.fisher_share) for term, _ in terms]),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _remember_nothing(_policy: GaussianPolicy, _settings: PolicySettings) -> optax.OptState:
    return ()


_NATURAL: Final = (
    *("policy.min_log_std", "policy.target_kl"),
    *("policy.cg_iterations", "policy.cg_damping"),
)
NPG: Final = gradient_player(natural_gradient_step, _remember_nothing, _NATURAL)
TRPO: Final = gradient_player(
    trust_region_step, _remember_nothing, (*_NATURAL, "policy.max_backtracks")
)
PG: Final = gradient_player(
    plain_gradient_step, init_optimiser, ("policy.min_log_std", "policy.learning_rate")
)
