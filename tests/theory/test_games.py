"""Tabular players and games: best responses against brute force, schedules by what defines them."""

import itertools

import numpy as np
import pytest

from duopoly.schedule import BR, GDA, MAL, PAL, SCHEDULES, Move
from duopoly.settings import Degree
from duopoly.theory import games, players
from duopoly.theory.distances import expected, kl_divergence
from duopoly.theory.equilibria import backsliding, first_time, mixed_worlds, periods, run, settled
from duopoly.theory.families import simplex
from duopoly.theory.games import Players, Rules, State
from duopoly.theory.mdp import MDP, objective, occupancy

FLOOR = 0.1


@pytest.fixture
def world() -> MDP:
    return mixed_worlds(0, 10, 4)


@pytest.fixture
def nu(world: MDP) -> np.ndarray:
    return simplex(np.random.default_rng(1), world.reward.shape, 1.0)


def test_best_policy_is_the_best_with_a_floor(world: MDP) -> None:
    policy = players.acting(players.best_policy(world, FLOOR), FLOOR)
    np.testing.assert_allclose(policy.min(axis=-1), FLOOR / 3)
    best = objective(world, policy)
    for choice in itertools.product(range(3), repeat=4):
        other = np.broadcast_to(np.eye(3)[list(choice)], policy.shape)
        assert (objective(world, players.acting(other, FLOOR)) <= best + 1e-9).all()


def test_natural_gradient_step_follows_the_dense_fisher_matrix(world: MDP, nu: np.ndarray) -> None:
    step, width = 1e-4, 1e-6
    seen = players.seen_by(world, FLOOR)
    moved = players.natural_gradient_step(world, nu, step, FLOOR)
    visits = occupancy(seen, nu).sum(axis=-1)

    def value_at(logits: np.ndarray) -> np.ndarray:
        weight = np.exp(logits)
        return objective(seen, weight / weight.sum(axis=-1, keepdims=True))

    gradient = np.empty_like(nu)
    for index in np.ndindex(4, 3):
        shift = np.zeros((4, 3))
        shift[index] = width
        rise = value_at(np.log(nu) + shift) - value_at(np.log(nu) - shift)
        gradient[(slice(None), *index)] = rise / (2 * width)
    for n, state in itertools.product(range(10), range(4)):
        if visits[n, state] < 1e-3:
            continue
        p = nu[n, state]
        fisher = visits[n, state] * (np.diag(p) - np.outer(p, p))
        logits = step * (1 - world.discount[n]) * np.linalg.pinv(fisher) @ gradient[n, state]
        expected_change = p * (logits - p @ logits)
        np.testing.assert_allclose(moved[n, state] - p, expected_change, atol=2e-7)


def test_natural_gradient_steps_never_lower_the_return(world: MDP, nu: np.ndarray) -> None:
    for _ in range(20):
        before = objective(world, players.acting(nu, FLOOR))
        nu = players.natural_gradient_step(world, nu, 1.0, FLOOR)
        assert (objective(world, players.acting(nu, FLOOR)) >= before - 1e-12).all()


def test_best_model_and_proximal_step_minimise_what_they_say(world: MDP) -> None:
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 5, world.transition.shape).astype(float)
    prior = np.full_like(world.transition, 0.25)
    old = simplex(rng, prior.shape, 2.0)
    fitted = players.best_model(counts, prior, 0.7)
    stepped = players.proximal_step(old, fitted, 0.3)

    def fit_loss(table: np.ndarray) -> float:
        return float(-(counts * np.log(table)).sum() - 0.7 * (prior * np.log(table)).sum())

    def step_loss(table: np.ndarray) -> float:
        return float((0.3 * kl_divergence(fitted, table) + 0.7 * kl_divergence(old, table)).sum())

    for _ in range(50):
        tilt = np.exp(0.05 * rng.standard_normal(prior.shape))
        for loss, table in ((fit_loss, fitted), (step_loss, stepped)):
            other = table * tilt
            assert loss(other / other.sum(axis=-1, keepdims=True)) > loss(table)


