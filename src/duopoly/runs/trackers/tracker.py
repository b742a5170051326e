"""What a tracker is, and what it is told of a run."""

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from duopoly.runs.config import RunConfig

Plain = bool | int | float | str

Ending = Literal["finished", "stopped", "failed"]
"""How a run came to its end: by itself, by a signal or the caller, by an error."""


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """A run as it is when a tracker begins to follow it."""

    title: str
    """Task, algorithm and seed, for people."""
    settings: Mapping[str, Plain]
    """What makes the run the run it is, by dotted name: ``model.window``, and ``task``,
    ``algorithm``, ``seed``, ``steps``. Several values are one text, as they are typed."""
    env_steps: int = 0
    """Real environment steps made before."""
    path: Path | None = None
    """Run directory; None: nothing of the run is kept."""


class Tracker(abc.ABC):
    """Follows one run: `begin`, then metrics, pictures and films as they come, and `end`.

    A method may raise whatever it likes. From `begin` that is an error before anything is trained;
    later it is told in one line, and the tracker is left alone.
    """

    @abc.abstractmethod
    def begin(self, run: TrackedRun, key: str | None) -> str | None:
        """Begins to follow a run, or goes on with that.

        Args:
            run: as it stands.
            key: what an earlier `begin` returned for this run directory, if any.

        Returns:
            A name of at most 128 letters, digits, ``-`` and ``_`` by which a later process goes on
            in the same record: every round is then told once, those missed in between at the
            beginning. None: there is no such record, and what is played is told.
        """

    @abc.abstractmethod
    def log(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """A round is over and on disk, after so many real environment steps.

        ``metrics`` has those that are known this round, by the names of ``progress.csv``.
        """

    @abc.abstractmethod
    def picture(self, name: str, file: Path, env_steps: int) -> None:
        """A picture was drawn: a file that ends in .png, .jpg, .jpeg or .webp."""

    @abc.abstractmethod
    def film(self, name: str, file: Path, env_steps: int) -> None:
        """A film was made: an mp4 file."""

    @abc.abstractmethod
    def end(self, ending: Ending) -> None:
        """The run is over, or nothing more is told of it."""


def tracked(config: RunConfig, env_steps: int = 0, path: Path | None = None) -> TrackedRun:
    """A run as trackers see it."""
    record = config.to_dict()
    del record["format"]
    title = f"{config.task} {config.algorithm} seed {config.seed}"
    return TrackedRun(title, {**_flat(record.pop("settings")), **_flat(record)}, env_steps, path)


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Plain]:
    flat: dict[str, Plain] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            flat[prefix + name] = " ".join(map(str, value))
        else:
            flat[prefix + name] = "none" if value is None else value
    return flat
