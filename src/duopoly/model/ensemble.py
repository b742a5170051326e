"""An ensemble of networks that predicts what the world does next.

Each member maps (obs, action) to the change of the components that must be learned, in normalised
units: the mean of an isotropic Gaussian, whose KL divergence to the world is the squared error
(Definition 1, Eq. 3).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from duopoly.networks import MLP, Normaliser
from duopoly.settings import ModelSettings


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
    angles: tuple[int, ...] = (),
) -> Ensemble:
    """Draws every member's weights from a key of its own; it sees sine and cosine of ``angles``."""
    sizes = (obs_dim + action_dim + len(angles), *settings.hidden, len(learned))
    keys = jax.random.split(key, settings.num_members)
    return Ensemble(
        members=eqx.filter_vmap(lambda k: MLP(k, sizes, settings.activation))(keys),
        inputs=Normaliser.identity(obs_dim + action_dim, angles),
        targets=Normaliser.identity(len(learned)),
        low=jnp.full(len(learned), -jnp.inf, jnp.float32),
        high=jnp.full(len(learned), jnp.inf, jnp.float32),
        learned=learned,
    )


def features(
    ensemble: Ensemble, obs: Float[Array, " obs"], action: Float[Array, " act"]
) -> Float[Array, " features"]:
    """Returns the network's normalised input for one (obs, action), the action in policy units."""
    return ensemble.inputs(jnp.concatenate([obs, jnp.clip(action, -1.0, 1.0)]))


def predict(
    ensemble: Ensemble, obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
) -> Float[Array, "E B obs"]:
    """Predicts the next observation with every member; unlearned components keep their value."""
    learned = jnp.asarray(ensemble.learned)

    def predict_one(member: MLP, obs: Array, action: Array) -> Array:
        change = ensemble.targets.invert(member(features(ensemble, obs, action)))
        value = jnp.clip(obs[learned] + change, ensemble.low, ensemble.high)
        return obs.at[learned].set(value)

    over_batch = jax.vmap(predict_one, in_axes=(None, 0, 0))
    return eqx.filter_vmap(over_batch)(ensemble.members, obs, action)


def disagreement(
    ensemble: Ensemble, obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
) -> Float[Array, "E B"]:
    """Returns by how much the members differ on what follows from every (obs, action).

    The standard deviation over the members of the next observation they predict, in units of that
    of the changes in the data, averaged over the learned components.
    """
    num_members = ensemble.num_members

    def for_all(x: Float[Array, "E B d"]) -> Float[Array, "E EB d"]:
        flat = x.reshape(-1, x.shape[-1])
        return jnp.broadcast_to(flat, (num_members, *flat.shape))

    next_obs = predict(ensemble, for_all(obs), for_all(action))
    learned = next_obs[:, :, jnp.asarray(ensemble.learned)]
    spread = jnp.mean(jnp.std(learned, axis=0) / ensemble.targets.std[None], axis=-1)
    return spread.reshape(obs.shape[:2])
