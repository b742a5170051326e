"""The paper's Figures 1, 3 and 4, redrawn from the small files in ``results/``.

A line is the interquartile mean over the seeds of a study, or of a method of others; what a figure
shows, and what it lacks, its caption says.
"""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, PercentFormatter

from duopoly.lab.curves import LOOKS, SUCCESS, Look, at_common_steps
from duopoly.lab.statistics import bootstrap_interval, interquartile_mean
from duopoly.lab.studies import RESULTS, STUDIES, WORLDS
from duopoly.render.figures import INK, new_figure, style, write
from duopoly.runs import atomic
from duopoly.runs.config import FORMAT
from duopoly.runs.errors import UsageError
from duopoly.runs.metrics import RETURN, STEPS, read_progress
from duopoly.sweep.kept import check_alike, format_of, seeds_in
from duopoly.world.perturb import read_change

PUBLISHED: Final = "published"
LIBRARY: Final = "library"
"""Folders of curves beside our own: of papers, and of `benchmarks/library_sac.py`."""

MOST_BESIDE: Final = 4
"""Panels in a row."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A study of ours, or a method of others."""

    label: str
    source: str
    """Name of the study; of a method of others, its own."""
    look: Look
    folder: str | None = None
    """In `RESULTS`, with a table for each task of the curves of others; None: it is a study."""


@dataclasses.dataclass(frozen=True)
class Panel:
    """A task, and what is compared on it."""

    task: str
    metric: str
    lines: tuple[Line, ...]
    last_step: int
    """Where the axis ends."""
    first_step: int = 0
    """Where it begins."""
    change: int | None = None
    """When the world changes."""


class Drawn(NamedTuple):
    """The seeds of a line."""

    seeds: tuple[str, ...]
    steps: Float[np.ndarray, " T"]
    """At which all of them have data."""
    scores: Float[np.ndarray, "S T"]


# Blue, orange, grey and dark red stay apart without red or green cones; so do the dashes.
PAL, MAL, BR = Look("#0b5fa5"), Look("#e08214", "--"), Look("#b8b8b8", ":")
GDA, SVG = Look("#5c5c5c", "-."), Look("#7a0f2b")
DASHED_SVG = SVG._replace(dashes=(0, (5, 1)))
SAC = LOOKS["sac"]
LIBRARY_SAC = Line(
    "SAC (Stable-Baselines3)", "SAC, Stable-Baselines3", SAC._replace(dashes=":"), LIBRARY
)


def _published(method: str, colour: str, dashes: str) -> Line:
    return Line(f"{method} (published)", method, Look(colour, dashes), PUBLISHED)


