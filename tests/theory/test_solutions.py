"""PAL solved by brute force, and the equilibria of Remarks 2 and 3, against what defines them."""

import itertools

import numpy as np
import pytest

from duopoly.schedule import MAL
from duopoly.theory import selection
from duopoly.theory.distances import kl_divergence
from duopoly.theory.equilibria import mixed_worlds, run
from duopoly.theory.games import Players, Rules
from duopoly.theory.leaders import Setting, smooth_worlds
from duopoly.theory.mdp import MDP, objective, occupancy, optimal_policy
from duopoly.theory.players import acting
from duopoly.theory.solutions import FLOOR, deterministic, solve
from duopoly.theory.stackelberg import Game, best_response_rows, draw_clusters, modelled


def follower_loss(game: Game, rows: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """ℓ + κ · mean over its rows of KL(uniform ‖ P̂): what the follower minimises."""
    divergence = kl_divergence(game.world.transition, modelled(game, rows).transition)
    loss = (occupancy(game.world, policy) * divergence).sum(axis=(1, 2))
    uniform = np.full_like(rows, 1.0 / rows.shape[-1])
    return loss + game.prior_weight * kl_divergence(uniform, rows).mean(axis=(1, 2))


def test_the_follower_responds_best() -> None:
    game = draw_clusters(smooth_worlds(0, 4, 4), 2, 0.3)
    rng = np.random.default_rng(1)
    policy = acting(np.eye(3)[rng.integers(3, size=(4, 4))], FLOOR)
    rows = best_response_rows(game, policy)
    for _ in range(50):
        other = rows * np.exp(0.1 * rng.standard_normal(rows.shape))
        other /= other.sum(axis=-1, keepdims=True)
        assert (follower_loss(game, other, policy) > follower_loss(game, rows, policy)).all()


@pytest.mark.parametrize(("num_clusters", "prior_weight"), [(3, 0.0), (3, 0.2), (2, 0.0), (2, 1.0)])
def test_solutions_are_the_best_of_all_and_their_gaps_those_of_a_loop(
    num_clusters, prior_weight
) -> None:
    world = smooth_worlds(1, 4, 3)
    one = solve(world, Setting("", num_clusters, prior_weight), seed=2)
    game = draw_clusters(world, num_clusters, prior_weight, seed=2)
    chosen = modelled(game, best_response_rows(game, one.policy))
    promise = objective(chosen, one.policy)
    nash, regret = np.zeros(4), np.zeros(4)
    for choice in itertools.product(range(3), repeat=3):
        other = acting(np.broadcast_to(np.eye(3)[list(choice)], (4, 3, 3)), FLOOR)
        its_own = modelled(game, best_response_rows(game, other))
        assert (objective(its_own, other) <= promise + 1e-9).all()
        nash = np.maximum(nash, objective(chosen, other) - promise)
        regret = np.maximum(regret, objective(world, other) - objective(world, one.policy))
    np.testing.assert_allclose(one.nash_gap, 0.1 * nash, atol=1e-9)
    np.testing.assert_allclose(one.regret, 0.1 * regret, atol=1e-9)
    assert one.ratio.max() <= 1.0 + 1e-6


def test_a_solution_of_pal_need_not_be_a_nash_equilibrium() -> None:
    world = smooth_worlds(0, 50, 5)
    right, mixed = (solve(world, Setting("", num, 0.0)) for num in (5, 2))
    assert right.nash_gap.max() < 1e-9
    assert (mixed.nash_gap > 0.01).mean() > 0.1
    assert mixed.regret.max() < 1e-9  # without a prior the promise is the truth: docs, section 8


def test_all_deterministic_policies_are_listed() -> None:
    listed = deterministic(3, 2)
    assert len(np.unique(listed.reshape(8, -1), axis=0)) == 8
    np.testing.assert_array_equal(listed.sum(axis=-1), 1.0)


def one_armed(discount: float = 0.9) -> MDP:
    """In state 0, a stays for 0.3, and b leads to state 1, which pays for ever; 2 never pays."""
    transition = np.zeros((1, 3, 2, 3))
    transition[0, 0, 0, 0] = transition[0, 0, 1, 1] = 1.0
    transition[0, 1, :, 1] = transition[0, 2, :, 2] = 1.0
    reward = np.array([[[0.3, 0.0], [1.0, 1.0], [0.0, 0.0]]])
    return MDP(transition, reward, np.eye(3)[[0]], np.array([discount]))


def test_equilibria_are_those_worked_by_hand() -> None:
    world = one_armed()
    gloomy = selection.pure_equilibria(world, selection.gloomy(world))
    assert gloomy.num_different.tolist() == [2]  # a for ever, and b
    np.testing.assert_allclose([gloomy.best, gloomy.worst], [[0.0], [0.6]], atol=1e-9)
    hopeful = selection.pure_equilibria(world, selection.hopeful(world))
    # Whichever is untried promises state 1, and a promises its 0.3 besides.
    assert hopeful.num_different.tolist() == [0]


def test_an_equilibrium_confirms_itself() -> None:
    world = mixed_worlds(3, 20, 3)
    for prior_fn in selection.PRIORS.values():
        prior = prior_fn(world)
        np.testing.assert_allclose(prior.sum(axis=-1), 1.0)
        listed = selection.pure_equilibria(world, prior)
        for k, choice in enumerate(deterministic(3, 3)):
            policy = np.broadcast_to(choice, world.reward.shape).copy()
            model = selection.confirmed(world, prior, policy)
            seen = occupancy(world, policy) > 1e-9
            np.testing.assert_array_equal(model.transition[seen], world.transition[seen])
            np.testing.assert_allclose(objective(model, policy), objective(world, policy))
            best = np.full(20, -np.inf)
            for other in deterministic(3, 3):
                table = np.broadcast_to(other, policy.shape)
                best = np.maximum(best, objective(model, table))
            is_best = best - objective(model, policy) <= 1e-8
            np.testing.assert_array_equal(is_best, listed.is_equilibrium[k])


@pytest.mark.parametrize("prior_fn", [selection.gloomy, selection.hopeful])
def test_mal_ends_where_its_prior_says(prior_fn) -> None:
    world = one_armed()
    first = selection.first_players(world, prior_fn(world), seed=0)
    nu = np.zeros_like(world.reward)
    nu[..., 0], nu[..., 1] = 1.0 - selection.HESITATION, selection.HESITATION
    course = run(world, "mal", MAL, Rules(floor=0.0), 40, 0, Players(nu, first.transition))
    end = selection.ending(world, course)
    is_gloomy = prior_fn is selection.gloomy
    np.testing.assert_allclose(end.regret, 0.6 if is_gloomy else 0.0, atol=1e-6)
    np.testing.assert_allclose(end.transfer, 0.9 if is_gloomy else 0.0, atol=1e-3)


def test_a_wider_start_is_a_mixture() -> None:
    world = selection.narrow(mixed_worlds(0, 10, 4))
    np.testing.assert_array_equal(world.start, np.eye(4)[[0] * 10])
    wide = selection.widened(world, 0.2)
    np.testing.assert_allclose(wide.start, [[0.85, 0.05, 0.05, 0.05]] * 10)
    policy = optimal_policy(world)
    uniform = objective(world._replace(start=np.full((10, 4), 0.25)), policy)
    mixture = 0.8 * objective(world, policy) + 0.2 * uniform
    np.testing.assert_allclose(objective(wide, policy), mixture)
