"""Eq. 11 against finite differences of games that are solved anew on either side."""

import numpy as np
import pytest

from duopoly.theory import leaders
from duopoly.theory import stackelberg as s
from duopoly.theory.leaders import (
    Setting,
    ascend,
    compare_model_leaders,
    compare_policy_leaders,
    finite_differences,
    smooth_worlds,
)
from duopoly.theory.mdp import action_value

NUM_GAMES, NUM_STATES = 6, 4
MODELS = [(4, 0.0), (4, 0.1), (2, 0.0), (2, 0.1)]


def game_of(num_clusters: int, prior_weight: float) -> s.Game:
    world = smooth_worlds(0, NUM_GAMES, NUM_STATES)
    return s.draw_clusters(world, num_clusters, prior_weight, temperature=0.2)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(leaders.relative_error(found, expected)))


@pytest.fixture
def theta() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((NUM_GAMES, NUM_STATES, 3))


@pytest.mark.parametrize(("num_clusters", "prior_weight"), MODELS)
def test_policy_leaders_total_derivative(num_clusters, prior_weight, theta) -> None:
    game = game_of(num_clusters, prior_weight)
    exact = finite_differences(lambda x: s.imagined_return(game, x), theta)
    first = s.first_order_policy(game, theta)
    assert relative_error(first + s.implicit_policy(game, theta), exact) < 1e-7
    is_right = (num_clusters, prior_weight) == (NUM_STATES, 0.0)
    assert (relative_error(first, exact) < 1e-7) == is_right  # else the term is not in vain


@pytest.mark.parametrize(("num_clusters", "prior_weight"), MODELS)
def test_model_leaders_total_derivative(num_clusters, prior_weight) -> None:
    game = game_of(num_clusters, prior_weight)
    phi = np.random.default_rng(2).standard_normal((NUM_GAMES, num_clusters, 3, NUM_STATES))
    exact = finite_differences(lambda x: s.predicted_loss(game, x), phi)
    first = s.first_order_model(game, phi)
    assert relative_error(first + s.implicit_model(game, phi), exact) < 1e-7
    assert relative_error(first, exact) > 1e-2


@pytest.mark.parametrize(("num_clusters", "prior_weight"), MODELS)
def test_implicit_term_solves_the_followers_hessian(num_clusters, prior_weight, theta) -> None:
    """−(∂_θ∇_φℓ)ᵀ (∇²_φℓ)⁺ ∇_φJ with dense matrices, all of them by finite differences."""
    game = game_of(num_clusters, prior_weight)
    phi = np.log(s.fitted_rows(game, theta))

    def gradient(phi: np.ndarray, theta: np.ndarray) -> np.ndarray:
        rows, visits = s.softmax(phi), s.occupancy(game.world, s.softmax(theta))
        prior = game.row_prior * (rows - 1.0 / NUM_STATES)
        return s.by_cluster(game, visits)[..., None] * rows - s.seen_rows(game, visits) + prior

    def derivatives(function, x: np.ndarray) -> np.ndarray:
        size = int(np.prod(x.shape[1:]))
        rises = []
        for k in range(size):
            step = 1e-5 * np.eye(size)[k].reshape(x.shape[1:])
            rise = function(x + step) - function(x - step)
            rises.append(rise.reshape(NUM_GAMES, -1) / 2e-5)
        return np.stack(rises, axis=1)

    hessian = derivatives(lambda x: gradient(x, theta), phi)
    mixed = derivatives(lambda x: gradient(phi, x), theta)
    pi = s.softmax(theta)
    by_model = derivatives(lambda x: s.objective(s.modelled(game, s.softmax(x)), pi), phi)
    v = np.linalg.pinv(hessian, rcond=1e-7, hermitian=True) @ by_model
    found = s.implicit_policy(game, theta).reshape(NUM_GAMES, -1)
    np.testing.assert_allclose(-(mixed @ v)[..., 0], found, atol=1e-6 * np.abs(by_model).max())


