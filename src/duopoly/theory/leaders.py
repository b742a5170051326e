"""Does dropping the implicit term change the result? Leaders that climb with it and without."""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from duopoly.theory.families import random_worlds, simplex
from duopoly.theory.mdp import MDP, objective, optimal_policy
from duopoly.theory.stackelberg import (
    Game,
    draw_clusters,
    first_order_model,
    first_order_policy,
    fitted_rows,
    imagined_return,
    implicit_model,
    implicit_policy,
    policy_gradient,
    predicted_loss,
    softly_optimal,
    softmax,
)

Gradient = Callable[[Float[np.ndarray, "N ..."]], Float[np.ndarray, "N ..."]]
DISCOUNT: Final = 0.9
NUM_CHECKED: Final = 20
"""Games whose gradient is compared with finite differences."""


class Setting(NamedTuple):
    """What limits the model in a comparison."""

    name: str
    num_clusters: int
    prior_weight: float


class Comparison(NamedTuple):
    """One leader that climbs by the first-order gradient, and one by the total derivative."""

    setting: Setting
    cosine: Float[np.ndarray, " N"]
    """Between the first-order gradient and the total one, at the start."""
    cosine_real: Float[np.ndarray, " N"]
    """Between the total gradient and ∇J(π, M), at the start; NaN where the model leads."""
    error: Float[np.ndarray, " checked"]
    """Of the total gradient against central differences of the game solved anew, relative, at the
    start of the first `NUM_CHECKED` games."""
    objective: Float[np.ndarray, "2 N"]
    """The leader's own objective at the end: first order, total. Larger is better for PAL (J),
    smaller for MAL (ℓ)."""
    score: Float[np.ndarray, "2 N"]
    """Real return at the end, 0 for the uniform policy and 1 for the best."""


def smooth_worlds(seed: int, num_games: int, num_states: int, num_actions: int = 3) -> MDP:
    """Draws worlds in which every next state is possible, so that all divergences are finite."""

    def family(rng: np.random.Generator, n: int, s: int, a: int) -> Float[np.ndarray, "N S A S"]:
        drawn = simplex(rng, (n, s, a, s), 0.3)
        return 0.99 * drawn + 0.01 / s

    rng = np.random.default_rng(seed)
    return random_worlds(rng, num_games, num_states, family, num_actions, (DISCOUNT, DISCOUNT))


def ascend(
    gradient: Gradient, start: Float[np.ndarray, "N ..."], num_steps: int, rate: float = 0.1
) -> Float[np.ndarray, "N ..."]:
    """Climbs by Adam, whose step falls to a tenth along a line."""
    x, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for k in range(1, num_steps + 1):
        found = gradient(x)
        first = 0.9 * first + 0.1 * found
        second = 0.99 * second + 0.01 * found**2
        scale = np.sqrt(second / (1.0 - 0.99**k)) + 1e-12
        step = rate * (1.0 - 0.9 * k / num_steps)
        x = np.clip(x + step * first / (1.0 - 0.9**k) / scale, -30.0, 30.0)
    return x


def finite_differences(
    function: Callable[[np.ndarray], np.ndarray], x: Float[np.ndarray, "N ..."], width: float = 1e-5
) -> Float[np.ndarray, "N ..."]:
    """Central differences of a function that solves the game anew, one coordinate at a time."""
    found = np.empty_like(x)
    for index in np.ndindex(*x.shape[1:]):
        step = np.zeros(x.shape[1:])
        step[index] = width
        found[(slice(None), *index)] = (function(x + step) - function(x - step)) / (2.0 * width)
    return found


def cosine(a: Float[np.ndarray, "N ..."], b: Float[np.ndarray, "N ..."]) -> Float[np.ndarray, " N"]:
    """Cosine of the angle between two gradients, game by game."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return np.sum(a * b, axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def relative_error(
    found: Float[np.ndarray, "N ..."], exact: Float[np.ndarray, "N ..."]
) -> Float[np.ndarray, " N"]:
    """Distance over length, game by game."""
    off, exact = (found - exact).reshape(len(exact), -1), exact.reshape(len(exact), -1)
    return np.linalg.norm(off, axis=1) / np.linalg.norm(exact, axis=1)


def first_games(game: Game) -> Game:
    """Returns the first `NUM_CHECKED` games."""
    world = MDP(*(x[:NUM_CHECKED] for x in game.world))
    return game._replace(world=world, assignment=game.assignment[:NUM_CHECKED])


def score(world: MDP, pi: Float[np.ndarray, "N S A"]) -> Float[np.ndarray, " N"]:
    """Real return on a scale from the uniform policy (0) to the best one (1)."""
    low = objective(world, np.full_like(pi, 1.0 / pi.shape[-1]))
    return (objective(world, pi) - low) / (objective(world, optimal_policy(world)) - low)


def compare_policy_leaders(
    world: MDP, setting: Setting, num_steps: int = 150, seed: int = 0
) -> Comparison:
    """Lets two PAL leaders climb J(π, M̂^π) from the uniform policy."""
    game = draw_clusters(world, setting.num_clusters, setting.prior_weight, seed=seed)

    def total(theta: np.ndarray) -> np.ndarray:
        return first_order_policy(game, theta) + implicit_policy(game, theta)

    start = 0.1 * np.random.default_rng(seed).standard_normal(world.reward.shape)
    ends = [
        ascend(gradient, start, num_steps)
        for gradient in (lambda theta: first_order_policy(game, theta), total)
    ]
    return Comparison(
        setting,
        cosine(first_order_policy(game, start), total(start)),
        cosine(total(start), policy_gradient(world, softmax(start))),
        relative_error(
            total(start)[:NUM_CHECKED],
            finite_differences(partial(imagined_return, first_games(game)), start[:NUM_CHECKED]),
        ),
        np.stack([imagined_return(game, end) for end in ends]),
        np.stack([score(world, softmax(end)) for end in ends]),
    )


def compare_model_leaders(
    world: MDP, setting: Setting, num_steps: int = 150, seed: int = 0
) -> Comparison:
    """Lets two MAL leaders descend ℓ(M̂, µ^π) from the model fitted to the uniform policy."""
    game = draw_clusters(world, setting.num_clusters, setting.prior_weight, seed=seed)

    def total(phi: np.ndarray) -> np.ndarray:
        return first_order_model(game, phi) + implicit_model(game, phi)

    start = np.log(fitted_rows(game, np.zeros_like(world.reward)))
    ends = [
        ascend(lambda phi, g=gradient: -g(phi), start, num_steps)
        for gradient in (lambda phi: first_order_model(game, phi), total)
    ]
    nudged = start + 0.1 * np.random.default_rng(seed).standard_normal(start.shape)
    return Comparison(
        setting,
        cosine(first_order_model(game, nudged), total(nudged)),
        np.full(len(start), np.nan),
        relative_error(
            total(nudged)[:NUM_CHECKED],
            finite_differences(partial(predicted_loss, first_games(game)), nudged[:NUM_CHECKED]),
        ),
        np.stack([predicted_loss(game, end) for end in ends]),
        np.stack([score(world, best_response(game, end)) for end in ends]),
    )


def best_response(game: Game, phi: Float[np.ndarray, "N C A S"]) -> Float[np.ndarray, "N S A"]:
    """Returns the policy that is best in a model."""
    return softly_optimal(game, softmax(phi))
