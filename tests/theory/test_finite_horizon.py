"""Undiscounted returns and visits of T steps, against walks written as loops."""

import numpy as np
import pytest

from duopoly.theory.bounds import (
    Situation,
    finite_divergence,
    finite_gap,
    finite_loss,
    finite_sharp,
)
from duopoly.theory.families import dirichlet
from duopoly.theory.finite_horizon import mean_occupancy, total_reward, visits
from duopoly.theory.sweep import random_situations

HORIZON = np.array([1.0, 2.0, 3.0, 7.0, 40.0])


def drawn() -> Situation:
    return random_situations(np.random.default_rng(0), 5, 4, dirichlet)


def walk(s: Situation, n: int, model: bool) -> tuple[np.ndarray, float, float]:
    """Returns mean visits, total reward and mean divergence of one game, step by step."""
    mdp = s.model if model else s.real
    here, total = mdp.start[n], np.zeros((4, 3))
    for _ in range(int(HORIZON[n])):
        pairs = here[:, None] * s.policy[n]
        total += pairs
        moves = [pairs[i, a] * mdp.transition[n, i, a] for i in range(4) for a in range(3)]
        here = np.sum(moves, axis=0)
    p, q = s.real.transition[n], s.model.transition[n]
    divergence = np.sum(p * np.log(p / q), axis=-1)
    mean = total / HORIZON[n]
    return mean, float(np.sum(total * mdp.reward[n])), float(np.sum(mean * divergence))


def test_visits_and_returns_match_a_walk() -> None:
    s = drawn()
    mean, total = (f(s.real, s.policy, HORIZON) for f in (mean_occupancy, total_reward))
    for n in range(5):
        by_hand, reward, _ = walk(s, n, model=False)
        np.testing.assert_allclose(mean[n], by_hand, rtol=1e-9)
        assert total[n] == pytest.approx(reward, rel=1e-9)


def test_sides_of_the_undiscounted_lemma_match_a_walk(monkeypatch) -> None:
    s = drawn()
    monkeypatch.setattr("duopoly.theory.bounds.num_steps", lambda _: HORIZON)
    for n, horizon in enumerate(HORIZON):
        _, real, loss = walk(s, n, model=False)
        _, imagined, _ = walk(s, n, model=True)
        assert finite_gap(s)[n] == pytest.approx(abs(real - imagined), rel=1e-6, abs=1e-12)
        assert finite_loss(s)[n] == pytest.approx(loss, rel=1e-9)
        usual = s.reward_max[n] * horizon * np.sqrt(horizon * loss / 2)
        assert finite_divergence(s)[n] == pytest.approx(usual, rel=1e-9)
        assert finite_sharp(s)[n] == pytest.approx(usual * (horizon - 1) / horizon, rel=1e-9)


@pytest.mark.parametrize("horizon", [0.0, 2.5, np.inf])
def test_horizons_are_whole(horizon: float) -> None:
    s = drawn()
    with pytest.raises(ValueError, match="whole numbers"):
        visits(s.real, s.policy, np.full(5, horizon))
