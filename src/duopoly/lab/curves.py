"""Learning curves as pictures: one run, or interquartile means over the seeds of each algorithm.

Runs of one algorithm that differ in their settings are drawn apart, and named by what differs.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, PercentFormatter

from duopoly.lab.statistics import bootstrap_interval, interquartile_mean
from duopoly.render.figures import INK, add_legend, new_figure, style, write
from duopoly.runs import settings_json
from duopoly.runs.config import MAX_STEPS, RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.metrics import (
    HORIZON_SHARE,
    IMAGINED,
    RETURN,
    ROUND,
    STEPS,
    is_alike,
    read_progress,
)
from duopoly.runs.rundir import RunDirectory
from duopoly.world.perturb import Change

SUCCESS = "eval/success_rate"


class Look(NamedTuple):
    """How a line is drawn."""

    colour: str
    dashes: str | tuple[int, tuple[int, ...]] = "-"


_BLUE, _SKY, _NAVY, _RED, _DARK_RED = "#0072b2", "#56b4e9", "#1b2a6b", "#d55e00", "#7a0f2b"
_YELLOW, _GREY, _BLACK = "#d8c21f", "#7a7a7a", "#222222"

LOOKS: Final[Mapping[str, Look]] = {
    "pal": Look(_BLUE),
    "mal": Look(_RED, "--"),
    "gda": Look(_GREY, "-."),
    "br": Look(_YELLOW, ":"),
    "auto": Look(_BLACK, "--"),
    "pets": Look(_DARK_RED, "--"),
    "metrpo": Look(_NAVY, "--"),
    "slbo": Look(_SKY, "-."),
    "svg": Look(_BLACK),
    "dhmbpo": Look(_DARK_RED),
    "mbpo": Look(_NAVY, ":"),
    "sac": Look(_SKY),
}
"""Each algorithm's own. Who lacks the green or the red cones tells the colours apart, too; what has
the same colour has other dashes."""

_OTHER_LOOKS: Final = tuple(
    Look(colour, (0, (4, 1, 1, 1)))
    for colour in (_DARK_RED, _BLACK, _SKY, _RED, _NAVY, _GREY, _BLUE, _YELLOW)
)
"""Of further variants of an algorithm."""


_MAX_DRAWN = 1e30
"""Numbers from this size on make no axis."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """The rounds of one run; NaN where a number is not known."""

    task: str
    algorithm: str
    seed: int
    steps: Float[np.ndarray, " rounds"]
    """Real environment steps; the rounds' numbers where none was made."""
    metrics: dict[str, Float[np.ndarray, " rounds"]]
    """Return, success rate and imagined return by tag."""
    changes: tuple[Change, ...] = ()
    """How the world changed on the way."""
    variant: str = ""
    """What sets it apart from the other runs of its algorithm."""
    axis: str = "real environment steps"
    """What ``steps`` count."""

    @property
    def name(self) -> str:
        """Algorithm and variant; runs that share it differ in their seeds."""
        return f"{self.algorithm}, {self.variant}" if self.variant else self.algorithm

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name.replace(self.algorithm, self.algorithm.upper(), 1)

    def known(self, tag: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of the rounds in which a metric is known and can be drawn."""
        is_known = self.is_known(tag)
        return self.steps[is_known], self.metrics[tag][is_known]

    def is_known(self, tag: str) -> np.ndarray:
        """Whether a metric is known and can be drawn, round by round."""
        has_steps = (self.steps >= 0) & (self.steps <= MAX_STEPS)
        return has_steps & (np.abs(self.metrics[tag]) < _MAX_DRAWN)


def read_curve(run: RunDirectory) -> Curve:
    """The learning curve of a run directory.

    Raises:
        UsageError: there is no run, or it has not finished an evaluated round.
    """
    return read_curves([run])[0]


def read_curves(runs: Sequence[RunDirectory]) -> list[Curve]:
    """The learning curves of several runs, told apart by the settings in which they differ.

    Raises:
        UsageError: as `read_curve`.
    """
    configs = [run.read_config() for run in runs]
    return list(map(_curve, runs, configs, variants(configs)))


def _curve(run: RunDirectory, config: RunConfig, variant: str) -> Curve:
    curve = curve_of(read_progress(run.progress), config, variant, (RETURN, SUCCESS, IMAGINED))
    if not curve.known(RETURN)[0].size:
        raise UsageError(f"{run.path} has no evaluated round yet; nothing to draw")
    return curve


def curve_of(
    rows: Sequence[Mapping[str, float]], config: RunConfig, variant: str, tags: Iterable[str]
) -> Curve:
    """The course of some metrics of a run; NaN throughout where a metric was never told."""
    axis, unit = STEPS, Curve.axis
    if config.data and config.steps == 0:
        axis, unit = ROUND, "rounds on logged data"
    elif config.data:  # what came of the rounds on logged data stands where the steps begin
        after = [row.get(STEPS) for row in rows[1:]]
        rows = [row for row, x in zip(rows, [*after, None], strict=False) if row.get(STEPS) != x]

    def column(tag: str) -> np.ndarray:
        return np.array([row.get(tag, np.nan) for row in rows], dtype=float)

    metrics = {tag: column(tag) for tag in tags}
    if IMAGINED in metrics and not all(map(is_alike, column(HORIZON_SHARE))):
        metrics[IMAGINED][:] = np.nan  # of fewer or more actions, it says nothing beside the real
    return Curve(
        config.task,
        config.algorithm,
        config.seed,
        column(axis),
        metrics,
        config.perturb,
        variant,
        unit,
    )


def variants(configs: Sequence[RunConfig]) -> list[str]:
    """What sets each run apart from the others of its algorithm, nothing where they are alike."""
    flat = [_flatten(_chosen(config)) for config in configs]
    values: dict[tuple[str, str], set[str]] = {}
    for config, chosen in zip(configs, flat, strict=True):
        for name, value in chosen.items():
            values.setdefault((config.algorithm, name), set()).add(value)
    names = {name for (_, name), found in values.items() if len(found) > 1}
    short = Counter(_last_part(name) for name in names)

    def shown(name: str) -> str:
        return _last_part(name) if short[_last_part(name)] == 1 else name

    return [
        ", ".join(
            f"{shown(name)} {value}"
            for name, value in chosen.items()
            if len(values[config.algorithm, name]) > 1
        )
        for config, chosen in zip(configs, flat, strict=True)
    ]


def _last_part(name: str) -> str:
    """A setting's own name, without that of its group."""
    return name.rpartition(".")[2]


def _chosen(config: RunConfig) -> dict[str, Any]:
    """What was chosen for a run beside task, algorithm, seed, steps and how it is evaluated."""
    perturb = " ".join(map(str, config.perturb)) or "nothing"
    data = config.data.sha256[:8] if config.data else "none"
    chosen = {**settings_json.to_dict(config.settings), "perturb": perturb, "data": data}
    del chosen["evaluation"]  # what is measured changes nothing of what is learned
    return chosen


def _flatten(group: Mapping[str, Any], path: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in group.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{path}{name}.")
        else:
            flat[path + name] = str(value)
    return flat


def draw(curves: Sequence[Curve], out: Path) -> None:
    """Draws the curves of one task and writes the picture, of the kind that ``out`` ends in.

    Raises:
        UsageError: the curves belong to different tasks, two have the same algorithm, settings and
            seed, or ``out`` ends in no kind of picture.
    """
    check_together(curves, "picture")
    tags = [RETURN]
    if any(curve.known(SUCCESS)[0].size for curve in curves):
        tags.append(SUCCESS)
    figure = new_figure(5.6 * len(tags), 3.8, curves[0].task)
    for axes, tag in zip(np.atleast_1d(figure.subplots(1, len(tags))), tags, strict=True):
        _draw_panel(axes, curves, tag)
    add_legend(figure, figure.axes[0])
    write(figure, out)


def check_together(curves: Sequence[Curve], what: str) -> None:
    """Makes sure that curves belong in one picture, or in whatever else ``what`` says.

    Raises:
        UsageError: they are of different tasks, with real steps and without, or two have the same
            algorithm, settings and seed.
    """
    tasks = sorted({curve.task for curve in curves})
    if len(tasks) > 1:
        raise UsageError(f"one {what} shows one task, not {' and '.join(tasks)}")
    if len({curve.axis for curve in curves}) > 1:
        raise UsageError(f"one {what} shows runs with real steps or runs without, not both")
    counts = Counter((curve.name, curve.seed) for curve in curves)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UsageError("there are two runs of {} with seed {}".format(*twice[0]))


def shortened(curves: Sequence[Curve]) -> list[str]:
    """One line for each group of seeds of which some end earlier than others: what is not drawn.

    Nothing of a hundredth of the way, by which rounds of whole episodes may miss one another.
    """
    lines = []
    for name in looks_of(curves):
        ends = {c.seed: c.known(RETURN)[0][-1] for c in curves if c.name == name}
        first, last = (choose(ends, key=lambda seed: ends[seed]) for choose in (min, max))
        if ends[first] < 0.99 * ends[last]:
            lines.append(
                f"{name}: drawn up to {ends[first]:,.0f} steps, where seed {first} ends; "
                f"seed {last} goes on to {ends[last]:,.0f}"
            )
    return lines


def over_seeds(
    curves: Sequence[Curve], tag: str, max_points: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, interquartile mean over the runs, and its 95 % bootstrap interval.

    Runs are read at common steps, in between by straight lines, where all of them have data; at
    most at so many steps, the first and the last among them.

    Raises:
        UsageError: there is no such place.
    """
    known = [curve.known(tag) for curve in curves]
    grid, scores = at_common_steps([one for one in known if one[0].size])
    if not grid.size:
        raise UsageError(f"the runs of {curves[0].algorithm} have no steps in common")
    places = thinned(grid.size, max_points or grid.size)
    grid, scores = grid[places], scores[:, places]
    low, high = bootstrap_interval([scores])
    return grid, interquartile_mean(scores), low, high


def at_common_steps(
    known: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, "S T"]]:
    """The steps at which all of several runs have data, and what each has there.

    Each run is its steps and values, with straight lines in between.
    """
    first = max(steps[0] for steps, _ in known)
    last = min(steps[-1] for steps, _ in known)
    grid = np.unique(np.concatenate([steps for steps, _ in known]))
    grid = grid[(first <= grid) & (grid <= last)]
    return grid, np.stack([np.interp(grid, *one) for one in known])


def thinned(num: int, most: int) -> np.ndarray:
    """Places of at most so many of a number of points, the first and the last among them."""
    return np.unique(np.linspace(0, num - 1, min(num, most)).round().astype(int))


def _draw_panel(axes: Axes, curves: Sequence[Curve], tag: str) -> None:
    style(axes)
    has_interval = False
    for name, (colour, dashes) in looks_of(curves).items():
        group = [c for c in curves if c.name == name and c.known(tag)[0].size]
        if len(group) == 1:
            label = f"{group[0].label}, seed {group[0].seed}"
            line = {"color": colour, "ls": dashes, "lw": 1.8, "marker": "o", "ms": 3}
            axes.plot(*group[0].known(tag), label=label, **line)
        elif group:
            has_interval = True
            steps, mean, low, high = over_seeds(group, tag)
            label = f"{group[0].label}, {len(group)} seeds"
            if len(steps) == 1:
                reach = np.stack([mean - low, high - mean])
                axes.errorbar(steps, mean, reach, color=colour, marker="o", ms=4, label=label)
            drawn = label if len(steps) > 1 else None
            axes.plot(steps, mean, color=colour, ls=dashes, lw=1.8, label=drawn)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0)
    if tag == RETURN and len(curves) == 1 and curves[0].known(IMAGINED)[0].size:
        imagined = curves[0].known(IMAGINED)
        mark = "." if len(imagined[0]) == 1 else ""
        line = {"color": INK, "lw": 1.0, "ls": (0, (4, 2)), "zorder": 1}
        axes.plot(*imagined, marker=mark, label="imagined", **line)
    _label(axes, tag, curves[0].axis, has_interval)
    _mark_changes(axes, curves)


def _mark_changes(axes: Axes, curves: Sequence[Curve]) -> None:
    """A thin dashed line where the world changed, with the name of what it changed to."""
    last = max(curve.steps[-1] for curve in curves)
    changes = {change for curve in curves for change in curve.changes if change.env_steps <= last}
    for change in changes:
        axes.axvline(change.env_steps, color=INK, lw=0.8, ls="--", zorder=1)
        axes.annotate(
            change.name,
            (change.env_steps, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(3, -9),
            textcoords="offset points",
            color=INK,
            fontsize=8,
        )


def _label(axes: Axes, tag: str, unit: str, has_interval: bool) -> None:
    axes.set_xlabel(unit, color=INK)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    if tag == SUCCESS:
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    name = "evaluation success" if tag == SUCCESS else "evaluation return"
    axes.set_ylabel(f"{name}\n(IQM, 95 % interval)" if has_interval else name, color=INK)


def looks_of(curves: Sequence[Curve]) -> dict[str, Look]:
    """The names of the groups in the paper's order, each with its look.

    The first variant of an algorithm has the algorithm's own.
    """
    others = itertools.cycle(_OTHER_LOOKS)
    rank = {algorithm: place for place, algorithm in enumerate(LOOKS)}
    names = sorted(
        {(rank.get(curve.algorithm, len(rank)), curve.algorithm, curve.name) for curve in curves}
    )
    own, looks = dict(LOOKS), {}
    for _, algorithm, name in names:
        looks[name] = own.pop(algorithm, None) or next(others)
    return looks
