"""Rollouts of a policy in a simulator, from real observations."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from duopoly.settings import ImaginationSettings
from duopoly.spread import spread
from duopoly.types import Prediction, Rollouts, Transitions

Act = Callable[[Key[Array, ""], Float[Array, "E B obs"]], Float[Array, "E B act"]]
"""A policy: actions for a batch of observations."""


@runtime_checkable
class Dynamics(Protocol):
    """A simulator of E worlds at once, differentiable in what it is given."""

    @property
    def num_members(self) -> int:
        """Size of the axis E."""
        ...

    def __call__(
        self,
        key: Key[Array, ""],
        obs: Float[Array, "E B obs"],
        action: Float[Array, "E B act"],
        /,
    ) -> Prediction:
        """Returns the prediction of every world; ``key`` is for those that are random."""
        ...


class Shuffled(eqx.Module):
    """A simulator that hands every rollout to another member at every step.

    What a rollout meets is then the ensemble, not one member whose errors it could learn to use.
    Source: Chua et al. (2018): TS1.
    """

    world: Dynamics

    @property
    def num_members(self) -> int:
        """Size of the axis E."""
        return self.world.num_members

    def __call__(
        self,
        key: Key[Array, ""],
        obs: Float[Array, "E B obs"],
        action: Float[Array, "E B act"],
    ) -> Prediction:
        """Returns the prediction of a random member for every row of a batch, one row each."""
        key_order, key_world = jax.random.split(key)
        order = jax.random.permutation(key_order, obs.shape[0])
        back = jnp.argsort(order)
        prediction = self.world(key_world, obs[order], action[order])
        return jax.tree.map(lambda x: x[back], prediction)


class Starts(NamedTuple):
    """Where rollouts may start: first observations of real episodes, and any of recent ones."""

    initial: Float[Array, "K obs"]
    """First observations of episodes, padded; only the first ``num_initial`` rows are data."""
    num_initial: Int[Array, ""]
    recent: Transitions
    """The latest collections, of the policies of now and of just before."""


def draw_starts(
    key: Key[Array, ""], starts: Starts, shape: tuple[int, int], share_of_recent: float
) -> Float[Array, "E B obs"]:
    """Draws start states; ``share_of_recent`` of each member's rollouts start at any recent one."""
    key_initial, key_recent = jax.random.split(key)
    initial = starts.initial[jax.random.randint(key_initial, shape, 0, starts.num_initial)]
    recent = starts.recent.obs[jax.random.randint(key_recent, shape, 0, starts.recent.num_valid)]
    is_recent = jnp.arange(shape[1]) < round(share_of_recent * shape[1])
    return jnp.where(is_recent[None, :, None], recent, initial)


ROLL_OUT_READS: Final = ("num_rollouts", "horizon", "start_from_data")
"""Settings of imagination that `roll_out` reads."""


def roll_out(
    keys: Key[Array, "2"],
    act: Act,
    dynamics: Dynamics,
    starts: Starts,
    settings: ImaginationSettings,
) -> Rollouts:
    """Rolls a policy out in every world; two keys draw the starts and all that follows."""
    key_starts, key_imagine = keys[0], keys[1]
    shape = (dynamics.num_members, settings.num_rollouts)
    first = draw_starts(key_starts, starts, shape, settings.start_from_data)
    return imagine(key_imagine, act, dynamics, first, settings.horizon)


def imagine(
    key: Key[Array, ""],
    act: Act,
    dynamics: Dynamics,
    starts: Float[Array, "E B obs"],
    horizon: int,
) -> Rollouts:
    """Plays ``horizon`` actions from every start, each member in a world of its own.

    Shapes are fixed: after its end, a terminal step or one that the simulator does not trust
    itself beyond, a rollout goes on as padding, marked invalid.
    """

    def step(
        carry: tuple[Float[Array, "E B obs"], Bool[Array, "E B"]], keys: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], Rollouts]:
        (obs, valid), (key_act, key_world) = carry, keys
        action = act(key_act, obs)
        prediction = dynamics(key_world, obs, action)
        next_obs, reward, terminated, truncated, bonus = prediction[:5]
        seen = Rollouts(obs, action, reward, next_obs, terminated, truncated, valid, bonus)
        return (next_obs, valid & ~terminated & ~truncated), seen

    keys = jax.random.split(key, 2 * horizon)
    begin = spread((starts, jnp.ones(starts.shape[:2], bool)), axis=1)
    _, rollouts = jax.lax.scan(step, begin, (keys[:horizon], keys[horizon:]))
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 2), rollouts)