def test_samples_come_from_the_policys_own_visits(world: MDP, nu: np.ndarray) -> None:
    rules = Rules(samples_per_round=200_000, is_sampled=True, floor=FLOOR)
    pair = Players(nu, world.transition)
    counts = games.collect(np.random.default_rng(3), world, rules, pair, is_first=False)
    np.testing.assert_array_equal(counts.sum(axis=(1, 2, 3)), 200_000)
    walk, policy, n = np.zeros((4, 3, 4)), players.acting(nu, FLOOR)[0], 0
    rng = np.random.default_rng(4)
    state = rng.choice(4, p=world.start[n])
    for _ in range(20_000):  # begins anew with probability 1 − γ after each step
        action = rng.choice(3, p=policy[state])
        following = rng.choice(4, p=world.transition[n, state, action])
        walk[state, action, following] += 1
        fresh = rng.random() > world.discount[n]
        state = rng.choice(4, p=world.start[n]) if fresh else following
    np.testing.assert_allclose(counts[n] / 200_000, walk / 20_000, atol=0.02)


def test_exact_data_are_the_expectation_of_samples(world: MDP, nu: np.ndarray) -> None:
    pair, rng = Players(nu, world.transition), np.random.default_rng(5)
    exact = games.collect(rng, world, Rules(samples_per_round=100), pair, is_first=False)
    rules = Rules(samples_per_round=100, is_sampled=True)
    mean = np.mean(
        [games.collect(rng, world, rules, pair, is_first=False) for _ in range(2_000)], axis=0
    )
    np.testing.assert_allclose(mean, exact, atol=0.7)


def played(world: MDP, schedule, state: State, rules: Rules | None = None) -> State:
    prior = np.full_like(world.transition, 0.25)
    rng = np.random.default_rng(0)
    return games.play_round(rng, world, prior, schedule, rules or Rules(), state)[0]


def test_at_once_means_the_policy_faces_the_old_model(world: MDP, nu: np.ndarray) -> None:
    old = simplex(np.random.default_rng(6), world.transition.shape, 1.0)
    state = State(Players(nu, old), (world.transition,), num_fits=1)
    rules = Rules()
    for schedule in (GDA, BR):
        new = played(world, schedule, state).players
        faced = games.improve(world._replace(transition=old), nu, schedule.policy_effort, rules)
        np.testing.assert_array_equal(new.nu, faced)
        assert np.abs(new.transition - old).max() > 0.01
    new = played(world, PAL, state).players
    model = world._replace(transition=new.transition)
    np.testing.assert_array_equal(new.nu, games.improve(model, nu, PAL.policy_effort, rules))


def test_mal_collects_with_the_new_policy(world: MDP, nu: np.ndarray) -> None:
    state = State(Players(nu, world.transition), (world.transition,), num_fits=1)
    after = played(world, MAL, state)
    best = players.acting(players.best_policy(world, Rules().floor), Rules().floor)
    collected = after.recent[-1].sum(axis=-1)
    np.testing.assert_allclose(collected, 100 * occupancy(world, best), atol=1e-9)


@pytest.mark.parametrize("name", ["gda", "br", "pal", "mal"])
def test_nobody_improves_before_a_model_is_fitted(name, world: MDP) -> None:
    uniform = np.full_like(world.reward, 1.0 / 3.0)
    state = State(Players(uniform, np.full_like(world.transition, 0.25)))
    prior = np.full_like(world.transition, 0.25)
    rng = np.random.default_rng(0)
    _, found = games.play_round(rng, world, prior, SCHEDULES[name], Rules(), state)
    assert (Move.IMPROVE in found) == (name == "pal")  # PAL alone has just fitted one


