"""Whether a task's functions can be compiled: their shapes, and that they only compute."""

import contextlib
import functools
import io
import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from duopoly.world.checking.side_effects import outside_state
from duopoly.world.task import Task, TaskError


class TaskFunction(NamedTuple):
    """One of a task's functions of (obs, action, next_obs), and what it must return."""

    what: str
    """Task and function, as messages name them."""
    fn: Callable[..., Any]
    shape: tuple[int, ...]
    kinds: str
    """Kinds of dtype that will do, as NumPy abbreviates them."""

    def __call__(self, obs: jax.Array, action: jax.Array, next_obs: jax.Array) -> jax.Array:
        """What the function says of one transition."""
        return jnp.asarray(self.fn(obs, action, next_obs))


def functions_of(task: Task) -> dict[str, TaskFunction]:
    """Returns those of the task's functions that it gives, by the name of their field."""
    found = {
        "reward_fn": (task.reward_fn, (), "fiu"),
        "terminated_fn": (task.terminated_fn, (), "b"),
        "compute_fn": (task.compute_fn, (task.spec.obs_dim,), "f"),
    }
    return {
        name: TaskFunction(f"{task.name}: {name}", fn, shape, kinds)
        for name, (fn, shape, kinds) in found.items()
        if fn is not None
    }


def check_functions(task: Task) -> None:
    """Traces each function of the task twice, as `jax.jit` would, without any data.

    Raises:
        TaskError: one cannot be traced, returns another shape or type than it must, or does more
            than compute its result from its arguments. The message names it and the way out.
    """
    spec = task.spec
    obs = jax.ShapeDtypeStruct((spec.obs_dim,), jnp.float32)
    action = jax.ShapeDtypeStruct((spec.action_dim,), jnp.float32)
    for function in functions_of(task).values():
        before = outside_state(function.fn)
        first, second = (_trace(function, (obs, action, obs)) for _ in range(2))
        after = outside_state(function.fn)
        if changed := [name for name in before if before[name] != after.get(name)]:
            raise TaskError(
                f"{function.what} changes {changed[0]}, which lies outside it: compiled, it runs "
                f"in Python once and never again; it may only compute its result"
            )
        if not _same(first, second):
            raise TaskError(
                f"{function.what} computes something else each time it is traced (random numbers, "
                f"the clock, a counter?): it must depend on (obs, action, next_obs) alone"
            )


def _trace(function: TaskFunction, arguments: tuple[Any, ...]) -> Any:
    """The function as an expression of JAX."""
    printed = io.StringIO()
    try:
        with jax.checking_leaks(), contextlib.redirect_stdout(printed):
            # A function object of its own each time: JAX remembers what it has traced.
            fresh = functools.partial(function.fn)
            expression, out = jax.make_jaxpr(fresh, return_shape=True)(*arguments)
    except Exception as error:  # whatever the user's code raises
        raise TaskError(f"{function.what} {explain(error, function.fn)}") from error
    _check_result(function, out)
    if text := printed.getvalue().strip():
        raise TaskError(
            f"{function.what} prints {text.splitlines()[0]!r}: compiled, it runs in Python once "
            f"and never again; use jax.debug.print, or nothing"
        )
    return expression


def _check_result(function: TaskFunction, out: Any) -> None:
    if not isinstance(out, jax.ShapeDtypeStruct):
        raise TaskError(
            f"{function.what} returns {_describe(out)}, must be one array of shape {function.shape}"
        )
    if out.shape != function.shape:
        raise TaskError(
            f"{function.what} returns shape {out.shape} for one (obs, action, next_obs), must be "
            f"{function.shape}"
            + ("" if function.shape else ": index a component, or use jnp.sum, jnp.any, jnp.all")
        )
    if out.dtype.kind not in function.kinds:
        wanted = "bool: compare, or use .astype(bool)" if function.kinds == "b" else "real numbers"
        raise TaskError(f"{function.what} returns {out.dtype}, must be {wanted}")


def _describe(out: Any) -> str:
    return "nothing" if out is None else f"a {type(out).__name__}"


_WAYS_OUT: tuple[tuple[type[Exception], str], ...] = (
    (
        jax.errors.TracerBoolConversionError,
        "decides in Python (if, and, or, not, while, min, max) by a value that is only known "
        "when it runs: use jnp.where instead of if, and &, |, ~",
    ),
    (
        jax.errors.TracerArrayConversionError,
        "hands a value that is only known when it runs to NumPy: use jax.numpy instead",
    ),
    (
        jax.errors.TracerIntegerConversionError,
        "uses a value that is only known when it runs as a Python index or count: use jax.numpy",
    ),
    (jax.errors.NonConcreteBooleanIndexError, "selects by a mask: use jnp.where instead"),
    (
        jax.errors.ConcretizationTypeError,
        "makes a Python number of a value that is only known when it runs (float, int, .item(), "
        "math): use jax.numpy instead",
    ),
    (
        jax.errors.UnexpectedTracerError,
        "uses a value that an earlier call left outside it: it may only compute its result",
    ),
)


def explain(error: Exception, fn: Callable[..., Any]) -> str:
    """Returns what a function did wrong and the way out, on one line that follows its name."""
    if str(error).startswith("Leaked "):
        return "keeps a value of its computation outside itself: it may only compute its result"
    place = _place(error, fn)
    for kind, words in _WAYS_OUT:
        if isinstance(error, kind):
            return f"{words}{place}"
    message = " ".join(str(error).split())
    return f"raises {type(error).__name__}: {message[:300]}{place}"


def _place(error: Exception, fn: Callable[..., Any]) -> str:
    """The line of the function's own file at which it went wrong, if any is known."""
    code = getattr(getattr(fn, "__wrapped__", fn), "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if code and frame.filename == code.co_filename]
    return f" ({PurePath(code.co_filename).name}, line {lines[-1]})" if code and lines else ""


def _same(first: Any, second: Any) -> bool:
    """Whether two expressions are the same, their constants included."""
    return str(first) == str(second) and all(
        np.array_equal(one, other) for one, other in zip(first.consts, second.consts, strict=True)
    )
