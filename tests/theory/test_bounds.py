"""Lemma 1 and Theorem 1: never violated, attained by worlds built by hand, and not improvable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duopoly.theory import bounds as claims
from duopoly.theory.bounds import BOUNDS, Situation
from duopoly.theory.families import FAMILIES, dirichlet
from duopoly.theory.mdp import MDP, objective, occupancy
from duopoly.theory.search import worst_case
from duopoly.theory.sweep import TOLERANCE, Sweep, random_situations, sweep

NAMES = [bound.name for bound in BOUNDS]


@pytest.fixture(scope="module")
def found() -> Sweep:
    return sweep(seed=11, num_games=10_000, num_states=4)


def test_no_violation_in_ten_thousand_games(found: Sweep) -> None:
    assert found.left.shape == (len(BOUNDS), 10_000)
    np.testing.assert_array_equal(found.violations, 0)
    assert (found.num_finite > 9_500).all()


def test_half_of_any_bound_would_be_violated(found: Sweep) -> None:
    half = found._replace(right=0.5 * found.right)
    unseen = {name for name, num in zip(NAMES, half.violations, strict=True) if num == 0}
    # One is never nearer than √(1 − γ): its half is violated by the world of the test below.
    assert unseen <= {"simulation, divergence"}
    assert (found._replace(left=np.full_like(found.left, np.nan)).violations == 10_000).all()


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_states=st.integers(2, 7),
    family=st.sampled_from(list(FAMILIES.values())),
)
def test_bounds_hold(seed, num_states, family) -> None:
    situation = random_situations(np.random.default_rng(seed), 200, num_states, family)
    scale = situation.reward_max / (1.0 - situation.real.discount)
    for bound in BOUNDS:
        assert (bound.left(situation) <= bound.right(situation) + TOLERANCE * scale).all()


def drawn(num_games: int = 5) -> Situation:
    return random_situations(np.random.default_rng(0), num_games, 4, dirichlet)


def test_model_loss_and_errors_match_loops() -> None:
    s = drawn()
    visits = occupancy(s.real, s.policy)
    for n in range(5):
        loss = error = widest = 0.0
        for state in range(4):
            for action in range(3):
                p, q = (m.transition[n, state, action] for m in (s.real, s.model))
                distance = 0.5 * sum(abs(p - q))
                divergence = sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)
                loss += visits[n, state, action] * divergence
                error += visits[n, state, action] * distance
                widest = max(widest, distance)
        assert claims.model_loss(s)[n] == pytest.approx(loss, rel=1e-9)
        assert claims.expected_error(s)[n] == pytest.approx(error, rel=1e-9)
        assert claims.worst_error(s)[n] == pytest.approx(widest, rel=1e-9)
        gamma, top = s.real.discount[n], s.reward_max[n]
        by_hand = gamma * top / (1 - gamma) ** 2 * np.sqrt(loss / 2)
        assert claims.simulation_divergence(s)[n] == pytest.approx(by_hand, rel=1e-9)
        sharp = gamma * top / (1 - gamma) ** 1.5 * np.sqrt(loss / 2)
        assert claims.simulation_stopped(s)[n] == pytest.approx(sharp, rel=1e-9)
        coupled = top * (1 / (1 - gamma) - 1 / (1 - gamma * (1 - widest)))
        assert claims.simulation_coupling(s)[n] == pytest.approx(coupled, rel=1e-9)


def test_local_comparator_is_the_best_of_many_nearby_policies() -> None:
    s = drawn()
    gain = claims.regret(s)
    rng = np.random.default_rng(1)
    for _ in range(200):
        other = np.eye(3)[rng.integers(3, size=(5, 4))]
        mixed = (1 - s.radius)[:, None, None] * s.policy + s.radius[:, None, None] * other
        assert (objective(s.real, mixed) - objective(s.real, s.policy) <= gain + 1e-9).all()


def two_ends(
    real: np.ndarray, model: np.ndarray, discount: float, start: int = 0, num_actions: int = 1
) -> Situation:
    """States 0 (start), 1 (good for ever), 2 (bad for ever); rows from state 0 by action."""

    def world(rows: np.ndarray) -> MDP:
        transition = np.zeros((1, 3, num_actions, 3))
        transition[0, 0] = rows
        transition[0, 1, :, 1] = transition[0, 2, :, 2] = 1.0
        reward = np.zeros((1, 3, num_actions))
        reward[0, 1] = 1.0
        return MDP(transition, reward, np.eye(3)[[start]], np.array([discount]))

    policy = np.zeros((1, 3, num_actions))
    policy[..., 0] = 1.0
    return Situation(world(real), world(model), policy, np.ones(1), np.full(1, 0.1))


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
def test_expected_simulation_lemma_is_attained(discount: float) -> None:
    s = two_ends(np.array([[0.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0]]), discount)
    np.testing.assert_allclose(claims.return_gap(s), claims.simulation_expected(s), rtol=1e-12)
    np.testing.assert_allclose(claims.occupancy_gap(s), claims.occupancy_bound(s), rtol=1e-12)


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
def test_coupled_simulation_lemma_is_attained(discount: float) -> None:
    s = two_ends(np.array([[1.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 0.0]]), discount, start=1)
    s.model.transition[0, 1, 0] = [0.0, 0.7, 0.3]
    np.testing.assert_allclose(claims.return_gap(s), claims.simulation_coupling(s), rtol=1e-12)
    assert (claims.return_gap(s) < claims.simulation_uniform(s)).all()


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
def test_sharp_simulation_lemma_is_attained_in_the_limit(discount: float) -> None:
    step = 1e-5
    s = two_ends(np.array([[0.0, 0.5, 0.5]]), np.array([[0.0, 0.5 + step, 0.5 - step]]), discount)
    np.testing.assert_allclose(claims.return_gap(s), claims.simulation_stopped(s), rtol=1e-6)
    loose = claims.return_gap(s) / claims.simulation_divergence(s)
    np.testing.assert_allclose(loose, np.sqrt(1 - discount), rtol=1e-6)


def test_theorem_1_is_attained_where_the_model_never_shows_the_way() -> None:
    stay, good, bad = np.eye(3)
    s = two_ends(np.stack([stay, good]), np.stack([stay, bad]), 0.9, num_actions=2)
    np.testing.assert_allclose(claims.policy_gap(s), 0.0, atol=1e-12)
    np.testing.assert_allclose(claims.model_loss(s), 0.0, atol=1e-12)
    everywhere = claims.everywhere(s)
    regret = claims.regret(everywhere)
    np.testing.assert_allclose(regret, claims.equilibrium_bound(everywhere), rtol=1e-12)
    np.testing.assert_allclose(regret, 0.9 / (1 - 0.9), rtol=1e-12)


def test_search_finds_how_tight_a_bound_is() -> None:
    (find,) = worst_case("trajectories", (0.9,), num_restarts=8, num_steps=150)
    assert 0.9 < find.ratio <= 1.0
    left, right = claims.occupancy_divergence, claims.trajectory_divergence
    ratio = left(find.situation) / right(find.situation)
    np.testing.assert_allclose(ratio, find.ratio, rtol=1e-2)
    assert find.situation.real.transition.shape == (1, 3, 2, 3)
