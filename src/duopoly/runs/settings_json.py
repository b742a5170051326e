"""Settings as JSON values and back, strictly: what is read is what was written, or an error."""

import dataclasses
from typing import Any

from duopoly.records import override_nested
from duopoly.settings import Settings


def to_dict(settings: Settings) -> dict[str, Any]:
    """Settings as nested dictionaries of JSON values; tuples become lists."""
    return _to_plain(settings)


def from_dict(values: object) -> Settings:
    """Settings from what `to_dict` gave; a field that is absent keeps its default.

    Strict: an unknown field, a value of another type (``1.7`` or ``"1e-3"`` for a number of
    steps), a NaN or a value out of bounds raises `SettingsError` with the field's full name.
    """
    return override_nested(Settings(), values)


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_to_plain(item) for item in value] if isinstance(value, tuple) else value
