"""The policy gradient of a mean over real data: ∇_θ E_{µ^πθ}[r], for any reward r per sample."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from duopoly.equilibrium.baseline import NUM_FOLDS, baseline, folds, returns_to_go
from duopoly.lockstep import kernel
from duopoly.policy.gaussian import GaussianPolicy
from duopoly.policy.gradient.step import flatten_policy
from duopoly.policy.gradient.surrogate import Samples, log_probs, surrogate
from duopoly.types import Transitions


class OnPolicyData(NamedTuple):
    """Real transitions of one policy, as a leader's gradient needs them."""

    data: Transitions
    """What the policy collected, in order."""
    policy: GaussianPolicy
    """The policy that took them."""
    fitted: Transitions
    """All that the model was fitted to."""
    share: Float[Array, ""]
    """Share of those that this policy collected."""


def centred_returns_to_go(
    reward: Float[Array, " N"],
    first: Bool[Array, " N"],
    valid: Bool[Array, " N"],
    discount: float,
) -> Float[Array, " N"]:
    """Returns how much each action changed the mean reward of the data: returns to go of mean 0.

        c_t = Σ_{k≥t, same episode} γ^{k−t} (r_k − r̄) − mean

    µ^π is the visitation of an episode over its mean length, E Σ_t r_t / E T. An action that makes
    an episode longer changes both, which r̄, the mean over the data, accounts for: at γ = 1 the
    mean of c_t ∇log π(a_t|s_t) is the gradient of the ratio. γ < 1 counts what happens soon, as
    it does in imagination. An episode whose end is not in the data counts as far as it goes.
    """
    count = jnp.maximum(jnp.sum(valid), 1)
    returns = returns_to_go(reward, first, valid, discount)
    return jnp.where(valid, returns - jnp.sum(returns) / count, 0.0)


def policy_gradient_samples(
    on_policy: OnPolicyData, reward: Float[Array, " N"], discount: float, ridge: float
) -> Samples:
    """Returns the real samples whose surrogate's gradient is ∇_θ E_{µ^πθ}[reward].

    In units of reward per step: at the policy that collected; away from it, by the ratio π/π_old.
    With a ridge, an action is worth its return to go less the `baseline` of its state.
    """
    data = on_policy.data
    advantage = centred_returns_to_go(reward, data.first, data.valid, discount)
    if ridge > 0.0:
        x = jax.vmap(on_policy.policy.inputs)(data.obs)
        advantage -= baseline(x, reward, data.first, data.valid, discount, ridge)
    return Samples(
        obs=data.obs,
        action=data.action,
        log_prob=log_probs(on_policy.policy, data.obs, data.action),
        advantage=advantage,
        weight=data.valid.astype(reward.dtype),
    )


def fold_cosine(
    policy: GaussianPolicy, samples: Samples, first: Bool[Array, " N"]
) -> Float[Array, ""]:
    """Returns the mean cosine between the surrogate's gradients on disjoint parts of the data.

    Near 1 where all parts agree, near 0 where each is noise; NaN where fewer than two have a
    gradient.
    """
    theta, rebuild = flatten_policy(policy)
    parts = folds(first)

    def gradient_on(part: Array) -> Float[Array, " P"]:
        only = samples._replace(weight=jnp.where(parts == part, samples.weight, 0.0))
        return jax.grad(lambda t: surrogate(rebuild(t), only))(theta)

    gradients = jax.vmap(gradient_on)(jnp.arange(NUM_FOLDS))
    norm = jnp.linalg.norm(gradients, axis=1)
    unit = gradients / jnp.where(norm > 0.0, norm, 1.0)[:, None]
    num_told = jnp.sum(norm > 0.0)
    between = jnp.sum(jnp.sum(unit, axis=0) ** 2) - num_told  # without each with itself
    return between / (num_told * (num_told - 1))


@kernel()
def effective_sample_size(on_policy: OnPolicyData, policy: GaussianPolicy) -> Float[Array, ""]:
    """Returns (Σ w)² / (N Σ w²), w = π/π_old: the share of the data that is left for ``policy``."""
    data = on_policy.data
    old, new = (log_probs(p, data.obs, data.action) for p in (on_policy.policy, policy))
    log_ratio = jnp.where(data.valid, new - old, -jnp.inf)
    ratio = jnp.exp(log_ratio - jnp.max(log_ratio))
    return jnp.sum(ratio) ** 2 / (jnp.sum(ratio**2) * data.num_valid)
