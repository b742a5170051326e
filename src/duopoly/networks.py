"""Fully connected networks and feature normalisation, shared by both players."""

from collections.abc import Callable, Mapping
from typing import Final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from duopoly.settings import Activation

ACTIVATIONS: Final[Mapping[Activation, Callable[[Array], Array]]] = {
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


_ZERO: Final = 1e-13
"""What a simulator may compute in double precision where the truth is zero."""

NEGLIGIBLE: Final = 1e-30
"""Keeps a quotient finite, and is nothing beside what it is added to, whatever the units."""


class Linear(eqx.Module):
    """An affine map; the weight is stored input-major, the faster layout for batches on a CPU."""

    weight: Float[Array, "in_ out"]
    bias: Float[Array, " out"]

    def __init__(self, key: Key[Array, ""], in_size: int, out_size: int, scale: float = 1.0):
        """Draws weights from N(0, scale² / in_size) and starts the bias at zero."""
        self.weight = jax.random.normal(key, (in_size, out_size)) * (scale / in_size**0.5)
        self.bias = jnp.zeros(out_size)

    def __call__(self, x: Float[Array, " in_"]) -> Float[Array, " out"]:
        return x @ self.weight + self.bias


class MLP(eqx.Module):
    """A multilayer perceptron for one input; ``vmap`` it over a batch."""

    layers: tuple[Linear, ...]
    activation: Activation = eqx.field(static=True)
    layer_norm: bool = eqx.field(static=True, default=False)
    """Whether every hidden layer's output is normalised, without gain or bias."""
    constant: Float[Array, " constants"] | None = None
    """Outputs that are the same for every input, appended to the others; None: there are none."""

    def __init__(
        self,
        key: Key[Array, ""],
        sizes: tuple[int, ...],
        activation: Activation,
        final_scale: float = 1.0,
        layer_norm: bool = False,
        num_constant: int = 0,
    ):
        """Builds layers of ``sizes`` (input, hidden…, output); He-scaled for ReLU-like units."""
        keys = jax.random.split(key, len(sizes) - 1)
        gain = 1.0 if activation == "tanh" else 2.0**0.5
        scales = [gain] * (len(sizes) - 2) + [final_scale]
        self.layers = tuple(
            Linear(k, n_in, n_out, scale)
            for k, n_in, n_out, scale in zip(keys, sizes[:-1], sizes[1:], scales, strict=True)
        )
        self.activation = activation
        self.layer_norm = layer_norm
        self.constant = jnp.zeros(num_constant) if num_constant else None

    def __call__(self, x: Float[Array, " in_"]) -> Float[Array, " out"]:
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
            x = standardise(x) if self.layer_norm else x
        output = self.layers[-1](x)
        return output if self.constant is None else jnp.concatenate([output, self.constant])


def falling(progress: float | Float[Array, ""]) -> Float[Array, ""]:
    """Returns what a step size is multiplied by: from 1 to a hundredth, along half a cosine."""
    return 0.505 + 0.495 * jnp.cos(jnp.pi * progress)


def thinned(key: Key[Array, ""], network: MLP, rate: float) -> MLP:
    """Returns the network without a random share of its hidden units, the others scaled up for it.

    Dropout, with the same units left out for a whole batch. Source: Srivastava et al. (2014),
    Dropout; Graham et al. (2015), Efficient batchwise dropout training using submatrices.
    """
    first, *rest = network.layers
    keys = jax.random.split(key, len(rest))

    def without_some(key: Array, layer: Linear) -> Linear:
        kept = jax.random.bernoulli(key, 1.0 - rate, layer.weight.shape[:1]) / (1.0 - rate)
        return eqx.tree_at(lambda one: one.weight, layer, layer.weight * kept[:, None])

    layers = (first, *(without_some(*pair) for pair in zip(keys, rest, strict=True)))
    return eqx.tree_at(lambda one: one.layers, network, layers)


def standardise(x: Float[Array, " units"]) -> Float[Array, " units"]:
    """Returns units of mean 0 and variance 1: layer normalisation without gain or bias.

    Source: Ba et al. (2016), Layer normalization.
    """
    centred = x - jnp.mean(x)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2) + 1e-5)


