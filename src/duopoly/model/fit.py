"""The model player: minimise the prediction error on the policy player's data (Eq. 7, 9, 12, 16).

min_M ℓ(M, µ),   ℓ(M, µ) = E_(s,a)~µ ‖ (s' − s)/σ − f_M(s, a) ‖²      (Definition 1, Eq. 3)

or, with the likelihood loss, ℓ(M, µ) = E_(s,a)~µ [ −log N((s' − s)/σ; μ_M(s, a), σ_M(s, a)²) ].
"""

import dataclasses
from typing import Final, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from duopoly.lockstep import kernel
from duopoly.model.ensemble import Ensemble, disagreement, init_ensemble
from duopoly.model.loss import Gaussian, gaussian
from duopoly.model.objective import (
    LeaderPenalty,
    inputs_and_targets,
    objective_of,
    previous_predictions,
    training_data,
    with_leader_penalty,
)
from duopoly.model.outcomes import LearnedOutputs, measure_outcomes
from duopoly.model.rows import all_rows, hold_out, resample
from duopoly.model.train_member import Networks, Progress, train_member
from duopoly.narrow import narrow
from duopoly.networks import MLP, Normaliser, moments
from duopoly.settings import ModelSettings
from duopoly.spread import gather, spread
from duopoly.types import Transitions, clip_action

Tree = TypeVar("Tree")

BOOTSTRAP: Final = 2**32 - 1
"""Folded into a member's key for its resample: no split counts that high."""


TINY: Final = 1e-12
"""Smallest error and variance that count, in variances of the data's changes."""


class ModelState(eqx.Module):
    """What the model player carries from round to round."""

    ensemble: Ensemble
    num_fits: Int[Array, ""]


class FitInfo(NamedTuple):
    """What is observed of one fit, never fed back."""

    loss: Float[Array, " E"]
    """Mean loss of each member over its last epoch, all its terms included."""
    num_steps: Int[Array, ""]
    """Gradient steps of the member that took the most."""
    is_refused: Bool[Array, " E"]
    """Members whose fit turned non-finite and who kept their previous parameters."""
    holdout_error: Float[Array, " E"]
    """Loss on the rows held out, of the parameters kept; NaN where none are."""
    num_epochs: Int[Array, " E"]
    """Epochs each member made."""


def init_model(
    key: Key[Array, ""],
    obs_dim: int,
    action_dim: int,
    learned: tuple[int, ...],
    settings: ModelSettings,
    outputs: LearnedOutputs = LearnedOutputs(),  # noqa: B008
    angles: tuple[int, ...] = (),
) -> ModelState:
    """Returns the model player before it has seen any data.

    ``outputs`` says what it must learn beside the observation components ``learned``; ``angles``
    are seen as sine and cosine.
    """
    ensemble = init_ensemble(key, obs_dim, action_dim, learned, settings, outputs, angles)
    return ModelState(ensemble, jnp.zeros((), jnp.int32))


READS: Final = (
    *("clip_sigmas", "holdout", "patience", "proximal", "bootstrap"),
    *("batch_size", "learning_rate", "weight_decay", "dropout"),
)
"""Settings of the model that a fit reads."""


def fit_model(
    key: Key[Array, ""],
    state: ModelState,
    data: Transitions,
    settings: ModelSettings,
    num_epochs: int,
    penalty: LeaderPenalty | None = None,
    max_steps: int | None = None,
) -> tuple[ModelState, FitInfo]:
    """Fits every member to the data by Adam, warm-started, each on minibatches of its own.

    Adam's moments are reset in every fit; its step size falls along half a cosine to a hundredth. A
    member whose parameters or loss turn non-finite keeps those it came with. A ``penalty``
    is what a model that leads adds to its loss. No more than ``max_steps`` gradient steps are made.
    """
    most = None if max_steps is None else jnp.asarray(max_steps)
    return _fit(key, state, data, narrow(settings, READS), num_epochs, penalty, most)


