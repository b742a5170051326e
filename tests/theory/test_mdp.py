"""Tabular worlds against loops, powers, enumeration and SciPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from duopoly.theory import mdp as tabular
from duopoly.theory.distances import expected, kl_divergence, total_variation
from duopoly.theory.families import FAMILIES, random_worlds, simplex, wrong_models
from duopoly.theory.mdp import MDP

NUM_GAMES, NUM_STATES, NUM_ACTIONS = 6, 4, 3


@pytest.fixture(params=FAMILIES)
def world(request: pytest.FixtureRequest) -> MDP:
    rng = np.random.default_rng(0)
    return random_worlds(rng, NUM_GAMES, NUM_STATES, FAMILIES[request.param], discounts=(0.3, 0.9))


@pytest.fixture
def policy() -> np.ndarray:
    return simplex(np.random.default_rng(1), (NUM_GAMES, NUM_STATES, NUM_ACTIONS), 1.0)


def test_worlds_are_worlds(world: MDP) -> None:
    model = wrong_models(np.random.default_rng(2), world, FAMILIES["sparse"])
    for table in (world.transition, model.transition, world.start):
        assert (table >= 0.0).all()
        np.testing.assert_allclose(table.sum(axis=-1), 1.0, atol=1e-12)
    assert (world.reward.min(), world.reward.max()) >= (0.0, 0.0)
    assert world.reward.max() <= 1.0
    assert ((world.discount >= 0.3) & (world.discount <= 0.9)).all()


def test_occupancy_and_objective_match_a_walk_through_time(world: MDP, policy: np.ndarray) -> None:
    visits = tabular.occupancy(world, policy)
    objective = tabular.objective(world, policy)
    for n in range(NUM_GAMES):
        gamma, here = world.discount[n], world.start[n].copy()
        total, seen = 0.0, np.zeros((NUM_STATES, NUM_ACTIONS))
        for t in range(400):
            pairs = here[:, None] * policy[n]
            seen += (1.0 - gamma) * gamma**t * pairs
            total += gamma**t * float((pairs * world.reward[n]).sum())
            here = np.array(
                [(pairs * world.transition[n, :, :, s]).sum() for s in range(NUM_STATES)]
            )
        np.testing.assert_allclose(visits[n], seen, atol=1e-12)
        assert objective[n] == pytest.approx(total, abs=1e-10)


def test_value_matches_repeated_backups(world: MDP, policy: np.ndarray) -> None:
    values = np.zeros((NUM_GAMES, NUM_STATES))
    for _ in range(400):
        values = (policy * tabular.action_value(world, values)).sum(axis=-1)
    np.testing.assert_allclose(tabular.value(world, policy), values, atol=1e-10)


def test_optimal_policy_is_the_best_of_all(world: MDP) -> None:
    best = tabular.objective(world, tabular.optimal_policy(world))
    choices = itertools.product(range(NUM_ACTIONS), repeat=NUM_STATES)
    every = [
        tabular.objective(
            world, np.broadcast_to(np.eye(NUM_ACTIONS)[list(choice)], world.reward.shape)
        )
        for choice in choices
    ]
    np.testing.assert_allclose(best, np.max(every, axis=0), atol=1e-10)


def test_a_policy_that_does_not_settle_is_reported(world: MDP) -> None:
    with pytest.raises(ArithmeticError, match="after 0 iterations"):
        tabular.optimal_policy(world, num_iterations=0)


def test_playing_in_an_anchored_world_is_playing_a_blend(world: MDP, policy: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    other = simplex(rng, policy.shape, 1.0)
    radius = rng.random(NUM_GAMES)
    anchored = tabular.objective(tabular.anchored(world, policy, radius), other)
    blended = tabular.objective(world, tabular.blend(policy, other, radius))
    np.testing.assert_allclose(anchored, blended, rtol=1e-12)


def test_jax_and_numpy_agree(world: MDP, policy: np.ndarray) -> None:
    with jax.enable_x64(True):
        same = jax.tree.map(jnp.asarray, world)
        found = tabular.occupancy(same, jnp.asarray(policy))
        best = tabular.optimal_policy(same, 6)
        assert found.dtype == jnp.float64
        value_found = np.asarray(tabular.objective(same, best))
    np.testing.assert_allclose(found, tabular.occupancy(world, policy), rtol=1e-12)
    expected_best = tabular.objective(world, tabular.optimal_policy(world))
    np.testing.assert_allclose(value_found, expected_best, rtol=1e-12)


def test_distances_match_scipy_and_loops() -> None:
    rng = np.random.default_rng(4)
    p, q = simplex(rng, (50, 5), 0.5), simplex(rng, (50, 5), 0.5)
    np.testing.assert_allclose(kl_divergence(p, q), scipy.stats.entropy(p.T, q.T), rtol=1e-10)
    events = list(itertools.product([0.0, 1.0], repeat=5))
    widest = np.max([np.abs((p - q) @ np.array(event)) for event in events], axis=0)
    np.testing.assert_allclose(total_variation(p, q), widest, rtol=1e-12)


def test_divergence_of_neighbours_keeps_its_digits() -> None:
    step = 1e-9
    p, q = np.array([[0.5, 0.5]]), np.array([[0.5 + step, 0.5 - step]])
    np.testing.assert_allclose(kl_divergence(p, q), 2.0 * step**2, rtol=1e-6)


def test_what_the_model_rules_out_costs_infinitely_but_only_where_it_is_met() -> None:
    p, q = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(kl_divergence(p, q), [0.0, np.inf])
    quantity = np.array([[[1.0, np.inf]]])
    assert expected(np.array([[[1.0, 0.0]]]), quantity) == [1.0]
    assert expected(np.array([[[0.5, 0.5]]]), quantity) == [np.inf]
