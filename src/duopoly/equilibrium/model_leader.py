"""The implicit term of MAL (Eq. 11): how a change of the model moves its loss through the policy.

    min_M ℓ(M, µ^{π(M)}),   π(M) = argmin_π −J(π, M)/s + KL(π̂ ‖ π)

The second expression is the follower's loss near its best response π̂: moving away from π̂ costs s
per nat of KL divergence, with s the standard deviation of the follower's advantages. The curvature
of that loss is taken to be the Fisher matrix F. With w = (F + λ)⁻¹ ∇_π ℓ, where ∇_π ℓ is the policy
gradient on real data whose reward is each sample's loss, the term is ∂_M ⟨∇_π J(π̂, M), w⟩ / s.
"""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from duopoly.draws import random_batches
from duopoly.equilibrium.model_gradient import (
    IMAGINATION_READS,
    advantages,
    imagine_for_leader,
    temporal_differences,
    value_of,
)
from duopoly.equilibrium.on_policy import OnPolicyData, fold_cosine, policy_gradient_samples
from duopoly.equilibrium.policy_leader import LeaderInfo, sample_losses
from duopoly.equilibrium.response import READS as RESPONSE_READS
from duopoly.equilibrium.response import leader_term
from duopoly.lockstep import kernel
from duopoly.model.dynamics import LearnedWorld, RobustWorld
from duopoly.model.ensemble import Ensemble
from duopoly.model.imagine import Starts
from duopoly.narrow import narrow
from duopoly.networks import MLP
from duopoly.policy.gaussian import kl_divergence
from duopoly.policy.gradient.improve import PolicyState, sample_weights
from duopoly.policy.gradient.natural_gradient import fisher_vector_product
from duopoly.policy.gradient.step import flatten_policy
from duopoly.policy.gradient.surrogate import Samples, log_probs, surrogate
from duopoly.policy.returns import normalise_advantages
from duopoly.settings import Settings
from duopoly.types import Rollouts, Transitions

READS: Final = (
    *IMAGINATION_READS,
    *("policy.discount", "policy.fisher_samples", "robustness.cvar_alpha"),
    *("leader.cg_damping", "leader.baseline_ridge", "leader.max_ratio"),
)
"""Settings that `model_term` reads, beside those of the response."""


def model_term(
    key: Key[Array, ""],
    player: PolicyState,
    world: LearnedWorld | RobustWorld,
    starts: Starts,
    on_policy: OnPolicyData,
    settings: Settings,
) -> tuple[MLP, LeaderInfo]:
    """Returns what the implicit term adds to the gradient of Σ_E ℓ, member by member.

    ``player`` is the follower, at its best response to ``world``, and ``on_policy`` holds what it
    did in the real world.
    """
    reads = (*READS, *RESPONSE_READS[settings.leader.gradient])
    return _model_term(key, player, world, starts, on_policy, narrow(settings, reads))


@kernel()
def _model_term(
    key: Key[Array, ""],
    player: PolicyState,
    world: LearnedWorld | RobustWorld,
    starts: Starts,
    on_policy: OnPolicyData,
    settings: Settings,
) -> tuple[MLP, LeaderInfo]:
    key_imagine, key_predict, key_rows = jax.random.split(key, 3)
    discount = settings.policy.discount
    rollouts = imagine_for_leader(key_imagine, player, world, starts, settings)
    theta, rebuild = flatten_policy(player.policy)
    rows, _ = random_batches(key_rows, rollouts.valid.reshape(-1), settings.policy.fisher_samples)
    obs = rollouts.obs.reshape(-1, rollouts.obs.shape[-1])[rows(0)]

    def advantage_fn(members: MLP) -> Float[Array, "E B T"]:
        changed = world.with_members(members)
        delta = temporal_differences(key_predict, value_of(player), changed, rollouts, discount)
        return advantages(delta, rollouts, discount)

    weight = sample_weights(rollouts, settings)
    _, scale = normalise_advantages(advantage_fn(world.ensemble.members), weight)

    def follower_loss_fn(members: MLP, theta: Float[Array, " P"]) -> Float[Array, ""]:
        samples = imagined_samples(player, rollouts, advantage_fn(members) / scale, weight)
        policy = rebuild(theta)
        divergence = jax.vmap(lambda o: kl_divergence(player.policy, policy, o))(obs)
        return jnp.mean(divergence) - surrogate(policy, samples)

    losses = sample_losses(world.ensemble, world.ensemble.members, on_policy.data)
    real = policy_gradient_samples(on_policy, losses, discount, settings.leader.baseline_ridge)
    term = leader_term(
        follower_loss_fn,
        world.ensemble.members,
        theta,
        lambda theta: surrogate(rebuild(theta), real, settings.leader.max_ratio),
        fisher_vector_product(player.policy, obs, settings.leader.cg_damping),
        settings.leader,
    )
    cosine = fold_cosine(player.policy, real, on_policy.data.first)
    return term.value, LeaderInfo(term.residual, term.is_failed, cosine)


def imagined_samples(
    player: PolicyState,
    rollouts: Rollouts,
    advantage: Float[Array, "E B T"],
    weight: Float[Array, "E B T"],
) -> Samples:
    """Returns the imagined steps of a policy as samples with their advantages."""
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), rollouts)
    return Samples(
        obs=flat.obs,
        action=flat.action,
        log_prob=log_probs(player.policy, flat.obs, flat.action),
        advantage=advantage.reshape(-1),
        weight=weight.reshape(-1),
    )


class Norms(NamedTuple):
    """Sizes of the parts of a leader's gradient."""

    term: Float[Array, ""]
    first: Float[Array, ""]
    whole: Float[Array, ""]


@kernel()
def norms_of_gradient(term: MLP, ensemble: Ensemble, data: Transitions) -> Norms:
    """Returns ‖term‖, ‖∇_M ℓ‖ and ‖∇_M ℓ + term‖ at the model as it is."""

    def loss_fn(members: MLP) -> Float[Array, ""]:
        return jnp.sum(sample_losses(ensemble, members, data)) / data.num_valid

    def norm(tree: MLP) -> Float[Array, ""]:
        return jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(tree)))

    first = jax.grad(loss_fn)(ensemble.members)
    return Norms(norm(term), norm(first), norm(jax.tree.map(jnp.add, first, term)))
