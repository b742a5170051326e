"""Fields of records: what each may hold, by its declared type and bounds, and reading it.

There is one reader for what is typed, for JSON and for what Python hands over. Pure Python on
purpose: the command line reads and checks before JAX is imported.
"""

import builtins
import contextlib
import dataclasses
import difflib
import functools
import math
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal


class MisfitError(ValueError):
    """A value is not of the declared type."""

    def __init__(self, value: object, wanted: str) -> None:
        super().__init__(f"{value!r}: must be {wanted}")
        self.wanted = wanted
        """What the value must be, in words."""


MAX_WHOLE = 2**31 - 1
"""Largest whole number where nothing else is said: what 32 bits hold."""


def at_least(low: float, default: Any) -> Any:
    """A field whose numbers have a lower bound; whole ones are at most `MAX_WHOLE`, too."""
    return dataclasses.field(default=default, metadata={"low": low})


def between(low: float, high: float, default: Any) -> Any:
    """A field whose numbers have two bounds, both of them allowed."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def outside(field: dataclasses.Field[Any], value: Any) -> tuple[Any, str] | None:
    """The first number of a value that is out of its field's bounds, and where it must be."""
    if "low" not in field.metadata:
        return None
    low, high = field.metadata["low"], field.metadata.get("high")
    for item in value if isinstance(value, tuple) else (value,):
        most = high if high is not None else MAX_WHOLE if isinstance(item, int) else math.inf
        if not (low <= item <= most):  # also catches NaN
            if high is not None:
                return item, f"in [{_spell(low)}, {_spell(high)}]"
            return item, f"at most {_spell(most)}" if item > most else f"at least {_spell(low)}"
    return None


@functools.cache
def hints_of(record: type) -> Mapping[str, Any]:
    """The declared type of each field of a dataclass by name; of ``X | None`` that is X."""
    hints = typing.get_type_hints(record)
    return {field.name: _without_none(hints[field.name]) for field in dataclasses.fields(record)}


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of a declared type; a whole number may stand for a real one."""
    match typing.get_origin(hint):
        case builtins.tuple:
            item = typing.get_args(hint)[0]
            return isinstance(value, tuple) and value != () and all(fits(v, item) for v in value)
        case typing.Literal:
            return value in typing.get_args(hint)
    if hint in (int, float):
        return isinstance(value, hint | int) and not isinstance(value, bool)
    return isinstance(value, hint)


def read(value: object, hint: Any) -> Any:
    """A value as JSON or Python has it, as one of the declared type: a list becomes a tuple.

    Raises:
        MisfitError: it is of another type, or a number that is not finite.
    """
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(read(item, typing.get_args(hint)[0]) for item in value)
    if fits(value, hint):
        with contextlib.suppress(OverflowError):  # of a whole number too large for a real one
            found: Any = float(value) if hint is float else value  # pyright: ignore
            if not isinstance(found, float) or math.isfinite(found):
                return found
    raise MisfitError(value, _describe(hint) + _near(value, hint))


def read_word(word: str, hint: Any) -> Any:
    """A word as it is typed, as a value of the declared type.

    Raises:
        MisfitError: it does not spell one.
    """
    value: object = word
    if hint in (int, float, Path):
        with contextlib.suppress(ValueError):  # `read` says what it must be
            value = hint(word)
    return read(value, hint)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as ``; did you mean 'pal'?``, or nothing where nothing is near."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    return f"; did you mean {lower[close[0]]!r}?" if close else ""


def _spell(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    return hint


def _describe(hint: Any) -> str:
    match typing.get_origin(hint):
        case builtins.tuple:
            return f"a list, each {_describe(typing.get_args(hint)[0])}"
        case typing.Literal:
            return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    return _NAMES.get(hint, str(hint))


_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}


def _near(value: object, hint: Any) -> str:
    is_choice = typing.get_origin(hint) is Literal
    return nearest(str(value), map(str, typing.get_args(hint))) if is_choice else ""
