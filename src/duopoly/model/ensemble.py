"""An ensemble of networks that predicts what the world does next.

Each member maps (obs, action) to the change of the components that must be learned, in normalised
units: the mean of an isotropic Gaussian, whose KL divergence to the world is the squared error
(Definition 1, Eq. 3), or of one whose standard deviation is predicted too.
"""

from typing import Final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from duopoly.model.loss import Bounds, gaussian
from duopoly.model.outcomes import LearnedOutputs, RewardTerminationNets, init_outcomes
from duopoly.networks import MLP, Normaliser
from duopoly.settings import ModelSettings
from duopoly.types import clip_action

OUTCOMES: Final = 2**32 - 1
"""Folded into the members' key for the outcome networks: no split counts that high."""


class Ensemble(eqx.Module):
    """The parameters of all members, with the statistics of the data they were fitted to."""

    members: MLP
    """Networks stacked along a leading axis E."""
    inputs: Normaliser
    """Of (obs, action)."""
    targets: Normaliser
    """Of the change of the learned components."""
    low: Float[Array, " learned"]
    """Smallest next value a prediction may take."""
    high: Float[Array, " learned"]
    """Largest next value a prediction may take."""
    learned: tuple[int, ...] = eqx.field(static=True)
    """Observation components the networks predict; the others are known or computed."""
    bounds: Bounds = eqx.field(static=True, default=None)
    """Of the predicted log standard deviation, in normalised units; None: none is predicted."""
    noise_share: float = eqx.field(static=True, default=1.0)
    """Share of the predicted standard deviation that a draw has."""
    outcomes: RewardTerminationNets | None = None
    """What the members learn beside the next observation; None: nothing, the rest is known."""

    @property
    def num_members(self) -> int:
        """Size of the axis E."""
        return self.members.layers[0].bias.shape[0]


def init_ensemble(
    key: Key[Array, ""],
    obs_dim: int,
    action_dim: int,
    learned: tuple[int, ...],
    settings: ModelSettings,
    outputs: LearnedOutputs = LearnedOutputs(),  # noqa: B008
    angles: tuple[int, ...] = (),
) -> Ensemble:
    """Draws each member's weights from its own key; ``angles`` are seen as sine and cosine."""
    num_learned, is_squared = len(learned), settings.loss == "squared"
    num_outputs = num_learned * (2 if settings.loss == "likelihood" else 1)
    num_levels = num_learned if settings.loss == "noise_level" else 0
    sizes = (obs_dim + action_dim + len(angles), *settings.hidden, num_outputs)
    key_outcomes = jax.random.fold_in(key, OUTCOMES)

    def member(key: Key[Array, ""]) -> MLP:
        norm = settings.layer_norm
        return MLP(key, sizes, settings.activation, layer_norm=norm, num_constant=num_levels)

    return Ensemble(
        members=eqx.filter_vmap(member)(jax.random.split(key, settings.num_members)),
        inputs=Normaliser.identity(obs_dim + action_dim, angles),
        targets=Normaliser.identity(len(learned)),
        low=jnp.full(len(learned), -jnp.inf, jnp.float32),
        high=jnp.full(len(learned), jnp.inf, jnp.float32),
        learned=learned,
        bounds=None if is_squared else (settings.min_log_std, settings.max_log_std),
        noise_share=settings.noise_share,
        outcomes=init_outcomes(key_outcomes, obs_dim, action_dim, settings, outputs),
    )


def features(
    ensemble: Ensemble, obs: Float[Array, " obs"], action: Float[Array, " act"]
) -> Float[Array, " features"]:
    """Returns the network's normalised input for one (obs, action), the action in policy units."""
    return ensemble.inputs(jnp.concatenate([obs, clip_action(action)]))


def predict(
    ensemble: Ensemble,
    obs: Float[Array, "E B obs"],
    action: Float[Array, "E B act"],
    key: Key[Array, ""] | None = None,
) -> Float[Array, "E B obs"]:
    """Predicts the next observation with every member; unlearned components keep their value.

    Returns the mean of the members' Gaussians, or with a ``key`` a draw from each. Members that
    predict no standard deviation return the mean in either case.
    """
    learned = jnp.asarray(ensemble.learned)
    noise = None
    if key is not None and ensemble.bounds is not None:
        noise = jax.random.normal(key, (*obs.shape[:2], len(ensemble.learned)))

    def predict_one(member: MLP, obs: Array, action: Array, noise: Array | None) -> Array:
        prediction = gaussian(member(features(ensemble, obs, action)), ensemble.bounds)
        change = prediction.mean
        if noise is not None and prediction.log_std is not None:
            std = ensemble.noise_share * jnp.exp(prediction.log_std)
            change = change + std * noise
        change = ensemble.targets.invert(change)
        value = jnp.clip(obs[learned] + change, ensemble.low, ensemble.high)
        return obs.at[learned].set(value)

    over_batch = jax.vmap(predict_one, in_axes=(None, 0, 0, 0))
    return eqx.filter_vmap(over_batch)(ensemble.members, obs, action, noise)


def share_clipped(ensemble: Ensemble, next_obs: Float[Array, "E B obs"]) -> Float[Array, "E B"]:
    """Returns the share of the learned components of predictions that lie at the range's edge.

    There `predict` has cut them, and no gradient goes through.
    """
    learned = next_obs[:, :, jnp.asarray(ensemble.learned)]
    low, high = ensemble.low[None, None], ensemble.high[None, None]
    at_edge = (learned == low) | (learned == high)
    return jnp.mean(at_edge.astype(next_obs.dtype), axis=-1)


def disagreement(
    ensemble: Ensemble, obs: Float[Array, "N B obs"], action: Float[Array, "N B act"]
) -> Float[Array, "N B"]:
    """Returns by how much the members differ on what follows from every (obs, action).

    The standard deviation over the members of the next observation they predict, in units of that
    of the changes in the data, averaged over the learned components.
    """
    num_members = ensemble.num_members

    def for_all(x: Float[Array, "N B d"]) -> Float[Array, "E NB d"]:
        flat = x.reshape(-1, x.shape[-1])
        return jnp.broadcast_to(flat, (num_members, *flat.shape))

    spread = _spread(ensemble, predict(ensemble, for_all(obs), for_all(action)))
    return spread.reshape(obs.shape[:2])


def difference_from_others(
    ensemble: Ensemble, obs: Float[Array, "E B obs"], action: Float[Array, "E B act"], num: int
) -> Float[Array, "E B"]:
    """Returns `disagreement` of every member and the ``num`` next ones alone, for its own rows.

    Of E members it costs (num + 1) / E as much. Over a pair, a standard deviation is smaller than
    over many: by a third beside that over four.
    """

    def by(shift: int) -> Float[Array, "E B obs"]:
        rows = (jnp.roll(x, shift, axis=0) for x in (obs, action))
        return jnp.roll(predict(ensemble, *rows), -shift, axis=0)

    others = [by(shift) for shift in range(1, num + 1)]
    return _spread(ensemble, jnp.stack([predict(ensemble, obs, action), *others]))


def _spread(ensemble: Ensemble, next_obs: Float[Array, "K *N obs"]) -> Float[Array, "*N"]:
    """Returns the standard deviation over the first axis, in that of the changes in the data.

    It has a gradient also where all agree, as where predictions are cut to the same bound.
    """
    variance = jnp.var(next_obs[..., jnp.asarray(ensemble.learned)], axis=0)
    spread = jnp.sqrt(jnp.where(variance > 0.0, variance, 1.0)) * (variance > 0.0)
    return spread @ (1.0 / ensemble.targets.std) / len(ensemble.learned)
