"""A Gaussian policy π(a|s) = N(mean(s), diag(std²)), actions in policy units."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from duopoly.model.imagine import Act
from duopoly.networks import MLP, Normaliser
from duopoly.policy.host import HostNetwork
from duopoly.settings import PolicySettings
from duopoly.types import Controller, Decision, Transitions

LOG_2PI = float(np.log(2.0 * np.pi))


class GaussianPolicy(eqx.Module):
    """Mean by a network of the normalised observation; one log standard deviation per action."""

    network: MLP
    log_std: Float[Array, " act"]
    inputs: Normaliser
    """Renewed together with the network (`rebase`), so that the policy stays the same function."""

    def __call__(
        self, obs: Float[Array, " obs"]
    ) -> tuple[Float[Array, " act"], Float[Array, " act"]]:
        """Returns mean and log standard deviation for one observation."""
        return self.network(self.inputs(obs)), self.log_std


def init_policy(
    key: Key[Array, ""],
    obs_dim: int,
    action_dim: int,
    settings: PolicySettings,
    angles: tuple[int, ...] = (),
) -> GaussianPolicy:
    """Returns a policy whose mean is near zero everywhere: the last layer starts small."""
    sizes = (obs_dim + len(angles), *settings.hidden, action_dim)
    return GaussianPolicy(
        network=MLP(key, sizes, "tanh", final_scale=0.01),
        log_std=jnp.full(action_dim, settings.initial_log_std, jnp.float32),
        inputs=Normaliser.identity(obs_dim, angles),
    )


def with_inputs_of(policy: GaussianPolicy, seen: Transitions) -> GaussianPolicy:
    """Returns the policy with its inputs normalised by what was seen.

    The network stays as it was drawn, so the function changes: little, as its mean begins near
    zero everywhere.
    """
    inputs = Normaliser.of(seen.obs, seen.valid, policy.inputs.angles)
    return GaussianPolicy(policy.network, policy.log_std, inputs)


def act_by(policy: GaussianPolicy, deterministic: bool = False) -> Act:
    """Returns the policy as it acts in imagination: a function that JAX can take as an argument."""
    return jax.tree_util.Partial(_mean if deterministic else _sample, policy)


def _sample(
    policy: GaussianPolicy, key: Key[Array, ""], obs: Float[Array, "E B obs"]
) -> Float[Array, "E B act"]:
    return sample(key, policy, obs)


def _mean(
    policy: GaussianPolicy, key: Key[Array, ""], obs: Float[Array, "E B obs"]
) -> Float[Array, "E B act"]:
    del key
    return jax.vmap(jax.vmap(lambda o: policy(o)[0]))(obs)


def sample(
    key: Key[Array, ""], policy: GaussianPolicy, obs: Float[Array, "E B obs"]
) -> Float[Array, "E B act"]:
    """Draws one action per observation."""
    noise = jax.random.normal(key, (*obs.shape[:2], policy.log_std.shape[0]))

    def sample_one(obs: Array, noise: Array) -> Array:
        mean, log_std = policy(obs)
        return mean + jnp.exp(log_std) * noise

    return jax.vmap(jax.vmap(sample_one))(obs, noise)


def log_prob(
    policy: GaussianPolicy, obs: Float[Array, " obs"], action: Float[Array, " act"]
) -> Float[Array, ""]:
    """Log density of one action."""
    mean, log_std = policy(obs)
    z = (action - mean) * jnp.exp(-log_std)
    return -jnp.sum(0.5 * z**2 + log_std + 0.5 * LOG_2PI)


def kl_divergence(
    old: GaussianPolicy, new: GaussianPolicy, obs: Float[Array, " obs"]
) -> Float[Array, ""]:
    """KL(old ‖ new) at one observation."""
    mean_old, log_std_old = old(obs)
    mean_new, log_std_new = new(obs)
    variance_ratio = jnp.exp(2.0 * (log_std_old - log_std_new))
    z = (mean_old - mean_new) * jnp.exp(-log_std_new)
    return jnp.sum(log_std_new - log_std_old + 0.5 * (variance_ratio + z**2 - 1.0))


def entropy(policy: GaussianPolicy) -> Float[Array, ""]:
    """Entropy of the action distribution, the same at every observation."""
    return jnp.sum(policy.log_std + 0.5 * (1.0 + LOG_2PI))


@dataclasses.dataclass(frozen=True)
class NumpyPolicy:
    """A copy of a policy's numbers for the host."""

    mean: HostNetwork
    """Of one observation or of a batch of them."""
    std: Float[np.ndarray, " act"]

    def sample(
        self, obs: Float[np.ndarray, "*batch obs"], rng: np.random.Generator
    ) -> Float[np.ndarray, "*batch act"]:
        """Draws an action for one observation or for each of a batch."""
        mean = self.mean(obs)
        return mean + self.std * rng.standard_normal(mean.shape)

    def act(
        self,
        obs: Float[np.ndarray, "*batch obs"],
        memory: Float[np.ndarray, "..."] | None,
        rng: np.random.Generator,
        deterministic: bool,
    ) -> Decision:
        """Draws an action, or takes the mean."""
        return Decision(self.mean(obs) if deterministic else self.sample(obs, rng), memory)


def numpy_policy(policy: GaussianPolicy) -> NumpyPolicy:
    """Copies a policy to the host, in double precision."""
    std = np.exp(np.asarray(policy.log_std, np.float64))
    return NumpyPolicy(HostNetwork.of(policy.network, policy.inputs), std)


def gaussian_controller(policy: GaussianPolicy) -> Controller:
    """Returns a controller that draws from the Gaussian or takes its mean, without memory."""
    return Controller(numpy_policy(policy).act)
