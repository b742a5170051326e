"""What ``duopoly theory`` computes: bounds, worst cases, schedules, leaders, and the cost of it."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from jaxtyping import Float

from duopoly.theory.bounds import BOUNDS
from duopoly.theory.equilibria import CONTESTANTS, Course, mixed_worlds, run
from duopoly.theory.games import Rules
from duopoly.theory.leaders import (
    Comparison,
    Setting,
    compare_model_leaders,
    compare_policy_leaders,
    smooth_worlds,
)
from duopoly.theory.mdp import MDP
from duopoly.theory.search import Find, worst_case
from duopoly.theory.stackelberg import (
    draw_clusters,
    first_order_policy,
    implicit_policy,
    unrolled_policy,
)
from duopoly.theory.sweep import Sweep, sweep

NUM_SEEDS: Final = 5
NUM_PLAYED: Final = 200
NUM_ROUNDS: Final = 80
SEARCH_DISCOUNTS: Final = (0.5, 0.8, 0.9, 0.97, 0.99)
SEARCH_STEPS: Final = 300
LEADER_STEPS: Final = 120
UNROLLED_STEPS: Final = (0, 1, 3, 10, 30, 100, 300, 1000)
UNROLLED_RATE: Final = 2.0
COST_SIZES: Final = ((8, 500), (32, 100), (128, 20))
"""States, and games to time."""
RULES: Final = Rules(samples_per_round=200)
PRIORS: Final = (1.0, 0.01)
"""What else the model's prior is worth in the schedules' games, in observations."""


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything that was computed."""

    sweeps: list[Sweep]
    """One for each seed."""
    finds: list[Find]
    courses: list[Course]
    """Of every contestant, on exact data and then on sampled data."""
    priors: list[tuple[float, Course]]
    """The paper's four schedules again, on exact data, for other priors of the model."""
    policy_leaders: list[Comparison]
    model_leaders: list[Comparison]
    unrolled_error: Float[np.ndarray, "K N"]
    """Relative error of the total derivative after so many unrolled steps of the follower."""
    cost: list[tuple[int, float]]
    """States, and milliseconds of processor time per game for all bounds together."""


def study(num_games: int, num_states: int, seed: int) -> Study:
    """Computes everything; games are played and led on at most `NUM_PLAYED` worlds.

    The search compiles and climbs on one core while the rest runs on the other.
    """
    num_played = min(num_games, NUM_PLAYED)
    world = mixed_worlds(seed, num_played, num_states)
    smooth = smooth_worlds(seed, num_played, num_states)
    settings = settings_of(num_states)
    cost = [(size, cost_per_game(size, count, seed)) for size, count in COST_SIZES]
    with ThreadPoolExecutor(1) as pool:
        searched = pool.submit(search_all, seed)
        return Study(
            sweeps=[sweep(seed + k, num_games, num_states) for k in range(NUM_SEEDS)],
            courses=contests(world, seed),
            priors=priors(world, seed),
            policy_leaders=[
                compare_policy_leaders(smooth, one, LEADER_STEPS, seed) for one in settings
            ],
            model_leaders=[
                compare_model_leaders(smooth, one, LEADER_STEPS, seed)
                for one in settings
                if one.prior_weight == 0.0  # the prior is not in the leader's objective
            ],
            unrolled_error=unrolled_errors(smooth, seed),
            cost=cost,
            finds=searched.result(),
        )


def settings_of(num_states: int) -> tuple[Setting, ...]:
    """Models that can be right, that are pulled away, and that must mix up states."""
    half, third = max(2, num_states // 2), max(1, num_states // 3)
    return (
        Setting("can be right", num_states, 0.0),
        Setting("pulled to uniform", num_states, 0.1),
        Setting(f"{half} clusters", half, 0.0),
        Setting(f"{third} cluster{'s' if third > 1 else ''}", third, 0.0),
    )


def search_all(seed: int) -> list[Find]:
    """Searches the worst cases of every bound."""
    return [
        find
        for bound in BOUNDS
        for find in worst_case(bound.name, SEARCH_DISCOUNTS, seed, num_steps=SEARCH_STEPS)
    ]


def contests(world: MDP, seed: int) -> list[Course]:
    """Plays every schedule on exact data, then on sampled data."""
    return [
        run(world, name, schedule, rules, NUM_ROUNDS, seed)
        for rules in (RULES, dataclasses.replace(RULES, is_sampled=True))
        for name, schedule in CONTESTANTS.items()
    ]


def priors(world: MDP, seed: int) -> list[tuple[float, Course]]:
    """Plays the paper's schedules on exact data with other priors."""
    return [
        (count, run(world, name, CONTESTANTS[name], rules, NUM_ROUNDS, seed))
        for count in PRIORS
        for rules in (dataclasses.replace(RULES, pseudo_count=count),)
        for name in ("gda", "br", "pal", "mal")
    ]


def unrolled_errors(world: MDP, seed: int) -> Float[np.ndarray, "K N"]:
    """Compares unrolled derivatives with the total one, for a model of two clusters."""
    game = draw_clusters(world, 2, 0.0, seed=seed)
    theta = np.random.default_rng(seed).standard_normal(world.reward.shape)
    exact = implicit_policy(game, theta)
    length = np.linalg.norm(
        (first_order_policy(game, theta) + exact).reshape(len(theta), -1), axis=1
    )
    errors = []
    for num_steps in UNROLLED_STEPS:
        off = unrolled_policy(game, theta, num_steps, UNROLLED_RATE) - exact
        errors.append(np.linalg.norm(off.reshape(len(theta), -1), axis=1) / length)
    return np.stack(errors)


def cost_per_game(num_states: int, num_games: int, seed: int) -> float:
    """Returns the processor time of both sides of all bounds, in milliseconds per game.

    The better of two tries, so that neither warming up nor another program counts.
    """
    seconds = []
    for _ in range(2):
        begin = time.process_time()
        sweep(seed, num_games, num_states)
        seconds.append(time.process_time() - begin)
    return 1e3 * min(seconds) / num_games
