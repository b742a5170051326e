"""The policy player: max_π J(π, M̂) by policy steps in imagination (Eq. 6, 8, 13, 15)."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from duopoly.model.imagine import Dynamics, Starts, draw_starts, imagine
from duopoly.networks import Normaliser, random_batches, rebase
from duopoly.policy.foresight import Foresight, LeanInfo, lean, no_foresight, rebase_foresight
from duopoly.policy.gaussian import GaussianPolicy, init_policy, sample
from duopoly.policy.natural_gradient import natural_gradient_step
from duopoly.policy.plain_gradient import init_optimiser, plain_gradient_step
from duopoly.policy.returns import generalised_advantages, normalise_advantages, tail_weights
from duopoly.policy.step import ObjectiveFn, StepInfo
from duopoly.policy.surrogate import Samples, log_probs, objective, surrogate
from duopoly.policy.trust_region import trust_region_step
from duopoly.policy.value import ValueFunction, ValueInfo, ValueState, fit_value, init_value
from duopoly.settings import ImaginationSettings, Improver, PolicySettings, Settings
from duopoly.types import Rollouts, Transitions

STEPS: Final[Mapping[Improver, Callable]] = {
    "npg": natural_gradient_step,
    "trpo": trust_region_step,
    "pg": plain_gradient_step,
}
"""Ways to move the parameters, all of one shape:
(policy, opt_state, objective_fn, fisher_obs, settings) -> (policy, opt_state, StepInfo)."""


class PolicyState(eqx.Module):
    """What the policy player carries from round to round."""

    policy: GaussianPolicy
    value: ValueState
    opt_state: optax.OptState = ()
    """What the way of stepping remembers; empty but for plain gradients."""
    foresight: Foresight | None = None
    """What is remembered of the implicit term; None unless a leader foresees the answer."""


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
    lean: LeanInfo | None = None
    """Of the implicit term; None without one."""


def init_policy_player(
    key: Key[Array, ""],
    obs_dim: int,
    action_dim: int,
    settings: PolicySettings,
    angles: tuple[int, ...] = (),
) -> PolicyState:
    """Returns the policy player at the start of the game; it sees sine and cosine of ``angles``."""
    key_policy, key_value = jax.random.split(key)
    policy = init_policy(key_policy, obs_dim, action_dim, settings, angles)
    return PolicyState(
        policy,
        init_value(key_value, obs_dim + len(angles), settings.value),
        init_optimiser(policy, settings),
    )


def fix_inputs(state: PolicyState, seen: Transitions) -> PolicyState:
    """Returns the player that sees the world in units of its first data.

    The networks stay as they were drawn, so the function changes: little, as its mean begins near
    zero everywhere.
    """
    inputs = Normaliser.of(seen.obs, seen.valid, state.policy.inputs.angles)
    return eqx.tree_at(lambda s: s.policy.inputs, state, inputs)


def with_foresight(state: PolicyState) -> PolicyState:
    """Returns the player that can remember an implicit term, and has met none."""
    return PolicyState(state.policy, state.value, state.opt_state, no_foresight(state.policy))


@jax.jit
def renew_inputs(state: PolicyState, seen: Transitions) -> PolicyState:
    """Returns the same policy and value function, in units of what has been seen since.

    Without it, inputs that were rare in the first data come in many standard deviations, where
    tanh is flat. Adam's moments stay: in m/√v the units of a weight cancel.
    """
    old = state.policy.inputs
    new = old.renewed(seen.obs, seen.valid)
    if state.foresight is not None:
        known = rebase_foresight(state.foresight, old, new)
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


@eqx.filter_jit
def improve_policy(
    key: Key[Array, ""],
    state: PolicyState,
    dynamics: Dynamics,
    starts: Starts,
    settings: Settings,
    implicit: Samples | None = None,
) -> tuple[PolicyState, ImprovementInfo]:
    """Imagines, estimates advantages, takes a policy step, refits the value function.

    ``implicit`` adds the gradient of further samples to that of J(π, M̂): the leader's, on real
    data, in units of return per step (Eq. 11). They are unknown where nothing weighs anything.
    """
    keys = jax.random.split(key, 4)
    key_fisher, key_value = keys[2], keys[3]
    rollouts = roll_out(keys[:2], state.policy, dynamics, starts, settings.imagination)
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
    foresight, lean_info = state.foresight, None
    if implicit is not None:
        foresight, objective_fn, lean_info = lean_on(
            state, first_order_fn, implicit, scale, fisher_obs, settings
        )
    policy, opt_state, step = STEPS[settings.policy.improver](
        state.policy, state.opt_state, objective_fn, fisher_obs, settings.policy
    )
    x = jax.vmap(state.policy.inputs)(flat.obs)
    value, value_info = fit_value(
        key_value, state.value, x, target.reshape(-1), flat.valid, settings.policy.value
    )
    info = summarise(rollouts, value_info, step)._replace(lean=lean_info)
    return PolicyState(policy, value, opt_state, foresight), info


def lean_on(
    state: PolicyState,
    objective_fn: ObjectiveFn,
    implicit: Samples,
    scale: Float[Array, ""],
    fisher_obs: Float[Array, "M obs"],
    settings: Settings,
) -> tuple[Foresight, ObjectiveFn, LeanInfo]:
    """Adds the implicit term to an objective of advantages that were divided by ``scale``."""

    def implicit_fn(policy: GaussianPolicy) -> Float[Array, ""]:
        return surrogate(policy, implicit, settings.leader.max_ratio) / (scale + 1e-8)

    known = no_foresight(state.policy) if state.foresight is None else state.foresight
    is_known = jnp.any(implicit.weight > 0.0)
    return lean(state.policy, known, objective_fn, implicit_fn, is_known, fisher_obs, settings)


def roll_out(
    keys: Key[Array, "2"],
    policy: GaussianPolicy,
    dynamics: Dynamics,
    starts: Starts,
    settings: ImaginationSettings,
) -> Rollouts:
    """Rolls a policy out in every world; two keys draw the starts and all that follows."""
    key_starts, key_imagine = keys[0], keys[1]
    shape = (dynamics.num_members, settings.num_rollouts)
    first = draw_starts(key_starts, starts, shape, settings.start_from_data)
    return imagine(
        key_imagine,
        lambda key, obs: sample(key, policy, obs),
        dynamics,
        first,
        settings.horizon,
    )


def sample_weights(rollouts: Rollouts, settings: Settings) -> Float[Array, "E B T"]:
    """Returns how much each imagined step counts: the valid ones alike, by Eq. 17's objective.

    All are worth 1 where the mean over the ensemble is maximised.
    """
    valid = rollouts.valid.astype(rollouts.reward.dtype)
    if settings.robustness.cvar_alpha == 1.0:
        return valid
    discount = settings.policy.discount ** jnp.arange(rollouts.reward.shape[2])
    return_ = jnp.mean(rollouts.pay @ discount, axis=1)
    share = tail_weights(return_, settings.robustness.cvar_alpha) * return_.shape[0]
    return valid * share[:, None, None]


def summarise(rollouts: Rollouts, value: ValueInfo, step: StepInfo) -> ImprovementInfo:
    """Reduces the rollouts of one step to what is worth watching."""
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
