"""Pictures of a diagnosis: error against horizon, predicted against real, a fan, the gaps."""

import functools
import math
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from duopoly.lab.diagnose import Diagnosis, ValueCheck, imagined_returns
from duopoly.render.figures import INK, new_figure, style, write
from duopoly.types import Episode, Rollouts

REAL: Final = "#333333"
MODEL: Final = "#1f6fb4"
STILL: Final = "#b0b0b0"
MAX_PANELS: Final = 12
MIN_ROLLOUTS: Final = 10
"""Fewest rollouts, still going on, of which quantiles are drawn."""
NUM_BINS: Final = 40
"""Pieces of an episode over which values are summarised."""

GAPS: Final = {
    "game/model_objective": "ε_M: error on fresh data",
    "game/policy_gap": "further steps gain (≤ ε_π)",
    "game/return_gap": "imagined − real return",
    "game/visitation_distance": "imagined to real visitation (MMD)",
    "model/open_loop_error": "open-loop error",
    "game/leader_loss": "leader's loss",
}
"""Metrics of a run that tell how far it is from an equilibrium, with their captions."""


def draw(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Draws the diagnosis into a folder and returns the pictures.

    Raises:
        UsageError: they cannot be written.
    """
    out = {"open_loop.png": _horizon, "one_step.png": _one_step}
    if diagnosis.real_disagreement.any():
        out["disagreement.png"] = _disagreement
    if diagnosis.fan is not None:
        out["fan.png"] = functools.partial(_fan, fan=diagnosis.fan)
    if diagnosis.values is not None:
        out["values.png"] = functools.partial(_values, values=diagnosis.values)
    for name, drawn in out.items():
        drawn(diagnosis, out=folder / name)
    return [folder / name for name in out]


def draw_gaps(rows: list[dict[str, float]], steps_tag: str, title: str, out: Path) -> None:
    """Draws how the gaps of a run went, round by round.

    Raises:
        UsageError: the picture cannot be written.
    """
    figure = new_figure(10.0, 5.4, title)
    for axes, (tag, caption) in zip(figure.subplots(2, 3).flat, GAPS.items(), strict=True):
        style(axes)
        steps = np.array([row.get(steps_tag, math.nan) for row in rows])
        values = np.array([row.get(tag, math.nan) for row in rows])
        known = np.isfinite(values)
        axes.plot(steps[known], values[known], color=MODEL, lw=1.6, marker="o", ms=2.5)
        if not known.any():
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=INK)
        elif values[known].min() < 0.0 < values[known].max():
            axes.axhline(0.0, color=INK, lw=0.8)
        axes.set_title(caption, fontsize=10, color=INK)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(left=0)
    figure.supxlabel("real environment steps", fontsize=10, color=INK)
    write(figure, out)


def _title(diagnosis: Diagnosis, what: str) -> str:
    name = f"{diagnosis.task}, {diagnosis.algorithm.upper()}"
    return f"{what}\n{name}, {diagnosis.env_steps:,} environment steps"


def _horizon(diagnosis: Diagnosis, out: Path) -> None:
    figure = new_figure(5.8, 4.2, _title(diagnosis, "How far ahead the model can be believed"))
    axes = figure.subplots()
    style(axes)
    actions = np.arange(1, diagnosis.model_error.shape[1] + 1)
    for error, colour, label in (
        (diagnosis.still_error, STILL, "predicting no change"),
        (diagnosis.model_error, MODEL, "model"),
    ):
        low, middle, high = np.quantile(error, [0.1, 0.5, 0.9], axis=0)
        axes.plot(actions, middle, color=colour, lw=1.8, label=f"{label}, median")
        axes.fill_between(actions, low, high, color=colour, alpha=0.2, lw=0, label="10-90 %")
    axes.set_yscale("log")
    axes.set_xlabel("actions ahead, open loop", color=INK)
    axes.set_ylabel("error, in standard deviations\nof the observation", color=INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    write(figure, out)


def _panels(num: int, title: str, height: float) -> tuple:
    """A figure with a grid of panels for up to `MAX_PANELS` components."""
    columns = min(4, num)
    num_rows = math.ceil(num / columns)
    figure = new_figure(max(2.7 * columns, 5.5), height * num_rows + 0.7, title)
    grid = np.atleast_1d(figure.subplots(num_rows, columns)).ravel()
    for axes in grid[num:]:
        axes.set_visible(False)
    return figure, grid[:num]


def _shown(diagnosis: Diagnosis) -> list[int]:
    """The components drawn, by their place among the learned ones: the worst explained first."""
    return [int(i) for i in np.argsort(diagnosis.explained)[:MAX_PANELS]]


def _one_step(diagnosis: Diagnosis, out: Path) -> None:
    shown = _shown(diagnosis)
    title = _title(diagnosis, "Change in one action: predicted against real, worst explained first")
    figure, grid = _panels(len(shown), title, 2.5)
    for axes, i in zip(grid, shown, strict=True):
        style(axes)
        real, predicted = diagnosis.change[:, i], diagnosis.predicted_change[:, i]
        low, high = np.quantile(np.concatenate([real, predicted]), [0.002, 0.998])
        axes.plot([low, high], [low, high], color=INK, lw=0.8)
        axes.plot(real, predicted, ".", color=MODEL, ms=2, alpha=0.35, rasterized=True)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        share = diagnosis.explained[i]
        axes.set_title(
            f"{diagnosis.names[diagnosis.learned[i]]}   R² = {share:.3f}", fontsize=9, color=INK
        )
    figure.supxlabel("real change (standard deviations)", fontsize=10, color=INK)
    figure.supylabel("predicted change", fontsize=10, color=INK)
    write(figure, out)


def _disagreement(diagnosis: Diagnosis, out: Path) -> None:
    figure = new_figure(5.8, 4.2, _title(diagnosis, "Where the members differ"))
    axes = figure.subplots()
    style(axes)
    seen = {"real": (diagnosis.real_disagreement, REAL)}
    if diagnosis.imagined_disagreement is not None:
        seen["imagined"] = diagnosis.imagined_disagreement, MODEL
    for label, (spread, colour) in seen.items():
        going_on = np.isfinite(spread).sum(axis=0) >= MIN_ROLLOUTS
        low, middle, high = np.nanquantile(spread[:, going_on], [0.1, 0.5, 0.9], axis=0)
        actions = np.flatnonzero(going_on) + 1
        axes.plot(actions, middle, color=colour, lw=1.8, label=f"{label}, median")
        axes.fill_between(actions, low, high, color=colour, alpha=0.2, lw=0, label="10-90 %")
    axes.set_yscale("log")
    axes.set_xlabel("actions from the same real states", color=INK)
    axes.set_ylabel(
        "standard deviation over the members,\nin those of the data's changes", color=INK
    )
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    write(figure, out)


def _values(diagnosis: Diagnosis, values: ValueCheck, out: Path) -> None:
    title = f"Expected and earned: bias {values.bias:+.3g}"
    figure = new_figure(9.6, 4.2, _title(diagnosis, title))
    scatter, course = figure.subplots(1, 2)
    style(scatter)
    both = np.concatenate([values.earned, values.expected])
    low, high = np.quantile(both, [0.002, 0.998])
    scatter.plot([low, high], [low, high], color=INK, lw=0.8)
    scatter.plot(
        values.earned, values.expected, ".", color=MODEL, ms=2, alpha=0.25, rasterized=True
    )
    scatter.set_xlabel("discounted return earned from there", color=INK)
    scatter.set_ylabel("value expected", color=INK)
    style(course)
    last = int(values.moment.max()) + 1
    bins = np.minimum(values.moment * NUM_BINS // last, NUM_BINS - 1)
    for seen, colour, label in (
        (values.earned, REAL, "earned"),
        (values.expected, MODEL, "expected"),
    ):
        filled = [b for b in range(NUM_BINS) if (bins == b).any()]
        quantiles = [np.quantile(seen[bins == b], [0.1, 0.5, 0.9]) for b in filled]
        low, middle, high = np.array(quantiles).T
        moments = (np.array(filled) + 0.5) * last / NUM_BINS
        course.plot(moments, middle, color=colour, lw=1.8, label=f"{label}, median")
        course.fill_between(moments, low, high, color=colour, alpha=0.2, lw=0, label="10-90 %")
    course.set_xlabel("actions since the episode began", color=INK)
    course.legend(frameon=False, fontsize=9, labelcolor=INK)
    write(figure, out)


def _fan(diagnosis: Diagnosis, fan: Rollouts, out: Path) -> None:
    shown = sorted(_shown(diagnosis)[: MAX_PANELS - 1])
    title = _title(diagnosis, "The same policy from the same start: real, and in every member")
    figure, grid = _panels(len(shown) + 1, title, 2.1)
    episode = diagnosis.episode
    _fan_of_rewards(grid[0], fan, episode)
    for axes, i in zip(grid[1:], shown, strict=True):
        style(axes)
        component = diagnosis.learned[i]
        for member in range(fan.obs.shape[0]):
            valid = fan.valid[member, 0]
            values = fan.next_obs[member, 0, valid, component]
            axes.plot(np.arange(1, len(values) + 1), values, color=MODEL, lw=0.9, alpha=0.7)
        real = episode.next_obs[:, component]
        axes.plot(np.arange(1, len(real) + 1), real, color=REAL, lw=1.6)
        axes.set_title(diagnosis.names[component], fontsize=9, color=INK)
    figure.supxlabel("actions", fontsize=10, color=INK)
    write(figure, out)


def _fan_of_rewards(axes: Axes, fan: Rollouts, episode: Episode) -> None:
    style(axes)
    for member in range(fan.reward.shape[0]):
        total = np.cumsum(fan.reward[member, 0][fan.valid[member, 0]])
        label = "imagined" if member == 0 else None
        axes.plot(np.arange(1, len(total) + 1), total, color=MODEL, lw=0.9, alpha=0.7, label=label)
    total = np.cumsum(episode.reward)
    axes.plot(np.arange(1, len(total) + 1), total, color=REAL, lw=1.6, label="real")
    imagined = imagined_returns(fan).mean()
    axes.set_title(f"return: {total[-1]:.0f}, imagined {imagined:.0f}", fontsize=9, color=INK)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
