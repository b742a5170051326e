"""Interquartile means and bootstrap intervals against counting by hand."""

import itertools

import numpy as np
import pytest

from duopoly.lab.statistics import bootstrap_interval, interquartile_mean


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([7.0], 7.0), ([1.0, 3.0], 2.0), ([9.0, 1.0, 2.0, 3.0], 2.5), ([0, 1, 2, 3, 100.0], 2.0)],
)
def test_a_quarter_is_dropped_on_either_side(scores, expected):
    assert interquartile_mean(np.array(scores, float)) == pytest.approx(expected)


def test_columns_are_independent():
    scores = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0], [90.0, -80.0]])
    np.testing.assert_allclose(interquartile_mean(scores), [1.5, 5.5])


def test_interval_is_that_of_all_possible_resamples():
    scores = np.array([0.0, 1.0, 3.0, 10.0])
    every = [sorted(draw)[1:3] for draw in itertools.product(scores, repeat=4)]
    expected = np.quantile(np.mean(every, axis=1), [0.1, 0.9])
    low, high = bootstrap_interval([scores], confidence=0.8, num_resamples=20_000)
    np.testing.assert_allclose([low, high], expected)


def test_strata_are_never_mixed():
    """With one run per stratum there is only one resample, so the interval has no width."""
    strata = [np.array([0.0]), np.array([1.0]), np.array([5.0])]
    low, high = bootstrap_interval(strata)
    assert low == high == pytest.approx(2.0)


def test_a_curve_is_resampled_as_a_whole():
    curves = np.random.default_rng(0).normal(size=(5, 1)) + np.zeros((5, 7))
    low, high = bootstrap_interval([curves])
    assert low.shape == high.shape == (7,)
    assert np.ptp(low) == pytest.approx(0.0)
    assert (low < high).all()
    assert ((low <= interquartile_mean(curves)) & (interquartile_mean(curves) <= high)).all()
