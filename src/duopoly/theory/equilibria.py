"""What section 4 claims, measured: how soon, and how steadily, each schedule finds equilibrium."""

import dataclasses
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from duopoly.game import BR, GDA, MAL, PAL, Memory, Schedule
from duopoly.theory.families import FAMILIES, random_worlds
from duopoly.theory.games import Observation, Rules, play
from duopoly.theory.mdp import MDP

DISCOUNT: Final = 0.9
POLICY_EPSILON: Final = 0.01
"""ε_π of an ε-equilibrium, as a share of R_max/(1−γ)."""
MODEL_EPSILON: Final = 0.02
"""ε_M of an ε-equilibrium in nats, so that √(ε_M/2) is 0.1."""
NEVER: Final = np.inf

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
    """Round from which on the pair is an ε-equilibrium to the end."""
    rounds_to_best: Float[np.ndarray, " N"]
    """Round from which on the regret is at most `POLICY_EPSILON` to the end."""
    period: Int[np.ndarray, " N"]
    """1 where the game came to rest, p where it repeats every p rounds, 0 for neither."""

    def samples(self, rounds: Float[np.ndarray, " N"], rules: Rules) -> Float[np.ndarray, " N"]:
        """Real transitions used in so many rounds; the first round takes five times as many."""
        return rules.samples_per_round * (rounds + 4.0)


def mixed_worlds(seed: int, num_games: int, num_states: int) -> MDP:
    """Draw worlds of all families, in equal shares, γ = 0.9."""
    rng = np.random.default_rng(seed)
    shares = np.diff(np.linspace(0, num_games, len(FAMILIES) + 1).astype(int))
    parts = [
        random_worlds(rng, int(count), num_states, family, discounts=(DISCOUNT, DISCOUNT))
        for family, count in zip(FAMILIES.values(), shares, strict=True)
    ]
    return MDP(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def run(
    world: MDP, name: str, schedule: Schedule, rules: Rules, num_rounds: int, seed: int
) -> Course:
    """Play a schedule on all worlds, the model starting from uniform next states."""
    prior = np.full_like(world.transition, 1.0 / world.start.shape[1])
    seen, tables = [], []
    for state, observation in play(world, prior, schedule, rules, num_rounds, seed):
        seen.append(observation)
        tables.append(state.players.transition)
    curves = Observation(*(np.stack(field) for field in zip(*seen, strict=True)))
    is_equilibrium = (curves.policy_gap <= POLICY_EPSILON) & (curves.model_loss <= MODEL_EPSILON)
    return Course(
        name,
        rules.is_sampled,
        curves,
        first_time(is_equilibrium),
        settled(is_equilibrium),
        settled(curves.regret <= POLICY_EPSILON),
        periods(tables[-40:]),
    )


def first_time(holds: Bool[np.ndarray, "T N"]) -> Float[np.ndarray, " N"]:
    """Return the first round, counted from 1, after which something holds."""
    return np.where(holds.any(axis=0), holds.argmax(axis=0) + 1.0, NEVER)


def settled(holds: Bool[np.ndarray, "T N"]) -> Float[np.ndarray, " N"]:
    """Return the round, counted from 1, from which on something holds to the end."""
    last_failure = np.where(holds.all(axis=0), 0, len(holds) - holds[::-1].argmin(axis=0))
    return np.where(holds[-1], last_failure + 1.0, NEVER)


def periods(tables: list[Float[np.ndarray, "N S A S"]]) -> Int[np.ndarray, " N"]:
    """Return after how many rounds the last model came before, to 1e-9; 0 if it never did."""
    found = np.zeros(len(tables[-1]), int)
    for p in range(1, len(tables)):
        is_same = np.max(np.abs(tables[-1] - tables[-1 - p]), axis=(1, 2, 3)) < 1e-9
        found = np.where((found == 0) & is_same, p, found)
    return found


def backsliding(
    curve: Float[np.ndarray, "T N"],
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Measure how far a loss is from falling steadily.

    Returns, per game, the sum of all its rises as a share of the sum of all changes (0: never
    rises, ½: no net progress), and the share of rounds in which it rises by more than 1e-3.
    """
    known = curve[np.isfinite(curve).all(axis=1)]
    change = np.diff(known, axis=0)
    rises = np.clip(change, 0.0, None).sum(axis=0)
    total = np.abs(change).sum(axis=0)
    share = np.where(total > 1e-9, rises / np.maximum(total, 1e-9), 0.0)
    return share, np.mean(change > 1e-3, axis=0)
