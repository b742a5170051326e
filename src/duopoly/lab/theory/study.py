"""What ``duopoly theory`` computes: bounds, worst cases, schedules, leaders, and the cost of it."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from jaxtyping import Float

from duopoly.theory import selection
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
from duopoly.theory.search import Find, refutations, worst_case
from duopoly.theory.selection import Ending, Equilibria
from duopoly.theory.solutions import Solution, solve
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
PAPERS: Final = ("gda", "br", "pal", "mal")
"""The paper's own schedules."""
STARTS: Final = ((0.0, 0.0), (0.1, 0.0), (0.3, 0.0), (1.0, 0.0), (0.0, 0.05), (1.0, 0.05))
"""Widths of the real start, and floors of exploration."""
MOST_LISTED: Final = 4
"""States of the games in which all equilibria are listed: 81 policies each."""
MOST_SOLVED: Final = 6
"""States of the games in which PAL is solved by brute force: 729 policies each."""


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
    equilibria: list[tuple[str, Equilibria]]
    """All pure equilibria of the games of Remark 2, for each prior of the model."""
    selected: list[tuple[str, Ending]]
    """Which of them each schedule finds."""
    starts: list[tuple[float, float, Ending]]
    """Width of the real start and floor of exploration of the games of Remark 3, and their ends."""
    solutions: list[Solution]
    """PAL's own, by brute force."""
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
    small = mixed_worlds(seed, num_played, min(num_states, MOST_LISTED))
    cost = [(size, cost_per_game(size, count, seed)) for size, count in COST_SIZES]
    with ThreadPoolExecutor(1) as pool:
        searched = pool.submit(search_all, seed)
        return Study(
            sweeps=[sweep(seed + k, num_games, num_states) for k in range(NUM_SEEDS)],
            courses=contests(world, seed),
            priors=priors(world, seed),
            equilibria=[
                (name, selection.pure_equilibria(small, prior(small)))
                for name, prior in selection.PRIORS.items()
            ],
            selected=selections(small, seed),
            starts=starts(world, seed),
            solutions=solutions(seed, num_played, min(num_states, MOST_SOLVED)),
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
    """Searches the worst cases of every bound, and games that refute what is said of PAL."""
    found = [
        find
        for bound in BOUNDS
        for find in worst_case(bound.name, SEARCH_DISCOUNTS, seed, num_steps=SEARCH_STEPS)
    ]
    return found + refutations(SEARCH_DISCOUNTS, seed, num_steps=SEARCH_STEPS)


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
        for name in PAPERS
    ]


def selections(world: MDP, seed: int) -> list[tuple[str, Ending]]:
    """Plays the paper's schedules on exact data without exploration, from each prior."""
    rules = dataclasses.replace(RULES, floor=0.0)
    found = []
    for prior, prior_fn in selection.PRIORS.items():
        first = selection.first_players(world, prior_fn(world), seed)
        for name in PAPERS:
            course = run(world, name, CONTESTANTS[name], rules, NUM_ROUNDS, seed, first)
            found.append((prior, selection.ending(world, course)))
    return found


def starts(world: MDP, seed: int) -> list[tuple[float, float, Ending]]:
    """Plays the same from a gloomy prior where the real start is widened, or actions are tried.

    The endings are judged in the world whose start is narrow.
    """
    real = selection.narrow(world)
    found = []
    for width, floor in STARTS:
        wide = selection.widened(real, width)
        first = selection.first_players(wide, selection.gloomy(wide), seed)
        rules = dataclasses.replace(RULES, floor=floor)
        for name in PAPERS:
            course = run(wide, name, CONTESTANTS[name], rules, NUM_ROUNDS, seed, first)
            found.append((width, floor, selection.ending(real, course)))
    return found


def solutions(seed: int, num_games: int, num_states: int) -> list[Solution]:
    """Solves PAL's optimisation for followers that can be right, are pulled, or mix up states."""
    world = smooth_worlds(seed, num_games, num_states)
    few = max(1, num_states // 3)
    pulled = Setting(f"{few} cluster{'s' if few > 1 else ''}, pulled", few, 1.0)
    return [solve(world, one, seed) for one in (*settings_of(num_states), pulled)]


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
