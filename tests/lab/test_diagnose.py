"""What a diagnosis measures."""

import numpy as np
import pytest

from duopoly.lab.diagnose import check_values
from duopoly.types import Episode


def episode(rewards: list[float], terminated: bool) -> Episode:
    reward = np.array(rewards)
    obs = np.arange(len(rewards), dtype=float)[:, None]
    return Episode(obs, obs, reward, obs + 1.0, terminated, not terminated, len(rewards))


def test_what_is_earned_is_discounted_and_counts_what_counts_for_the_player() -> None:
    fallen, cut = episode([1.0, 1.0, 4.0], terminated=True), episode([1.0, 1.0], terminated=False)
    expected = np.array([10.0, 11.0, 12.0, 10.0, 11.0])
    seen = check_values([fallen, cut], expected, np.full(5, 2.0), 0.5)
    # The fall ends it: 4, 1 + ½ (2 + 4), 1 + ½ (2 + 4). The other goes on as expected: 11.
    np.testing.assert_allclose(seen.earned, [4.0, 4.0, 4.0, 7.5, 11.0])
    np.testing.assert_array_equal(seen.moment, [0, 1, 2, 0, 1])
    assert seen.bias == pytest.approx(np.mean([6.0, 7.0, 8.0, 2.5, 0.0]))
