"""What several tasks say in the same words."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from duopoly.types import Episode
from duopoly.world.task import ActArray, ObsArray


def never_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Only the horizon ends an episode."""
    return jnp.zeros((), dtype=bool)


def never_fell(episode: Episode) -> bool:
    """Whether the world did not end the episode."""
    return not episode.terminated


def length(vector: Float[Array, " axis"]) -> Float[Array, ""]:
    """The 2-norm, with a tiny constant that keeps its gradient finite at zero."""
    return jnp.sqrt(jnp.sum(jnp.square(vector)) + 1e-16)
