"""Settings narrowed to what a compiled function reads: no other setting compiles it anew."""

import dataclasses
import functools
import threading
from typing import Any, Final, TypeVar

from duopoly.settings import SettingsError

_AnySettings = TypeVar("_AnySettings")

_LOCK: Final = threading.Lock()
"""Two threads that ask for the same class at once must not get one each: they would be unequal."""


def narrow(settings: _AnySettings, names: tuple[str, ...]) -> _AnySettings:
    """Returns settings of which only the named fields can be read; to read another is an error.

    They are equal, and hash alike, where those fields are: a function that is compiled for each
    value of a static argument is compiled again for these alone. What needs all fields, such as
    `dataclasses.replace`, is an error too.

    Args:
        settings: a frozen dataclass of settings, possibly of groups of them.
        names: of fields, with dots into groups, such as ``policy.discount``; a group's own name
            stands for all of it.

    Raises:
        SettingsError: there is no field of such a name.
    """
    inner: dict[str, list[str]] = {}
    for name in names:
        head, _, rest = name.partition(".")
        inner.setdefault(head, []).append(rest)
    with _LOCK:
        kind = _narrowed(type(settings), tuple(sorted(inner)))
    found = object.__new__(kind)
    for head, rests in inner.items():
        value: Any = getattr(settings, head)
        if "" not in rests:
            if not dataclasses.is_dataclass(value):
                raise SettingsError(f"{type(settings).__name__}.{head} has no field {min(rests)}")
            value = narrow(value, tuple(rests))
        object.__setattr__(found, head, value)  # checked when it was made
    return found


@functools.cache
def _narrowed(kind: type[_AnySettings], names: tuple[str, ...]) -> type[_AnySettings]:
    """Returns a subclass of a settings' class that has the named fields alone."""
    fields = [field.name for field in dataclasses.fields(kind)]  # pyright: ignore
    if unknown := set(names) - set(fields):
        raise SettingsError(f"{kind.__name__} has no field {min(unknown)}")

    def refuse(name: str) -> property:
        def read(_: Any) -> Any:
            raise SettingsError(f"{name}: a compiled function does not say that it reads it")

        return property(read)

    def values(one: Any) -> tuple[Any, ...]:
        return tuple(getattr(one, name) for name in names)

    members: dict[str, Any] = {name: refuse(name) for name in fields if name not in names}
    members["__eq__"] = lambda one, other: type(one) is type(other) and values(one) == values(other)
    members["__hash__"] = lambda one: hash((kind, values(one)))
    members["__repr__"] = lambda one: f"{kind.__name__}{dict(zip(names, values(one), strict=True))}"
    return type(kind.__name__, (kind,), members)  # pyright: ignore[reportReturnType]
