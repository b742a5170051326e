"""Worlds of which an actor-critic's every number is known, and actors that are known too."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from duopoly.policy.actor_critic.actor import Actor, init_actor
from duopoly.settings import PolicySettings
from duopoly.types import Prediction

KEY = jax.random.key(0)


class Clock(eqx.Module):
    """obs is the number of the step; each earns ``pay · (1 + number)``, and one may be the last."""

    num_members: int = eqx.field(static=True, default=2)
    last: int | None = eqx.field(static=True, default=None)
    """The step with which it stops."""
    stop: Literal["terminated", "truncated"] = eqx.field(static=True, default="terminated")
    pay: float = 1.0
    growth: float = 0.0
    tick: float = 1.0
    """By how much the number rises."""

    def __call__(
        self, key: Key[Array, ""], obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
    ) -> Prediction:
        del key, action
        now = obs[..., 0]
        stops = (now == self.last) if self.last is not None else jnp.zeros(now.shape, bool)
        no = jnp.zeros(now.shape, bool)
        ends = (stops, no) if self.stop == "terminated" else (no, stops)
        return Prediction(obs + self.tick, self.pay * (1.0 + self.growth * now), *ends)


class Integrator(eqx.Module):
    """s' = s + 0.1 a + drift, r = −s'² − 0.1 a²: smooth, so that differences tell its gradient."""

    num_members: int = eqx.field(static=True, default=2)
    edge: float = 1e6
    """Beyond it the world ends."""

    def __call__(
        self, key: Key[Array, ""], obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
    ) -> Prediction:
        del key
        next_obs = obs + 0.1 * action + 0.05
        reward = -jnp.sum(next_obs**2, axis=-1) - 0.1 * jnp.sum(action**2, axis=-1)
        terminated = next_obs[..., 0] > self.edge
        return Prediction(next_obs, reward, terminated, jnp.zeros(terminated.shape, bool))


def an_actor(obs_dim: int = 1, action_dim: int = 1, hidden: tuple[int, ...] = (8,)) -> Actor:
    """An actor whose actions depend on what it sees."""
    actor = init_actor(KEY, obs_dim, action_dim, PolicySettings(hidden=hidden))
    last = actor.network.layers[-1]
    weight = jax.random.normal(jax.random.key(1), last.weight.shape)
    return eqx.tree_at(lambda a: a.network.layers[-1].weight, actor, 0.3 * weight)
