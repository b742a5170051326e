"""Records of settings: each field is checked, and any can be changed by its dotted name."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from duopoly.fields import MisfitError, fits, hints_of, nearest, outside, read


class SettingsError(ValueError):
    """A setting has a value that cannot work; the message names it, the value and the way out."""


class Checked:
    """Checks each field against its type and the bounds it was declared with."""

    def __post_init__(self) -> None:
        hints = hints_of(type(self))
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            if not fits(value, hint := hints[field.name]):
                is_plain = typing.get_origin(hint) is None
                kind = hint.__name__ if is_plain else str(hint).removeprefix("typing.")
                raise SettingsError(f"{field.name} = {value!r}: must be {kind}")
            if found := outside(field, value):
                raise SettingsError(f"{field.name} = {value}: must be {found[1]}")


_Record = TypeVar("_Record")


def override(settings: _Record, changes: Mapping[str, Any]) -> _Record:
    """Settings with some values changed, by dotted name: ``{"model.window": 20_000}``.

    Raises:
        SettingsError: a name is unknown, a value is of another type or out of bounds, or the
            settings make no sense together; the message has the full name.
    """
    nested: dict[str, Any] = {}
    for name, value in changes.items():
        *groups, field = str(name).split(".")
        group = nested
        for part in groups:
            group = group.setdefault(part, _Group())
            if not isinstance(group, _Group):
                raise SettingsError(f"{name}: {part} is given as a whole too")
        if field in group:
            raise SettingsError(f"{name}: is given as a whole and in parts")
        group[field] = value
    return override_nested(settings, nested)


class _Group(dict[str, Any]):
    """Changes within a group, told apart from a mapping that was given as a value."""


def override_nested(settings: _Record, changes: object, path: str = "") -> _Record:
    """The same by names within names, as JSON has it: ``{"model": {"window": 20_000}}``.

    Args:
        settings: what keeps its value wherever ``changes`` does not name it.
        changes: what is read.
        path: the full name of ``settings`` with a dot at its end, for messages.

    Raises:
        SettingsError: as `override`.
    """
    if isinstance(changes, type(settings)):
        return changes
    hints = hints_of(type(settings))
    if not isinstance(changes, Mapping):
        name = path.rstrip(".") or "settings"
        raise SettingsError(f"{name} = {changes!r:.80}: must be a group of settings")
    for name in changes:
        if name not in hints:
            raise SettingsError(f"unknown setting {path}{name}{nearest(str(name), hints)}")
    values: dict[str, Any] = {}
    for name, value in changes.items():
        old = getattr(settings, name)
        if dataclasses.is_dataclass(old):
            values[name] = override_nested(old, value, f"{path}{name}.")
            continue
        try:
            values[name] = read(value, hints[name])
        except MisfitError as error:
            raise SettingsError(f"{path}{name} = {error}") from None
    try:
        return dataclasses.replace(settings, **values)  # pyright: ignore[reportArgumentType]
    except SettingsError as error:
        raise SettingsError(f"{path}{error}") from None
