"""The referee's round: measure what has drifted, and let it tell on memory, starts and noise."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Final

import jax
import numpy as np

from duopoly.game.referee import Referee, judge
from duopoly.game.state import Game, GameState, Players, Purpose, key_of, with_policy
from duopoly.game.views import fresh_data
from duopoly.model.fit import surprise_on
from duopoly.schedule import MAL, Schedule
from duopoly.types import Metrics

METRICS: Final[Mapping[str, str]] = {
    "game/surprise": "median over the latest data of log(error / disagreement), before the fit",
    "game/start_p_value": "chance of first observations as different as the newest, were none new",
    "game/dynamics_drift": "1 where the dynamics were found to have drifted, else 0",
    "game/goal_drift": "1 where the episodes' starts were found to have drifted, else 0",
    "game/num_consistent": "newest transitions that agree with the world of now, as far as known",
    "game/led_by_model": "1 where the policy moves as far as MAL's does, 0 where as PAL's",
}


def rule(game: Game, before: Players, state: GameState) -> tuple[GameState, Metrics]:
    """Lets the referee judge what has just been collected.

    Where anything has drifted the policy explores as at the start again: its steps are in units of
    its own noise, and one that has settled would creep.
    """
    buffer = state.buffer
    num_fresh = buffer.num_fresh
    num_fresh_starts = int(buffer.first[-num_fresh:].sum())
    # Without a fit it is measured all the same: so the first round compiles what the others need.
    surprises = surprise_on(before.model.ensemble, fresh_data(game, state))
    is_fitted = int(before.model.num_fits) > 0
    surprise = float(np.median(np.asarray(surprises)[:num_fresh])) if is_fitted else math.nan
    key = jax.random.fold_in(key_of(game.seed, Purpose.REFEREE), state.round)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    known = state.referee or _first_referee(state)
    referee, drift = judge(known, surprise, buffer.starts, num_fresh, num_fresh_starts, rng)
    state = dataclasses.replace(state, referee=referee)
    if drift.is_of_dynamics or drift.is_of_goals:
        policy = game.player.explore(state.players.policy, game.settings)
        state = with_policy(state, policy)
    return state, {
        "game/surprise": drift.surprise,
        "game/start_p_value": drift.start_p_value,
        "game/dynamics_drift": float(drift.is_of_dynamics),
        "game/goal_drift": float(drift.is_of_goals),
        "game/num_consistent": min(referee.num_consistent, len(buffer)),
        "game/led_by_model": float(referee.num_led > 0),
    }


def _first_referee(state: GameState) -> Referee:
    """Returns one that takes all before the newest collection, such as a log, for consistent."""
    held, num_fresh = state.buffer.first, state.buffer.num_fresh
    older = held[: len(held) - num_fresh]
    return Referee(num_consistent=len(older), num_starts=int(older.sum()))


def ruled(schedule: Schedule, state: GameState) -> Schedule:
    """Returns the schedule with the efforts and the memory that the referee has put in force."""
    if state.referee is None or state.referee.num_led == 0:
        return schedule
    return dataclasses.replace(schedule, policy_effort=MAL.policy_effort, memory=MAL.memory)
