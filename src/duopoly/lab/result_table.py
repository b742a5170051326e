"""What came of a study: every seed's results and what they come to, as rows of Markdown."""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from duopoly.lab.curves import at_common_steps
from duopoly.lab.statistics import (
    bootstrap_interval,
    interquartile_mean,
    mean_height,
    performance_profile,
    probability_of_improvement,
    steps_to_reach,
)
from duopoly.runs.metrics import ELAPSED, RETURN, STEPS, read_progress
from duopoly.sweep.kept import check_alike, read, seeds_in

Scores = Float[np.ndarray, " seeds"]


def rows(name: str, results: Path, levels: Sequence[float] = ()) -> Iterator[str]:
    """The rows of a study.

    ``levels``: returns of which is told when the seeds' mean reaches them.

    Raises:
        UsageError: its seeds were played differently; a `DamageError` where a file is damaged.
    """
    folders = seeds_in(results / name)
    if not folders:
        yield f"{name}: no results yet"
        return
    check_alike(folders)
    found = [read(path / "evaluation.json") for path in folders]
    tables = [read_progress(path / "progress.csv") for path in folders]
    seeds = ", ".join(path.name.removeprefix("seed_") for path in folders)
    episodes = f"{found[0]['num_episodes']} episodes"
    yield f"{name}, {found[0]['env_steps']:,} environment steps, {episodes}, seeds {seeds}"
    yield _row("mean return", np.array([one["mean_return"] for one in found]), "{:.4g}".format)
    if found[0]["success_rate"] is not None:
        yield _row("success", np.array([one["success_rate"] for one in found]), "{:.0%}".format)
    yield from _best(folders)
    curves = [_curve(table) for table in tables]
    if all(len(steps) > 1 for steps, _ in curves):
        grid, scores = at_common_steps(curves)
        if len(grid) > 1:
            label = f"mean return from {grid[0]:,.0f} to {grid[-1]:,.0f} steps"
            yield _row(label, mean_height(grid, scores), "{:.4g}".format)
    for level in levels:
        yield _profile(found, level)
        yield _crossing(curves, level)
    times = " | ".join(f"{table[-1][ELAPSED]:.0f}" for table in tables)
    yield f"| seconds | {times} | |"


def comparison(first: str, second: str, results: Path) -> str:
    """How probably a seed of the first study ends with a higher return than one of the second."""
    pairs = []
    for name in (first, second):
        folders = seeds_in(results / name)
        check_alike(folders)
        pairs.append(np.array([read(path / "evaluation.json")["mean_return"] for path in folders]))
    if not all(map(len, pairs)):
        return f"{first} against {second}: no results yet"
    better, low, high = probability_of_improvement(*pairs)
    sizes = f"{len(pairs[0])} and {len(pairs[1])} seeds"
    return (
        f"{first} is better than {second} with probability {better:.2f} ({low:.2f} to {high:.2f}; "
        f"{sizes})"
    )


def _row(label: str, scores: Scores, spell: Callable[[float], str]) -> str:
    """Each seed's score, their interquartile mean and its interval."""
    ends = interquartile_mean(scores), *bootstrap_interval([scores])
    middle, low, high = (spell(float(end)) for end in ends)
    each = " | ".join(spell(float(score)) for score in scores)
    return f"| {label} | {each} | {middle} ({low} to {high}) |"


def _profile(found: Sequence[dict[str, Any]], level: float) -> str:
    """The share of the seeds that end above a level: a point of their performance profile."""
    scores = np.array([one["mean_return"] for one in found])

    def share(drawn: Float[np.ndarray, "..."], axis: int = 0) -> Float[np.ndarray, "..."]:
        return np.asarray(performance_profile(drawn, np.array([level]), axis)[0])

    ends = share(scores), *bootstrap_interval([scores], statistic=share)
    middle, low, high = (f"{float(end):.0%}" for end in ends)
    each = " | ".join("yes" if score > level else "no" for score in scores)
    return f"| above {level:g} in the end | {each} | {middle} ({low} to {high}) |"


def _best(folders: Sequence[Path]) -> Iterator[str]:
    """What the policies that did best in training do, where all seeds have one."""
    if not all((path / "best.json").exists() for path in folders):
        return
    best: list[dict[str, Any]] = [read(path / "best.json") for path in folders]
    scores = np.array([one["mean_return"] for one in best])
    yield _row("best policy's return", scores, "{:.4g}".format)
    steps = " | ".join(f"{one['env_steps']:,}" for one in best)
    yield f"| after steps | {steps} | |"


def _curve(table: Sequence[dict[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    points = [(row[STEPS], row[RETURN]) for row in table if np.isfinite(row.get(RETURN, np.nan))]
    steps, returns = np.array(points).reshape(-1, 2).T
    return steps, returns


def _crossing(curves: Sequence[tuple[np.ndarray, np.ndarray]], level: float) -> str:
    """After how many steps the seeds' mean return reaches a level, on a coarse grid.

    Published curves have a point every 10 000 steps; a finer grid is crossed earlier by chance.
    """
    at = [dict(zip(*curve, strict=True)) for curve in curves]
    shared = sorted(set.intersection(*map(set, at)))
    grid = np.array([steps for steps in shared if steps == 5_000 or steps % 10_000 == 0])
    if not grid.size:
        return f"| steps to {level:g} | the seeds share no point of the grid | |"
    scores = np.array([[known[steps] for steps in grid] for known in at])
    crossing = functools.partial(steps_to_reach, grid, level=level)
    ends = bootstrap_interval([scores], statistic=crossing)
    found = [*(crossing(one[None]) for one in scores), crossing(scores), *ends]
    *each, together, low, high = ("never" if np.isinf(x) else f"{float(x):,.0f}" for x in found)
    return f"| steps to {level:g} | {' | '.join(each)} | {together} ({low} to {high}) |"
