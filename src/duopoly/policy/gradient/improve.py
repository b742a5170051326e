"""One step of a policy player that follows a gradient: max_π J(π, M̂) (Eq. 6, 8, 13, 15)."""

from typing import Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from duopoly.draws import random_batches
from duopoly.lockstep import kernel
from duopoly.model.imagine import ROLL_OUT_READS, Dynamics, Starts, roll_out
from duopoly.networks import NEGLIGIBLE, rebase
from duopoly.policy.gaussian import GaussianPolicy, act_by, init_policy, with_inputs_of
from duopoly.policy.gradient.leader_term import (
    LeaderMemory,
    LeaderTermInfo,
    add_leader_term,
    empty_leader_memory,
    rebase_leader_memory,
)
from duopoly.policy.gradient.step import InitOptimiser, ObjectiveFn, StepFn, StepInfo
from duopoly.policy.gradient.surrogate import Samples, log_probs, objective, surrogate
from duopoly.policy.gradient.value import (
    ValueFunction,
    ValueInfo,
    ValueState,
    fit_value,
    init_value,
)
from duopoly.policy.player import Spaces
from duopoly.policy.returns import generalised_advantages, normalise_advantages, tail_weights
from duopoly.settings import PolicySettings, Settings
from duopoly.types import Rollouts, Transitions

READS: Final = (
    *(f"imagination.{name}" for name in ROLL_OUT_READS),
    *("policy.discount", "policy.gae_lambda", "policy.entropy_bonus", "policy.fisher_samples"),
    *("policy.value.learning_rate", "policy.value.batch_size", "policy.value.epochs"),
    "robustness.cvar_alpha",
)
"""Settings that a policy step reads, beside those of its way to step."""

LEADER_READS: Final = (
    *("policy.cg_iterations", "policy.cg_damping"),
    *("leader.max_ratio", "leader.memory", "leader.max_share"),
)
"""Settings that it reads beside them where an implicit term joins it."""


class PolicyState(eqx.Module):
    """What the policy player carries from round to round."""

    policy: GaussianPolicy
    value: ValueState
    opt_state: optax.OptState = ()
    """The optimiser's state; empty but for plain gradients."""
    foresight: LeaderMemory | None = None
    """What is remembered of the implicit term; None unless a leader's gradient has one.

    Named as its arrays are in checkpoints."""


class ImprovementInfo(NamedTuple):
    """What is observed of one policy step."""

    imagined_return: Float[Array, " E"]
    """Before the step, per member: the rewards of a rollout, undiscounted, bonus left out."""
    imagined_length: Float[Array, ""]
    """Mean number of actions until termination or the end of imagination."""
    terminated_share: Float[Array, ""]
    """Share of rollouts that terminated."""
    num_steps: Int[Array, ""]
    """Imagined steps, padding excluded."""
    value: ValueInfo
    step: StepInfo
    leader_term: LeaderTermInfo | None = None
    """Of the implicit term; None without one."""


def init_state(
    key: Key[Array, ""], spaces: Spaces, settings: Settings, init_optimiser: InitOptimiser
) -> PolicyState:
    """Returns the policy player at the start of the game."""
    key_policy, key_value = jax.random.split(key)
    obs_dim, action_dim, angles = spaces
    policy = init_policy(key_policy, obs_dim, action_dim, settings.policy, angles)
    leads = settings.leader.gradient != "first_order"
    return PolicyState(
        policy,
        init_value(key_value, obs_dim + len(angles), settings.policy.value),
        init_optimiser(policy, settings.policy),
        empty_leader_memory(policy) if leads else None,
    )


def fix_inputs(state: PolicyState, seen: Transitions) -> PolicyState:
    """Returns the player with its inputs normalised by the first data."""
    return eqx.tree_at(lambda s: s.policy, state, with_inputs_of(state.policy, seen))


@kernel()
def renew_inputs(state: PolicyState, seen: Transitions) -> PolicyState:
    """Returns the same policy and value function, with inputs normalised by newer data.

    Without it, inputs that were rare in the first data come in many standard deviations, where
    tanh is flat. Adam's moments stay: in m/√v the units of a weight cancel.
    """
    old = state.policy.inputs
    new = old.renewed(seen.obs, seen.valid)
    if state.foresight is not None:
        known = rebase_leader_memory(state.foresight, old, new)
        state = eqx.tree_at(lambda s: s.foresight, state, known)
    return eqx.tree_at(
        lambda s: (s.policy.inputs, s.policy.network, s.value.function.network),
        state,
        (
            new,
            rebase(state.policy.network, old, new),
            rebase(state.value.function.network, old, new),
        ),
    )


