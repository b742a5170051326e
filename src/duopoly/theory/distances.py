"""How far apart two distributions are, exactly; the last axis is the one that sums to one."""

import math

from jaxtyping import Float

from duopoly.theory.mdp import Numbers, namespace


def total_variation(
    p: Float[Numbers, "*batch K"], q: Float[Numbers, "*batch K"]
) -> Float[Numbers, "*batch"]:
    """D_TV(p, q) = ½ Σ |p − q|, in [0, 1]."""
    xp = namespace(p)
    return 0.5 * xp.sum(xp.abs(p - q), axis=-1)


def kl_divergence(
    p: Float[Numbers, "*batch K"], q: Float[Numbers, "*batch K"]
) -> Float[Numbers, "*batch"]:
    """D_KL(p ‖ q) = Σ p log(p/q) in nats; infinite where q misses something that p does.

    Summed as p log(p/q) + (q − p), whose terms are never negative but by rounding, which is cut
    off: for neighbours the sum of p log(p/q) alone would be rounding.
    """
    xp = namespace(p)
    is_there = (p > 0.0) & (q > 0.0)
    change = xp.where(is_there, (q - p) / xp.where(is_there, p, 1.0), 0.0)
    is_near = xp.abs(change) < 0.1
    far = xp.log(xp.where(is_there, p, 1.0)) - xp.log(xp.where(is_there, q, 1.0))
    log_ratio = xp.where(is_near, -xp.log1p(xp.where(is_near, change, 0.0)), far)
    terms = xp.where(is_there, xp.maximum(p * log_ratio + (q - p), 0.0), q)
    return xp.sum(xp.where((p > 0.0) & (q <= 0.0), math.inf, terms), axis=-1)


def expected(
    weight: Float[Numbers, "N S A"], quantity: Float[Numbers, "N S A"]
) -> Float[Numbers, " N"]:
    """E_{(s,a)~weight}[quantity]; what is never met does not count, be it infinite."""
    xp = namespace(weight)
    met = xp.where(weight > 0.0, quantity, 0.0)
    return xp.sum(weight * met, axis=(1, 2))
