"""The words that follow a command's name, read by the fields of its record.

A field without a default is a positional; every other is a flag, and those of nested records have
dotted names. One line names any mistake.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from duopoly.fields import MisfitError, hints_of, nearest, outside, read_word
from duopoly.records import override
from duopoly.runs.errors import UsageError


class MissingError(UsageError):
    """A word that a command needs was not typed."""


@dataclasses.dataclass(frozen=True)
class Typed:
    """What was typed, as values of the declared types; what was not typed is absent."""

    positionals: dict[str, Any]
    """By the name of the field."""
    flags: dict[str, Any]
    """By dotted field name, such as ``model.batch_size``."""


class Flag(NamedTuple):
    """What a flag takes."""

    field: dataclasses.Field[Any]
    hint: Any


_Record = TypeVar("_Record")


def read_flags(words: list[str], command: type) -> Typed:
    """Sorts and converts the words that follow a command's name.

    Raises:
        UsageError: for the first word that is no flag of the command or no value of its flag;
            a `MissingError` where one is not there.
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
            if found := outside(known[name].field, given[name]):
                raise UsageError("{} {}: must be {}".format(typed, *found))
        else:
            positionals.append(word)
    return Typed(_read_positionals(positionals, command, given), given)


def build(default: _Record, given: Mapping[str, Any]) -> _Record:
    """A command with the flags that were given in place of its defaults.

    Raises:
        SettingsError: settings that make no sense together.
    """
    own = {name: value for name, value in given.items() if "." not in name}
    if dotted := {name: value for name, value in given.items() if "." in name}:
        own["settings"] = override(vars(default)["settings"], dotted)
    return dataclasses.replace(default, **own)  # pyright: ignore[reportArgumentType]


def flags_of(record: type, prefix: str = "") -> dict[str, Flag]:
    """All flags of a command, by dotted field name; those of its settings go without a prefix."""
    found: dict[str, Flag] = {}
    for field in dataclasses.fields(record):
        hint = hints_of(record)[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            inner = "" if field.name == "settings" else f"{prefix}{field.name}."
            found |= flags_of(hint, inner)
        elif field.default is not dataclasses.MISSING:
            found[prefix + field.name] = Flag(field, hint)
    return found


def flag_name(field: str) -> str:
    """How a field is typed: ``model.batch_size`` becomes ``--model.batch-size``."""
    return "--" + field.replace("_", "-")


_NO: Final = "\0"
"""What ``--no-x`` says, which no word can."""


def _read_flag(word: str, rest: list[str], known: dict[str, Flag]) -> tuple[str, str, list[str]]:
    """A flag as typed, its field name and its values, which are taken off ``rest``."""
    typed, equals, value = word.partition("=")
    name = typed.removeprefix("--").replace("-", "_")
    group, dot, last = name.rpartition(".")
    positive = group + dot + last.removeprefix("no_")
    if name not in known and positive in known and known[positive].hint is bool and not equals:
        return typed, positive, [_NO]
    if not typed.startswith("--") or name not in known:
        raise UsageError(f"unknown flag {typed}{nearest(typed, map(flag_name, known))}")
    hint = known[name].hint
    if equals:
        return typed, name, [value]
    if hint is bool:
        return typed, name, []
    num_values = len(rest) if _is_many(hint) else 1
    values: list[str] = []
    while rest and len(values) < num_values and not rest[0].startswith("--"):
        values.append(rest.pop(0))
    if not values:
        raise UsageError(f"{typed} needs a value")
    return typed, name, values


def _read_positionals(words: list[str], command: type, given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rest = words
    for field in dataclasses.fields(command):
        if field.default is not dataclasses.MISSING:
            continue
        hint, shown = hints_of(command)[field.name], field.name.upper()
        num_taken = len(rest) if _is_many(hint) else 1
        taken, rest = rest[:num_taken], rest[num_taken:]
        if taken:
            found[field.name] = _convert(shown, hint, taken)
        elif field.metadata.get("unless") not in given:
            raise MissingError(f"{shown} is missing; see --help")
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}; see --help")
    return found


def _convert(typed: str, hint: Any, words: list[str]) -> Any:
    if hint is bool:
        if words == [_NO]:
            return False
        if words:
            raise UsageError(f"{typed} takes no value, got {words[0]!r}")
        return True
    if _is_many(hint):
        return tuple(_convert(typed, typing.get_args(hint)[0], [word]) for word in words)
    try:
        return read_word(words[0], hint)
    except MisfitError as error:
        raise UsageError(f"{typed} {words[0]!r}: must be {error.wanted}") from None


def _is_many(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple
