"""What one member minimises: its losses on the data, and the distance from its old predictions."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from duopoly.model.ensemble import Ensemble, features
from duopoly.model.loss import Gaussian, divergence, gaussian, model_loss
from duopoly.model.outcomes import OutcomeTargets, outcome_losses, outcome_targets
from duopoly.model.rows import ValidationRows, mean_over
from duopoly.model.train_member import Networks, Objective
from duopoly.networks import MLP
from duopoly.types import Transitions

Tree = TypeVar("Tree")


class TrainingData(NamedTuple):
    """The data as a member sees it, normalised, a row per transition."""

    x: Float[Array, "N features"]
    y: Float[Array, "N learned"]
    outcomes: OutcomeTargets | None


class LeaderPenalty(NamedTuple):
    """What a model that leads adds to its loss: ⟨gradient, M⟩ + ½ λ ‖M − M_0‖²."""

    gradient: MLP
    """The implicit term of every member, held fixed over the fit (Eq. 11)."""
    proximal_weight: float
    """λ: keeps the model near M_0, where it began and where the gradient was measured."""


def objective_of(
    ensemble: Ensemble,
    training: TrainingData,
    validation: ValidationRows | None,
    anchor: Gaussian | None,
    proximal: Float[Array, ""],
) -> Objective:
    """Returns what one member minimises: its losses, and λ times the divergence from its anchor."""

    def loss(networks: Networks, training: TrainingData) -> Float[Array, ""]:
        total = model_loss(networks.dynamics, training.x, training.y, ensemble.bounds)
        if training.outcomes is None or ensemble.outcomes is None or networks.outcomes is None:
            return total
        of_reward, of_end = outcome_losses(ensemble.outcomes, networks.outcomes, training.outcomes)
        return total + jnp.mean(of_reward) + jnp.mean(of_end)

    def loss_fn(networks: Networks, rows: Int[Array, " batch"]) -> Float[Array, ""]:
        batch = take(training, rows)
        if anchor is None:
            return loss(networks, batch)
        prediction = gaussian(jax.vmap(networks.dynamics)(batch.x), ensemble.bounds)
        return loss(networks, batch) + proximal * divergence(take(anchor, rows), prediction)

    def holdout_fn(networks: Networks, validation: ValidationRows) -> Float[Array, ""]:
        one = jax.vmap(lambda row: loss(networks, take(training, row[None])))
        return mean_over(one(validation.rows), validation)

    return Objective(loss_fn, None if validation is None else lambda n: holdout_fn(n, validation))


def with_leader_penalty(objective: Objective, penalty: LeaderPenalty, begin: MLP) -> Objective:
    """Returns one member's objective plus its penalty; the fit begins with the networks ``begin``.

    The penalty is ⟨gradient, M − M_0⟩ + ½ λ ‖M − M_0‖², zero where the fit begins.
    """

    def penalty_of(gradient: Array, now: Array, first: Array) -> Float[Array, ""]:
        moved = now - first
        return jnp.sum(gradient * moved) + 0.5 * penalty.proximal_weight * jnp.sum(moved**2)

    def loss_fn(networks: Networks, rows: Int[Array, " batch"]) -> Float[Array, ""]:
        terms = jax.tree.map(penalty_of, penalty.gradient, networks.dynamics, begin)
        return objective.loss_fn(networks, rows) + sum(jax.tree.leaves(terms))

    return Objective(loss_fn, objective.holdout_fn)


def training_data(ensemble: Ensemble, data: Transitions) -> TrainingData:
    """Returns the data as the members see them."""
    outcomes = None if ensemble.outcomes is None else outcome_targets(ensemble.outcomes, data)
    return TrainingData(*inputs_and_targets(ensemble, data), outcomes)


def inputs_and_targets(
    ensemble: Ensemble, data: Transitions
) -> tuple[Float[Array, "N features"], Float[Array, "N learned"]]:
    """Returns what the networks see and what they should predict, both normalised."""
    learned = jnp.asarray(ensemble.learned)
    x = jax.vmap(lambda obs, action: features(ensemble, obs, action))(data.obs, data.action)
    y = jax.vmap(ensemble.targets)(data.next_obs[:, learned] - data.obs[:, learned])
    return x, y


def previous_predictions(old: Ensemble, ensemble: Ensemble, data: Transitions) -> Gaussian:
    """Returns each member's prediction before the fit [E N learned], in the new units."""
    x, _ = inputs_and_targets(old, data)
    prediction = gaussian(jax.vmap(lambda m: jax.vmap(m)(x))(old.members), old.bounds)
    mean = jax.vmap(jax.vmap(lambda z: ensemble.targets(old.targets.invert(z))))(prediction.mean)
    if prediction.log_std is None:
        return Gaussian(mean, None)
    scale = jnp.log(old.targets.std / ensemble.targets.std)
    return Gaussian(mean, prediction.log_std + scale[None, None])


def take(tree: Tree, rows: Int[Array, " n"]) -> Tree:
    """Returns some rows of all arrays."""
    return jax.tree.map(lambda x: x[rows], tree)
