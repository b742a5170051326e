"""What is kept of a run beside the runs themselves: small files, of which tables and figures are
made."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from duopoly.runs import atomic
from duopoly.runs.config import FORMAT, RunConfig, difference, extended
from duopoly.runs.errors import DamageError, UsageError
from duopoly.runs.provenance import version

KEPT: Final[Mapping[str, str]] = {
    "settings.json": "settings.json",
    "versions.json": "versions.json",
    "progress.csv": "progress.csv",
    "best/evaluation.json": "best.json",
    "evaluation.json": "evaluation.json",
}
"""Of a run's files, by what they are called where they are kept, in the order in which they are
written: what the policy does that did best in training, and what the last one does. By the last
file all is known to be there.
"""

_MAX_BYTES: Final = 2**30


def keep(run: Path, folder: Path) -> None:
    """Copies the small files of a run that is finished and evaluated.

    Raises:
        DamageError: one is missing, or cannot be written.
    """
    atomic.make_folder(folder)
    for file, called in KEPT.items():
        atomic.write_file(folder / called, atomic.read_regular(run / file, _MAX_BYTES))


def is_kept(folder: Path, config: RunConfig, num_episodes: int) -> bool:
    """Whether a run is there, played to its end, with an evaluation over so many episodes.

    Raises:
        UsageError: what is there was played differently, for longer, or in another version of the
            simulator.
    """
    if not (folder / "settings.json").exists():
        return False
    there, wanted = _record(folder), {**config.to_dict(), "mujoco": version("mujoco")}
    grown = extended(there, wanted) if there.get("format") == FORMAT else there
    if found := difference(grown, wanted):
        raise UsageError(
            f"{folder} holds what was played differently: {found}; move it away, or give another "
            "--results"
        )
    evaluation = folder / "evaluation.json"
    if grown != there or not atomic.exists(evaluation):
        return False
    return read(evaluation).get("num_episodes") == num_episodes


def check_alike(folders: Sequence[Path]) -> None:
    """Refuses to pool seeds that differ in settings, length, format or the simulator's version.

    Raises:
        UsageError: naming the first difference.
    """
    records = [{**_record(folder), "seed": None} for folder in folders]
    for folder, record in zip(folders[1:], records[1:], strict=True):
        if found := difference(records[0], record):
            raise UsageError(f"{folder} is not played as {folders[0]} is: {found}")


def seeds_in(folder: Path) -> list[Path]:
    """The folders of a study's seeds, in their order."""
    return sorted(folder.glob("seed_*"), key=lambda path: int(path.name[5:]))


def format_of(folder: Path) -> object:
    """The version of what was played there."""
    return _record(folder).get("format")


def read(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DamageError: there is none.
    """
    try:
        data = atomic.read_regular(path, atomic.MAX_JSON_BYTES)
        values = atomic.load_json(data, path.name)
    except DamageError as error:
        raise DamageError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise DamageError(f"{path}: holds no record")
    return values


def _record(folder: Path) -> dict[str, Any]:
    """What was played, and in which version of the simulator.

    Settings that came since have their defaults; of another format all is as it stands there.
    """
    path = folder / "settings.json"
    config, versions = read(path), read(folder / "versions.json")
    if config.get("format") == FORMAT:
        try:
            config = RunConfig.from_dict(config).to_dict()
        except DamageError as error:
            raise DamageError(f"{path}: {error}") from None
    return {**config, "mujoco": versions.get("mujoco")}
