"""Settings as JSON values and back, strictly: what is read is what was written, or an error."""

import dataclasses
import math
import typing
from typing import Any, Literal, TypeVar

from duopoly.runs.errors import nearest
from duopoly.settings import Settings, SettingsError


def to_dict(settings: Settings) -> dict[str, Any]:
    """Settings as nested dictionaries of JSON values; tuples become lists."""
    return _to_plain(settings)


def from_dict(values: object) -> Settings:
    """Settings from what `to_dict` gave; a field that is absent keeps its default.

    Strict: an unknown field, a value of another type (``1.7`` or ``"1e-3"`` for a number of
    steps), a NaN or a value out of bounds raises `SettingsError` with the field's full name.
    """
    return _read_record(Settings, values, "")


def type_hints(record: type) -> dict[str, Any]:
    """The type of each field of a dataclass of settings, with annotations resolved."""
    hints = typing.get_type_hints(record)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_to_plain(item) for item in value] if isinstance(value, tuple) else value


_Record = TypeVar("_Record")


def _read_record(record: type[_Record], values: object, path: str) -> _Record:
    hints = type_hints(record)
    if not isinstance(values, dict):
        name = path.rstrip(".") or "settings"
        raise SettingsError(f"{name} = {values!r}: must be a group of settings")
    for name in values:
        if name not in hints:
            raise SettingsError(f"unknown setting {path}{name}{nearest(str(name), hints)}")
    try:
        return record(
            **{name: read_value(hints[name], value, path + name) for name, value in values.items()}
        )
    except _NamedError:
        raise
    except SettingsError as error:
        raise _NamedError(f"{path}{error}") from None


class _NamedError(SettingsError):
    """A settings error whose message already carries the field's full name."""


def read_value(hint: Any, value: object, path: str) -> Any:
    """The JSON value ``value`` as the type ``hint`` of the field ``path``, or `SettingsError`."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _read_record(hint, value, path + ".")
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(read_value(typing.get_args(hint)[0], item, path) for item in value)
    if typing.get_origin(hint) is Literal:
        if value in typing.get_args(hint):
            return value
        choices = typing.get_args(hint)
        raise _NamedError(
            f"{path} = {value!r}: must be one of {', '.join(map(str, choices))}"
            + nearest(str(value), map(str, choices))
        )
    if hint is float and type(value) in (int, float) and math.isfinite(value):  # pyright: ignore
        return float(value)  # pyright: ignore[reportArgumentType]
    if hint in (int, bool, str) and type(value) is hint:
        return value
    raise _NamedError(f"{path} = {value!r}: must be {_describe(hint)}")


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is tuple:
        return f"a list, each {_describe(typing.get_args(hint)[0])}"
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}
    return names.get(hint, str(hint))
