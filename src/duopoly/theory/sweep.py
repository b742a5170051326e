"""Try every bound on many random games."""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from duopoly.theory.bounds import TRIED, Situation
from duopoly.theory.families import (
    FAMILIES,
    NUM_ACTIONS,
    Family,
    equal_shares,
    random_worlds,
    simplex,
    wrong_models,
)
from duopoly.theory.mdp import blend, optimal_policy

TOLERANCE: Final = 1e-9
"""Room for rounding, relative to R_max / (1 − γ), the largest return there can be."""
CHUNK: Final = 1_000_000
"""Numbers in one table of transitions; more games than that holds are drawn in several parts."""


class Sweep(NamedTuple):
    """What a sweep found; the axis "bounds" is that of `TRIED`."""

    left: Float[np.ndarray, "bounds N"]
    right: Float[np.ndarray, "bounds N"]
    scale: Float[np.ndarray, " N"]
    """R_max / (1 − γ)."""

    @property
    def violations(self) -> Int[np.ndarray, " bounds"]:
        """Number of games in which a bound fails by more than rounding."""
        return np.sum(~(self.left <= self.right + TOLERANCE * self.scale), axis=1)

    @property
    def ratio(self) -> Float[np.ndarray, "bounds N"]:
        """Left over right, 1 where a bound is attained; 0 where both sides are only rounding."""
        is_there = self.right > 1e-6 * self.scale
        finite = is_there & np.isfinite(self.right)
        return np.where(finite, self.left / np.where(finite, self.right, 1.0), 0.0)

    @property
    def num_finite(self) -> Int[np.ndarray, " bounds"]:
        """Number of games in which a bound says something: its right side is finite."""
        return np.sum(np.isfinite(self.right), axis=1)


def random_situations(
    rng: np.random.Generator, num_games: int, num_states: int, family: Family
) -> Situation:
    """Draws worlds, wrong models of them, and policies, from random to optimal in the model.

    R_max is the declared bound, up to a third above the largest reward of the game.
    """
    real = random_worlds(rng, num_games, num_states, family)
    model = wrong_models(rng, real, family)
    concentration = np.exp(rng.uniform(-3.0, 2.0, (num_games, 1, 1)))
    drawn = simplex(rng, real.reward.shape, concentration)
    greed = np.where(rng.random(num_games) < 0.5, rng.random(num_games), 0.0)
    greed = np.where(rng.random(num_games) < 0.3, 1.0, greed)
    policy = blend(drawn, optimal_policy(model), greed)
    slack = np.where(rng.random(num_games) < 0.5, 1.0, rng.uniform(1.0, 4.0 / 3.0, num_games))
    reward_max = slack * np.max(real.reward, axis=(1, 2))
    radius = 10.0 ** rng.uniform(-3.0, 0.0, num_games)
    rival = wrong_models(rng, real, family)
    return Situation(real, model, policy, reward_max, radius, rival)


def sweep(seed: int, num_games: int, num_states: int) -> Sweep:
    """Evaluates both sides of every bound on games of all families, in equal shares."""
    rng = np.random.default_rng(seed)
    at_once = max(1, CHUNK // (NUM_ACTIONS * num_states**2))
    parts = []
    for family, count in zip(FAMILIES.values(), equal_shares(num_games), strict=True):
        for begin in range(0, count, at_once):
            size = min(at_once, count - begin)
            parts.append(both_sides(random_situations(rng, size, num_states, family)))
    return Sweep(*(np.concatenate(fields, axis=-1) for fields in zip(*parts, strict=True)))


def both_sides(situation: Situation) -> Sweep:
    """Evaluates both sides of every bound, and of the claim that is none."""
    return Sweep(
        np.stack([bound.left(situation) for bound in TRIED]),
        np.stack([bound.right(situation) for bound in TRIED]),
        situation.reward_max / (1.0 - situation.real.discount),
    )
