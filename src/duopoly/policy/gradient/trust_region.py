"""Trust region policy optimisation: a natural gradient step that is checked before it is taken.

    max_θ E[A π_θ(a|s) / π_old(a|s)]   subject to   E[KL(π_old ‖ π_θ)] ≤ target

Source: Schulman et al. (2015), appendix C: the longest step along the natural gradient, shortened
until the surrogate objective has risen and the divergence, measured and not modelled, is within
its bound.
"""

from typing import Final

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from duopoly.policy.gaussian import GaussianPolicy
from duopoly.policy.gradient.natural_gradient import propose
from duopoly.policy.gradient.step import (
    ObjectiveFn,
    StepInfo,
    flatten_policy,
    mean_kl,
    raise_to_floor,
)
from duopoly.settings import PolicySettings

SHRINKAGE: Final = 0.8
"""By how much a step that is not good enough is shortened."""


def trust_region_step(
    policy: GaussianPolicy,
    opt_state: optax.OptState,
    objective_fn: ObjectiveFn,
    fisher_obs: Float[Array, "M obs"],
    settings: PolicySettings,
) -> tuple[GaussianPolicy, optax.OptState, StepInfo]:
    """Takes the longest step that raises the objective within the bound, or none at all."""
    theta, rebuild = flatten_policy(policy)
    step = propose(policy, objective_fn, fisher_obs, settings)
    before = objective_fn(policy)

    def candidate(num_backtracks: Array) -> GaussianPolicy:
        new = rebuild(theta + SHRINKAGE ** num_backtracks.astype(theta.dtype) * step.change)
        return raise_to_floor(new, settings.min_log_std)

    def attempt(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Bool[Array, ""]]:
        num_backtracks = carry[0] + 1
        new = candidate(num_backtracks)
        kl = mean_kl(policy, new, fisher_obs)
        # A number that is not one compares as false, and so is not good enough.
        return num_backtracks, kl, (objective_fn(new) > before) & (kl <= settings.target_kl)

    def goes_on(carry: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        num_backtracks, _, is_good = carry
        return ~is_good & (num_backtracks < settings.max_backtracks)

    first = attempt((jnp.asarray(-1), jnp.zeros(()), jnp.asarray(False)))
    num_backtracks, kl, is_good = jax.lax.while_loop(goes_on, attempt, first)
    chosen = candidate(num_backtracks)
    new = jax.tree.map(lambda a, b: jnp.where(is_good, b, a), policy, chosen)
    info = StepInfo(
        jnp.where(is_good, kl, 0.0),
        step.gradient_norm,
        step.curvature,
        step.residual,
        ~is_good,
        num_backtracks,
    )
    return new, opt_state, info
