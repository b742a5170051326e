"""``trackers.json``: where each tracker of a run has its record, and what it has been told.

Only names that lead nowhere by themselves are kept, never an address.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from duopoly.runs import atomic
from duopoly.runs.config import MAX_STEPS
from duopoly.runs.errors import DamageError

KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Entry(NamedTuple):
    """A tracker's record of a run."""

    key: str
    """By which the tracker finds it again."""
    rounds: int = 0
    """How many it has been told."""


def read(path: Path) -> dict[str, Entry]:
    """Entries by the tracker's name; none where there is no file.

    Raises:
        DamageError: what is there is no such record.
    """
    if not atomic.exists(path):
        return {}
    try:
        data = atomic.read_regular(path, atomic.MAX_JSON_BYTES)
        values = atomic.load_json(data, path.name)
        if not isinstance(values, dict):
            raise DamageError("holds no record")
        return {name: _entry(name, value) for name, value in values.items()}
    except DamageError as error:
        raise DamageError(
            f"{path}: {error}; move it away, and trackers begin records of their own anew"
        ) from None


def write(path: Path, entries: Mapping[str, Entry]) -> None:
    """Writes what `read` gives back."""
    atomic.write_file(path, atomic.dump_json({k: v._asdict() for k, v in entries.items()}))


def _entry(name: str, value: Any) -> Entry:
    if not name.isidentifier() or not isinstance(value, dict) or set(value) != {"key", "rounds"}:
        raise DamageError(f"{ascii(name)[:60]} is no tracker's entry")
    key, rounds = value["key"], value["rounds"]
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise DamageError(f"{name}.key = {ascii(key)[:60]}: is no key")
    if type(rounds) is not int or not 0 <= rounds <= MAX_STEPS:
        raise DamageError(f"{name}.rounds = {ascii(rounds)[:60]}: is no number of rounds")
    return Entry(key, rounds)
