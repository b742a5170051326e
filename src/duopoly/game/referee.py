"""Who should lead, decided round by round from what drifts: the world's dynamics, or its goals.

Two tests, both of what the policy has just collected (D_k) and before the model fits it:

  dynamics   s_k = median over D_k of log(e / v), with e the squared error of the members' mean
             and v their variance. Where a policy comes to new states both grow, for the members
             have not seen them either; where the world answers otherwise than it did, e alone.
  goals      the energy distance between first observations of the newest episodes and of those
             before, with a permutation test (Székely and Rizzo, 2004).

After the one, older data are wrong: the model player begins its memory anew, and goes as far as
ever (PAL). After the other they are as right as they were, and only the policy is out of date: it
moves as far as MAL's does, in a model of all that agrees, from episodes' starts as they are now.
"""

import dataclasses
from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float

MEMORY: Final = 8
"""Latest rounds with whose surprise the newest is compared."""

MARGIN: Final = 0.7
"""By how much the surprise must exceed the largest of them: e twice as large beside v as ever."""

MIN_ROUNDS: Final = 3
"""Rounds that must be known before the newest is called surprising."""

LEVEL: Final = 1e-3
"""Chance that starts of one distribution are called different."""

NUM_PERMUTATIONS: Final = 1_999
MIN_STARTS: Final = 5
"""Newest episodes at the least whose first observations are compared with earlier ones."""
MAX_OLD: Final = 200
"""Most of those earlier ones."""

MAX_SURPRISE: Final = 1e3
"""Beyond any logarithm of two numbers of single precision."""

NUM_LED: Final = 10
"""Rounds after a drift of the goals in which the policy moves as far as MAL's does."""


@dataclasses.dataclass(frozen=True)
class Referee:
    """What is remembered from round to round to tell what drifts."""

    surprises: tuple[float, ...] = ()
    """s_k of the latest rounds, oldest first, since the dynamics last drifted."""
    num_consistent: int = 0
    """Newest transitions that the world of now has made, as far as is known."""
    num_starts: int = 0
    """Newest episodes whose first observations are of one distribution, as far as is known."""
    num_led: int = 0
    """Rounds for which the policy still moves as far as MAL's does."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything needed to rebuild it exactly."""
        counts = (self.num_consistent, self.num_starts, self.num_led)
        return {"surprises": np.array(self.surprises), "counts": np.array(counts, np.int64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Referee":
        """The referee that `arrays` came from.

        Raises:
            ValueError: they are not what a referee remembers.
        """
        if set(arrays) != {"surprises", "counts"}:
            raise ValueError(f"arrays are {', '.join(sorted(arrays))}")
        surprises, counts = arrays["surprises"], arrays["counts"]
        kinds = (surprises.dtype, surprises.ndim, counts.dtype, counts.shape)
        if kinds != (np.float64, 1, np.int64, (3,)) or len(surprises) > MEMORY:
            raise ValueError("arrays have other shapes or types")
        if not (np.abs(surprises) < MAX_SURPRISE).all() or not ((counts >= 0).all()):
            raise ValueError("arrays hold a number that no round gives")
        return cls(tuple(surprises.tolist()), *(int(count) for count in counts))


@dataclasses.dataclass(frozen=True)
class Drift:
    """What a round has shown."""

    surprise: float
    """s_k; NaN where there is no fitted model yet."""
    start_p_value: float
    """Chance of starts as different as these, were they of one distribution; NaN: too few."""
    is_of_dynamics: bool
    is_of_goals: bool


def judge(
    referee: Referee,
    surprise: float,
    starts: Float[np.ndarray, "K obs"],
    num_fresh: int,
    num_fresh_starts: int,
    rng: np.random.Generator,
) -> tuple[Referee, Drift]:
    """Tells what has drifted, and remembers it.

    Args:
        referee: what is known of earlier rounds.
        surprise: s_k of the newest collection.
        starts: first observations of all episodes that are kept, oldest first.
        num_fresh: transitions of the newest collection.
        num_fresh_starts: episodes that began in it.
        rng: draws the permutations.
    """
    num_compared = max(num_fresh_starts, MIN_STARTS)
    known = starts[-(referee.num_starts + num_fresh_starts) :]
    p_value = energy_test(known[-num_compared:], known[:-num_compared][-MAX_OLD:], rng)
    of_goals = p_value <= LEVEL
    of_dynamics = is_surprising(referee.surprises, surprise)
    told = () if of_dynamics or np.isnan(surprise) else (surprise,)
    remembered = Referee(
        surprises=(*(() if of_dynamics else referee.surprises), *told)[-MEMORY:],
        num_consistent=num_fresh + (0 if of_dynamics else referee.num_consistent),
        num_starts=num_compared if of_goals else referee.num_starts + num_fresh_starts,
        num_led=NUM_LED if of_goals else max(referee.num_led - 1, 0),
    )
    return remembered, Drift(surprise, p_value, of_dynamics, of_goals)


def is_surprising(surprises: tuple[float, ...], newest: float) -> bool:
    """Tells whether a round's surprise is far above all that is remembered."""
    return len(surprises) >= MIN_ROUNDS and newest > max(surprises) + MARGIN


def energy_test(
    new: Float[np.ndarray, "M obs"], old: Float[np.ndarray, "N obs"], rng: np.random.Generator
) -> float:
    """Returns the p-value of a permutation test that two samples are of one distribution.

    The statistic is the energy distance 2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖ of components in units
    of their standard deviation; components that never vary tell nothing. NaN where there is
    nothing to compare, or so little that no permutation is rare enough.

    Source: Székely and Rizzo (2004), Testing for equal distributions in high dimension.
    """
    num_new, num_all = len(new), len(new) + len(old)
    if num_new == 0 or len(old) < num_new:
        return float("nan")
    both = np.concatenate([new, old]).astype(np.float64)
    spread = both.std(axis=0)
    varies = spread > 1e-9 * np.maximum(np.abs(both).max(axis=0), 1.0)
    both = both[:, varies] / spread[varies]
    squared = (both**2).sum(axis=1)
    gram = squared[:, None] + squared[None, :] - 2.0 * both @ both.T
    distance = np.sqrt(np.maximum(gram, 0.0))
    is_new = np.zeros((NUM_PERMUTATIONS + 1, num_all))
    is_new[0, :num_new] = 1.0
    order = rng.permuted(np.tile(np.arange(num_all), (NUM_PERMUTATIONS, 1)), axis=1)
    np.put_along_axis(is_new[1:], order[:, :num_new], 1.0, axis=1)
    to_new = is_new @ distance
    within_new = (to_new * is_new).sum(axis=1)
    between = (to_new * (1.0 - is_new)).sum(axis=1)
    within_old = distance.sum() - within_new - 2.0 * between
    num_old = num_all - num_new
    energy = 2.0 * between / (num_new * num_old) - within_new / num_new**2 - within_old / num_old**2
    # Equal up to rounding counts as at least as far: a sample of equal rows is never surprising.
    return float(np.mean(energy >= energy[0] - 1e-9 * max(distance.max(), 1e-9)))