@kernel()
def improve_policy(
    key: Key[Array, ""],
    state: PolicyState,
    dynamics: Dynamics,
    starts: Starts,
    settings: Settings,
    step_fn: StepFn,
    implicit: Samples | None = None,
) -> tuple[PolicyState, ImprovementInfo]:
    """Imagines, estimates advantages, takes a policy step, refits the value function.

    ``implicit`` adds the gradient of further samples to that of J(π, M̂): the leader's, on real
    data, in units of return per step (Eq. 11). They count as unknown where all weights are zero.
    """
    keys = jax.random.split(key, 4)
    key_fisher, key_value = keys[2], keys[3]
    rollouts = roll_out(keys[:2], act_by(state.policy), dynamics, starts, settings.imagination)
    advantage, target = estimate_advantages(state, rollouts, settings.policy)
    weight = sample_weights(rollouts, settings)
    advantage, scale = normalise_advantages(advantage, weight)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), rollouts)
    samples = Samples(
        obs=flat.obs,
        action=flat.action,
        log_prob=log_probs(state.policy, flat.obs, flat.action),
        advantage=advantage.reshape(-1),
        weight=weight.reshape(-1),
    )

    def first_order_fn(policy: GaussianPolicy) -> Float[Array, ""]:
        return objective(policy, samples, settings.policy.entropy_bonus)

    batch, _ = random_batches(key_fisher, flat.valid, settings.policy.fisher_samples)
    fisher_obs = flat.obs[batch(0)]
    objective_fn: ObjectiveFn = first_order_fn
    foresight, term_info = state.foresight, None
    if implicit is not None:
        foresight, objective_fn, term_info = with_implicit_samples(
            state, first_order_fn, implicit, scale, fisher_obs, settings
        )
    policy, opt_state, step = step_fn(
        state.policy, state.opt_state, objective_fn, fisher_obs, settings.policy
    )
    x = jax.vmap(state.policy.inputs)(flat.obs)
    value, value_info = fit_value(
        key_value, state.value, x, target.reshape(-1), flat.valid, settings.policy.value
    )
    info = summarise(rollouts, value_info, step)._replace(leader_term=term_info)
    return PolicyState(policy, value, opt_state, foresight), info


def with_implicit_samples(
    state: PolicyState,
    objective_fn: ObjectiveFn,
    implicit: Samples,
    scale: Float[Array, ""],
    fisher_obs: Float[Array, "M obs"],
    settings: Settings,
) -> tuple[LeaderMemory, ObjectiveFn, LeaderTermInfo]:
    """Adds the implicit term to an objective of advantages that were divided by ``scale``."""

    def implicit_fn(policy: GaussianPolicy) -> Float[Array, ""]:
        return surrogate(policy, implicit, settings.leader.max_ratio) / (scale + NEGLIGIBLE)

    known = empty_leader_memory(state.policy) if state.foresight is None else state.foresight
    is_known = jnp.any(implicit.weight > 0.0)
    return add_leader_term(
        state.policy, known, objective_fn, implicit_fn, is_known, fisher_obs, settings
    )


def sample_weights(rollouts: Rollouts, settings: Settings) -> Float[Array, "E B T"]:
    """Returns the weight of each imagined step in Eq. 17's objective, zero for padding.

    All valid steps weigh 1 where the mean over the ensemble is maximised.
    """
    valid = rollouts.valid.astype(rollouts.reward.dtype)
    if settings.robustness.cvar_alpha == 1.0:
        return valid
    discount = settings.policy.discount ** jnp.arange(rollouts.reward.shape[2])
    return_ = jnp.mean(rollouts.pay @ discount, axis=1)
    share = tail_weights(return_, settings.robustness.cvar_alpha) * return_.shape[0]
    return valid * share[:, None, None]


def summarise(rollouts: Rollouts, value: ValueInfo, step: StepInfo) -> ImprovementInfo:
    """Reduces the rollouts of one step to what is observed of them."""
    reward = jnp.where(rollouts.valid, rollouts.reward, 0.0)
    return ImprovementInfo(
        imagined_return=jnp.mean(jnp.sum(reward, axis=2), axis=1),
        imagined_length=jnp.mean(jnp.sum(rollouts.valid, axis=2)),
        terminated_share=jnp.mean(jnp.any(rollouts.terminated & rollouts.valid, axis=2)),
        num_steps=jnp.sum(rollouts.valid),
        value=value,
        step=step,
    )


def estimate_advantages(
    state: PolicyState, rollouts: Rollouts, settings: PolicySettings
) -> tuple[Float[Array, "E B T"], Float[Array, "E B T"]]:
    """Returns advantages and the λ-returns that V should have predicted.

    Padding earns nothing: the task's reward may be undefined where its world has ended.
    """
    value = evaluate_value(state.value.function, state.policy, rollouts.obs)
    last = evaluate_value(state.value.function, state.policy, rollouts.next_obs[:, :, -1:])
    next_value = jnp.concatenate([value[:, :, 1:], last], axis=2)

    def one(reward: Array, value: Array, next_value: Array, done: Array, cut: Array) -> Array:
        return generalised_advantages(
            reward, value, next_value, done, cut, settings.discount, settings.gae_lambda
        )

    advantage = jax.vmap(jax.vmap(one))(
        rollouts.pay, value, next_value, rollouts.terminated, rollouts.truncated
    )
    return advantage, advantage + value


def evaluate_value(
    function: ValueFunction, policy: GaussianPolicy, obs: Float[Array, "E B T obs"]
) -> Float[Array, "E B T"]:
    """Returns V at every observation of a set of rollouts."""
    return jax.vmap(jax.vmap(jax.vmap(lambda o: function(policy.inputs(o)))))(obs)
