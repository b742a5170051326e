"""A lower bound of ε_π, and J(π, M̂), to be compared with J(π, M) (Eq. 5).

ε_M, the model's error on the policy's own data, is `model.fit.prediction_error` before the fit.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from duopoly.lockstep import kernel
from duopoly.model.imagine import ROLL_OUT_READS, Act, Dynamics, Starts, roll_out
from duopoly.narrow import narrow
from duopoly.policy.player import Opponent, PlayerError, PolicyPlayer, State
from duopoly.settings import ImaginationSettings, Settings
from duopoly.types import Rollouts


def imagine_policy(
    key: Key[Array, ""],
    act: Act,
    dynamics: Dynamics,
    starts: Starts,
    settings: Settings,
) -> Rollouts:
    """Rolls a policy out in the model from initial states, as often as a policy step does."""
    imagination = dataclasses.replace(settings.imagination, start_from_data=0.0)
    return _roll_out(key, act, dynamics, starts, narrow(imagination, ROLL_OUT_READS))


@kernel()
def _roll_out(
    key: Key[Array, ""],
    act: Act,
    dynamics: Dynamics,
    starts: Starts,
    settings: ImaginationSettings,
) -> Rollouts:
    return roll_out(jax.random.split(key), act, dynamics, starts, settings)


def mean_return(rollouts: Rollouts) -> Float[Array, ""]:
    """Returns J of imagined rollouts, undiscounted, the mean over all worlds."""
    reward = jnp.where(rollouts.valid, rollouts.reward, 0.0)
    return jnp.mean(jnp.sum(reward, axis=2))


def policy_gap(
    key: Key[Array, ""],
    player: PolicyPlayer,
    state: State,
    dynamics: Dynamics,
    opponent: Opponent,
    settings: Settings,
) -> Float[Array, ""]:
    """Returns what further policy steps would still gain in the model: a lower bound of ε_π.

    ``evaluation.gap_steps`` steps are taken by a copy of the player against its opponent, the model
    as the player plays in it; before and after, J(π, M̂) is measured in ``dynamics``, the model
    itself, from the same states with the same noise.

    Raises:
        ValueError: the player plans, and so takes no steps.
    """
    if player.act_fn is None:
        raise ValueError("a planner takes no steps that could gain anything")
    key_measure, key_steps = jax.random.split(key)
    num_steps = settings.evaluation.gap_steps
    try:
        improved, _ = player.improve(key_steps, state, opponent, num_steps, settings)
    except PlayerError:
        improved = state  # the numbers broke down, every step was refused, nothing is gained
    before, after = (
        mean_return(
            imagine_policy(
                key_measure, player.act_fn(one, False), dynamics, opponent.starts, settings
            )
        )
        for one in (state, improved)
    )
    return after - before
