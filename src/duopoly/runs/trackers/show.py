"""Pictures and films of a run, shown with its metrics wherever these are followed."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, get_args

from duopoly.runs import atomic
from duopoly.runs.errors import DamageError, UsageError, tell
from duopoly.runs.metrics import ROUND, STEPS, place, read_progress
from duopoly.runs.rundir import RunDirectory, locked
from duopoly.runs.trackers import catalogue, record, tensorboard
from duopoly.runs.trackers.follow import FILM, followed
from duopoly.runs.trackers.tracker import Ending, Tracker, tracked

_PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp")


def show(run: RunDirectory, files: Mapping[str, Path]) -> None:
    """Adds pictures and films, by name, to each record that there is of a run.

    Drawings that are no pixels are left out, and a saved agent has no records. What cannot be
    shown is told.
    """
    shown = {name: file for name, file in files.items() if _is_shown(file)}
    try:
        last = [{}, *read_progress(run.progress)][-1]
        steps, number = (last.get(tag, math.nan) for tag in (STEPS, ROUND))
        if shown and math.isfinite(steps) and math.isfinite(number):
            with locked(run):
                for tracker in _trackers(run):
                    _show(run, tracker, shown, place(int(steps), int(number)))
    except UsageError as error:
        tell(f"duopoly: {', '.join(shown)}: not shown with the metrics: {error}")


def _is_shown(file: Path) -> bool:
    return file.suffix.lower() in (*_PICTURES, FILM)


def _trackers(run: RunDirectory) -> Iterator[Tracker]:
    """Those that follow a run."""
    if any(run.path.glob(tensorboard.PATTERN)):
        yield tensorboard.TensorBoard()
    for name in catalogue.names_in(record.read(run.trackers)):
        try:
            yield from catalogue.make(name)
        except UsageError as error:
            tell(f"duopoly: {error}")


def _show(run: RunDirectory, tracker: Tracker, files: Mapping[str, Path], env_steps: int) -> None:
    try:
        with followed(tracked(run.read_config(), env_steps, run.path), [tracker]) as followers:
            for name, file in files.items():
                followers.show(name, file, env_steps)
            followers.end(_ending(run))
    except UsageError as error:
        tell(f"duopoly: {error}")


def _ending(run: RunDirectory) -> Ending:
    """How the run ended; what was killed has failed."""
    try:
        data = atomic.read_regular(run.status, atomic.MAX_JSON_BYTES)
        status = atomic.load_json(data, run.status.name)
    except DamageError:
        return "failed"
    state = status.get("state") if isinstance(status, dict) else None
    return next((ending for ending in get_args(Ending) if ending == state), "failed")
