"""The figures of ``docs/theory.md``."""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from duopoly.app.plot import COLOURS
from duopoly.app.theory import UNROLLED_STEPS, Study
from duopoly.theory.bounds import BOUNDS
from duopoly.theory.equilibria import MODEL_EPSILON, POLICY_EPSILON, Course

SHOWN: Final = ("gda", "br", "pal", "mal")
INK: Final = "#333333"
SOFT: Final = "#9db8d2"


def draw_all(found: Study, out: Path) -> None:
    """Draw every figure into a directory that exists."""
    for name, draw in {
        "tightness": draw_tightness,
        "discount": draw_discount,
        "schedules": draw_schedules,
        "leaders": draw_leaders,
    }.items():
        figure = draw(found)
        FigureCanvasAgg(figure)
        figure.savefig(out / f"{name}.png", dpi=110)


def plain(axes: Axes) -> None:
    """Remove what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, alpha=0.25, linewidth=0.6)


def draw_tightness(found: Study) -> Figure:
    """Left over right of every bound: random games as bars, worst cases as points."""
    figure = Figure(figsize=(8.5, 5.2), layout="constrained")
    axes = figure.subplots()
    names = [bound.name for bound in BOUNDS]
    discounts = sorted({find.discount for find in found.finds})
    for i, name in enumerate(names):
        ratio = np.concatenate([one.ratio[i] for one in found.sweeps])
        shown = ratio[ratio > 0.0] if np.any(ratio > 0.0) else ratio
        low, median, high = np.quantile(shown, [0.05, 0.5, 0.95])
        axes.plot([low, high], [i, i], color=SOFT, linewidth=7, solid_capstyle="butt")
        axes.plot(median, i, "|", color=INK, markersize=11)
        axes.plot(ratio.max(), i, "x", color=INK, markersize=6)
        for k, discount in enumerate(discounts):
            found_here = [f.ratio for f in found.finds if (f.bound, f.discount) == (name, discount)]
            size = 4.0 + 1.5 * k
            axes.plot(found_here, [i], "o", color="#d1495b", markersize=size, fillstyle="none")
    axes.plot([], [], color=SOFT, linewidth=7, label="random games, 5 to 95 %")
    axes.plot([], [], "|", color=INK, label="their median")
    axes.plot([], [], "x", color=INK, label="their largest")
    label = f"found by search, γ = {', '.join(f'{d:g}' for d in discounts)} (small to large)"
    axes.plot([], [], "o", color="#d1495b", fillstyle="none", label=label)
    axes.axvline(1.0, color=INK, linewidth=1.0)
    axes.set_xscale("log")
    axes.set_xlim(1e-5, 1.6)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("left side / right side (1: the bound is attained)")
    plain(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def draw_discount(found: Study) -> Figure:
    """How tight the two simulation lemmas in terms of ε_M get, against the discount."""
    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0.45, 0.995, 200)
    axes.plot(grid, np.sqrt(1.0 - grid), color=INK, linewidth=1.0, label="√(1 − γ)")
    for name, colour, text in (
        ("simulation, divergence", "#1f6fb4", "γ R/(1−γ)² √(ε/2), found"),
        ("simulation, stopped", "#d1495b", "γ R/(1−γ)^1.5 √(ε/2), found"),
    ):
        points = [(f.discount, f.ratio) for f in found.finds if f.bound == name]
        axes.plot(*zip(*points, strict=True), "o", color=colour, label=text)
    axes.set_xlabel("discount γ")
    axes.set_ylabel("|J(π,M) − J(π,M̂)| / bound")
    axes.set_ylim(0.0, 1.05)
    plain(axes)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0.0, 0.72))
    return figure


def draw_schedules(found: Study) -> Figure:
    """Share of games in equilibrium, mean regret, and one game in which BR goes round."""
    figure = Figure(figsize=(9.0, 8.2), layout="constrained")
    grid = figure.subplots(3, 2, sharex=True)
    by_name = {(c.name, c.is_sampled): c for c in found.courses}
    cycling = int(np.argmax(by_name["br", False].period > 1))
    for column, is_sampled in enumerate((False, True)):
        for name in (*SHOWN, "br, all data"):
            course = by_name[name, is_sampled]
            style = {"color": COLOURS[name.split(",")[0]], "linestyle": "-", "label": name.upper()}
            if name not in SHOWN:
                style |= {"linestyle": ":", "label": "BR on all data"}
            rounds = 1 + np.arange(len(course.seen.regret))
            grid[0, column].plot(rounds, equilibrium_share(course), **style)
            grid[1, column].plot(rounds, np.mean(course.seen.regret, axis=1), **style)
            if name in SHOWN:
                returns = course.seen.real_return[:, cycling]
                grid[2, column].plot(rounds, returns, linewidth=1.0, **style)
        grid[0, column].set_title("sampled data" if is_sampled else "exact data")
        grid[1, column].set_yscale("log")
        grid[1, column].set_ylim(1e-5, 1.0)
        grid[2, column].set_xlabel("round")
    epsilon = f"ε_π ≤ {POLICY_EPSILON:g}, ε_M ≤ {MODEL_EPSILON:g}"
    grid[0, 0].set_ylabel(f"share of games in\nequilibrium ({epsilon})")
    grid[1, 0].set_ylabel("mean regret · (1−γ)/R_max")
    grid[2, 0].set_ylabel("J(π, M) · (1−γ)/R_max,\none game in which BR cycles")
    for axes in grid.flat:
        plain(axes)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def equilibrium_share(course: Course) -> Float[np.ndarray, " T"]:
    """Share of games that are in equilibrium after each round."""
    seen = course.seen
    is_there = (seen.policy_gap <= POLICY_EPSILON) & (seen.model_loss <= MODEL_EPSILON)
    return np.mean(is_there, axis=1)


def draw_leaders(found: Study) -> Figure:
    """What the implicit term changes: error of approximations, real scores, the leader's loss."""
    figure = Figure(figsize=(11.0, 3.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    low, median, high = np.quantile(found.unrolled_error, [0.05, 0.5, 0.95], axis=1)
    steps = np.maximum(UNROLLED_STEPS, 0.5)
    left.fill_between(steps, low, high, color=SOFT, alpha=0.6, label="5 to 95 % of games")
    left.plot(steps, median, "o-", color="#1f6fb4", markersize=4, label="median")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_ylim(1e-10, 2.0)
    left.set_xticks([0.5, 1, 10, 100, 1000], ["first\norder", "1", "10", "100", "1000"])
    left.set_xlabel("unrolled steps of the follower")
    left.set_ylabel("relative error of dJ/dθ")
    left.legend(frameon=False, fontsize=8)
    colours = ("#7a7a7a", "#e39b26", "#1f6fb4", "#d1495b")
    for one, colour in zip(found.policy_leaders, colours, strict=True):
        middle.plot(
            one.score[0], one.score[1], ".", color=colour, label=one.setting.name, alpha=0.6
        )
    for one, colour in zip(found.model_leaders, colours, strict=True):
        right.plot(one.score[0], one.score[1], ".", color=colour, label=one.setting.name, alpha=0.6)
    for axes, title in ((middle, "policy leads (PAL)"), (right, "model leads (MAL)")):
        axes.plot([-1.0, 1.0], [-1.0, 1.0], color=INK, linewidth=0.8)
        axes.set_xlim(-0.55, 1.05)
        axes.set_ylim(-0.55, 1.05)
        axes.set_title(title)
        axes.set_xlabel("real score, first order")
        axes.set_ylabel("real score, total derivative")
    middle.legend(frameon=False, fontsize=8, loc="lower right")
    for axes in (left, middle, right):
        plain(axes)
    return figure
