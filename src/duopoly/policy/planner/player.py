"""The policy players cem and mppi: one factory over the update of a search."""

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from duopoly.model.imagine import Dynamics
from duopoly.narrow import narrow
from duopoly.policy.gaussian import (
    GaussianPolicy,
    gaussian_controller,
    init_policy,
    with_inputs_of,
)
from duopoly.policy.planner.plan import READS, UpdateFn, cem_update, empty_plan, mppi_update, plan
from duopoly.policy.player import Opponent, PolicyPlayer, Spaces
from duopoly.settings import Settings
from duopoly.types import Controller, Decision, Metrics, Transitions

METRICS: Final[Mapping[str, str]] = {
    "time/plan_ms": "milliseconds per planned action, median over the collection",
    "planner/return_mean": "discounted return the planner expected at each action, bonus included",
}


class PlannerState(eqx.Module):
    """What a planner carries: how it explores until there is a model to plan in."""

    policy: GaussianPolicy


class Planned(NamedTuple):
    """What is observed of one planned action."""

    return_: float
    """Return that the model predicted, discounted, over the planner's horizon."""
    seconds: float


def planner(update_fn: UpdateFn, reads: tuple[str, ...]) -> PolicyPlayer:
    """Returns the player that plans by ``update_fn`` of a search, which ``reads`` settings."""
    return PolicyPlayer(
        init=init,
        adapt=adapt,
        explore=lambda state, _settings: state,
        improve=stay,
        report=lambda _info: {},
        controller=functools.partial(controller, update_fn=update_fn, reads=(*READS, *reads)),
        report_actions=report_actions,
        act_fn=None,
        value_fn=None,
        network_fn=None,
        metrics=METRICS,
    )


def init(key: Key[Array, ""], spaces: Spaces, settings: Settings) -> PlannerState:
    """Returns a planner that has seen nothing."""
    key_policy, _ = jax.random.split(key)
    return PlannerState(init_policy(key_policy, *spaces[:2], settings.policy, spaces.angles))


def adapt(state: PlannerState, seen: Transitions, is_first: bool) -> PlannerState:
    """Normalises the exploring policy by the first data; plans need no normalisation."""
    return PlannerState(with_inputs_of(state.policy, seen)) if is_first else state


def stay(
    _key: Key[Array, ""],
    state: PlannerState,
    _opponent: Opponent,
    _num_steps: int,
    _settings: Settings,
) -> tuple[PlannerState, None]:
    """Takes no step: a planner improves with the model alone."""
    return state, None


def controller(
    state: PlannerState,
    world: Dynamics | None,
    settings: Settings,
    *,
    update_fn: UpdateFn,
    reads: tuple[str, ...],
) -> Controller:
    """Returns a controller that plans in the world; without a world it explores by a Gaussian.

    Its memory is what is left of the plan, ``[T, act]``, empty as an episode begins. For a batch of
    observations it plans one after another, so that nothing is compiled anew.
    """
    if world is None:
        return gaussian_controller(state.policy)
    empty = np.asarray(empty_plan(state.policy.log_std.shape[0], settings.policy.planner))
    spread, read = settings.policy.planner.exploration_std, narrow(settings, reads)

    def act_one(
        obs: Float[np.ndarray, " obs"],
        memory: Float[np.ndarray, "T act"],
        rng: np.random.Generator,
        deterministic: bool,
    ) -> Decision:
        begin = time.perf_counter()
        key = jax.random.key(int(rng.integers(2**31)))
        ahead = jnp.asarray(memory)
        start = jnp.asarray(obs, jnp.float32)
        found, rest, info = plan(key, world, start, ahead, read, update_fn)
        action = np.asarray(found, np.float64)
        if not deterministic:
            action += spread * rng.standard_normal(action.shape)
        seen = Planned(float(info.return_), time.perf_counter() - begin)
        return Decision(action, np.asarray(rest), seen)

    def act(
        obs: Float[np.ndarray, "*batch obs"],
        memory: Float[np.ndarray, "*batch T act"] | None,
        rng: np.random.Generator,
        deterministic: bool,
    ) -> Decision:
        assert memory is not None
        if obs.ndim == 1:
            return act_one(obs, memory, rng, deterministic)
        if not len(obs):
            return Decision(np.zeros((0, empty.shape[1])), memory)
        acted = [act_one(*row, rng, deterministic) for row in zip(obs, memory, strict=True)]
        actions, plans, seen = zip(*acted, strict=True)
        return Decision(np.stack(actions), np.stack(plans), seen)

    return Controller(act, empty)


def report_actions(seen: Sequence[Planned | None]) -> Metrics:
    """Summarises the actions planned in a collection; nothing is known where none was."""
    planned = [one for one in seen if one is not None]
    if not planned:
        return {}
    return {
        "time/plan_ms": 1e3 * float(np.median([one.seconds for one in planned])),
        "planner/return_mean": float(np.mean([one.return_ for one in planned])),
    }


CEM: Final = planner(cem_update, ("policy.planner.num_elites",))
MPPI: Final = planner(mppi_update, ("policy.planner.temperature",))
