"""A sweep's file: tasks × algorithms × policy players × variants, each over the same seeds.

    tasks = ["Hopper-v5", "Walker2d-v5"]
    algorithms = ["pal", "mal"]      # without it: pal
    improvers = ["npg", "svg"]       # without it: the preset's
    seeds = "0-4"                    # this is what it is without it
    steps = 50_000                   # without it: the preset's
    perturb = ["forearm@10000"]
    data = ["log.npz"]               # logged transitions to begin with; then steps may be 0

    [settings]                       # of all runs
    model.window = 20_000

    [variants.short]                 # one more axis: what each changes
    imagination.horizon = 50

It is TOML; nothing in it is run.
"""

import itertools
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from duopoly.fields import nearest
from duopoly.runs.atomic import MAX_JSON_BYTES, read_regular
from duopoly.runs.config import MAX_STEPS, read_seeds
from duopoly.runs.errors import DamageError, UsageError
from duopoly.schedule import AlgorithmName
from duopoly.settings import Improver
from duopoly.sweep.study import SEEDS, Study

KEYS: Final = ("tasks", "algorithms", "improvers", "seeds", "steps", "perturb", "data")
TABLES: Final = ("settings", "variants")

_VARIANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Grid(NamedTuple):
    """A sweep's file as read."""

    path: Path
    lines: Mapping[tuple[str, ...], int]
    """Where each key stands, counted from 1."""
    studies: Sequence[Study]

    def blame(self, study: Study, error: Exception) -> UsageError:
        """The error of a study of this file, with the line and the key that it speaks of."""
        said = str(error)
        words: dict[tuple[str, ...], tuple[str, ...]] = {
            ("steps",): ("--steps",),
            ("perturb",): ("--perturb",),
        }
        for key in self.lines:
            setting = ".".join(key[1:] if key[0] == "settings" else key[2:])
            if key[0] in TABLES and setting:
                words[key] = (setting, "--" + setting.replace("_", "-"))
        for key, spellings in (*words.items(), (("tasks",), (study.task,))):
            if key in self.lines and any(word in said for word in spellings):
                return self.blame_key(key, error)
        return UsageError(f"{self.path}, {study.name}: {said}")

    def blame_key(self, key: tuple[str, ...], error: Exception) -> UsageError:
        """The error of what a key of this file holds, with its line."""
        return UsageError(f"{_at(self.path, self.lines, key)}: {error}")


def read_grid(path: Path) -> Grid:
    """Reads a sweep's file.

    Raises:
        UsageError: it is none; the line and the key are named.
    """
    try:
        text = read_regular(path, MAX_JSON_BYTES).decode()
        values = tomllib.loads(text)
    except (DamageError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    lines = dict(_lines(text))
    for key in values:
        if key not in (*KEYS, *TABLES):
            known = nearest(key, (*KEYS, *TABLES))
            raise UsageError(f"{_at(path, lines, (key,))}: no key of a sweep{known}")
    try:
        return Grid(path, lines, list(_studies(values)))
    except _MisfitError as error:
        raise UsageError(f"{_at(path, lines, error.key)}: {error}") from None


class _MisfitError(ValueError):
    """A key holds what it cannot."""

    def __init__(self, key: tuple[str, ...], text: str) -> None:
        super().__init__(text)
        self.key = key


def _studies(values: Mapping[str, Any]) -> Iterator[Study]:
    if "tasks" not in values:
        raise _MisfitError(("tasks",), "is missing: which tasks are played?")
    tasks = _texts(values, "tasks")
    algorithms = _texts(values, "algorithms", typing.get_args(AlgorithmName)) or ("pal",)
    improvers = _texts(values, "improvers", typing.get_args(Improver)) or (None,)
    perturb = _texts(values, "perturb")
    data = _texts(values, "data")
    steps, least = values.get("steps"), 0 if data else 1
    if steps is not None and (type(steps) is not int or not least <= steps <= MAX_STEPS):
        raise _MisfitError(("steps",), f"{steps!r} is no whole number of at least {least}")
    seeds = SEEDS
    if "seeds" in values:
        try:
            seeds = read_seeds(str(values["seeds"]), "seeds")
        except UsageError as error:
            raise _MisfitError(("seeds",), str(error)) from None
    common = _settings(values, "settings")
    variants = _table(values, "variants")
    changes = {name: _settings(variants, name, "variants") for name in variants} or {"": {}}
    for task, algorithm, improver, variant in itertools.product(
        tasks, algorithms, improvers, changes
    ):
        chosen = {} if improver is None else {"policy.improver": improver}
        yield Study(
            task,
            "-".join(part for part in (algorithm, improver, variant) if part),
            algorithm,
            steps,
            chosen | common | changes[variant],
            perturb,
            seeds,
            data,
        )


def _texts(
    values: Mapping[str, Any], key: str, known: Sequence[str] | None = None
) -> tuple[str, ...]:
    """A list of texts, each there once; one text alone is a list of one."""
    found = values.get(key, [])
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise _MisfitError((key,), f"{found!r} is no list of texts")
    if key in values and not found:
        raise _MisfitError((key,), "is empty")
    for place, text in enumerate(found):
        if known is not None and text not in known:
            wanted = f"must be one of {', '.join(known)}{nearest(text, known)}"
            raise _MisfitError((key,), f"{text!r}: {wanted}")
        if text in found[:place]:
            raise _MisfitError((key,), f"{text!r} stands there twice")
    return tuple(found)


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key, {})
    if not isinstance(found, dict):
        raise _MisfitError((key,), "is no table")
    for name in found if key == "variants" else ():
        if not _VARIANT.fullmatch(name):
            raise _MisfitError((key, name), "a variant's name has letters, digits, '.', '_', '-'")
    return found


def _settings(values: Mapping[str, Any], name: str, *above: str) -> dict[str, Any]:
    """A table of settings by dotted name, however its tables are nested."""
    flat: dict[str, Any] = {}

    def add(table: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for key, value in table.items():
            here = (*path, *key.split("."))
            if isinstance(value, dict):
                add(value, here)
            elif isinstance(value, str | int | float | bool | list):
                flat[".".join(here)] = value
            else:
                key = (*above, name, *here)
                raise _MisfitError(key, f"{value!r} is no value of a setting")

    found = values.get(name, {})
    if not isinstance(found, dict):
        raise _MisfitError((*above, name), "is no table of settings")
    add(found, ())
    return flat


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where each key and each table stands: TOML's own reader does not tell."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            header = stripped.partition("#")[0].strip().strip("[]")
            table = _keys(header)
            yield table, number
        elif "=" in stripped and (keys := _keys(stripped.partition("=")[0])):
            yield (*table, *keys), number


def _keys(text: str) -> tuple[str, ...]:
    """The parts of a dotted key; none where it is no key."""
    try:
        value: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    keys: list[str] = []
    while isinstance(value, dict):
        key, value = next(iter(value.items()))
        keys += key.split(".")
    return tuple(keys)


def _at(path: Path, lines: Mapping[tuple[str, ...], int], key: tuple[str, ...]) -> str:
    line = lines.get(key)
    return f"{path}{f', line {line}' if line else ''}, {'.'.join(key)}"
