"""The model player: minimise the prediction error on the policy player's data (Eq. 7, 9, 12, 16).

min_M ℓ(M, µ),   ℓ(M, µ) = E_(s,a)~µ ‖ (s' − s)/σ − f_M(s, a) ‖²      (Definition 1, Eq. 3)
"""

from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from duopoly.model.ensemble import Ensemble, features, init_ensemble
from duopoly.networks import MLP, Normaliser, moments, random_batches
from duopoly.settings import ModelSettings
from duopoly.types import Transitions

Tree = TypeVar("Tree")


class ModelState(eqx.Module):
    """What the model player carries from round to round."""

    ensemble: Ensemble
    opt_state: optax.OptState
    num_fits: Int[Array, ""]


class FitInfo(NamedTuple):
    """What is observed of one fit, never fed back."""

    loss: Float[Array, " E"]
    """Mean squared error of the last epoch per member, in units of the targets' variance."""
    num_steps: Int[Array, ""]
    """Gradient steps taken by each member."""
    is_refused: Bool[Array, " E"]
    """Members whose fit turned non-finite and who kept their previous parameters."""


def init_model(
    key: Key[Array, ""],
    obs_dim: int,
    action_dim: int,
    learned: tuple[int, ...],
    settings: ModelSettings,
    angles: tuple[int, ...] = (),
) -> ModelState:
    """Returns the model player before it has seen any data."""
    ensemble = init_ensemble(key, obs_dim, action_dim, learned, settings, angles)
    opt_state = jax.vmap(optax.scale_by_adam().init)(eqx.filter(ensemble.members, eqx.is_array))
    return ModelState(ensemble, opt_state, jnp.zeros((), jnp.int32))


@eqx.filter_jit
def fit_model(
    key: Key[Array, ""],
    state: ModelState,
    data: Transitions,
    settings: ModelSettings,
    num_epochs: int,
) -> tuple[ModelState, FitInfo]:
    """Fits every member to the data by Adam, warm-started, each on minibatches of its own.

    The step size falls along half a cosine to a hundredth, anew in every fit. A member whose
    parameters or loss turn non-finite keeps those it came with.
    """
    ensemble = measure(state.ensemble, data, settings.clip_sigmas)
    x, y = inputs_and_targets(ensemble, data)
    optimiser = optax.scale_by_adam()
    num_batches = -(-data.num_valid // settings.batch_size)

    def step_size(progress: Array) -> Float[Array, ""]:
        return settings.learning_rate * (0.505 + 0.495 * jnp.cos(jnp.pi * progress))

    def fit_member(key: Array, member: MLP, opt_state: optax.OptState) -> tuple:
        def epoch(carry: tuple, now: tuple[Array, Array]) -> tuple[tuple, Float[Array, ""]]:
            key, index = now
            batch, _ = random_batches(key, data.valid, settings.batch_size)

            def step(i: Array, carry: tuple) -> tuple:
                member, opt_state, total = carry
                rows = batch(i)
                loss, grad = jax.value_and_grad(squared_error)(member, x[rows], y[rows])
                updates, opt_state = optimiser.update(grad, opt_state)
                rate = step_size((index + i / num_batches) / num_epochs)
                member = jax.tree.map(lambda p, u: p - rate * u, member, updates)
                return member, opt_state, total + loss

            member, opt_state, total = jax.lax.fori_loop(0, num_batches, step, (*carry, 0.0))
            return (member, opt_state), total / num_batches

        epochs = (jax.random.split(key, num_epochs), jnp.arange(num_epochs))
        carry, losses = jax.lax.scan(epoch, (member, opt_state), epochs)
        return *carry, losses[-1]

    keys = jax.random.split(key, ensemble.num_members)
    *fitted, loss = jax.vmap(fit_member)(keys, ensemble.members, state.opt_state)
    is_refused = ~(jnp.isfinite(loss) & all_finite(fitted))
    members, opt_state = select(is_refused, (ensemble.members, state.opt_state), tuple(fitted))
    ensemble = eqx.tree_at(lambda e: e.members, ensemble, members)
    info = FitInfo(loss, num_epochs * num_batches, is_refused)
    return ModelState(ensemble, opt_state, state.num_fits + 1), info


@eqx.filter_jit
def prediction_error(ensemble: Ensemble, data: Transitions) -> Float[Array, " E"]:
    """Evaluates ℓ(M, µ) of every member on the data, in units of the targets' variance."""
    x, y = inputs_and_targets(ensemble, data)

    def member_error(member: MLP) -> Float[Array, ""]:
        error = jnp.mean((jax.vmap(member)(x) - y) ** 2, axis=-1)
        return jnp.sum(jnp.where(data.valid, error, 0.0)) / data.num_valid

    return jax.vmap(member_error)(ensemble.members)


def measure(ensemble: Ensemble, data: Transitions, clip_sigmas: float) -> Ensemble:
    """Takes the normalisers and the range of predictions from the data."""
    learned = jnp.asarray(ensemble.learned)
    value = data.next_obs[:, learned]
    margin = clip_sigmas * moments(value, data.valid)[1]
    valid = data.valid[:, None]
    inputs = jnp.concatenate([data.obs, data.action], axis=-1)
    return Ensemble(
        members=ensemble.members,
        inputs=Normaliser.of(inputs, data.valid, ensemble.inputs.angles),
        targets=Normaliser.of(value - data.obs[:, learned], data.valid),
        low=jnp.min(jnp.where(valid, value, jnp.inf), axis=0) - margin,
        high=jnp.max(jnp.where(valid, value, -jnp.inf), axis=0) + margin,
        learned=ensemble.learned,
    )


def inputs_and_targets(
    ensemble: Ensemble, data: Transitions
) -> tuple[Float[Array, "N features"], Float[Array, "N learned"]]:
    """Returns what the networks see and what they should answer, both normalised."""
    learned = jnp.asarray(ensemble.learned)
    x = jax.vmap(lambda obs, action: features(ensemble, obs, action))(data.obs, data.action)
    y = jax.vmap(ensemble.targets)(data.next_obs[:, learned] - data.obs[:, learned])
    return x, y


def squared_error(
    member: MLP, x: Float[Array, "N features"], y: Float[Array, "N learned"]
) -> Float[Array, ""]:
    """Mean over samples and components of the squared error (Eq. 3 for isotropic Gaussians)."""
    return jnp.mean((jax.vmap(member)(x) - y) ** 2)


def all_finite(tree: object) -> Bool[Array, " E"]:
    """Tells per member whether all its arrays (leading axis E) are finite."""
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x), axis=1) for x in leaves]), axis=0)


def select(choose_first: Bool[Array, " E"], first: Tree, second: Tree) -> Tree:
    """Chooses between two trees member by member."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(choose_first.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, first, second)
