"""The trackers that have a name of their own, and those that a user has written."""

import importlib.util
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from duopoly.fields import nearest
from duopoly.runs.errors import UsageError
from duopoly.runs.trackers.mlflow import MLflow
from duopoly.runs.trackers.tracker import Tracker
from duopoly.runs.trackers.wandb import WandB

TrackerName = Literal["wandb", "mlflow"]


class Row(NamedTuple):
    """How a tracker is made."""

    kind: type[Tracker]
    package: str
    """What it needs, and the extra of the tracker's own name installs."""


CATALOGUE: Final[Mapping[TrackerName, Row]] = {
    "wandb": Row(WandB, "wandb"),
    "mlflow": Row(MLflow, "mlflow"),
}


def make(wanted: str | Tracker | Iterable[str | Tracker]) -> tuple[Tracker, ...]:
    """New trackers by their names; those that are trackers already as they are.

    Raises:
        UsageError: nothing has that name, or its package is not installed.
    """
    if isinstance(wanted, str | Tracker):
        wanted = (wanted,)
    return tuple(one if isinstance(one, Tracker) else _make(one) for one in dict.fromkeys(wanted))


def names_in(recorded: Iterable[str]) -> tuple[TrackerName, ...]:
    """Those of the names above that a run is followed by, from what its record calls them."""
    kinds = set(recorded)
    return tuple(name for name, row in CATALOGUE.items() if row.kind.__name__ in kinds)


def _make(name: str) -> Tracker:
    row = CATALOGUE.get(name)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if row is None:
        known = ", ".join(CATALOGUE)
        raise UsageError(f"no tracker is called {name!r}, only {known}{nearest(name, CATALOGUE)}")
    if importlib.util.find_spec(row.package) is None:
        raise UsageError(f"{row.kind.__name__} is not installed: pip install 'duopoly[{name}]'")
    return row.kind()
