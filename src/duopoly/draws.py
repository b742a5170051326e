"""Rows of arrays drawn at random, padding left out."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key


def draw_rows(
    key: Key[Array, ""], valid: Bool[Array, " N"], shape: tuple[int, ...]
) -> Int[Array, "*shape"]:
    """Draws numbers of valid rows with replacement, all alike; the last where none is valid."""
    return draw_counted(key, jnp.cumsum(valid), shape)


def draw_counted(
    key: Key[Array, ""], count: Int[Array, " N"], shape: tuple[int, ...]
) -> Int[Array, "*shape"]:
    """The same, given how many rows are valid up to each: ``count = cumsum(valid)``."""
    place = jax.random.randint(key, shape, 0, jnp.maximum(count[-1], 1))
    return jnp.minimum(jnp.searchsorted(count, place + 1), count.shape[0] - 1)


def shuffled(key: Key[Array, ""], valid: Bool[Array, " N"]) -> Int[Array, " N"]:
    """Returns the numbers of all rows, the valid ones first and in random order.

    Random bits stand before each row's number in one integer, for integers alone are sorted ten
    times as fast as keys with something beside them. Rows that draw the same bits stay in order:
    of many rows some do, so a second pass shuffles them, too.
    """
    width = max(1, (valid.shape[0] - 1).bit_length())
    row = jnp.arange(valid.shape[0], dtype=jnp.uint32)
    last = jnp.where(valid, jnp.uint32(0), jnp.uint32(1 << 31))
    order = row
    for key_pass in jax.random.split(key):
        bits = jax.random.bits(key_pass, order.shape) >> (width + 1) << width
        order = order[jnp.sort(last[order] | bits | row) & jnp.uint32((1 << width) - 1)]
    return order.astype(jnp.int32)


def random_batches(
    key: Key[Array, ""], valid: Bool[Array, " N"], batch_size: int
) -> tuple[Callable[[int | Array], Int[Array, " batch"]], Int[Array, ""]]:
    """Shuffles the valid rows into batches for one epoch.

    Returns ``batch(i)``, the row indices of the i-th batch, and the number of batches. The last
    batch is filled up from the start of the shuffle, so every batch has the same shape.
    """
    count = jnp.maximum(jnp.sum(valid), 1)
    order = shuffled(key, valid)

    def batch(i: int | Array) -> Int[Array, " batch"]:
        return order[(i * batch_size + jnp.arange(batch_size)) % count]

    return batch, -(-count // batch_size)
