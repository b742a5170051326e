"""What section 4 claims, measured: how soon, and how steadily, each schedule finds equilibrium."""

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from duopoly.schedule import BR, GDA, MAL, PAL, Memory, Schedule
from duopoly.theory.families import FAMILIES, equal_shares, random_worlds
from duopoly.theory.games import FIRST_ROUND, Observation, Players, Rules, play, unknowing
from duopoly.theory.mdp import MDP

DISCOUNT: Final = 0.9
POLICY_EPSILON: Final = 0.01
"""ε_π of an ε-equilibrium, as a share of R_max/(1−γ)."""
MODEL_EPSILON: Final = 0.02
"""ε_M of an ε-equilibrium in nats, so that √(ε_M/2) is 0.1."""
NEVER: Final = np.inf
STEADY: Final = 20
"""Rounds at the end of a game through which something must hold to count as lasting."""
LONGEST_PERIOD: Final = 20
"""Rounds after which a game that repeats itself is still recognised."""

CONTESTANTS: Final[Mapping[str, Schedule]] = {
    "gda": GDA,
    "br": BR,
    "pal": PAL,
    "mal": MAL,
    # What if it was only the memory? The same orders of play with another's data.
    "br, all data": dataclasses.replace(BR, memory=Memory.EVERYTHING),
    "pal, fresh data": dataclasses.replace(PAL, memory=Memory.FRESH),
    "mal, fresh data": dataclasses.replace(MAL, memory=Memory.FRESH),
}


class Course(NamedTuple):
    """How one schedule went: curves over rounds (axis T) for all games."""

    name: str
    is_sampled: bool
    seen: Observation
    """Each field with a leading axis T."""
    rounds_to_equilibrium: Float[np.ndarray, " N"]
    """First round after which the pair is an ε-equilibrium; infinite if none is."""
    rounds_to_stay: Float[np.ndarray, " N"]
    """Round from which on the pair is an ε-equilibrium to the end; infinite if it is not one
    through the last `STEADY` rounds."""
    rounds_to_best: Float[np.ndarray, " N"]
    """The same for a regret of at most `POLICY_EPSILON`."""
    period: Int[np.ndarray, " N"]
    """1 where the game came to rest, p where it repeats every p rounds, 0 for neither."""
    last: Players
    """The players after the last round."""

    def samples(self, rounds: Float[np.ndarray, " N"], rules: Rules) -> Float[np.ndarray, " N"]:
        """Returns how many real transitions so many rounds use."""
        return rules.samples_per_round * (rounds + FIRST_ROUND - 1.0)


def mixed_worlds(seed: int, num_games: int, num_states: int) -> MDP:
    """Draws worlds of all families, in equal shares, γ = 0.9."""
    rng = np.random.default_rng(seed)
    parts = [
        random_worlds(rng, count, num_states, family, discounts=(DISCOUNT, DISCOUNT))
        for family, count in zip(FAMILIES.values(), equal_shares(num_games), strict=True)
    ]
    return MDP(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def run(
    world: MDP,
    name: str,
    schedule: Schedule,
    rules: Rules,
    num_rounds: int,
    seed: int,
    first: Players | None = None,
) -> Course:
    """Plays a schedule on all worlds, by default from players that know nothing."""
    seen: list[Observation] = []
    tables: deque[Float[np.ndarray, "N S A S"]] = deque(maxlen=2 * LONGEST_PERIOD)
    players = unknowing(world) if first is None else first
    for state, observation in play(world, players, schedule, rules, num_rounds, seed):
        seen.append(observation)
        players = state.players
        tables.append(players.transition)
    curves = Observation(*(np.stack(field) for field in zip(*seen, strict=True)))
    is_equilibrium = (curves.policy_gap <= POLICY_EPSILON) & (curves.model_loss <= MODEL_EPSILON)
    return Course(
        name,
        rules.is_sampled,
        curves,
        first_time(is_equilibrium),
        settled(is_equilibrium),
        settled(curves.regret <= POLICY_EPSILON),
        periods(tables),
        players,
    )


def first_time(holds: Bool[np.ndarray, "T N"]) -> Float[np.ndarray, " N"]:
    """Returns the first round, counted from 1, after which something holds."""
    return np.where(holds.any(axis=0), holds.argmax(axis=0) + 1.0, NEVER)


def settled(holds: Bool[np.ndarray, "T N"], steady: int = STEADY) -> Float[np.ndarray, " N"]:
    """Returns the round, counted from 1, from which on something holds to the end.

    Infinite where it does not hold through at least the last ``steady`` rounds.
    """
    last_failure = np.where(holds.all(axis=0), 0, len(holds) - holds[::-1].argmin(axis=0))
    return np.where(last_failure <= len(holds) - steady, last_failure + 1.0, NEVER)


def periods(tables: Sequence[Float[np.ndarray, "N S A S"]]) -> Int[np.ndarray, " N"]:
    """Returns after how many rounds the models repeat themselves, to 1e-9; 0 if they do not.

    A period p is one that the whole later half of the tables has, so it is at most half of them:
    an order of play in which everybody moves at once may well stand still for a round.
    """
    half = len(tables) // 2
    found = np.zeros(len(tables[-1]), int)
    for p in range(half, 0, -1):
        change = [
            np.max(np.abs(tables[-j] - tables[-j - p]), (1, 2, 3)) for j in range(1, half + 1)
        ]
        found = np.where(np.max(change, axis=0) < 1e-9, p, found)
    return found


def backsliding(curve: Float[np.ndarray, "T N"]) -> Float[np.ndarray, " N"]:
    """Measures how far a loss is from falling steadily, per game; rounds that are NaN are left out.

    Returns the sum of all rises as a share of the sum of all changes: 0 where it never rises, ½
    where it ends as high as it began.
    """
    known = curve[np.isfinite(curve).all(axis=1)]
    change = np.diff(known, axis=0)
    rises = np.clip(change, 0.0, None).sum(axis=0)
    total = np.abs(change).sum(axis=0)
    return np.where(total > 1e-9, rises / np.maximum(total, 1e-9), 0.0)
