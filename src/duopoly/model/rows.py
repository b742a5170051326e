"""Which rows of the data each member is fitted to, and which are held out to judge the fit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt

from duopoly.types import Transitions

_GOLDEN = 0x9E3779B1
"""2³² over the golden ratio, whose odd multiples are spread evenly over 32 bits."""


class TrainRows(NamedTuple):
    """Numbers of the rows to fit; only the first ``num_valid`` count."""

    rows: Int[Array, " N"]
    num_valid: Int[Array, ""]


class ValidationRows(NamedTuple):
    """Numbers of the rows that no member is fitted to; only the first ``num_valid`` count."""

    rows: Int[Array, " H"]
    num_valid: Int[Array, ""]

    @property
    def valid(self) -> Bool[Array, " H"]:
        """Which rows are held out."""
        return jnp.arange(self.rows.shape[0]) < self.num_valid


def hold_out(data: Transitions, share: float) -> tuple[TrainRows, ValidationRows]:
    """Splits the valid rows into training and validation rows, the same for all members.

    The rows with the lowest `fingerprint` are held out: as good as random, and a transition stays
    on its side from fit to fit. Were they drawn anew, this fit's validation rows would have been
    training rows of the last, and the warm-started networks would look best before any epoch.

    ``share`` is the share of the valid rows held out: at least one, and at least one is left.
    """
    num_rows = data.obs.shape[0]
    last = jnp.uint32(0xFFFFFFFF)
    order = jnp.argsort(jnp.where(data.valid, fingerprint(data) >> 1, last))
    wanted = jnp.round(share * data.num_valid).astype(jnp.int32)
    num_held = jnp.minimum(jnp.maximum(wanted, 1), jnp.maximum(data.num_valid - 1, 0))
    most = max(1, int(np.ceil(share * num_rows)))
    left = order[(num_held + jnp.arange(num_rows)) % num_rows]
    return TrainRows(left, data.num_valid - num_held), ValidationRows(order[:most], num_held)


def all_rows(data: Transitions) -> TrainRows:
    """Returns every valid row."""
    return TrainRows(jnp.arange(data.obs.shape[0]), data.num_valid)


def resample(key: Key[Array, ""], rows: TrainRows) -> TrainRows:
    """Draws as many rows with replacement: the bootstrap of one member (Efron, 1979)."""
    drawn = jax.random.randint(key, rows.rows.shape, 0, rows.num_valid)
    return TrainRows(rows.rows[drawn], rows.num_valid)


def fingerprint(data: Transitions) -> UInt[Array, " N"]:
    """Hashes (obs, action) of every row into 32 well mixed bits, by what they hold alone."""
    content = jnp.concatenate([data.obs, data.action], axis=1)
    bits = jax.lax.bitcast_convert_type(content, jnp.uint32)
    odd = 2 * jnp.arange(bits.shape[1], dtype=jnp.uint32) + 1
    hashed = jnp.sum(bits * (odd * jnp.uint32(_GOLDEN))[None], axis=1, dtype=jnp.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # MurmurHash3's finaliser
        hashed = (hashed ^ (hashed >> shift)) * jnp.uint32(factor)
    return hashed ^ (hashed >> 16)


def mean_over(values: Float[Array, " H"], validation: ValidationRows) -> Float[Array, ""]:
    """Returns the mean of the values of the rows held out."""
    return jnp.sum(jnp.where(validation.valid, values, 0.0)) / jnp.maximum(validation.num_valid, 1)
