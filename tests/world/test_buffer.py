"""First in, first out, and back from a file."""

import jax
import numpy as np
import pytest

from duopoly.types import Episode
from duopoly.world.buffer import Buffer, BufferFormatError


def episode(first: int, length: int) -> Episode:
    rows = np.arange(first, first + length, dtype=np.float32)
    obs = np.stack([rows, -rows], axis=1)
    return Episode(obs, rows[:, None] / 100, rows, obs + 0.5, False, True, length)


def test_the_oldest_transitions_leave_first() -> None:
    before = Buffer.empty(2, 1, capacity=7).add([episode(0, 3), episode(10, 2)])
    after = before.add([episode(20, 4)])
    assert (len(before), len(after)) == (5, 7)
    np.testing.assert_array_equal(after.obs[:, 0], [2, 10, 11, 20, 21, 22, 23])
    np.testing.assert_array_equal(before.obs[:, 0], [0, 1, 2, 10, 11])


def test_the_latest_are_padded_with_zeros() -> None:
    buffer = Buffer.empty(2, 1, 100).add([episode(1, 3)]).add([episode(10, 2)])
    few = buffer.latest(4)
    np.testing.assert_array_equal(few.obs[:, 0], [2, 3, 10, 11])
    np.testing.assert_array_equal(few.next_obs[:, 0], [2.5, 3.5, 10.5, 11.5])
    assert few.num_valid == 4
    many = buffer.latest(8)
    np.testing.assert_array_equal(many.obs[:, 0], [1, 2, 3, 10, 11, 0, 0, 0])
    np.testing.assert_array_equal(many.action[5:], np.zeros((3, 1)))
    assert many.num_valid == 5
    assert many.num_valid.dtype == np.int32
    assert all(isinstance(array, jax.Array) for array in many)
    fresh = buffer.latest_rounds(1, 8)
    np.testing.assert_array_equal(fresh.obs[:, 0], [10, 11, 0, 0, 0, 0, 0, 0])
    assert fresh.num_valid == 2
    assert Buffer.empty(2, 1, 5).latest(3).num_valid == 0


def test_the_latest_rounds_leave_out_what_came_before() -> None:
    buffer = Buffer.empty(2, 1, 9).add([episode(0, 4)]).add([episode(10, 2), episode(20, 1)])
    buffer = buffer.add([episode(30, 3)])
    np.testing.assert_array_equal(buffer.sizes, [3, 3, 3])  # the oldest row has left
    assert buffer.num_fresh == 3
    for num_rounds, firsts in ((1, [30]), (2, [10, 20, 30]), (5, [1, 10, 20, 30])):
        found = buffer.latest_rounds(num_rounds, 12)
        assert found.num_valid == min(3 * num_rounds, 9)
        assert set(firsts) <= set(np.asarray(found.obs[: int(found.num_valid), 0]))
    np.testing.assert_array_equal(buffer.latest_rounds(2, 4).obs[:, 0], [20, 30, 31, 32])
    np.testing.assert_array_equal(buffer.add([episode(40, 20)]).sizes, [9])
    np.testing.assert_array_equal(buffer.add([]).sizes, [3, 3, 3, 0])
    assert Buffer.empty(2, 1, 9).num_fresh == 0


def test_starts_are_first_observations() -> None:
    buffer = Buffer.empty(2, 1, 7).add([episode(0, 3), episode(10, 2)]).add([episode(20, 4)])
    np.testing.assert_array_equal(buffer.starts[:, 0], [10, 20])
    np.testing.assert_array_equal(buffer.add([episode(30, 9)]).starts[:, 0], [32])
    assert Buffer.empty(2, 1, 7).starts.shape == (0, 2)


def test_many_collections_are_those_of_a_plain_queue() -> None:
    """Over full stores, branches, nothing new, and more at once than is kept."""
    rng = np.random.default_rng(0)
    buffer, rows = Buffer.empty(2, 1, 50), np.zeros((0, 2), np.float32)
    kept = []
    for number in range(300):
        length = int(rng.choice([0, 1, 7, 20, 60], p=[0.1, 0.3, 0.3, 0.2, 0.1]))
        new = [episode(1_000 * number, length)] if length else []
        if rng.uniform() < 0.2:
            buffer.add([episode(-5, 3)])  # a branch that nobody follows
        buffer = buffer.add(new)
        rows = np.concatenate([rows, *(one.obs for one in new)])[-50:]
        kept.append((buffer, rows))
    for one, expected in kept:
        np.testing.assert_array_equal(one.obs, expected)
        np.testing.assert_array_equal(one.next_obs, expected + np.float32(0.5))
        np.testing.assert_array_equal(one.reward, expected[:, 0])
        assert one.sizes.sum() == len(one)


def test_what_is_held_is_not_copied_for_what_is_new() -> None:
    buffer = Buffer.empty(2, 1, 1_000).add([episode(0, 400)]).add([episode(500, 10)])
    after = buffer.add([episode(600, 10)])
    assert np.shares_memory(buffer.obs, after.obs)
    restored = Buffer.from_arrays(after.arrays())
    assert np.shares_memory(restored.obs, after.obs)
    assert not np.shares_memory(restored.add([episode(700, 1)]).obs, after.obs)


def test_jax_takes_the_latest_over_as_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second copy of a large window would be made on a CPU, were it not aligned."""
    made: list[np.ndarray] = []
    real = jax.device_put
    monkeypatch.setattr(jax, "device_put", lambda x: made.append(x) or real(x))
    found = Buffer.empty(2, 1, 99).add([episode(0, 5)]).latest(77)
    assert len(made) == 6
    if jax.default_backend() == "cpu":
        there = {array.unsafe_buffer_pointer() for array in found[:-1]}
        assert there == {array.ctypes.data for array in made}


def test_a_buffer_comes_back_exactly() -> None:
    buffer = Buffer.empty(2, 1, 7).add([episode(0, 3)]).add([episode(20, 6)])
    again = Buffer.from_arrays(buffer.arrays())
    for name, array in buffer.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
        assert again.arrays()[name].dtype == array.dtype
    np.testing.assert_array_equal(again.latest_rounds(1, 9).obs, buffer.latest_rounds(1, 9).obs)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("obs", np.zeros((3, 2)), "obs is float64"),
        ("action", np.zeros((2, 1), np.float32), "action is float32"),
        ("next_obs", np.zeros((3, 4), np.float32), "next_obs has shape"),
        ("next_obs", np.full((3, 2), np.nan, np.float32), "not finite"),
        ("action", np.full((3, 1), 2e10, np.float32), "beyond belief"),
        ("first", np.zeros(3), "first is float64"),
        ("capacity", np.array(2), "capacity of 2"),
        ("capacity", np.array([7]), r"capacity is int64 \(1,\)"),
        ("sizes", np.array([4]), "do not add up to its 3"),
        ("sizes", np.array([4, -1]), "do not add up to its 3"),
        ("sizes", np.array(3), r"sizes is int64 \(\)"),
        ("sizes", np.array([3.0]), "sizes is float64"),
    ],
)
def test_foreign_arrays_are_refused(name: str, array: np.ndarray, words: str) -> None:
    arrays = Buffer.empty(2, 1, 7).add([episode(0, 3)]).arrays()
    with pytest.raises(BufferFormatError, match=words):
        Buffer.from_arrays({**arrays, name: array})
    del arrays[name]
    with pytest.raises(BufferFormatError, match=f"lacks {name}"):
        Buffer.from_arrays(arrays)
