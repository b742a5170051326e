"""The policy player's value function: V(s), the discounted return to come in the model."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key

from duopoly.draws import random_batches
from duopoly.networks import MLP, Normaliser, moments
from duopoly.settings import ValueSettings


class ValueFunction(eqx.Module):
    """V(s) = mean + std · network(normalised s)."""

    network: MLP
    mean: Float[Array, ""]
    std: Float[Array, ""]

    def __call__(self, x: Float[Array, " obs"]) -> Float[Array, ""]:
        """Returns the value of one observation, given as the policy's normalised input."""
        return self.mean + self.std * self.network(x)[0]


class ValueInfo(NamedTuple):
    """What is observed of one fit."""

    explained_variance: Float[Array, ""]
    """Share of the targets' variance that V explained before it was fitted to them."""
    is_refused: Bool[Array, ""]
    """Whether the fit turned non-finite, so V stayed as it was."""


class ValueState(eqx.Module):
    """The value function and its optimiser."""

    function: ValueFunction
    opt_state: optax.OptState


def init_value(key: Key[Array, ""], obs_dim: int, settings: ValueSettings) -> ValueState:
    """Returns a value function that is zero everywhere."""
    network = MLP(key, (obs_dim, *settings.hidden, 1), "tanh", final_scale=0.0)
    opt_state = optax.adam(settings.learning_rate).init(eqx.filter(network, eqx.is_array))
    return ValueState(ValueFunction(network, jnp.zeros(()), jnp.ones(())), opt_state)


def fit_value(
    key: Key[Array, ""],
    state: ValueState,
    x: Float[Array, "N obs"],
    target: Float[Array, " N"],
    valid: Bool[Array, " N"],
    settings: ValueSettings,
) -> tuple[ValueState, ValueInfo]:
    """Regresses V on the targets of the valid samples; a fit that turns non-finite is refused."""
    function = rescale(state.function, target, valid)
    explained = explained_variance(function, x, target, valid)
    optimiser = optax.adam(settings.learning_rate)
    y = (target - function.mean) / function.std

    def loss_fn(network: MLP, rows: Array) -> Float[Array, ""]:
        return jnp.mean((jax.vmap(network)(x[rows])[:, 0] - y[rows]) ** 2)

    def epoch(carry: tuple, key: Array) -> tuple[tuple, None]:
        batch, num_batches = random_batches(key, valid, settings.batch_size)

        def step(i: Array, carry: tuple) -> tuple:
            network, opt_state = carry
            grad = jax.grad(loss_fn)(network, batch(i))
            updates, opt_state = optimiser.update(grad, opt_state)
            return optax.apply_updates(network, updates), opt_state

        return jax.lax.fori_loop(0, num_batches, step, carry), None

    keys = jax.random.split(key, settings.epochs)
    (network, opt_state), _ = jax.lax.scan(epoch, (function.network, state.opt_state), keys)
    fitted = ValueState(ValueFunction(network, function.mean, function.std), opt_state)
    is_refused = ~jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(fitted)]))
    kept = jax.tree.map(lambda old, new: jnp.where(is_refused, old, new), state, fitted)
    return kept, ValueInfo(explained, is_refused)


def rescale(
    function: ValueFunction, target: Float[Array, " N"], valid: Bool[Array, " N"]
) -> ValueFunction:
    """Measures the targets anew and absorbs the change in the last layer: V itself stays the same.

    Source: van Hasselt et al. (2016), Learning values across many orders of magnitude.
    """
    measured = Normaliser.of(target[:, None], valid)
    mean, std = measured.mean[0], measured.std[0]
    last = function.network.layers[-1]
    weight = last.weight * (function.std / std)
    bias = (last.bias * function.std + function.mean - mean) / std
    network = eqx.tree_at(
        lambda n: (n.layers[-1].weight, n.layers[-1].bias), function.network, (weight, bias)
    )
    return ValueFunction(network, mean, std)


def explained_variance(
    function: ValueFunction,
    x: Float[Array, "N obs"],
    target: Float[Array, " N"],
    valid: Bool[Array, " N"],
) -> Float[Array, ""]:
    """Returns 1 − Var(target − V) / Var(target) over the valid samples; NaN of equal targets."""
    residual = target - jax.vmap(function)(x)
    _, std = moments(jnp.stack([residual, target], axis=1), valid)
    varies = std[1] > 0.0
    return jnp.where(varies, 1.0 - (std[0] / jnp.where(varies, std[1], 1.0)) ** 2, jnp.nan)
