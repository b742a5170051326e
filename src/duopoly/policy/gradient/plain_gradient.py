"""The plain policy gradient, θ ← θ + α ∇_θ J (Eq. 6 and 13 as they are written), with Adam's α."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from duopoly.policy.gaussian import GaussianPolicy
from duopoly.policy.gradient.step import (
    ObjectiveFn,
    StepInfo,
    flatten_policy,
    mean_kl,
    raise_to_floor,
)
from duopoly.settings import PolicySettings


def init_optimiser(policy: GaussianPolicy, settings: PolicySettings) -> optax.OptState:
    """Returns Adam's moments before the first step."""
    return optax.adam(settings.learning_rate).init(flatten_policy(policy)[0])


def plain_gradient_step(
    policy: GaussianPolicy,
    opt_state: optax.OptState,
    objective_fn: ObjectiveFn,
    fisher_obs: Float[Array, "M obs"],
    settings: PolicySettings,
) -> tuple[GaussianPolicy, optax.OptState, StepInfo]:
    """Takes one step of Adam up the gradient, or none at all where the numbers break down."""
    theta, rebuild = flatten_policy(policy)
    gradient = jax.grad(lambda t: objective_fn(rebuild(t)))(theta)
    change, moved = optax.adam(settings.learning_rate).update(-gradient, opt_state)
    moved_theta = jnp.asarray(optax.apply_updates(theta, change))
    new = raise_to_floor(rebuild(moved_theta), settings.min_log_std)
    kl = mean_kl(policy, new, fisher_obs)
    is_refused = ~(jnp.isfinite(kl) & jnp.all(jnp.isfinite(gradient)))
    unknown = jnp.full((), jnp.nan)
    info = StepInfo(
        kl,
        jnp.linalg.norm(gradient),
        unknown,
        unknown,
        is_refused,
        jnp.zeros((), jnp.int32),
    )
    new, opt_state = jax.tree.map(
        lambda old, new: jnp.where(is_refused, old, new), (policy, opt_state), (new, moved)
    )
    return new, opt_state, info
