"""What rules read off a run's metrics: medians of its thirds, and the unit of its returns."""

from typing import Final, NamedTuple

import numpy as np

from duopoly.lab.report.record import Record
from duopoly.runs.metrics import HORIZON_SHARE, RETURN

MIN_ROUNDS: Final = 6
"""Rounds in which a metric must be known before its course is judged: two a third."""

ENOUGH: Final = 0.99
"""Share of the steps that counts as all: rounds of whole episodes end near to what was asked."""

STD: Final = "eval/std_reward"
SUCCESS: Final = "eval/success_rate"
COLLECTED: Final = "rollout/ep_rew_mean"


class Thirds(NamedTuple):
    """Medians of a metric over the first, the middle and the last third of its known rounds.

    A single round that is out of the way moves none of them.
    """

    first: float
    middle: float
    last: float


def thirds(record: Record, tag: str) -> Thirds | None:
    """A metric's thirds; None where it is known in too few rounds."""
    known = record.known(tag)
    if known.size < MIN_ROUNDS:
        return None
    return Thirds(*(float(np.median(part)) for part in np.array_split(known, 3)))


def last_third(record: Record, tag: str) -> float | None:
    """The median of a metric over the last third of its rounds."""
    found = thirds(record, tag)
    return None if found is None else found.last


def real_returns(record: Record) -> np.ndarray:
    """Returns of the rounds' evaluations, or else of what was collected."""
    evaluated = record.known(RETURN)
    return evaluated if evaluated.size else record.known(COLLECTED)


def unit_of_returns(record: Record) -> float | None:
    """The range of the run's real returns, against which differences of returns are told.

    Returns have no zero of their own, so shares of a return would mean nothing. The spread of the
    episodes is the least: within it, a run that never moved has no range. None: nothing is known.
    """
    returns = real_returns(record)
    spread = record.known(STD)
    if returns.size < 2:
        return None
    unit = max(float(np.ptp(returns)), float(np.median(spread)) if spread.size else 0.0)
    return unit if unit > 0.0 else None


def imagined_share(record: Record) -> float:
    """Actions imagined, as a share of an episode's, at most 1."""
    share = record.known(HORIZON_SHARE)
    return min(float(np.median(share)), 1.0) if share.size else 1.0


def number(value: float) -> str:
    """A number for people: whole from a hundred on, below that in three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    """A share in percent."""
    return f"{100.0 * value:.0f} %"
