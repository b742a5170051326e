"""Which rows are fitted and which are held out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.model.rows import TrainRows, all_rows, fingerprint, hold_out, mean_over, resample
from duopoly.types import Transitions


def transitions(num_rows: int, num_padding: int = 0, first: int = 0) -> Transitions:
    """Rows ``first``, ``first + 1``, … of an endless sequence, then padding."""
    rng = np.random.default_rng(0)
    action = rng.uniform(-1, 1, (5_000, 1))
    obs = np.round(rng.normal(size=(5_000, 2)))  # few values, as on a grid
    pick = slice(first, first + num_rows)
    obs, action = (
        np.concatenate([x[pick], np.zeros((num_padding, x.shape[1]))]).astype(np.float32)
        for x in (obs, action)
    )
    no = jnp.zeros(len(obs), bool)
    return Transitions(
        jnp.asarray(obs), jnp.asarray(action), no * 0.0, jnp.asarray(obs), no, no,
        jnp.asarray(num_rows),
    )  # fmt: skip


def sides(data: Transitions, share: float) -> tuple[np.ndarray, np.ndarray]:
    fitted, validation = hold_out(data, share)
    return (
        np.asarray(fitted.rows)[: int(fitted.num_valid)],
        np.asarray(validation.rows)[: int(validation.num_valid)],
    )


@pytest.mark.parametrize(("num_rows", "share"), [(2_000, 0.1), (999, 0.5), (3, 0.01), (2, 0.9)])
def test_every_valid_row_is_on_one_side(num_rows: int, share: float) -> None:
    fitted, validation = sides(transitions(num_rows, num_padding=2_000 - num_rows), share)
    np.testing.assert_array_equal(np.sort([*fitted, *validation]), np.arange(num_rows))
    assert len(validation) == np.clip(round(share * num_rows), 1, num_rows - 1)
    # As good as random: the mean row number held out is near the middle.
    if num_rows > 900:
        assert abs(validation.mean() / num_rows - 0.5) < 0.1


def test_a_single_row_is_fitted() -> None:
    fitted, validation = sides(transitions(1, num_padding=4), 0.5)
    assert (list(fitted), list(validation)) == ([0], [])


def test_a_row_stays_on_its_side_while_the_window_moves_on() -> None:
    fitted, _ = sides(transitions(2_000), 0.1)
    _, validation = sides(transitions(2_000, first=1_000), 0.1)
    held_then = validation[validation < 1_000] + 1_000  # in the numbers of the first window
    crossed = np.isin(held_then, fitted).mean()
    assert len(held_then) > 70
    assert crossed < 0.25  # drawn anew it would be 0.9


def test_fingerprint_is_the_hash_it_says() -> None:
    data = transitions(50)
    content = np.concatenate([data.obs, data.action], axis=1)
    for row, found in zip(content, np.asarray(fingerprint(data)), strict=True):
        total = 0
        for j, bits in enumerate(row.view(np.uint32).tolist()):
            total += bits * ((2 * j + 1) * 0x9E3779B1)
        total %= 2**32
        total = ((total ^ total >> 16) * 0x85EBCA6B) % 2**32
        total = ((total ^ total >> 13) * 0xC2B2AE35) % 2**32
        assert int(found) == total ^ total >> 16


def test_a_resample_draws_with_replacement_from_what_is_fitted() -> None:
    rows = TrainRows(jnp.arange(4_000)[::-1], jnp.asarray(1_000))
    one, other = (resample(jax.random.key(i), rows) for i in (0, 1))
    drawn = np.asarray(one.rows)[:1_000]
    assert int(one.num_valid) == 1_000
    assert drawn.min() >= 3_000
    assert abs(len(np.unique(drawn)) / 1_000 - (1.0 - np.exp(-1.0))) < 0.04
    assert (drawn != np.asarray(other.rows)[:1_000]).mean() > 0.99


def test_the_mean_is_over_what_is_held_out() -> None:
    data = transitions(100, num_padding=60)
    _, validation = hold_out(data, 0.2)
    values = jnp.where(validation.valid, jnp.arange(len(validation.rows)) * 1.0, jnp.nan)
    np.testing.assert_allclose(mean_over(values, validation), np.arange(20).mean())
    np.testing.assert_array_equal(all_rows(data).rows, np.arange(160))
