"""Several games side by side: what each would compute for itself, one program computes for all.

Each game is played by a thread of its own, as if it were alone. What is compiled is marked by
`kernel`: outside of a `Band` such a function is `equinox.filter_jit`'s. Within, a call waits until
every other thread calls something too, or has come to the end of its round. Calls of the same
function on arrays of the same shapes are then stacked along a new leading axis, computed by one
program, and dealt out again: the games are a batch axis. A group smaller than the band is filled up
with copies of its first call, so that nothing is compiled anew for it.
"""

import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, NamedTuple, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from duopoly.spread import filled, over, spread

P = ParamSpec("P")
R = TypeVar("R")

_SEAT: Final[contextvars.ContextVar["_Seat | None"]] = contextvars.ContextVar("seat", default=None)


class Kernel(Generic[P, R]):
    """A compiled function, alone or for several games at once."""

    def __init__(self, function: Callable[P, R], shared: tuple[str, ...] = ()) -> None:
        """``shared``: parameters that are the same for every game whose calls are joined."""
        self.alone = eqx.filter_jit(function)
        self.shared = shared
        self._function = function
        self._signature = inspect.signature(function)
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        seat = _SEAT.get()
        if seat is None or any(isinstance(x, Tracer) for x in jax.tree.leaves((args, kwargs))):
            return self.alone(*args, **kwargs)
        return seat.band.ask(seat, _Call(self, self._signature.bind(*args, **kwargs).arguments))

    @functools.cached_property
    def together(self) -> Callable[[Sequence[PyTree], PyTree], list[Any]]:
        """Of several calls at once: what is each one's own, and what all have in common."""

        @eqx.filter_jit
        def together(own: Sequence[PyTree], common: PyTree) -> list[Any]:
            rest = []

            def one(mine: PyTree) -> PyTree:
                found = self._function(**eqx.combine(mine, common))  # pyright: ignore[reportCallIssue]
                arrays, others = eqx.partition(found, eqx.is_array)
                rest.append(others)
                return arrays

            games = spread(jax.tree.map(lambda *leaves: jnp.stack(leaves), *own))
            with over(1):  # the games are what is spread
                arrays = jax.vmap(one)(games)
            each = (jax.tree.map(lambda x, i=i: x[i], arrays) for i in range(len(own)))
            return [eqx.combine(one, rest[0]) for one in each]

        return together


def kernel(*shared: str) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Marks a function that is compiled; see `Kernel`."""
    return lambda function: Kernel(function, shared)


class _Call(NamedTuple):
    """A call that waits to be computed."""

    kernel: Kernel[..., Any]
    inputs: dict[str, Any]
    """By parameter."""

    @property
    def own(self) -> PyTree:
        """The arrays that are this game's alone; None in the place of all else."""
        arrays = eqx.filter(self.inputs, _is_array)
        return {k: None if k in self.kernel.shared else v for k, v in arrays.items()}

    @property
    def common(self) -> PyTree:
        """All else."""
        rest = eqx.filter(self.inputs, _is_array, inverse=True)
        return rest | {k: v for k, v in self.inputs.items() if k in self.kernel.shared}

    @property
    def kind(self) -> Any:
        """What two calls must have in common to be computed together."""
        leaves, structure = jax.tree.flatten(self.common)
        values = tuple(np.asarray(x).tobytes() if _is_array(x) else x for x in leaves)
        shapes = tuple((x.shape, str(x.dtype)) for x in jax.tree.leaves(self.own))
        return self.kernel, structure, values, shapes


class _Seat:
    """Where a thread waits: for the answer to a call, or for the others at the end of a round."""

    def __init__(self, band: "Band", number: int) -> None:
        self.band = band
        self.number = number
        self.call: _Call | None = None
        self.is_waiting = False
        self.answer: Any = None
        self.error: BaseException | None = None


class Band:
    """The threads that play side by side; `conduct` computes what they ask for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._changed = threading.Condition()
        self._seats: list[_Seat] = []
        self._num_playing = size
        self._end: BaseException | None = None

    @contextlib.contextmanager
    def seat(self, number: int) -> Iterator[None]:
        """Within this context the thread's kernels are computed together with the others'.

        What is computed together stands in the order of the numbers, so that rounding does not
        depend on who came first.
        """
        seat = _Seat(self, number)
        with self._changed:
            self._seats = sorted([*self._seats, seat], key=lambda one: one.number)
        token = _SEAT.set(seat)
        try:
            yield
        finally:
            _SEAT.reset(token)
            with self._changed:
                self._seats.remove(seat)
                self._num_playing -= 1
                self._changed.notify_all()

    def ask(self, seat: _Seat, call: _Call | None) -> Any:
        """Waits for the answer to a call; without one, until every thread has come so far."""
        with self._changed:
            seat.call, seat.is_waiting = call, True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not seat.is_waiting or self._end is not None)
            if self._end is not None:
                raise self._end
        if seat.error is not None:
            error, seat.error = seat.error, None
            raise error
        return seat.answer

    def conduct(self) -> None:
        """Computes, group by group, until no thread plays any more.

        Whatever ends it, such as a signal, ends every thread too, at its next call.
        """
        try:
            while self._num_playing > 0:
                with self._changed:
                    self._changed.wait_for(self._all_wait, timeout=0.1)
                    if not self._all_wait() or not self._seats:
                        continue
                    group = _largest_group(self._seats)
                _compute(group, self.size)
                with self._changed:
                    for seat in group:
                        seat.call, seat.is_waiting = None, False
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._end = error
                self._changed.notify_all()
            raise

    def run(self, threads: Sequence[threading.Thread]) -> None:
        """Starts the threads, which take their seats, conducts, and waits until all have ended."""
        for thread in threads:
            thread.start()
        try:
            self.conduct()
        finally:
            for thread in threads:
                thread.join()

    def _all_wait(self) -> bool:
        is_full = len(self._seats) == self._num_playing
        return is_full and all(seat.is_waiting for seat in self._seats)


def meet() -> None:
    """Waits, within a band, until every thread has come here: to the end of its round."""
    seat = _SEAT.get()
    if seat is not None:
        seat.band.ask(seat, None)


def _largest_group(seats: Sequence[_Seat]) -> list[_Seat]:
    """Returns those whose calls can be computed together; who has none waits for all others."""
    groups: dict[Any, list[_Seat]] = {}
    for seat in seats:
        if seat.call is not None:
            groups.setdefault(seat.call.kind, []).append(seat)
    return max(groups.values(), key=len) if groups else list(seats)


def _compute(group: Sequence[_Seat], size: int) -> None:
    """Leaves its answer, or what went wrong, at each seat."""
    calls = [seat.call for seat in group if seat.call is not None]
    if not calls:
        return
    first = calls[0]
    try:
        if len(calls) == 1:
            answers = [first.kernel.alone(**first.inputs)]
        else:
            copies = [first] * (filled(size) - len(calls))
            own = [call.own for call in calls + copies]
            answers = first.kernel.together(own, first.common)
    except Exception as error:
        for seat in group:
            seat.error = error
        return
    for seat, answer in zip(group, answers, strict=False):
        seat.answer = answer


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray | np.generic)
