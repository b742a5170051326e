"""Critics: a few estimates of Q(s, a), the discounted return and entropy to come in the model."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from duopoly.networks import MLP, Normaliser
from duopoly.settings import ActorCriticSettings

QUANTILES = (0.01, 0.99)
"""Of what a step earns: what Q is bounded by."""


class Bounds(eqx.Module):
    """Between what Q must lie; outputs of the critics' networks in [-1, 1] span it."""

    low: Float[Array, ""]
    high: Float[Array, ""]

    @property
    def half_width(self) -> Float[Array, ""]:
        """Half of the distance between them, never zero."""
        return jnp.maximum(0.5 * (self.high - self.low), 1e-3)

    def scale(self, output: Float[Array, "*N"]) -> Float[Array, "*N"]:
        """Returns outputs of the networks as values of Q."""
        return 0.5 * (self.high + self.low) + self.half_width * output

    def clip(self, target: Float[Array, "*N"]) -> Float[Array, "*N"]:
        """Returns targets within the bounds."""
        return jnp.clip(target, self.low, self.high)


class Critics(NamedTuple):
    """Networks of Q, stacked along a leading axis C, with what they all share."""

    networks: MLP
    bounds: Bounds
    inputs: Normaliser
    """The actor's."""

    def __call__(
        self, obs: Float[Array, "*N obs"], action: Float[Array, "*N act"]
    ) -> Float[Array, "C *N"]:
        """Returns every critic's Q of each observation and action."""
        rows = obs.reshape(-1, obs.shape[-1]), action.reshape(-1, action.shape[-1])
        x = jax.vmap(lambda o, a: jnp.concatenate([self.inputs(o), a]))(*rows)
        output = eqx.filter_vmap(lambda one: jax.vmap(one)(x)[:, 0])(self.networks)
        return self.bounds.scale(output).reshape(-1, *obs.shape[:-1])


def init_critics(key: Key[Array, ""], num_inputs: int, settings: ActorCriticSettings) -> MLP:
    """Returns networks that are zero everywhere, layer-normed but for their inputs."""
    sizes = (num_inputs, *settings.hidden, 1)
    keys = jax.random.split(key, settings.num_critics)
    return eqx.filter_vmap(lambda k: MLP(k, sizes, "silu", 0.0, layer_norm=True))(keys)


def lowest_of_some(
    key: Key[Array, ""], values: Float[Array, "C *N"], num_some: int
) -> Float[Array, "*N"]:
    """Returns the lowest of some critics' values, the same critics for all.

    Source: Chen et al. (2021), Randomized ensembled double Q-learning.
    """
    some = jax.random.permutation(key, values.shape[0])[:num_some]
    return jnp.min(values[some], axis=0)


def measure_bounds(earned: Float[Array, "*N"], valid: Bool[Array, "*N"], discount: float) -> Bounds:
    """Returns what Q can be where a step earns no less and no more than nearly all of these.

    Zero is always within, for a world that ends earns nothing more: bounds above zero would hide
    from the critics what a fall costs.
    """
    low, high = jnp.nanquantile(jnp.where(valid, earned, jnp.nan), jnp.asarray(QUANTILES))
    return Bounds(
        jnp.minimum(low, 0.0) / (1.0 - discount), jnp.maximum(high, 0.0) / (1.0 - discount)
    )


def moved(old: MLP, new: MLP, rate: float | Float[Array, ""]) -> MLP:
    """Returns parameters moved by a share of the way to others."""
    return jax.tree.map(lambda a, b: (1.0 - rate) * a + rate * b, old, new)
