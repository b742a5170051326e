"""A pool of imagined transitions of the latest policies: where updates start.

Source: Kubo et al. (2025), Double horizon model-based policy optimization: their distribution
rollouts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from duopoly.draws import draw_counted, draw_rows
from duopoly.model.imagine import Act, Dynamics, imagine
from duopoly.settings import ActorCriticSettings
from duopoly.types import Transitions


class Steps(NamedTuple):
    """Steps of the world, real or imagined, in no order."""

    obs: Float[Array, "*N obs"]
    action: Float[Array, "*N act"]
    pay: Float[Array, "*N"]
    next_obs: Float[Array, "*N obs"]
    terminated: Bool[Array, "*N"]


class Pool(NamedTuple):
    """Imagined steps, those of each refill in a slot, the oldest overwritten first."""

    steps: Steps
    """Of each slot, ``[slot, step, …]``, padding included."""
    valid: Bool[Array, "slot step"]
    counted: Int[Array, " N"]
    """How many steps are no padding, up to each: kept, because every update draws by it."""


def fill(
    key: Key[Array, ""],
    act: Act,
    world: Dynamics,
    data: Transitions,
    settings: ActorCriticSettings,
) -> Pool:
    """Returns a full pool: rollouts of one policy from real states, drawn from all data."""
    keys = jax.random.split(key, settings.pool_slots)
    steps, valid = jax.lax.map(lambda k: _imagine(k, act, world, data, settings), keys)
    return _counted(steps, valid)


def refill(
    key: Key[Array, ""],
    pool: Pool,
    slot: Int[Array, ""],
    act: Act,
    world: Dynamics,
    data: Transitions,
    settings: ActorCriticSettings,
) -> Pool:
    """Returns the pool with one slot renewed."""
    steps, valid = _imagine(key, act, world, data, settings)
    steps = jax.tree.map(lambda all_, new: all_.at[slot].set(new), pool.steps, steps)
    return _counted(steps, pool.valid.at[slot].set(valid))


def sample(key: Key[Array, ""], pool: Pool, shape: tuple[int, ...]) -> Steps:
    """Draws steps of the pool, all that are no padding alike."""
    chosen = draw_counted(key, pool.counted, shape)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[chosen], pool.steps)


def sample_real(key: Key[Array, ""], data: Transitions, num_steps: int) -> Steps:
    """Draws real steps, all alike."""
    rows = jax.random.randint(key, (num_steps,), 0, data.num_valid)
    taken = (data.obs, data.action, data.reward, data.next_obs, data.terminated)
    return Steps(*(x[rows] for x in taken))


def draw_states(
    key: Key[Array, ""], data: Transitions, shape: tuple[int, int], settings: ActorCriticSettings
) -> Float[Array, "E B obs"]:
    """Draws real states: of all data, and for their shares first ones and the newest alone."""
    place = jnp.arange(shape[1])
    oldest = jnp.maximum(data.num_valid - settings.num_newest, 0)
    is_newest = place < round(settings.newest_share * shape[1])
    begin = jnp.broadcast_to(jnp.where(is_newest, oldest, 0)[None], shape)
    rows = jax.random.randint(key, shape, begin, data.num_valid)
    if settings.initial_share > 0.0:
        is_initial = place >= round((1.0 - settings.initial_share) * shape[1])
        first = draw_rows(jax.random.fold_in(key, 1), data.first, shape)
        rows = jnp.where(is_initial[None] & jnp.any(data.first), first, rows)
    return data.obs[rows]


def join(*parts: Steps) -> Steps:
    """Returns all steps of several parts."""
    return Steps(*(jnp.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def members_share(world: Dynamics, settings: ActorCriticSettings) -> tuple[int, int]:
    """Returns how a batch is divided over the members: their number, and rollouts of each."""
    return world.num_members, -(-settings.batch_size // world.num_members)


def _imagine(
    key: Key[Array, ""],
    act: Act,
    world: Dynamics,
    data: Transitions,
    settings: ActorCriticSettings,
) -> tuple[Steps, Bool[Array, " step"]]:
    key_starts, key_imagine = jax.random.split(key)
    shape = members_share(world, settings)
    starts = draw_states(key_starts, data, shape, settings)
    found = imagine(key_imagine, act, world, starts, settings.pool_horizon)
    steps = Steps(found.obs, found.action, found.pay, found.next_obs, found.terminated)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), (steps, found.valid))


def _counted(steps: Steps, valid: Bool[Array, "slot step"]) -> Pool:
    return Pool(steps, valid, jnp.cumsum(valid))
