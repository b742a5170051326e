"""Interquartile means and bootstrap intervals against counting by hand."""

import functools
import itertools

import numpy as np
import pytest
import scipy.stats

from duopoly.lab.statistics import (
    bootstrap_interval,
    interquartile_mean,
    mean_height,
    performance_profile,
    probability_of_improvement,
    steps_to_reach,
)


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


STEPS = np.array([5.0, 10.0, 20.0])


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ([[0.0, 10.0, 20.0]], 15.0),  # half of the way between two points
        ([[0.0, 10.0, 20.0], [0.0, 10.0, 30.0]], 10.0 + 10.0 * 5.0 / 15.0),  # of the mean curve
        ([[16.0, 0.0, 0.0]], 5.0),  # there from the first point on
        ([[0.0, 15.0, 0.0]], 10.0),  # the first time counts
        ([[0.0, 1.0, 2.0]], np.inf),
    ],
)
def test_steps_to_a_level_are_those_of_the_mean_curve(curves, expected):
    assert steps_to_reach(STEPS, np.array(curves), 15.0) == pytest.approx(expected)
    twice = np.stack([np.array(curves), np.array(curves)])
    np.testing.assert_allclose(steps_to_reach(STEPS, twice, 15.0, axis=1), [expected, expected])


def test_an_interval_of_steps_may_end_at_never():
    """Of two seeds, one reaches the level alone; their mean does, and so do three of four draws."""
    curves = np.array([[0.0, 0.0, 0.0], [0.0, 40.0, 40.0]])
    crossing = functools.partial(steps_to_reach, STEPS, level=15.0)
    low, high = bootstrap_interval([curves], statistic=crossing)
    assert low == pytest.approx(5.0 + 5.0 * 15.0 / 40.0)
    assert high == np.inf


def test_mean_height_is_the_area_between_straight_lines():
    curves = np.array([[0.0, 10.0, 20.0], [4.0, 4.0, 4.0], [0.0, 0.0, 15.0]])
    np.testing.assert_allclose(mean_height(STEPS, curves), [(25.0 + 150.0) / 15.0, 4.0, 5.0])


def test_a_profile_is_the_share_above_each_level():
    scores = np.array([1.0, 2.0, 2.0, 5.0])
    levels = np.array([0.0, 1.0, 2.0, 5.0])
    np.testing.assert_allclose(performance_profile(scores, levels), [1.0, 0.75, 0.25, 0.0])
    both = np.stack([scores, scores + 1.0])
    found = performance_profile(both, levels, axis=1)
    np.testing.assert_allclose(found[:, 1], [1.0, 1.0, 0.75, 0.25])


def test_probability_of_improvement_counts_pairs():
    first, second = np.array([1.0, 3.0, 3.0]), np.array([0.0, 3.0])
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in first for b in second]
    found = probability_of_improvement(first, second)
    assert found.probability == pytest.approx(np.mean(pairs))
    mann_whitney = scipy.stats.mannwhitneyu(first, second).statistic / 6
    assert found.probability == pytest.approx(mann_whitney)
    assert 0.0 <= found.low <= found.probability <= found.high <= 1.0
    other = probability_of_improvement(second, first)
    assert other.probability == pytest.approx(1.0 - found.probability)


def test_the_interval_of_an_improvement_is_that_of_all_possible_resamples():
    first, second = np.array([1.0, 4.0, 6.0]), np.array([2.0, 5.0])
    every = [
        np.mean([a > b for a in one for b in two])
        for one in itertools.product(first, repeat=3)
        for two in itertools.product(second, repeat=2)
    ]
    _, low, high = probability_of_improvement(first, second, 0.4, num_resamples=20_000)
    np.testing.assert_allclose([low, high], np.quantile(every, [0.3, 0.7]))
