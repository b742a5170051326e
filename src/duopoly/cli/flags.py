"""What was typed, checked word by word against a command's fields: one line names any mistake."""

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from duopoly.fields import nearest
from duopoly.runs.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Typed:
    """The words of a command line, sorted but not yet merged with defaults."""

    positionals: tuple[str, ...]
    flags: dict[str, Any]
    """Values of the flags that were given, by dotted field name such as ``model.batch_size``."""


@dataclasses.dataclass(frozen=True)
class Flag:
    """What a flag takes."""

    hint: Any
    low: float
    high: float

    def check(self, typed: str, value: Any) -> None:
        """Refuses a number out of bounds; of a tuple, any of its numbers."""
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, int | float) and not (self.low <= item <= self.high):
                room = f"at least {_spell(self.low)}"
                if self.high != math.inf:
                    room = f"in [{_spell(self.low)}, {_spell(self.high)}]"
                raise UsageError(f"{typed} {item}: must be {room}")


def read_flags(words: list[str], command: type) -> Typed:
    """Sorts and converts the words that follow a command's name.

    Raises:
        UsageError: for the first word that is no flag of the command or no value of its flag.
    """
    known = flags_of(command)
    positionals: list[str] = []
    given: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            typed, name, values = _read_flag(word, rest, known)
            given[name] = _convert(typed, known[name].hint, values)
            known[name].check(typed, given[name])
        else:
            positionals.append(word)
    _check_positionals(positionals, command, given)
    return Typed(tuple(positionals), given)


def flags_of(record: type, prefix: str = "") -> dict[str, Flag]:
    """All flags of a command, by dotted field name; positionals are none."""
    found: dict[str, Flag] = {}
    for field, hint in _fields(record):
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            inner = "" if field.name == "settings" else f"{prefix}{field.name}."
            found |= flags_of(hint, inner)
        elif not _is_positional(field, record):
            low = field.metadata.get("low", -math.inf)
            high = field.metadata.get("high", math.inf)
            found[prefix + field.name] = Flag(_without_none(hint), low, high)
    return found


def flag_name(field: str) -> str:
    """How a field is typed: ``model.batch_size`` becomes ``--model.batch-size``."""
    return "--" + field.replace("_", "-")


def _fields(record: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(record)
    return [(field, hints[field.name]) for field in dataclasses.fields(record)]


def _is_positional(field: dataclasses.Field[Any], record: type) -> bool:
    hint = typing.get_type_hints(record, include_extras=True)[field.name]
    return "Positional" in str(hint)


def _read_flag(word: str, rest: list[str], known: dict[str, Flag]) -> tuple[str, str, list[str]]:
    """A flag as typed, its field name and its values, which are taken off ``rest``."""
    typed, equals, value = word.partition("=")
    name = typed.removeprefix("--").replace("-", "_")
    if not typed.startswith("--") or name not in known:
        raise UsageError(f"unknown flag {typed}{nearest(typed, map(flag_name, known))}")
    hint = known[name].hint
    if equals:
        return typed, name, [value]
    if hint is bool:
        return typed, name, []
    num_values = len(rest) if typing.get_origin(hint) is tuple else 1
    values: list[str] = []
    while rest and len(values) < num_values and not rest[0].startswith("--"):
        values.append(rest.pop(0))
    if not values:
        raise UsageError(f"{typed} needs a value")
    return typed, name, values


def _convert(flag: str, hint: Any, values: list[str]) -> Any:
    if hint is bool:
        if values:
            raise UsageError(f"{flag} takes no value, got {values[0]!r}")
        return True
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_convert(flag, item, [value]) for value in values)
    if typing.get_origin(hint) is Literal:
        return _choose(flag, typing.get_args(hint), values[0])
    converter, what = _CONVERTERS[hint]
    try:
        return converter(values[0])
    except ValueError:
        raise UsageError(f"{flag} {values[0]!r}: must be {what}") from None


def _spell(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _choose(flag: str, choices: tuple[str, ...], value: str) -> str:
    if value in choices:
        return value
    hint = nearest(value, choices)
    raise UsageError(f"{flag} {value!r}: must be one of {', '.join(choices)}{hint}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_CONVERTERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "a whole number"),
    float: (_finite, "a finite number"),
    str: (str, "text"),
    Path: (Path, "a path"),
}


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    return hint


def _check_positionals(words: list[str], command: type, given: dict[str, Any]) -> None:
    fields = [(f, hint) for f, hint in _fields(command) if _is_positional(f, command)]
    num_required = sum(f.metadata.get("unless") not in given for f, _ in fields)
    if len(words) < num_required:
        raise UsageError(f"{fields[len(words)][0].name.upper()} is missing; see --help")
    many = any(typing.get_origin(hint) is tuple for _, hint in fields)
    if len(words) > len(fields) and not many:
        raise UsageError(f"unexpected argument {words[len(fields)]!r}; see --help")