def test_memory_is_what_the_schedule_says(world: MDP, nu: np.ndarray) -> None:
    rules = Rules(samples_per_round=100, window=3)
    state = State(Players(nu, world.transition))
    for _ in range(5):  # 500 transitions, then 100 each
        state = played(world, MAL, state, rules)
    for schedule, num in {GDA: 100, PAL: 300, MAL: 900}.items():
        counts = games.remembered(schedule.memory, state)
        np.testing.assert_allclose(counts.sum(axis=(1, 2, 3)), num)
    np.testing.assert_array_equal(games.remembered(GDA.memory, state), state.recent[-1])


def test_conservative_is_between_a_step_and_convergence(world: MDP) -> None:
    old = np.full_like(world.transition, 0.25)
    target = world.transition
    gap = [
        np.abs(games.fit(old, target, degree, Rules()) - target).max()
        for degree in (Degree.STEP, Degree.CONSERVATIVE, Degree.CONVERGENCE)
    ]
    np.testing.assert_allclose(gap / np.abs(old - target).max(), [0.9, 0.9**5, 0.0], atol=1e-12)


def test_an_observation_measures_the_pair(world: MDP, nu: np.ndarray) -> None:
    rules = Rules()
    pair = Players(nu, simplex(np.random.default_rng(7), world.transition.shape, 5.0))
    best_return = objective(world, players.acting(players.best_policy(world, 0.05), 0.05))
    seen = games.observe(world, rules, pair, {}, best_return)
    assert np.isnan(seen.policy_objective).all()
    assert (seen.policy_gap >= -1e-12).all()
    assert (seen.regret >= -1e-12).all()
    visits = occupancy(world, players.acting(nu, 0.05))
    loss = expected(visits, kl_divergence(world.transition, pair.transition))
    np.testing.assert_allclose(seen.model_loss, loss)
    np.testing.assert_allclose(seen.regret + seen.real_return, 0.1 * best_return)


def test_leaders_make_steady_progress_and_best_responders_do_not() -> None:
    world = mixed_worlds(0, 50, 5)
    course = {
        name: run(world, name, SCHEDULES[name], Rules(samples_per_round=200), 60, 0)
        for name in ("gda", "br", "pal", "mal")
    }
    lasting = {name: np.isfinite(one.rounds_to_stay).mean() for name, one in course.items()}
    assert min(lasting["pal"], lasting["mal"]) == 1.0
    assert lasting["br"] < 0.9
    for name in ("pal", "mal"):
        assert not (course[name].period > 1).any()
    assert (course["br"].period > 1).any()
    rounds = {name: np.median(one.rounds_to_equilibrium) for name, one in course.items()}
    assert rounds["gda"] > 3.0 * max(rounds["pal"], rounds["mal"])
    pal = backsliding(-course["pal"].seen.policy_objective)
    mal = backsliding(course["mal"].seen.model_objective)
    assert max(np.median(pal), np.median(mal)) < 0.01
    regret = {name: one.seen.regret[-20:].mean() for name, one in course.items()}
    assert regret["br"] > 3.0 * max(regret["pal"], regret["mal"])


def test_when_something_holds() -> None:
    holds = np.array([[0, 1, 0, 1], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
    np.testing.assert_array_equal(first_time(holds), [2, 1, 3, 1])
    np.testing.assert_array_equal(settled(holds, 1), [2, 1, 3, np.inf])
    np.testing.assert_array_equal(settled(holds, 2), [2, 1, np.inf, np.inf])
    np.testing.assert_array_equal(settled(holds, 3), [np.inf, 1, np.inf, np.inf])


def test_periods_are_found() -> None:
    beats = [[0.0, k % 2, k, k // 2 % 2] for k in range(12)]  # the last: 0 0 1 1 0 0 1 1 …
    tables = [np.array(beat).reshape(4, 1, 1, 1) for beat in beats]
    np.testing.assert_array_equal(periods(tables), [1, 2, 0, 4])


def test_backsliding_counts_rises() -> None:
    curve = np.array([[np.nan, np.nan], [3.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
    np.testing.assert_allclose(backsliding(curve), [1 / 3, 1 / 2])
