"""Lemma 1 and Theorem 1: never violated, attained by worlds built by hand, and not improvable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duopoly.theory import bounds as claims
from duopoly.theory.bounds import BOUNDS, TRIED, Situation
from duopoly.theory.families import FAMILIES, dirichlet
from duopoly.theory.mdp import MDP, objective, occupancy
from duopoly.theory.search import refutations, worst_case
from duopoly.theory.sweep import TOLERANCE, Sweep, random_situations, sweep

NAMES = [bound.name for bound in TRIED]


@pytest.fixture(scope="module")
def found() -> Sweep:
    return sweep(seed=11, num_games=10_000, num_states=4)


def test_no_violation_in_ten_thousand_games(found: Sweep) -> None:
    assert found.left.shape == (len(TRIED), 10_000)
    np.testing.assert_array_equal(found.violations[: len(BOUNDS)], 0)
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
    shared = world(model)
    return Situation(world(real), shared, policy, np.ones(1), np.full(1, 0.1), shared)


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


def chances(real: tuple[float, float], model: tuple[float, float], discount: float) -> Situation:
    """Actions a and b of a start, each good for ever with a chance, or bad; π takes a."""
    truth, told = (np.array([[0.0, p, 1.0 - p] for p in one]) for one in (real, model))
    return claims.everywhere(two_ends(truth, told, discount, num_actions=2))


STEP = 1e-5


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
def test_theorem_1_is_attained_by_its_model_term_alone(discount: float) -> None:
    s = chances((0.5, 0.5 + STEP), (0.5 + STEP, 0.5 + STEP), discount)
    np.testing.assert_allclose(claims.policy_gap(s), 0.0, atol=1e-12)
    np.testing.assert_allclose(claims.transfer(s), 0.0, atol=1e-12)
    regret = claims.regret(s)
    np.testing.assert_allclose(regret, discount * STEP / (1 - discount), rtol=1e-6)
    np.testing.assert_allclose(regret, claims.sharp_bound(s), rtol=1e-5)


def test_theorem_1_is_attained_by_its_policy_gap_alone() -> None:
    s = chances((0.2, 0.7), (0.2, 0.7), 0.9)
    np.testing.assert_allclose(claims.policy_gap(s), claims.regret(s), rtol=1e-12)
    np.testing.assert_allclose(claims.sharp_bound(s), claims.regret(s), rtol=1e-12)


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    ("real", "model", "size"),
    [
        ((0.5, 0.5 + STEP), (0.5, 0.5 + STEP), (1, 0, 0)),  # ε_π: the leader errs
        ((0.5, 0.5 + STEP), (0.5 + STEP, 0.5 + STEP), (0, 1, 0)),  # M̂ promises too much of π
        ((0.5, 0.5 + STEP), (0.5, 0.5), (0, 0, 1)),  # and too little of π*
        ((0.5, 0.5 + 2 * STEP), (0.5 + STEP, 0.5 + STEP), (0, 1, 1)),
    ],
)
def test_every_term_of_the_leaders_bound_is_needed(real, model, size, discount: float) -> None:
    s = chances(real, model, discount)
    mine, best = claims.both_with_followers(s)
    terms = np.array(
        [
            claims.leader_gap(mine, best),
            claims.simulation_stopped(mine),
            claims.simulation_stopped(best),
        ]
    )[:, 0]
    unit = discount * STEP / (1 - discount)
    np.testing.assert_allclose(terms / unit, size, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(claims.leader_bound(s), claims.regret(s), rtol=1e-4)


def two_stories(discount: float, wage: float, fall: float, swap: float, leak: float) -> Situation:
    """Two good states in which a stays and earns the wage, b changes over and earns 1; and a pit.

    One model is right about a, and says that b changes over with chance ``swap``, else stays; the
    other says that b falls into the pit with chance ``fall``, and a with chance ``leak``.
    """

    def world(stay: np.ndarray, change: np.ndarray) -> MDP:
        transition = np.zeros((1, 3, 2, 3))
        transition[0, :2, 0, :2], transition[0, :2, 1] = stay, change
        transition[0, :2, 0, 2] = 1.0 - stay.sum(axis=1)
        transition[0, 2, :, 2] = 1.0
        reward = np.array([[[wage, 1.0], [wage, 1.0], [0.0, 0.0]]])
        return MDP(transition, reward, np.array([[0.5, 0.5, 0.0]]), np.array([discount]))

    over = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    hold = np.array([[1.0 - swap, swap, 0.0], [swap, 1.0 - swap, 0.0]])
    into_pit = (1.0 - fall) * over + fall * np.eye(3)[2]
    policy = np.zeros((1, 3, 2))
    policy[..., 0] = 1.0
    return Situation(
        real=world(np.eye(2), over),
        model=world(np.eye(2), hold),
        policy=policy,
        reward_max=np.ones(1),
        radius=np.ones(1),
        rival=world((1.0 - leak) * np.eye(2), into_pit),
    )


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
def test_what_is_said_of_pal_does_not_follow_from_theorem_1(discount: float) -> None:
    """The right side is 0, and the regret comes as near to γ R_max/(1−γ) as one likes."""
    fall = 1.0 - 1e-6
    wage = (1 - discount) / (1 - discount * (1 - fall)) + 1e-9
    s = two_stories(discount, wage, fall, swap=1e-9, leak=0.01)
    mine, best = claims.both_with_followers(s)
    np.testing.assert_array_equal(mine.model.transition, s.model.transition)
    np.testing.assert_array_equal(best.model.transition, s.rival.transition)
    for policy in np.eye(2)[np.array(list(np.ndindex(2, 2, 2)))]:  # PAL's solution, of all
        other = claims.with_follower(s, policy[None])
        other_gain = objective(other.model, other.policy) - objective(mine.model, mine.policy)
        assert (other_gain <= 1e-9).all()
    for share in np.logspace(-12.0, 0.0, 49):  # nor is there much to gain by chance
        rarely = np.broadcast_to([1.0 - share, share], s.policy.shape)
        other = claims.with_follower(two_stories(discount, wage, fall, 1e-9, leak=1e-6), rarely)
        gain = objective(other.model, other.policy) - objective(mine.model, mine.policy)
        assert (gain * (1 - discount) <= 1e-6).all()
    np.testing.assert_allclose(claims.claimed_bound(s), 0.0, atol=1e-9)
    np.testing.assert_allclose(claims.regret(s), discount / (1 - discount), rtol=1e-5)
    np.testing.assert_allclose(claims.regret(s), claims.policy_gap(mine), rtol=1e-9)
    assert (claims.regret(s) <= claims.leader_bound(s)).all()


def test_the_search_finds_games_that_refute_the_claim() -> None:
    (find,) = refutations((0.5,), num_restarts=64, num_steps=200)
    s = find.situation
    assert (claims.regret(s._replace(radius=np.ones(1))) > claims.claimed_bound(s)).all()
    assert find.ratio > 1.0


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
def test_undiscounted_lemma_is_attained_in_the_limit(discount: float) -> None:
    s = chances((0.5, 0.5), (0.5 + STEP, 0.5), discount)
    horizon = round(1 / (1 - discount))
    np.testing.assert_array_equal(claims.num_steps(s), horizon)
    gap = claims.finite_gap(s)
    np.testing.assert_allclose(gap, STEP * (horizon - 1), rtol=1e-6)
    np.testing.assert_allclose(gap, claims.finite_sharp(s), rtol=1e-6)
    usual = claims.finite_divergence(s)
    np.testing.assert_allclose(gap / usual, (horizon - 1) / horizon, rtol=1e-6)


def test_search_finds_how_tight_a_bound_is() -> None:
    (find,) = worst_case("trajectories", (0.9,), num_restarts=8, num_steps=150)
    assert 0.9 < find.ratio <= 1.0
    left, right = claims.occupancy_divergence, claims.trajectory_divergence
    ratio = left(find.situation) / right(find.situation)
    np.testing.assert_allclose(ratio, find.ratio, rtol=1e-2)
    assert find.situation.real.transition.shape == (1, 3, 2, 3)
