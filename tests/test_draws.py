"""Tests of rows drawn at random among those that are no padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.draws import draw_rows, random_batches, shuffled

KEY = jax.random.key(0)


def test_rows_are_drawn_alike_and_none_that_is_padding() -> None:
    valid = jnp.asarray([False, True, True, False, True, False])
    rows = np.asarray(draw_rows(KEY, valid, (100, 300)))
    assert rows.shape == (100, 300)
    share = np.bincount(rows.ravel(), minlength=6) / rows.size
    np.testing.assert_allclose(share, [0, 1 / 3, 1 / 3, 0, 1 / 3, 0], atol=0.01)


def test_a_row_is_drawn_even_where_none_is_valid() -> None:
    rows = np.asarray(draw_rows(KEY, jnp.zeros(4, bool), (50,)))
    assert ((rows >= 0) & (rows < 4)).all()


@pytest.mark.parametrize("num_rows", [1, 2, 1000, 200_000])
def test_a_shuffle_holds_every_row_once_and_padding_last(num_rows: int) -> None:
    valid = jnp.arange(num_rows) % 3 != 1
    order = np.asarray(shuffled(KEY, valid))
    np.testing.assert_array_equal(np.sort(order), np.arange(num_rows))
    assert not np.asarray(valid)[order][int(valid.sum()) :].any()


@pytest.mark.parametrize("num_rows", [3, 5_000, 65_536, 200_000])
def test_a_shuffle_is_in_no_order(num_rows: int) -> None:
    order = jax.vmap(lambda k: shuffled(k, jnp.ones(num_rows, bool)))(jax.random.split(KEY, 20))
    ups = np.mean(np.diff(np.asarray(order), axis=1) > 0)
    assert ups == pytest.approx(0.5, abs=5 / np.sqrt(20 * num_rows))
    assert len(np.unique(np.asarray(order), axis=0)) > (5 if num_rows == 3 else 19)


def test_every_order_of_three_rows_is_as_likely() -> None:
    order = jax.vmap(lambda k: shuffled(k, jnp.ones(3, bool)))(jax.random.split(KEY, 6_000))
    found, count = np.unique(np.asarray(order), axis=0, return_counts=True)
    assert len(found) == 6
    np.testing.assert_allclose(count / 6_000, 1 / 6, atol=0.02)


def test_batches_go_once_over_the_rows_and_fill_the_last_one_up() -> None:
    valid = jnp.arange(20) < 17
    batch, num_batches = random_batches(KEY, valid, 5)
    rows = np.concatenate([np.asarray(batch(i)) for i in range(int(num_batches))])
    assert int(num_batches) == 4
    np.testing.assert_array_equal(np.sort(rows[:17]), np.arange(17))
    np.testing.assert_array_equal(rows[17:], rows[:3])
