"""How the policy player acts in the real world: by its Gaussian, or by planning every action."""

import dataclasses
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from duopoly.model.imagine import Dynamics
from duopoly.policy.gaussian import NumpyPolicy
from duopoly.policy.plan import empty_plan, plan
from duopoly.settings import Settings
from duopoly.world.interaction import NewPolicy, Policy


class Planned(NamedTuple):
    """What was observed of one planned action."""

    return_: float
    """Return that the model predicted, discounted, over the planner's horizon."""
    seconds: float


@dataclasses.dataclass(frozen=True)
class Actor:
    """A player on the stage of the real world."""

    new_policy: NewPolicy
    """Makes a policy for one episode."""
    planned: list[Planned] = dataclasses.field(default_factory=list)
    """Every action planned so far; stays empty where nothing is planned."""


def gaussian_actor(policy: NumpyPolicy, *, deterministic: bool) -> Actor:
    """Returns one that acts by a Gaussian policy, or by its mean: the same in every episode."""
    act = policy.act_mean if deterministic else policy.sample
    return Actor(lambda: act)


def planning_actor(
    dynamics: Dynamics, action_dim: int, settings: Settings, *, deterministic: bool
) -> Actor:
    """Returns one that plans; every episode begins with an empty plan."""
    planned: list[Planned] = []

    def new_policy() -> Policy:
        ahead = empty_plan(action_dim, settings.policy.planner)

        def act(
            obs: Float[np.ndarray, " obs"], rng: np.random.Generator
        ) -> Float[np.ndarray, " act"]:
            nonlocal ahead
            begin = time.perf_counter()
            action, ahead, return_ = plan_action(
                rng, dynamics, obs, ahead, settings, deterministic=deterministic
            )
            planned.append(Planned(return_, time.perf_counter() - begin))
            return action

        return act

    return Actor(new_policy, planned)


def plan_action(
    rng: np.random.Generator,
    dynamics: Dynamics,
    obs: Float[np.ndarray, " obs"],
    ahead: Float[Array, "T act"],
    settings: Settings,
    *,
    deterministic: bool,
) -> tuple[Float[np.ndarray, " act"], Float[Array, "T act"], float]:
    """Plans from ``ahead``, the rest of the previous plan; all that is random comes from ``rng``.

    Returns the action in policy units, with noise to explore unless ``deterministic``; the rest of
    the new plan; and the return that the model predicts.
    """
    key = jax.random.key(int(rng.integers(2**31)))
    found, rest, info = plan(key, dynamics, jnp.asarray(obs, jnp.float32), ahead, settings)
    action = np.asarray(found, np.float64)
    if not deterministic:
        action += settings.policy.planner.exploration_std * rng.standard_normal(action.shape)
    return action, rest, float(info.return_)