@pytest.mark.parametrize("num_clusters", [1, 2, 4])
def test_without_a_prior_the_total_derivative_is_the_real_gradient(num_clusters, theta) -> None:
    game = game_of(num_clusters, 0.0)
    total = s.first_order_policy(game, theta) + s.implicit_policy(game, theta)
    assert relative_error(total, s.policy_gradient(game.world, s.softmax(theta))) < 1e-10


def test_unrolled_derivative_is_that_of_the_unrolled_game(theta) -> None:
    game, rate, num_steps = game_of(2, 0.1), 1.5, 7
    begin = np.log(s.fitted_rows(game, theta))
    weight = s.by_cluster(game, s.occupancy(game.world, s.softmax(theta))) + game.row_prior

    def played(x: np.ndarray) -> np.ndarray:
        phi, target = begin, s.fitted_rows(game, x)
        visits = s.by_cluster(game, s.occupancy(game.world, s.softmax(x))) + game.row_prior
        for _ in range(num_steps):
            gradient = visits[..., None] * (s.softmax(phi) - target)
            phi = phi - rate * gradient / weight[..., None]
        return s.objective(s.modelled(game, s.softmax(phi)), s.softmax(x))

    exact = finite_differences(played, theta)
    unrolled = s.unrolled_policy(game, theta, num_steps, rate)
    assert relative_error(s.first_order_policy(game, theta) + unrolled, exact) < 1e-7


def test_unrolling_further_comes_nearer(theta) -> None:
    game = game_of(2, 0.0)
    full = s.implicit_policy(game, theta)
    errors = [
        relative_error(s.unrolled_policy(game, theta, k, 2.0), full) for k in (1, 10, 100, 1000)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


def test_followers_respond_best() -> None:
    game = game_of(2, 0.1)
    rng = np.random.default_rng(3)
    rows = s.softmax(rng.standard_normal((NUM_GAMES, 2, 3, NUM_STATES)))
    model, pi = s.modelled(game, rows), s.softly_optimal(game, rows)
    values = np.zeros((NUM_GAMES, NUM_STATES))
    for _ in range(600):  # soft value iteration
        scores = action_value(model, values) / game.temperature
        top = scores.max(axis=-1)
        values = game.temperature * (top + np.log(np.exp(scores - top[..., None]).sum(axis=-1)))
    np.testing.assert_allclose(s.soft_value(game, model, pi), values, atol=1e-9)

    theta = rng.standard_normal((NUM_GAMES, NUM_STATES, 3))
    visits = s.occupancy(game.world, s.softmax(theta))

    def follower_loss(rows: np.ndarray) -> np.ndarray:
        pull = s.kl_divergence(np.full_like(rows, 1.0 / NUM_STATES), rows).mean(axis=(1, 2))
        fit = s.kl_divergence(game.world.transition, s.modelled(game, rows).transition)
        return s.expected(visits, fit) + game.prior_weight * pull

    fitted = s.fitted_rows(game, theta)
    gradient = finite_differences(lambda phi: follower_loss(s.softmax(phi)), np.log(fitted))
    np.testing.assert_allclose(gradient, 0.0, atol=1e-8)


def test_adam_climbs_a_hill() -> None:
    top = np.array([[1.0, -2.0]])
    np.testing.assert_allclose(ascend(lambda x: top - x, np.zeros((1, 2)), 400), top, atol=0.02)


def test_leaders_differ_only_where_the_model_cannot_be_right() -> None:
    world = smooth_worlds(1, 10, 4)
    right = compare_policy_leaders(world, Setting("right", 4, 0.0), num_steps=40)
    wrong = compare_policy_leaders(world, Setting("wrong", 1, 0.0), num_steps=40)
    np.testing.assert_allclose(right.cosine, 1.0, atol=1e-10)
    assert max(right.error.max(), wrong.error.max()) < 1e-7
    np.testing.assert_allclose(right.score[0], right.score[1], atol=1e-6)
    assert wrong.cosine.min() < 0.97
    assert wrong.score[1].mean() > wrong.score[0].mean()
    led = compare_model_leaders(world, Setting("wrong", 1, 0.0), num_steps=40)
    assert led.objective[1].mean() < led.objective[0].mean()
