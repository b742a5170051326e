"""Tells several trackers of one run, and keeps their failures from it."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, final

from duopoly.runs.errors import UsageError, tell
from duopoly.runs.metrics import ROUND, STEPS, Metrics, place
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.signals import Stopped
from duopoly.runs.trackers import record
from duopoly.runs.trackers.record import Entry
from duopoly.runs.trackers.tracker import Ending, TrackedRun, Tracker

FILM: Final = ".mp4"


class Tracking(NamedTuple):
    """How a run is followed, beside its own files and TensorBoard."""

    trackers: Sequence[Tracker] = ()
    draw: Callable[[RunDirectory], Path | None] | None = None
    """Draws the learning curve of a run that has come to its end; None: it could not."""


UNTRACKED: Final = Tracking()


@final
class Followers:
    """The trackers of a run; one that has failed is told of nothing more."""

    def __init__(
        self, run: TrackedRun, trackers: Sequence[Tracker], unasked: Sequence[Tracker] = ()
    ) -> None:
        """Takes those that are to follow a run, and those that nobody asked for but may.

        Raises:
            UsageError: two of them have the same name.
            DamageError: what is recorded about them is damaged.
        """
        trackers = [*unasked, *trackers]
        names = [type(tracker).__name__ for tracker in trackers]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two trackers are called {name}: give their classes other names")
        self._run, self._unasked = run, unasked
        self._path = None if run.path is None else RunDirectory(run.path).trackers
        self._entries = record.read(self._path) if self._path else {}
        self._waiting = dict(zip(names, trackers, strict=True))
        self._following: dict[str, Tracker] = {}

    def begin(self, rows: Sequence[Metrics] = ()) -> None:
        """Lets all begin; those that know what they were told before are told the ``rows`` since.

        Raises:
            UsageError: one of them cannot.
        """
        for name, tracker in self._waiting.items():
            before = self._entries.get(name)
            try:
                key = tracker.begin(self._run, before.key if before else None)
            except Exception as error:  # whatever a library raises
                if tracker in self._unasked:
                    self._leave(name, error)
                    continue
                raise UsageError(f"{name} cannot follow the run: {_spell(error)}") from error
            self._following[name] = tracker
            if key is None:
                self._entries.pop(name, None)
                continue
            if not record.KEY.fullmatch(key):
                raise UsageError(f"{name} answered with {key!r}, which is no key")
            self._keep(name, before if before and before.key == key else Entry(key))
            for row in rows:
                if all(math.isfinite(row.get(tag, math.nan)) for tag in (ROUND, STEPS)):
                    self._log(name, row)

    def log(self, metrics: Metrics) -> None:
        """Tells of a round that is on disk."""
        for name in list(self._following):
            self._log(name, metrics)

    def show(self, name: str, file: Path, env_steps: int) -> None:
        """Shows a picture, or a film where it is an mp4 file."""

        def use(tracker: Tracker) -> None:
            show = tracker.film if file.suffix.lower() == FILM else tracker.picture
            show(name, file, env_steps)

        for follower in list(self._following):
            self._guarded(follower, use)

    def end(self, ending: Ending) -> None:
        """Tells all how it ended, once."""
        for name in list(self._following):
            self._guarded(name, lambda tracker: tracker.end(ending))
        self._following = {}

    def _log(self, name: str, metrics: Metrics) -> None:
        """Tells a tracker of a round, unless it has been told before."""
        number, entry = int(metrics[ROUND]), self._entries.get(name)
        if entry and number <= entry.rounds:
            return
        known = {tag: float(value) for tag, value in metrics.items() if not math.isnan(value)}
        where = place(int(metrics[STEPS]), number)
        told = self._guarded(name, lambda tracker: tracker.log(known, where))
        if told and entry:
            self._keep(name, entry._replace(rounds=number))

    def _keep(self, name: str, entry: Entry) -> None:
        self._entries[name] = entry
        if self._path:
            record.write(self._path, self._entries)

    def _guarded(self, name: str, use: Callable[[Tracker], None]) -> bool:
        """Whether a tracker took it; one that did not is left alone from here on."""
        tracker = self._following.get(name)
        if tracker is None:
            return False
        try:
            use(tracker)
        except Exception as error:  # whatever a library raises
            del self._following[name]
            self._leave(name, error)
            return False
        return True

    def _leave(self, name: str, error: Exception) -> None:
        tell(f"duopoly: {name} does not follow {self._run.title} from here on: {_spell(error)}")


@contextlib.contextmanager
def followed(
    run: TrackedRun,
    trackers: Sequence[Tracker],
    unasked: Sequence[Tracker] = (),
    rows: Sequence[Metrics] = (),
) -> Iterator[Followers]:
    """Yields the trackers of a run once they have begun, and ends them as the run ends.

    Args:
        run: as it stands.
        trackers: all of which must follow it.
        unasked: those that need not; where one cannot, that is told.
        rows: the metrics of each round so far, as far as they are known.

    Raises:
        UsageError: one of the ``trackers`` cannot follow it.
    """
    followers = Followers(run, trackers, unasked)
    try:
        followers.begin(rows)
        yield followers
    except (Stopped, KeyboardInterrupt, BrokenPipeError):
        followers.end("stopped")
        raise
    except BaseException:
        followers.end("failed")
        raise
    followers.end("finished")


def _spell(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UsageError) else f"{type(error).__name__}: {text:.300}"
