"""Statistics over few runs (Agarwal et al. 2021, *Deep RL at the Edge of the Statistical
Precipice*): interquartile means, and how far they can be trusted."""

from collections.abc import Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float


def interquartile_mean(scores: Float[np.ndarray, "..."], axis: int = 0) -> Float[np.ndarray, "..."]:
    """Mean of the middle half: a quarter of the scores is dropped on either side, rounded down."""
    return np.asarray(scipy.stats.trim_mean(scores, 0.25, axis=axis))


def bootstrap_interval(
    strata: Sequence[Float[np.ndarray, "_ *rest"]],
    confidence: float = 0.95,
    num_resamples: int = 2_000,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " *rest"], Float[np.ndarray, " *rest"]]:
    """Stratified percentile bootstrap of the interquartile mean over all strata together.

    Runs are drawn with replacement within each stratum (a task), never across. Trailing axes,
    such as the points of a learning curve, are resampled along with their run. Too few runs give
    too narrow an interval: with one run it has no width.

    Returns:
        The lower and the upper end of the interval.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        scores[rng.integers(len(scores), size=(num_resamples, len(scores)))] for scores in strata
    ]
    means = interquartile_mean(np.concatenate(drawn, axis=1), axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return np.asarray(low), np.asarray(high)