class Normaliser(eqx.Module):
    """Shift and scale that give every feature mean 0 and standard deviation 1."""

    mean: Float[Array, " feature"]
    std: Float[Array, " feature"]
    angles: tuple[int, ...] = eqx.field(static=True, default=())
    """Features given as angle and seen as sine, in its place, and cosine, at the end."""

    @staticmethod
    def identity(size: int, angles: tuple[int, ...] = ()) -> "Normaliser":
        """Returns the normaliser that changes nothing but angles."""
        return Normaliser(jnp.zeros(size), jnp.ones(size), angles)

    @staticmethod
    def of(
        x: Float[Array, "N feature"], valid: Bool[Array, " N"], angles: tuple[int, ...] = ()
    ) -> "Normaliser":
        """Measures the valid rows; a constant feature is shifted, and scaled only if so large that
        its rounding would matter."""
        mean, std = moments(x, valid)
        unit = jnp.maximum(1.0, 1e5 * _rounding(mean))
        return Normaliser(mean, jnp.where(std == 0.0, unit, std), angles)

    def renewed(self, x: Float[Array, "N feature"], valid: Bool[Array, " N"]) -> "Normaliser":
        """Measures the valid rows anew; of a feature that is constant there, what was known stays.

        A standard deviation of zero says nothing of how the feature will vary when it does again.
        """
        mean, std = moments(x, valid)
        varies = std > 0.0
        return Normaliser(
            jnp.where(varies, mean, self.mean), jnp.where(varies, std, self.std), self.angles
        )

    def __call__(self, x: Float[Array, " feature"]) -> Float[Array, " seen"]:
        normal = (x - self.mean) / self.std
        if not self.angles:
            return normal
        angle = x[jnp.asarray(self.angles)]
        return jnp.concatenate(
            [normal.at[jnp.asarray(self.angles)].set(jnp.sin(angle)), jnp.cos(angle)]
        )

    def invert(self, x: Float[Array, " feature"]) -> Float[Array, " feature"]:
        """Returns features in their own units again."""
        return x * self.std + self.mean


def rebase(network: MLP, old: Normaliser, new: Normaliser) -> MLP:
    """Returns a network of ``new`` inputs, the same function as ``network`` of the ``old`` ones.

        W'_i = W_i σ'_i / σ_i,   b' = b + Σ_i W_i (μ'_i − μ_i) / σ_i

    with W_i the weights of feature i; exact but for rounding. Angles are seen the same by both.
    """
    first = network.layers[0]
    scale, shift = new.std / old.std, (new.mean - old.mean) / old.std
    if old.angles:
        angles = jnp.asarray(old.angles)
        scale, shift = scale.at[angles].set(1.0), shift.at[angles].set(0.0)
    of_features, of_cosines = jnp.split(first.weight, [scale.shape[0]])
    weight = jnp.concatenate([of_features * scale[:, None], of_cosines])
    bias = first.bias + shift @ of_features
    return eqx.tree_at(lambda n: (n.layers[0].weight, n.layers[0].bias), network, (weight, bias))


def moments(
    x: Float[Array, "N feature"], valid: Bool[Array, " N"]
) -> tuple[Float[Array, " feature"], Float[Array, " feature"]]:
    """Returns mean and standard deviation of the valid rows, in whatever units they are.

    The deviation is exactly zero where all rows agree but for rounding: that of single precision,
    or of a simulator that computes zero in double precision.
    """
    weight = valid[:, None] / jnp.maximum(jnp.sum(valid), 1)
    mean = jnp.sum(weight * x, axis=0)
    std = jnp.sqrt(jnp.sum(weight * (x - mean[None]) ** 2, axis=0))
    low = jnp.min(jnp.where(valid[:, None], x, jnp.inf), axis=0)
    high = jnp.max(jnp.where(valid[:, None], x, -jnp.inf), axis=0)
    rounding = _rounding(jnp.maximum(jnp.abs(low), jnp.abs(high)))
    is_constant = high - low <= jnp.maximum(rounding, _ZERO)
    # The sums of a long column round worse than what is in it.
    exact = jnp.where(is_constant & jnp.isfinite(low), low, mean)  # infinite of no rows at all
    return exact, jnp.where(is_constant, 0.0, std)


def _rounding(x: Float[Array, " feature"]) -> Float[Array, " feature"]:
    """Returns by how much numbers of this size may differ and still mean the same."""
    return 4.0 * jnp.finfo(x.dtype).eps * jnp.abs(x)