@kernel()
def _fit(
    key: Key[Array, ""],
    state: ModelState,
    data: Transitions,
    settings: ModelSettings,
    num_epochs: int,
    penalty: LeaderPenalty | None,
    max_steps: Int[Array, ""] | None,
) -> tuple[ModelState, FitInfo]:
    ensemble = measure(state.ensemble, data, settings.clip_sigmas)
    training = training_data(ensemble, data)
    rows, validation = all_rows(data), None
    if settings.holdout > 0.0:
        rows, validation = hold_out(data, settings.holdout)
    anchor = (
        previous_predictions(state.ensemble, ensemble, data) if settings.proximal > 0.0 else None
    )
    proximal = jnp.where(state.num_fits > 0, settings.proximal, 0.0)

    def fit_member(
        key: Array, networks: Networks, anchor: Gaussian | None, gradient: MLP | None
    ) -> tuple[Networks, Progress]:
        drawn = resample(jax.random.fold_in(key, BOOTSTRAP), rows) if settings.bootstrap else rows
        objective = objective_of(ensemble, training, validation, anchor, proximal)
        if penalty is not None and gradient is not None:
            own = LeaderPenalty(gradient, penalty.proximal_weight)
            objective = with_leader_penalty(objective, own, networks.dynamics)
        return train_member(key, networks, drawn, objective, settings, num_epochs, max_steps)

    before = spread(networks_of(ensemble))
    keys = spread(jax.random.split(key, ensemble.num_members))
    gradient = None if penalty is None else penalty.gradient
    fitted, progress = gather(jax.vmap(fit_member)(keys, before, anchor, gradient))
    is_refused = ~(jnp.isfinite(progress.loss) & all_finite(fitted))
    if validation is not None:
        is_refused |= ~jnp.isfinite(progress.holdout_error)
    members = select(is_refused, before, fitted)
    num_steps = jnp.max(progress.num_epochs) * -(-rows.num_valid // settings.batch_size)
    num_steps = num_steps if max_steps is None else jnp.minimum(num_steps, max_steps)
    info = FitInfo(progress.loss, num_steps, is_refused, *progress[1:])
    return ModelState(with_networks(ensemble, members), state.num_fits + 1), info


@kernel()
def prediction_error(ensemble: Ensemble, data: Transitions) -> Float[Array, " E"]:
    """Evaluates ℓ(M, µ) of every member's mean on the data, in units of the targets' variance.

    The squared error under either loss, so that they compare.
    """
    x, y = inputs_and_targets(ensemble, data)

    def member_error(member: MLP) -> Float[Array, ""]:
        mean = gaussian(jax.vmap(member)(x), ensemble.bounds).mean
        error = jnp.mean((mean - y) ** 2, axis=-1)
        return jnp.sum(jnp.where(data.valid, error, 0.0)) / data.num_valid

    return jax.vmap(member_error)(ensemble.members)


@kernel()
def disagreement_on(ensemble: Ensemble, data: Transitions) -> Float[Array, " N"]:
    """Returns `disagreement` of the members on each row, padding included."""
    return disagreement(ensemble, data.obs[None], data.action[None])[0]


@kernel()
def surprise_on(ensemble: Ensemble, data: Transitions) -> Float[Array, " N"]:
    """Returns log(e / v) of each row: the squared error of the members' mean over their variance.

    Both are averaged over the learned components, in units of the variance of the data's changes;
    both grow where the members have seen nothing like it, e alone where the world has changed.
    """
    x, y = inputs_and_targets(ensemble, data)
    means = jax.vmap(lambda one: gaussian(jax.vmap(one)(x), ensemble.bounds).mean)(ensemble.members)
    error = jnp.mean((jnp.mean(means, axis=0) - y) ** 2, axis=-1)
    variance = jnp.mean(jnp.var(means, axis=0), axis=-1)
    return jnp.log(jnp.maximum(error, TINY)) - jnp.log(jnp.maximum(variance, TINY))


def measure(ensemble: Ensemble, data: Transitions, clip_sigmas: float) -> Ensemble:
    """Takes the normalisers and the range of predictions from the data."""
    learned = jnp.asarray(ensemble.learned)
    value = data.next_obs[:, learned]
    margin = clip_sigmas * moments(value, data.valid)[1]
    valid = data.valid[:, None]
    outcomes = ensemble.outcomes
    inputs = jnp.concatenate([data.obs, clip_action(data.action)], axis=-1)
    return dataclasses.replace(
        ensemble,
        inputs=Normaliser.of(inputs, data.valid, ensemble.inputs.angles),
        targets=Normaliser.of(value - data.obs[:, learned], data.valid),
        low=jnp.min(jnp.where(valid, value, jnp.inf), axis=0) - margin,
        high=jnp.max(jnp.where(valid, value, -jnp.inf), axis=0) + margin,
        outcomes=None if outcomes is None else measure_outcomes(outcomes, data, clip_sigmas),
    )


def networks_of(ensemble: Ensemble) -> Networks:
    """Returns what is fitted of an ensemble."""
    outcomes = None if ensemble.outcomes is None else ensemble.outcomes.members
    return Networks(ensemble.members, outcomes)


def with_networks(ensemble: Ensemble, fitted: Networks) -> Ensemble:
    """Returns the ensemble with its networks renewed."""
    ensemble = eqx.tree_at(lambda e: e.members, ensemble, fitted.dynamics)
    if ensemble.outcomes is None:
        return ensemble
    outcomes = eqx.tree_at(lambda o: o.members, ensemble.outcomes, fitted.outcomes)
    return eqx.tree_at(lambda e: e.outcomes, ensemble, outcomes)


def all_finite(tree: object) -> Bool[Array, " E"]:
    """Tells per member whether all its arrays (leading axis E) are finite."""
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x), axis=1) for x in leaves]), axis=0)


def select(choose_first: Bool[Array, " E"], first: Tree, second: Tree) -> Tree:
    """Chooses between two trees member by member."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(choose_first.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, first, second)
