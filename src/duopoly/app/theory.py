"""``duopoly theory``: try the bounds, search their worst cases, play and lead tabular games."""

import csv
import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from duopoly.app.errors import FailureError, UsageError
from duopoly.theory.bounds import BOUNDS
from duopoly.theory.equilibria import CONTESTANTS, Course, backsliding, mixed_worlds, run
from duopoly.theory.games import Rules
from duopoly.theory.leaders import (
    Comparison,
    Setting,
    compare_model_leaders,
    compare_policy_leaders,
    smooth_worlds,
)
from duopoly.theory.search import Find, worst_case
from duopoly.theory.stackelberg import (
    draw_clusters,
    first_order_policy,
    implicit_policy,
)
from duopoly.theory.sweep import Sweep, sweep

NUM_SEEDS: Final = 5
NUM_PLAYED: Final = 200
NUM_ROUNDS: Final = 100
SEARCH_DISCOUNTS: Final = (0.5, 0.8, 0.9, 0.97, 0.99)
UNROLLED_STEPS: Final = (0, 1, 3, 10, 30, 100, 300, 1000)
UNROLLED_RATE: Final = 2.0
RULES: Final = (Rules(samples_per_round=200), Rules(samples_per_round=200, is_sampled=True))


def settings_of(num_states: int) -> tuple[Setting, ...]:
    """Models that can be right, that are pulled away, and that must mix up states."""
    few = max(1, num_states // 3)
    return (
        Setting("well specified", num_states, 0.0),
        Setting("pulled to uniform", num_states, 0.1),
        Setting(f"{max(2, num_states // 2)} clusters", max(2, num_states // 2), 0.0),
        Setting(f"{few} clusters", few, 0.0),
    )


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything that was computed."""

    sweeps: list[Sweep]
    finds: list[Find]
    courses: list[Course]
    policy_leaders: list[Comparison]
    model_leaders: list[Comparison]
    unrolled_error: Float[np.ndarray, "K N"]
    """Relative error of the total derivative after so many unrolled steps of the follower."""
    cost: list[tuple[int, float]]
    """States, and milliseconds per game for all bounds together."""


def study(num_games: int, num_states: int, seed: int, search_steps: int = 400) -> Study:
    """Compute everything."""
    num_played = min(num_games, NUM_PLAYED)
    world = mixed_worlds(seed, num_played, num_states)
    smooth = smooth_worlds(seed, num_played, num_states)
    settings = settings_of(num_states)
    with ThreadPoolExecutor(1) as pool:  # the search compiles on one core, the rest on the other
        searched = pool.submit(search_all, seed, search_steps)
        sweeps = [sweep(seed + k, num_games, num_states) for k in range(NUM_SEEDS)]
        courses = [
            run(world, name, schedule, rules, NUM_ROUNDS, seed)
            for rules in RULES
            for name, schedule in CONTESTANTS.items()
        ]
        policy_leaders = [compare_policy_leaders(smooth, one, seed=seed) for one in settings]
        model_leaders = [compare_model_leaders(smooth, one, seed=seed) for one in settings]
        unrolled = unrolled_errors(seed, num_played, num_states)
        finds = searched.result()
    cost = [(size, cost_per_game(size, seed)) for size in (4, 8, 16, 32)]
    return Study(sweeps, finds, courses, policy_leaders, model_leaders, unrolled, cost)


def search_all(seed: int, num_steps: int) -> list[Find]:
    """Search the worst cases of every bound."""
    return [
        find
        for bound in BOUNDS
        for find in worst_case(bound.name, SEARCH_DISCOUNTS, seed, num_steps=num_steps)
    ]


def unrolled_errors(seed: int, num_games: int, num_states: int) -> Float[np.ndarray, "K N"]:
    """Compare unrolled derivatives with the total one, for a model of two clusters."""
    game = draw_clusters(smooth_worlds(seed, num_games, num_states), 2, 0.0, seed=seed)
    theta = np.random.default_rng(seed).standard_normal(game.world.reward.shape)
    exact = implicit_policy(game, theta)
    total = np.linalg.norm((first_order_policy(game, theta) + exact).reshape(num_games, -1), axis=1)
    errors = []
    for num_steps in UNROLLED_STEPS:
        off = implicit_policy(game, theta, (num_steps, UNROLLED_RATE)) - exact
        errors.append(np.linalg.norm(off.reshape(num_games, -1), axis=1) / total)
    return np.stack(errors)


def cost_per_game(num_states: int, seed: int, num_games: int = 250) -> float:
    """Time both sides of all bounds, in milliseconds per game."""
    begin = time.perf_counter()
    sweep(seed, num_games, num_states)
    return 1e3 * (time.perf_counter() - begin) / num_games


def report(num_games: int, num_states: int, seed: int, out: Path) -> bool:
    """Compute everything, print the tables, write them and the figures under ``out``.

    Returns whether no bound was violated.
    """
    from duopoly.app.theory_figures import draw_all

    begin = time.perf_counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}") from None
    found = study(num_games, num_states, seed)
    tables = {
        "bounds": bounds_rows(found),
        "schedules": schedule_rows(found),
        "leaders": leader_rows(found),
        "cost": [{"states": s, "ms per game": f"{ms:.3f}"} for s, ms in found.cost],
    }
    for name, rows in tables.items():
        show(name, rows)
        write(out / f"{name}.csv", rows)
    worst = [describe(find) for find in found.finds]
    (out / "worst_cases.json").write_text(json.dumps(worst, indent=1) + "\n", encoding="utf-8")
    draw_all(found, out)
    print(f"written to {out} in {time.perf_counter() - begin:.0f} s")
    return not any(one.violations.any() for one in found.sweeps)


def act(num_games: int, num_states: int, seed: int, out: Path) -> None:
    """Report, and fail where a bound is violated."""
    if not report(num_games, num_states, seed, out):
        raise FailureError("a bound is violated: see the table")


def bounds_rows(found: Study) -> list[dict[str, Any]]:
    """One line per bound."""
    rows = []
    for i, bound in enumerate(BOUNDS):
        best = max((f for f in found.finds if f.bound == bound.name), key=lambda f: f.ratio)
        rows.append(
            {
                "bound": bound.name,
                "source": bound.source,
                "games": sum(one.left.shape[1] for one in found.sweeps),
                "finite": sum(int(one.num_finite[i]) for one in found.sweeps),
                "violations": sum(int(one.violations[i]) for one in found.sweeps),
                "worst seed": max(int(one.violations[i]) for one in found.sweeps),
                "tightest drawn": f"{max(one.ratio[i].max() for one in found.sweeps):.4f}",
                "tightest found": f"{best.ratio:.4f}",
                "at γ": best.discount,
                "at γ = 0.9": f"{ratio_at(found.finds, bound.name, 0.9):.4f}",
            }
        )
    return rows


def ratio_at(finds: Sequence[Find], bound: str, discount: float) -> float:
    """Tightest ratio found for a bound at one discount."""
    return next(f.ratio for f in finds if (f.bound, f.discount) == (bound, discount))


def schedule_rows(found: Study) -> list[dict[str, Any]]:
    """One line per schedule and kind of data."""
    rows = []
    for course in found.courses:
        rules = RULES[course.is_sampled]
        by_policy, _ = backsliding(-course.seen.policy_objective)
        by_model, _ = backsliding(course.seen.model_objective)
        by_return, _ = backsliding(course.seen.regret)
        rows.append(
            {
                "schedule": course.name,
                "data": "sampled" if course.is_sampled else "exact",
                "reach equilibrium": share(course.rounds_to_equilibrium),
                "stay there": share(course.rounds_to_stay),
                "rounds to reach": middle(course.rounds_to_equilibrium),
                "rounds to stay": middle(course.rounds_to_stay),
                "samples to stay": middle(course.samples(course.rounds_to_stay, rules)),
                "near-optimal": share(course.rounds_to_best),
                "rounds to near-optimal": middle(course.rounds_to_best),
                "cycle": f"{np.mean(course.period > 1):.1%}",
                "rises of −J(π,M̂)": f"{np.median(by_policy):.3f}",
                "rises of ℓ": f"{np.median(by_model):.3f}",
                "rises of regret": f"{np.median(by_return):.3f}",
                "mean regret": f"{np.mean(course.seen.regret[-1]):.4f}",
                "largest regret": f"{np.max(course.seen.regret[-1]):.3f}",
            }
        )
    return rows


def share(rounds: Float[np.ndarray, " N"]) -> str:
    """Share of games that get there."""
    return f"{np.mean(np.isfinite(rounds)):.1%}"


def middle(counts: Float[np.ndarray, " N"]) -> str:
    """Median over all games, where half of them get there."""
    median = float(np.median(counts))
    return f"{median:.0f}" if np.isfinite(median) else "—"


def leader_rows(found: Study) -> list[dict[str, Any]]:
    """One line per leader and model."""
    rows = []
    for leader, comparisons in (("pal", found.policy_leaders), ("mal", found.model_leaders)):
        for one in comparisons:
            gain = one.score[1] - one.score[0]
            real = np.median(one.cosine_real)
            rows.append(
                {
                    "leader": leader,
                    "model": one.setting.name,
                    "cos(first, total)": f"{np.median(one.cosine):.3f}",
                    "smallest": f"{np.min(one.cosine):.3f}",
                    "cos(total, real)": f"{real:.6f}" if np.isfinite(real) else "",
                    "own objective, first": f"{np.mean(one.objective[0]):.4f}",
                    "total": f"{np.mean(one.objective[1]):.4f}",
                    "real score, first": f"{np.mean(one.score[0]):.3f}",
                    "real score, total": f"{np.mean(one.score[1]):.3f}",
                    "total better": f"{np.mean(gain > 0.01):.1%}",
                    "total worse": f"{np.mean(gain < -0.01):.1%}",
                }
            )
    return rows


def describe(find: Find) -> dict[str, Any]:
    """A worst case as plain numbers."""
    s = find.situation
    rounded: Callable[[Any], Any] = lambda x: np.round(np.asarray(x)[0], 6).tolist()  # noqa: E731
    return {
        "bound": find.bound,
        "discount": find.discount,
        "ratio": round(find.ratio, 6),
        "transition": rounded(s.real.transition),
        "model": rounded(s.model.transition),
        "reward": rounded(s.real.reward),
        "start": rounded(s.real.start),
        "policy": rounded(s.policy),
        "radius": rounded(s.radius),
    }


def show(title: str, rows: Iterable[dict[str, Any]]) -> None:
    """Print a table."""
    rows = list(rows)
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
