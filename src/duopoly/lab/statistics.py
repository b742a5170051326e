"""Statistics over few runs (Agarwal et al. 2021, *Deep RL at the Edge of the Statistical
Precipice*): interquartile means, and how far they can be trusted."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float


def interquartile_mean(scores: Float[np.ndarray, "..."], axis: int = 0) -> Float[np.ndarray, "..."]:
    """Mean of the middle half: a quarter of the scores is dropped on either side, rounded down."""
    return np.asarray(scipy.stats.trim_mean(scores, 0.25, axis=axis))


def steps_to_reach(
    steps: Float[np.ndarray, " T"], scores: Float[np.ndarray, "... T"], level: float, axis: int = 0
) -> Float[np.ndarray, "..."]:
    """Steps after which the mean over the runs first reaches a level; infinite where it never does.

    ``axis`` is that of the runs, the last one that of the steps. Between two points a curve is a
    straight line. A finer grid is reached earlier by chance, so only crossings on the same grid
    compare.
    """
    mean = np.mean(scores, axis=axis)
    reached = mean >= level
    after = np.argmax(reached, axis=-1)
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(mean, i[..., None], -1)[..., 0] for i in (before, after))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(after > 0, (level - low) / (high - low), 0.0)
    found = steps[before] + share * (steps[after] - steps[before])
    return np.where(reached.any(axis=-1), found, np.inf)


def mean_height(
    steps: Float[np.ndarray, " T"], scores: Float[np.ndarray, "... T"]
) -> Float[np.ndarray, "..."]:
    """Area under each curve, divided by its width: the mean score on the way.

    Between two points a curve is a straight line.
    """
    return np.asarray(np.trapezoid(scores, steps, axis=-1) / (steps[-1] - steps[0]))


def performance_profile(
    scores: Float[np.ndarray, "N ..."], levels: Float[np.ndarray, " L"], axis: int = 0
) -> Float[np.ndarray, "L ..."]:
    """Share of the runs whose score is above each level."""
    above = scores[None] > levels.reshape(-1, *(1,) * scores.ndim)
    return np.asarray(above.mean(axis=axis + 1))


class Improvement(NamedTuple):
    """How probably one method is better than another."""

    probability: float
    low: float
    high: float


def probability_of_improvement(
    first: Float[np.ndarray, " N"],
    second: Float[np.ndarray, " M"],
    confidence: float = 0.95,
    num_resamples: int = 2_000,
    seed: int = 0,
) -> Improvement:
    """How probably a run of the first method has a higher score than one of the second.

    A draw counts half, as in Mann and Whitney's U. The interval is a percentile bootstrap, the runs
    of each method drawn for themselves.
    """
    rng = np.random.default_rng(seed)
    drawn = (one[rng.integers(len(one), size=(num_resamples, len(one)))] for one in (first, second))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(_share_above(*drawn), [tail, 1.0 - tail])
    return Improvement(float(_share_above(first, second)), float(low), float(high))


def _share_above(
    first: Float[np.ndarray, "... N"], second: Float[np.ndarray, "... M"]
) -> Float[np.ndarray, "..."]:
    """Of all pairs; a draw counts half."""
    difference = first[..., :, None] - second[..., None, :]
    return np.asarray(np.heaviside(difference, 0.5).mean(axis=(-2, -1)))


def bootstrap_interval(
    strata: Sequence[Float[np.ndarray, "_ ..."]],
    confidence: float = 0.95,
    num_resamples: int = 2_000,
    seed: int = 0,
    statistic: Callable[..., Float[np.ndarray, "..."]] = interquartile_mean,
) -> tuple[Float[np.ndarray, "*of_each"], Float[np.ndarray, "*of_each"]]:
    """Stratified percentile bootstrap of a statistic over all strata together.

    Runs are drawn with replacement within each stratum (a task), never across. Trailing axes,
    such as the points of a learning curve, are resampled along with their run. Too few runs give
    too narrow an interval: with one run it has no width.

    ``statistic`` takes resamples and the axis of the runs, and leaves that of the resamples first.

    Returns:
        The lower and the upper end of the interval.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        scores[rng.integers(len(scores), size=(num_resamples, len(scores)))] for scores in strata
    ]
    means = statistic(np.concatenate(drawn, axis=1), axis=1)
    tail = (1.0 - confidence) / 2.0
    if np.isfinite(means).all():
        low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    else:  # between a number and infinity there is nothing
        places = np.rint(np.array([tail, 1.0 - tail]) * (num_resamples - 1)).astype(int)
        low, high = np.sort(means, axis=0)[places]
    return np.asarray(low), np.asarray(high)
