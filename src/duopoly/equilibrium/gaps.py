"""The gaps of an approximate equilibrium: of ε_π a lower bound, and J(π, M̂) − J(π, M) (Eq. 5).

ε_M, the model's error on the policy's own data before it fits them, falls off in the fit itself.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from duopoly.model.imagine import Dynamics, Starts
from duopoly.policy.gaussian import GaussianPolicy
from duopoly.policy.improve import PolicyState, improve_policy, roll_out
from duopoly.settings import Settings
from duopoly.types import Rollouts


@eqx.filter_jit
def imagine_policy(
    key: Key[Array, ""],
    policy: GaussianPolicy,
    dynamics: Dynamics,
    starts: Starts,
    settings: Settings,
) -> Rollouts:
    """Rolls a policy in the model from first states, as often as a policy step does."""
    imagination = dataclasses.replace(settings.imagination, start_from_data=0.0)
    return roll_out(jax.random.split(key), policy, dynamics, starts, imagination)


def mean_return(rollouts: Rollouts) -> Float[Array, ""]:
    """Returns J of imagined rollouts, undiscounted, the mean over all worlds."""
    reward = jnp.where(rollouts.valid, rollouts.reward, 0.0)
    return jnp.mean(jnp.sum(reward, axis=2))


def policy_gap(
    key: Key[Array, ""],
    player: PolicyState,
    dynamics: Dynamics,
    practice: Dynamics,
    starts: Starts,
    settings: Settings,
) -> Float[Array, ""]:
    """Returns what further policy steps would still gain in the model: a lower bound of ε_π.

    ``evaluation.gap_steps`` steps are taken by a copy of the player in ``practice``, the model as
    the player plays in it; before and after, J(π, M̂) is measured in ``dynamics``, the model itself,
    from the same states with the same noise.
    """
    key_measure, key_steps = jax.random.split(key)
    improved = player
    for key_step in jax.random.split(key_steps, settings.evaluation.gap_steps):
        # The last argument is spelled out, as in the move itself: else it would compile again.
        improved, _ = improve_policy(key_step, improved, practice, starts, settings, None)
    before, after = (
        mean_return(imagine_policy(key_measure, policy, dynamics, starts, settings))
        for policy in (player.policy, improved.policy)
    )
    return after - before
