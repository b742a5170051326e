"""Games side by side: each gets what it would have got alone, by fewer programs."""

import threading
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.lockstep import Band, kernel, meet


def side_by_side(size: int, play: Callable[[int], Any]) -> dict[int, Any]:
    """What each of several threads returns, or the error that ended it."""
    band, ends = Band(size), dict[int, Any]()

    def run(number: int) -> None:
        try:
            with band.seat(number):
                ends[number] = play(number)
        except BaseException as error:
            ends[number] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(size)]
    for thread in threads:
        thread.start()
    try:
        band.conduct()
    finally:
        for thread in threads:
            thread.join(timeout=30.0)
    assert not any(thread.is_alive() for thread in threads)
    return ends


def make_walk(traces: list[tuple[int, ...]]):
    """A compiled function with all kinds of inputs and outputs, that notes when it is traced."""

    @kernel("num_steps")
    def walk(x: jax.Array, key: jax.Array, num_steps: jax.Array, how: str = "far") -> Any:
        traces.append(x.shape)

        def step(i: jax.Array, x: jax.Array) -> jax.Array:
            return 1.5 * x + jax.random.normal(jax.random.fold_in(key, i), x.shape)

        return {"x": jax.lax.fori_loop(0, num_steps, step, x), "how": how, "none": None}

    return walk


def stroll(walk, number: int, num_calls: int = 3) -> np.ndarray:
    x = jnp.full(4, number, jnp.float32)
    for _ in range(num_calls):
        found = walk(x, jax.random.key(number), jnp.asarray(5), how="near")
        assert (found["how"], found["none"]) == ("near", None)
        x = found["x"]
    meet()
    return np.asarray(x)


def test_each_gets_what_it_would_have_got_alone_from_one_program():
    traces: list[tuple[int, ...]] = []
    walk = make_walk(traces)
    alone = [stroll(walk, number) for number in range(3)]
    assert traces == [(4,)]
    together = side_by_side(3, lambda number: stroll(walk, number))
    for number in range(3):
        np.testing.assert_allclose(together[number], alone[number], rtol=1e-6)
    assert traces == [(4,), (4,)], "one program for one, one for all"


def test_fewer_than_all_need_no_program_of_their_own():
    traces: list[tuple[int, ...]] = []
    walk = make_walk(traces)
    together = side_by_side(3, lambda number: stroll(walk, number, num_calls=1 + number))
    for number in range(3):
        alone = stroll(walk, number, num_calls=1 + number)
        np.testing.assert_allclose(together[number], alone, rtol=1e-6)
    assert len(traces) == 2, "one program for all or some, one for the last of them"


def test_who_is_behind_catches_up_by_the_end_of_a_round():
    seen: list[tuple[int, int]] = []
    walk = make_walk([])

    def play(number: int) -> None:
        for round_ in range(3):
            stroll(walk, number, num_calls=1 + (number + round_) % 3)
            seen.append((round_, number))

    side_by_side(3, play)
    assert [round_ for round_, _ in seen] == [0] * 3 + [1] * 3 + [2] * 3


def test_other_shapes_and_values_in_common_are_computed_apart():
    @kernel("num")
    def twice(x: jax.Array, num: jax.Array) -> jax.Array:
        return num * x

    def play(number: int) -> tuple[list[float], float]:
        wide = twice(jnp.ones(2 + number % 2), jnp.asarray(2.0))
        own = twice(jnp.ones(()), jnp.asarray(float(number)))
        return wide.tolist(), float(own)

    found = side_by_side(4, play)
    assert found == {i: ([2.0] * (2 + i % 2), float(i)) for i in range(4)}


def test_a_kernel_within_a_kernel_is_a_part_of_it():
    @kernel()
    def inner(x: jax.Array) -> jax.Array:
        return x + 1.0

    @kernel()
    def outer(x: jax.Array) -> jax.Array:
        return 2.0 * inner(x)

    found = side_by_side(2, lambda number: float(outer(jnp.asarray(float(number)))))
    assert found == {0: 2.0, 1: 4.0}


def test_one_that_breaks_down_does_not_stop_the_others():
    walk = make_walk([])

    def play(number: int) -> np.ndarray:
        if number == 1:
            raise ArithmeticError("enough")
        return stroll(walk, number)

    found = side_by_side(3, play)
    assert isinstance(found[1], ArithmeticError)
    for number in (0, 2):
        np.testing.assert_allclose(found[number], stroll(walk, number), rtol=1e-6)


def test_an_error_of_a_kernel_is_that_of_who_called_it():
    @kernel()
    def fails(x: jax.Array) -> jax.Array:
        raise ArithmeticError(f"of shape {x.shape}")

    found = side_by_side(3, lambda number: fails(jnp.ones(7)) if number else number)
    assert found[0] == 0
    assert all(str(found[i]) == "of shape (7,)" for i in (1, 2))


def test_what_ends_the_conductor_ends_all(monkeypatch):
    walk = make_walk([])
    monkeypatch.setattr("duopoly.lockstep._compute", _interrupted)
    ends: dict[int, Any] = {}

    def play(number: int) -> None:
        try:
            stroll(walk, number)
        except KeyboardInterrupt as error:
            ends[number] = error
            raise

    with pytest.raises(KeyboardInterrupt):
        side_by_side(2, play)
    assert set(ends) == {0, 1}


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_alone_it_is_a_filter_jit():
    traces: list[tuple[int, ...]] = []
    walk = make_walk(traces)
    shapes = eqx.filter_eval_shape(walk, jnp.ones(2), jax.random.key(0), jnp.asarray(1))
    assert shapes["x"].shape == (2,)
    assert walk.__name__ == "walk"