def _known(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Those of which there is a study; where our own SAC has one, a library's stands beside it."""
    known = tuple(line for line in lines if line.source in STUDIES)
    has_sac = any(line.source.endswith("/sac") for line in known)
    return (*known, LIBRARY_SAC) if has_sac else known


def _schedules(task: str, last_step: int, pal: str = "pal") -> Panel:
    lines = (
        Line("PAL", f"{task}/{pal}", PAL),
        Line("PAL, actor-critic", f"{task}/pal-svg", DASHED_SVG),
        Line("MAL", f"{task}/mal", MAL),
        Line("BR", f"{task}/br", BR),
        Line("BR, new networks in each round", f"{task}/br-anew", BR._replace(dashes="-")),
        Line("GDA", f"{task}/gda", GDA),
        Line("SAC, our own", f"{task}/sac", SAC),
    )
    return Panel(task, SUCCESS, _known(lines), last_step)


def _benchmark(task: str) -> Panel:
    unclipped = f"{task}-unclipped/pal-svg"
    ours = (
        Line("PAL, natural gradient", f"{task}/pal", PAL),
        Line("MAL, natural gradient", f"{task}/mal", MAL),
        Line("PAL, actor-critic, velocities uncut", unclipped, SVG)
        if unclipped in STUDIES
        else Line("PAL, actor-critic", f"{task}/pal-svg", SVG),
        Line("SAC, our own", f"{task}/sac", SAC),
    )
    theirs = (
        _published("DHMBPO, UTD 2", "#444444", "-."),
        _published("MBPO", "#8c8c8c", "--"),
        _published("SAC", "#c0c0c0", ":"),
    )
    return Panel(task, RETURN, _known(ours) + theirs, 100_000)


def _changes(world: str, title: str) -> Panel:
    lines = (
        Line("PAL", f"Reacher7DOF/pal-{world}", PAL),
        Line("PAL, window of 5 000", f"Reacher7DOF/pal-{world}-forgetting", BR),
        Line("MAL", f"Reacher7DOF/mal-{world}", MAL),
        Line("auto", f"Reacher7DOF/auto-{world}", DASHED_SVG),
    )
    last_step, changes = WORLDS[world]
    change = read_change(changes[0]).env_steps if changes else None
    return Panel(f"Reacher7DOF: {title}", RETURN, _known(lines), last_step, 5_000, change)


FIGURES: Final[Mapping[str, tuple[Panel, ...]]] = {
    "fig1": (
        _schedules("DClawTurn", 50_000),
        _schedules("DKittyOrient", 100_000),
        _schedules("Reacher7DOF", 15_000, "pal-15000"),
        _schedules("InHandPen", 200_000),
    ),
    "fig3": tuple(map(_benchmark, ("Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5"))),
    "fig4": (
        _changes("forearm", "a longer forearm"),
        _changes("goal", "other goals"),
        _changes("elbow", "a weaker elbow, not observed"),
        _changes("elbow-goal", "weaker elbow and other goals"),
        _changes("still", "nothing changes"),
    ),
}
"""By the name that is typed."""


def studies_of(name: str) -> list[str]:
    """The studies that a figure draws."""
    return [line.source for panel in FIGURES[name] for line in panel.lines if line.folder is None]


def draw(name: str, out: Path) -> str:
    """Draws a figure and returns its caption.

    Raises:
        UsageError: there is nothing to draw, it cannot be written, or seeds of one study were
            played differently.
    """
    shown = [
        (panel, {line: found for line in panel.lines if (found := _read(line, panel)) is not None})
        for panel in FIGURES[name]
    ]
    if not any(line.folder is None for _, drawn in shown for line in drawn):
        raise UsageError(f"{name}: {RESULTS} has none of its runs; play them by --recompute")
    num_rows = -(-len(shown) // MOST_BESIDE)
    num_columns = -(-len(shown) // num_rows)
    size = 4.0 * num_columns, 4.8 * num_rows
    figure = new_figure(*size, f"Figure {name.removeprefix('fig')}")
    all_axes = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes in all_axes[len(shown) :]:
        axes.remove()
    for axes, (panel, drawn) in zip(all_axes, shown, strict=False):
        _draw_panel(axes, panel, drawn)
        if drawn:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
            axes.legend(**place, frameon=False, fontsize=8, labelcolor=INK)
    write(figure, out)
    return "\n".join(_caption(*one) for one in shown)


def _draw_panel(axes: Axes, panel: Panel, drawn: Mapping[Line, Drawn]) -> None:
    style(axes)
    for line, (seeds, steps, scores) in drawn.items():
        shown = (steps >= panel.first_step) & (steps <= panel.last_step)
        mean, x = interquartile_mean(scores)[shown], steps[shown]
        is_published = line.folder == PUBLISHED
        label = line.label if is_published else f"{line.label}, {_count(len(seeds))}"
        width = 1.3 if is_published else 1.9
        colour, dashes = line.look
        axes.plot(x, mean, color=colour, ls=dashes, lw=width, label=label)
        if len(seeds) > 1:
            low, high = (end[shown] for end in bootstrap_interval([scores]))
            axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
    axes.set_title(panel.task, fontsize=10)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("success" if panel.metric == SUCCESS else "return")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if panel.metric == SUCCESS:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(-0.02, 1.02)
    if panel.change is not None:
        axes.axvline(panel.change, color=INK, lw=0.8, ls=":")
    axes.set_xlim(panel.first_step, panel.last_step)


def _caption(panel: Panel, drawn: Mapping[Line, Drawn]) -> str:
    parts = [f"{line.label}: {_seeds_of(line, found)}" for line, found in drawn.items()]
    if missing := [line.label for line in panel.lines if line not in drawn]:
        parts.append(f"no runs yet: {', '.join(missing)}")
    return f"{panel.task}. {'; '.join(parts)}."


def _count(num_seeds: int) -> str:
    return "1 seed" if num_seeds == 1 else f"{num_seeds} seeds"


def _seeds_of(line: Line, found: Drawn) -> str:
    """The seeds, and whether they are results of former code."""
    if found.seeds == ("mean",):
        return "mean"
    text = f"seed{'s' * (len(found.seeds) > 1)} {', '.join(found.seeds)}"
    if line.folder is not None:
        return text
    number = format_of(RESULTS / line.source / f"seed_{found.seeds[0]}")
    return text if number == FORMAT else f"{text} (format {number}, played by former code)"


def _read(line: Line, panel: Panel) -> Drawn | None:
    """The seeds of a line at the steps that they share; None where there are none."""
    if line.folder is None:
        curves = _study(line.source, panel.metric)
    else:
        table = RESULTS / line.folder / f"{panel.task}.csv"
        curves = _method(table, line.source, panel.metric)
    if not curves:
        return None
    return Drawn(tuple(curves), *at_common_steps([*curves.values()]))


Curves = dict[str, tuple[np.ndarray, np.ndarray]]
"""Steps and scores by seed."""


def _study(name: str, metric: str) -> Curves:
    folders = seeds_in(RESULTS / name)
    check_alike(folders)
    curves: Curves = {}
    for folder in folders:
        rows = [row for row in read_progress(folder / "progress.csv") if metric in row]
        points = np.array([(row[STEPS], row[metric]) for row in rows])
        points = points[np.isfinite(points).all(axis=1)]
        if len(points):
            curves[folder.name[5:]] = points[:, 0], points[:, 1]
    return curves


def _method(path: Path, name: str, metric: str) -> Curves:
    """The curves of a method in a table of others; empty where there is no such table."""
    if not path.exists():
        return {}
    column = "success" if metric == SUCCESS else "return"
    curves: dict[str, list[tuple[float, float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["method"] == name:
                point = float(row["steps"]), float(row[column])
                curves.setdefault(row["seed"], []).append(point)
    arrays = {seed: np.array(points).T for seed, points in curves.items()}
    return {seed: (steps, scores) for seed, (steps, scores) in arrays.items()}


def keep_caption(text: str, picture: Path) -> None:
    """Writes the caption beside the picture.

    Raises:
        DamageError: it cannot be written.
    """
    atomic.write_file(picture.with_suffix(".txt"), f"{text}\n".encode())
