"""The gradient of the policy's return with respect to the model, step by predicted step.

    δ_t(M) = r(s_t, a_t, s'_M) + γ V(s'_M) − V(s_t),   s'_M the model's prediction for (s_t, a_t)

By the model-gradient theorem ∇_M J = E_{d^π_M} Σ_t ∇_M δ_t with V = V^π_M held fixed, without
differentiating through a rollout. J is the return per step here, as in the policy's own objective:
a mean over imagined steps, with the discount inside V only.
"""

from collections.abc import Callable
from typing import Final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from duopoly.model.imagine import Dynamics, Starts, draw_starts, imagine
from duopoly.policy.gaussian import act_by
from duopoly.policy.gradient.improve import PolicyState, evaluate_value
from duopoly.policy.returns import generalised_advantages
from duopoly.settings import Settings
from duopoly.types import Rollouts

ValueFn = Callable[[Float[Array, "E B T obs"]], Float[Array, "E B T"]]

IMAGINATION_READS: Final = (
    *("imagination.horizon", "imagination.start_from_data", "leader.num_rollouts"),
)
"""Settings that `imagine_for_leader` reads."""


def imagine_for_leader(
    key: Key[Array, ""],
    player: PolicyState,
    dynamics: Dynamics,
    starts: Starts,
    settings: Settings,
) -> Rollouts:
    """Imagines ``leader.num_rollouts`` rollouts per member from where policy steps start too."""
    key_starts, key_imagine = jax.random.split(key)
    shape = (dynamics.num_members, settings.leader.num_rollouts)
    first = draw_starts(key_starts, starts, shape, settings.imagination.start_from_data)
    act = act_by(player.policy)
    return imagine(key_imagine, act, dynamics, first, settings.imagination.horizon)


def value_of(player: PolicyState) -> ValueFn:
    """Returns the player's V, which stands for V^π_M."""
    return lambda obs: evaluate_value(player.value.function, player.policy, obs)


def temporal_differences(
    key: Key[Array, ""],
    value_fn: ValueFn,
    dynamics: Dynamics,
    rollouts: Rollouts,
    discount: float,
) -> Float[Array, "E B T"]:
    """Returns δ_t at every imagined (s_t, a_t), differentiable in the dynamics; 0 for padding.

    The derivative of whether a step terminates is left out: it is zero wherever it exists.
    """
    valid = rollouts.valid[..., None]
    # Padding is replaced by a rollout's first step: reward and model may be undefined there.
    obs = jnp.where(valid, rollouts.obs, rollouts.obs[:, :, :1])
    action = jnp.where(valid, rollouts.action, rollouts.action[:, :, :1])

    def flat(x: Float[Array, "E B T d"]) -> Float[Array, "E BT d"]:
        return x.reshape(x.shape[0], -1, x.shape[-1])

    predicted = dynamics(key, flat(obs), flat(action))
    next_obs = predicted.next_obs.reshape(obs.shape)
    reward = predicted.pay.reshape(valid.shape[:3])
    next_value = jnp.where(rollouts.terminated, 0.0, value_fn(next_obs))
    delta = reward + discount * next_value - value_fn(obs)
    return jnp.where(rollouts.valid, delta, 0.0)


def advantages(
    delta: Float[Array, "E B T"], rollouts: Rollouts, discount: float
) -> Float[Array, "E B T"]:
    """Returns A_t = Σ_{k≥t} γ^{k−t} δ_k along every rollout.

    λ = 1, unlike in policy steps: with V held fixed, a model's later steps act only through δ.
    """
    nothing = jnp.zeros(delta.shape[2], delta.dtype)

    def one(delta: Array, terminated: Array, truncated: Array) -> Array:
        return generalised_advantages(
            delta, nothing, nothing, terminated, truncated, discount, gae_lambda=1.0
        )

    return jax.vmap(jax.vmap(one))(delta, rollouts.terminated, rollouts.truncated)
