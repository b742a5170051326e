"""What a function can see outside itself, as a value that tells whether it was changed."""

import functools
import inspect
import random
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_MAX_DEPTH = 5


def outside_state(fn: Callable[..., Any]) -> dict[str, object]:
    """Returns the state of all that a function refers to, by name, to be compared with `==`.

    That is what it closes over, the globals it names, its own attributes and defaults, the object
    it is a method of, the same of functions it calls from its own file, and the global random
    generators of Python and NumPy. What lies in other modules is not looked at.
    """
    state: dict[str, object] = {
        "the random numbers of Python": random.getstate(),
        "the random numbers of NumPy": repr(np.random.get_state()),  # noqa: NPY002
    }
    for name, value in _visible(fn, set()):
        state[name] = _frozen(value, set(), 0)
    return state


def _visible(fn: Any, seen: set[int]) -> Iterator[tuple[str, object]]:
    """Names and values that a callable refers to."""
    if id(fn) in seen:
        return
    seen.add(id(fn))
    if isinstance(fn, functools.partial):
        yield "its fixed arguments", (fn.args, fn.keywords)
        yield from _visible(fn.func, seen)
    elif inspect.ismethod(fn):
        yield "self", fn.__self__
        yield from _visible(fn.__func__, seen)
    elif (inner := inspect.unwrap(fn)) is not fn:
        yield from _visible(inner, seen)
    elif isinstance(fn, types.FunctionType):
        yield "its defaults", (fn.__defaults__, fn.__kwdefaults__)
        yield "its attributes", vars(fn)
        found = inspect.getclosurevars(fn)
        for name, value in {**found.globals, **found.nonlocals}.items():
            if isinstance(value, type) and value.__module__ == fn.__module__:
                yield name, dict(vars(value))
                continue
            yield name, value
            if _is_of_same_file(value, fn):
                yield from _visible(value, seen)
    else:
        yield f"the {type(fn).__name__} that it is", fn


def _is_of_same_file(value: object, fn: types.FunctionType) -> bool:
    inner = inspect.unwrap(value) if isinstance(value, types.FunctionType) else None
    return (
        isinstance(inner, types.FunctionType)
        and inner.__code__.co_filename == fn.__code__.co_filename
    )


def _frozen(value: Any, seen: set[int], depth: int) -> object:
    """A value that is equal to another's exactly if their contents are the same."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return type(value).__name__, repr(value)
    if isinstance(value, types.ModuleType | types.FunctionType | type | Tracer):
        return id(value)
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        return array.shape, str(array.dtype), array.tobytes()
    if id(value) in seen or depth > _MAX_DEPTH:
        return id(value)
    seen.add(id(value))
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state())
    if isinstance(value, random.Random):
        return value.getstate()
    inner = functools.partial(_frozen, seen=seen, depth=depth + 1)
    if isinstance(value, dict):
        return [(inner(key), inner(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return [inner(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(inner(item)) for item in value)
    attributes = getattr(value, "__dict__", None)
    kind = type(value).__qualname__
    return repr(value) if attributes is None else (kind, inner(attributes))
