"""``duopoly theory``: try the bounds, search their worst cases, play and lead tabular games."""

import dataclasses
from pathlib import Path

from duopoly.fields import between
from duopoly.runs.config import MAX_SEED


@dataclasses.dataclass(frozen=True)
class Theory:
    """Check the paper's bounds on random tabular games, and draw the figures of docs/theory.md."""

    games: int = between(10, 10**6, 10_000)
    """Random games per bound and seed; five seeds are tried."""
    states: int = between(3, 64, 6)
    """States of each game."""
    seed: int = between(0, MAX_SEED - 4, 0)
    """First of the five seeds."""
    out: Path = Path("results/theory")
    """Directory for tables and figures."""


def act(command: Theory) -> None:
    """Computes, prints and writes everything.

    Raises:
        UsageError: the directory cannot be written; a `FailureError` if a bound is violated.
    """
    from duopoly.lab.theory.report import report

    report(command.games, command.states, command.seed, command.out)
