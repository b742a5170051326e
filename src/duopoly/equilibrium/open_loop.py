"""How fast the model's predictions drift away from what really happened."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from duopoly.draws import draw_rows
from duopoly.lockstep import kernel
from duopoly.model.imagine import Dynamics
from duopoly.types import Transitions


def segment_starts(data: Transitions, horizon: int) -> Bool[Array, " N"]:
    """Tells from which rows ``horizon`` actions of one episode follow one another."""
    rows = jnp.arange(data.obs.shape[0])
    breaks = jnp.cumsum(data.first)
    last = jnp.minimum(rows + horizon - 1, rows[-1])
    return (rows + horizon <= data.num_valid) & (breaks[last] == breaks)


def replay(
    key: Key[Array, ""],
    dynamics: Dynamics,
    obs: Float[Array, "B obs"],
    actions: Float[Array, "B T act"],
) -> Float[Array, "E B T obs"]:
    """Returns what every world predicts for the same actions from the same start, open loop."""
    num_members = dynamics.num_members

    def for_all(x: Float[Array, "B d"]) -> Float[Array, "E B d"]:
        return jnp.broadcast_to(x, (num_members, *x.shape))

    def step(obs: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        key, action = now
        next_obs = dynamics(key, obs, for_all(action)).next_obs
        return next_obs, next_obs

    keys = jax.random.split(key, actions.shape[1])
    _, predicted = jax.lax.scan(step, for_all(obs), (keys, jnp.moveaxis(actions, 1, 0)))
    return jnp.moveaxis(predicted, 0, 2)


@kernel()
def open_loop_error(
    key: Key[Array, ""],
    dynamics: Dynamics,
    data: Transitions,
    scale: Float[Array, " obs"],
    shape: tuple[int, int],
) -> Float[Array, " T"]:
    """Returns the error after 1, 2, … actions of real episodes, replayed from their states.

    The root mean square over members, segments and components of (predicted − real) / ``scale``,
    components of scale zero left out. ``shape``: number of segments, and their length T. NaN where
    the data hold no segment of that length.
    """
    num_segments, horizon = shape
    key_rows, key_replay = jax.random.split(key)
    possible = segment_starts(data, horizon)
    rows = draw_rows(key_rows, possible, (num_segments,))
    index: Int[Array, "B T"] = rows[:, None] + jnp.arange(horizon)[None]
    predicted = replay(key_replay, dynamics, data.obs[rows], data.action[index])
    counts = scale > 0.0
    precision = jnp.where(counts, 1.0 / jnp.where(counts, scale, 1.0), 0.0)
    error = (predicted - data.next_obs[index][None]) * precision[None, None, None]
    mean = jnp.mean(jnp.sum(error**2, axis=-1), axis=(0, 1)) / jnp.maximum(jnp.sum(counts), 1)
    return jnp.where(jnp.any(possible), jnp.sqrt(mean), jnp.nan)
