"""The implicit term of PAL (Eq. 11): how a policy moves J through the model's best response.

    max_π J(π, M̂^π),   M̂^π = argmin_M ℓ(M),   ℓ(M) = ρ E_{µ^π}[ℓ_i(M)] + (1 − ρ) E_old[ℓ_i(M)]

ρ is the share of the policy's own data in all that the model fits. A real sample's influence is
what J gains, per unit of its weight in that loss, once the model has responded:
r_i = −⟨∇_M ℓ_i(M̂), v⟩, v = (∇²_M ℓ + λ)⁻¹ ∇_M J. Paid as a reward, it makes the implicit term an
ordinary policy gradient on real data, ρ ∇_θ E_{µ^πθ}[r_i]: the policy is paid for visits whose data
move the model in the direction that raises J.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Key

from duopoly.draws import random_batches
from duopoly.equilibrium.curvature import gauss_newton_product
from duopoly.equilibrium.model_gradient import (
    IMAGINATION_READS,
    imagine_for_leader,
    temporal_differences,
    value_of,
)
from duopoly.equilibrium.on_policy import OnPolicyData, fold_cosine, policy_gradient_samples
from duopoly.equilibrium.response import READS as RESPONSE_READS
from duopoly.equilibrium.response import leader_term
from duopoly.lockstep import kernel
from duopoly.model.dynamics import LearnedWorld, RobustWorld
from duopoly.model.ensemble import Ensemble
from duopoly.model.imagine import Starts
from duopoly.model.objective import inputs_and_targets
from duopoly.narrow import narrow
from duopoly.networks import MLP
from duopoly.policy.gradient.improve import PolicyState, sample_weights
from duopoly.policy.gradient.surrogate import Samples
from duopoly.settings import Settings
from duopoly.types import Transitions


class LeaderInfo(NamedTuple):
    """What is observed of one implicit term, never fed back."""

    residual: Float[Array, ""]
    """Of the solve, relative; NaN where the term was unrolled."""
    is_failed: Bool[Array, ""]
    """Whether the term was refused, so the step is of first order."""
    fold_cosine: Float[Array, ""]
    """Mean cosine between the real policy gradients of disjoint parts of the data."""


READS: Final = (
    *IMAGINATION_READS,
    *("policy.discount", "robustness.cvar_alpha"),
    *("leader.num_samples", "leader.cg_damping", "leader.baseline_ridge"),
)
"""Settings that `policy_term` reads, beside those of the response."""


def policy_term(
    key: Key[Array, ""],
    player: PolicyState,
    world: LearnedWorld | RobustWorld,
    starts: Starts,
    on_policy: OnPolicyData,
    settings: Settings,
) -> tuple[Samples, LeaderInfo]:
    """Returns the real samples whose surrogate's gradient is the implicit term.

    In units of return per step, like that of J(π, M̂) itself. The curvature of the model's loss is
    measured on what it was fitted to, ``on_policy.fitted``; ``on_policy.data`` were collected by
    the policy that leads. All weights are zero where the term failed.
    """
    reads = (*READS, *RESPONSE_READS[settings.leader.gradient])
    return _policy_term(key, player, world, starts, on_policy, narrow(settings, reads))


@kernel()
def _policy_term(
    key: Key[Array, ""],
    player: PolicyState,
    world: LearnedWorld | RobustWorld,
    starts: Starts,
    on_policy: OnPolicyData,
    settings: Settings,
) -> tuple[Samples, LeaderInfo]:
    key_imagine, key_predict, key_rows = jax.random.split(key, 3)
    rollouts = imagine_for_leader(key_imagine, player, world, starts, settings)
    weight, discount = sample_weights(rollouts, settings), settings.policy.discount
    best_response, rebuild = flatten_members(world)

    def return_fn(members: Float[Array, " P"]) -> Float[Array, ""]:
        changed = world.with_members(rebuild(members))
        delta = temporal_differences(key_predict, value_of(player), changed, rollouts, discount)
        return jnp.sum(weight * delta) / jnp.maximum(jnp.sum(weight), 1e-8)

    batch, _ = random_batches(key_rows, on_policy.fitted.valid, settings.leader.num_samples)
    seen = inputs_and_targets(world.ensemble, on_policy.fitted)
    fitted = jax.tree.map(lambda z: z[batch(0)], seen)
    loss = loss_on(fitted, rebuild)

    def follower_loss_fn(share: Float[Array, " N"], members: Float[Array, " P"]) -> Array:
        losses = sample_losses(world.ensemble, rebuild(members), on_policy.data)
        return loss.of_outputs(loss.outputs(members)) + (share - shares) @ losses

    shares = on_policy.data.valid / on_policy.data.num_valid  # of each sample in µ^π
    product = gauss_newton_product(
        loss.outputs, loss.of_outputs, best_response, settings.leader.cg_damping
    )
    term = leader_term(follower_loss_fn, shares, best_response, return_fn, product, settings.leader)
    reward = on_policy.share * term.value
    samples = policy_gradient_samples(on_policy, reward, discount, settings.leader.baseline_ridge)
    samples = samples._replace(weight=jnp.where(term.is_failed, 0.0, samples.weight))
    cosine = fold_cosine(player.policy, samples, on_policy.data.first)
    return samples, LeaderInfo(term.residual, term.is_failed, cosine)


class ModelLoss(NamedTuple):
    """ℓ(M) = of_outputs(outputs(M)), split as Gauss-Newton products need it."""

    outputs: Callable[[Float[Array, " P"]], Float[Array, "E N learned"]]
    of_outputs: Callable[[Float[Array, "E N learned"]], Float[Array, ""]]


def loss_on(
    fitted: tuple[Float[Array, "N features"], Float[Array, "N learned"]],
    rebuild: Callable[[Float[Array, " P"]], MLP],
) -> ModelLoss:
    """Returns the loss that the members minimise, summed over them, on inputs and targets."""
    x, y = fitted
    return ModelLoss(
        outputs=lambda members: predictions(rebuild(members), x),
        of_outputs=lambda outputs: jnp.sum(jnp.mean((outputs - y[None]) ** 2, axis=(1, 2))),
    )


def flatten_members(
    world: LearnedWorld | RobustWorld,
) -> tuple[Float[Array, " P"], Callable[[Float[Array, " P"]], MLP]]:
    """Returns the parameters of all members as one vector, and the way back."""
    return ravel_pytree(world.ensemble.members)


def predictions(members: MLP, x: Float[Array, "N features"]) -> Float[Array, "E N learned"]:
    """Returns every member's prediction, normalised."""
    return jax.vmap(lambda member: jax.vmap(member)(x))(members)


def sample_losses(ensemble: Ensemble, members: MLP, data: Transitions) -> Float[Array, " N"]:
    """Returns ℓ_i summed over the members, as the model player minimises it; 0 for padding."""
    x, y = inputs_and_targets(ensemble, data)
    losses = jnp.sum(jnp.mean((predictions(members, x) - y[None]) ** 2, axis=2), axis=0)
    return jnp.where(data.valid, losses, 0.0)
