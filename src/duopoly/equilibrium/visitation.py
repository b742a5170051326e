"""How far apart a policy's visits in the world and in the model are: D(µ^π_M, µ^π_M̂).

Measured as maximum mean discrepancy, since samples are all there is of either distribution. It is
that of the policy that plays. The transfer term of Theorem 1 (Eq. 5) is the optimal policy's, which
nobody can sample.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from duopoly.draws import draw_rows
from duopoly.lockstep import kernel
from duopoly.networks import Normaliser
from duopoly.types import Rollouts, Transitions, clip_action


def maximum_mean_discrepancy(x: Float[Array, "N d"], y: Float[Array, "N d"]) -> Float[Array, ""]:
    """Returns the distance between two samples of the same size, from 0 to √2.

    MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y) with k(a, b) = exp(−‖a − b‖² / h) and h the median
    squared distance between all points: pairs of different indices only, so that its expectation
    is zero where both come from one distribution, and cut off at zero before the root.

    Source: Gretton et al. (2012), A kernel two-sample test, Eq. 4 (the variant without the
    diagonal of the mixed term).
    """
    both = jnp.concatenate([x, y])
    squared = jnp.sum((both[:, None] - both[None, :]) ** 2, axis=-1)
    kernel = jnp.exp(-squared / jnp.maximum(_median(squared), 1e-12))
    num = x.shape[0]
    pairs = 1.0 - jnp.eye(num)

    def mean(block: Float[Array, "N N"]) -> Float[Array, ""]:
        return jnp.sum(pairs * block) / (num * (num - 1))

    within = mean(kernel[:num, :num]) + mean(kernel[num:, num:])
    return jnp.sqrt(jnp.maximum(within - 2.0 * mean(kernel[:num, num:]), 0.0))


def _median(x: Float[Array, "N M"]) -> Float[Array, ""]:
    """Returns the median of numbers that are not negative; of an even number the lower.

    By bisection over their bits, whose order is theirs: to sort a million takes XLA half a second.
    """
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)

    def halve(_: int | Array, between: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = between  # the median is above low, and at most high
        middle = low + (high - low) // 2
        is_above = 2 * jnp.sum(bits <= middle) < bits.size
        return jnp.where(is_above, middle, low), jnp.where(is_above, high, middle)

    _, found = jax.lax.fori_loop(0, 31, halve, (jnp.int32(-1), jnp.max(bits)))
    return jax.lax.bitcast_convert_type(found, jnp.float32)


@kernel()
def visitation_distance(
    key: Key[Array, ""],
    real: Transitions,
    imagined: Rollouts,
    inputs: Normaliser,
    num_samples: int,
) -> Float[Array, ""]:
    """Returns how far imagined state-action pairs are from real ones, in normalised units."""
    key_real, key_imagined = jax.random.split(key)

    def draw(key: Array, obs: Array, action: Array, valid: Array) -> Float[Array, "N features"]:
        rows = draw_rows(key, valid, (num_samples,))
        pairs = jnp.concatenate([obs[rows], clip_action(action[rows])], axis=1)
        return jax.vmap(inputs)(pairs)

    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), imagined)
    x = draw(key_real, real.obs, real.action, real.valid)
    y = draw(key_imagined, flat.obs, flat.action, flat.valid)
    return maximum_mean_discrepancy(x, y)
