"""A Gaussian policy squashed by tanh: an action is tanh(u), u ~ N(mean(s), diag(std(s)²))."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from duopoly.model.imagine import Act
from duopoly.networks import MLP, Normaliser
from duopoly.policy.gaussian import LOG_2PI
from duopoly.policy.host import HostNetwork, softplus
from duopoly.settings import PolicySettings
from duopoly.types import Controller, Decision


class Actor(eqx.Module):
    """Mean and standard deviation of u by one network of the normalised observation."""

    network: MLP
    """Its outputs are all means, then all standard deviations before `jax.nn.softplus`."""
    inputs: Normaliser
    """Renewed together with the network (`rebase`), so that the policy stays the same function."""
    min_std: float = eqx.field(static=True)
    """Added to every standard deviation."""

    def with_network(self, network: MLP) -> "Actor":
        """Returns the actor with another network."""
        return Actor(network, self.inputs, self.min_std)

    def __call__(
        self, obs: Float[Array, " obs"]
    ) -> tuple[Float[Array, " act"], Float[Array, " act"]]:
        """Returns mean and standard deviation of u at one observation."""
        mean, raw = jnp.split(self.network(self.inputs(obs)), 2)
        return mean, jax.nn.softplus(raw) + self.min_std


class Draw(eqx.Module):
    """Actions with their log densities."""

    action: Float[Array, "*N act"]
    log_prob: Float[Array, "*N"]


def init_actor(
    key: Key[Array, ""],
    obs_dim: int,
    action_dim: int,
    settings: PolicySettings,
    angles: tuple[int, ...] = (),
) -> Actor:
    """Returns an actor of nearly the same distribution everywhere: its last layer starts small.

    Of standard deviation 1 before the squashing, its actions are nearly uniform.
    """
    sizes = (obs_dim + len(angles), *settings.hidden, 2 * action_dim)
    network = MLP(key, sizes, "silu", final_scale=0.01)
    min_std = math.exp(settings.min_log_std)
    raw = math.log(math.expm1(max(math.exp(settings.initial_log_std) - min_std, 1e-3)))
    bias = jnp.concatenate([jnp.zeros(action_dim), jnp.full(action_dim, raw)])
    network = eqx.tree_at(lambda n: n.layers[-1].bias, network, bias)
    return Actor(network, Normaliser.identity(obs_dim, angles), min_std)


def draw(key: Key[Array, ""], actor: Actor, obs: Float[Array, "*N obs"]) -> Draw:
    """Draws an action for every observation; gradients go through the draw.

        log π(a|s) = log N(u; mean, std²) − Σ_i log(1 − tanh(u_i)²)

    in a form that is finite for every u. Source: Haarnoja et al. (2018), Soft actor-critic.
    """
    mean, std = _over_batch(actor, obs)
    noise = jax.random.normal(key, mean.shape)
    return squash(mean, std, noise)


def squash(
    mean: Float[Array, "*N act"], std: Float[Array, "*N act"], noise: Float[Array, "*N act"]
) -> Draw:
    """Returns the actions that a draw of standard normal noise stands for."""
    u = mean + std * noise
    log_slope = 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))
    density = -0.5 * noise**2 - jnp.log(std) - 0.5 * LOG_2PI
    return Draw(jnp.tanh(u), jnp.sum(density - log_slope, axis=-1))


def kl_divergence(old: Actor, new: Actor, obs: Float[Array, "*N obs"]) -> Float[Array, ""]:
    """Returns the mean of KL(old ‖ new) over observations; the squashing does not change it."""
    mean_old, std_old = _over_batch(old, obs)
    mean_new, std_new = _over_batch(new, obs)
    ratio, z = std_old / std_new, (mean_old - mean_new) / std_new
    return jnp.mean(jnp.sum(0.5 * (ratio**2 + z**2 - 1.0) - jnp.log(ratio), axis=-1))


def act_by(actor: Actor, deterministic: bool = False) -> Act:
    """Returns the actor as it acts in imagination: a function that JAX can take as an argument."""
    return jax.tree_util.Partial(_middle if deterministic else _sample, actor)


def _sample(
    actor: Actor, key: Key[Array, ""], obs: Float[Array, "E B obs"]
) -> Float[Array, "E B act"]:
    return draw(key, actor, obs).action


def _middle(
    actor: Actor, key: Key[Array, ""], obs: Float[Array, "E B obs"]
) -> Float[Array, "E B act"]:
    del key
    return jnp.tanh(_over_batch(actor, obs)[0])


def _over_batch(
    actor: Actor, obs: Float[Array, "*N obs"]
) -> tuple[Float[Array, "*N act"], Float[Array, "*N act"]]:
    over = actor
    for _ in obs.shape[:-1]:
        over = jax.vmap(over)
    return over(obs)


@dataclasses.dataclass(frozen=True)
class NumpyActor:
    """A copy of an actor's numbers for the host."""

    network: HostNetwork
    min_std: float

    def act(
        self,
        obs: Float[np.ndarray, "*batch obs"],
        memory: Float[np.ndarray, "..."] | None,
        rng: np.random.Generator,
        deterministic: bool,
    ) -> Decision:
        """Draws an action, or takes the middle."""
        u, raw = np.split(self.network(obs), 2, axis=-1)
        if not deterministic:
            u = u + (softplus(raw) + self.min_std) * rng.standard_normal(u.shape)
        return Decision(np.tanh(u), memory)


def actor_controller(actor: Actor) -> Controller:
    """Returns a controller that draws from the actor or takes its middle, without memory."""
    return Controller(NumpyActor(HostNetwork.of(actor.network, actor.inputs), actor.min_std).act)
