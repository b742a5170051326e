"""The figures of ``docs/theory.md``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from duopoly.lab.curves import LOOKS
from duopoly.lab.theory.study import SEARCH_DISCOUNTS, UNROLLED_STEPS, Study
from duopoly.render.figures import INK, style
from duopoly.theory.bounds import TRIED
from duopoly.theory.equilibria import MODEL_EPSILON, POLICY_EPSILON, Course
from duopoly.theory.leaders import Comparison

SHOWN: Final = ("gda", "br", "pal", "mal")
SOFT: Final = "#9db8d2"
BLUE: Final = "#1f6fb4"
RED: Final = "#d1495b"
SETTING_COLOURS: Final[tuple[str, ...]] = ("#7a7a7a", "#e39b26", BLUE, RED)


def draw_all(found: Study, out: Path) -> None:
    """Draws every figure into a directory that exists."""
    for name, draw in {
        "tightness": draw_tightness,
        "discount": draw_discount,
        "schedules": draw_schedules,
        "equilibria": draw_equilibria,
        "leaders": draw_leaders,
    }.items():
        figure = draw(found)
        FigureCanvasAgg(figure)
        figure.savefig(out / f"{name}.png", dpi=100)


def draw_tightness(found: Study) -> Figure:
    """Draws left over right of every bound: random games as bars, worst cases as circles."""
    figure = Figure(figsize=(9.0, 5.4), layout="constrained")
    axes = figure.subplots()
    names = [bound.name for bound in TRIED]
    shades = [(0.95 - 0.14 * k, 0.45 - 0.1 * k, 0.35 - 0.03 * k) for k in range(5)]
    for i, name in enumerate(names):
        ratio = np.concatenate([one.ratio[i] for one in found.sweeps])
        shown = ratio[ratio > 0.0] if np.any(ratio > 0.0) else ratio
        low, median, high = np.quantile(shown, [0.05, 0.5, 0.95])
        axes.plot([low, high], [i, i], color=SOFT, linewidth=7, solid_capstyle="butt")
        axes.plot(median, i, "|", color=INK, markersize=11)
        axes.plot(ratio.max(), i, "x", color=INK, markersize=6, zorder=4)
        for k, discount in enumerate(SEARCH_DISCOUNTS):
            tightest = [f.ratio for f in found.finds if (f.bound, f.discount) == (name, discount)]
            axes.plot(tightest, [i], "o", color=shades[k], markersize=7, fillstyle="none")
    axes.plot([], [], color=SOFT, linewidth=7, label="random games, 5 to 95 %")
    axes.plot([], [], "|", color=INK, markersize=11, label="their median")
    axes.plot([], [], "x", color=INK, label="the tightest of them")
    for shade, discount in zip(shades, SEARCH_DISCOUNTS, strict=True):
        axes.plot(
            [], [], "o", color=shade, fillstyle="none", label=f"found by search, γ = {discount:g}"
        )
    axes.axvline(1.0, color=INK, linewidth=1.0)
    axes.set_xscale("log")
    axes.set_xlim(3e-6, 4.0)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("left side / right side (1: the bound is attained; above 1: violated)")
    num_games = sum(one.left.shape[1] for one in found.sweeps)
    axes.set_title(f"How tight each bound is, {num_games:,} random games", fontsize=11)
    style(axes)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def draw_discount(found: Study) -> Figure:
    """Draws how tight the two simulation lemmas in terms of ε_M get, against the discount."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0.45, 0.995, 200)
    for name, colour, text in (
        (
            "simulation, stopped",
            RED,
            r"$\gamma R_{max}(1-\gamma)^{-3/2}\sqrt{\varepsilon_M/2}$ (here)",
        ),
        (
            "simulation, divergence",
            BLUE,
            r"$\gamma R_{max}(1-\gamma)^{-2}\sqrt{\varepsilon_M/2}$ (the paper's order)",
        ),
    ):
        points = [(f.discount, f.ratio) for f in found.finds if f.bound == name]
        axes.plot(*zip(*points, strict=True), "o", color=colour, label=text)
    axes.plot(grid, np.sqrt(1.0 - grid), color=INK, linewidth=1.0, label=r"$\sqrt{1-\gamma}$")
    axes.set_xlabel(r"discount $\gamma$")
    axes.set_ylabel(r"largest $|J(\pi,M)-J(\pi,\hat M)|$ / bound, found")
    axes.set_ylim(0.0, 1.05)
    axes.set_title("The usual bound in terms of the model's loss cannot be attained", fontsize=11)
    style(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_schedules(found: Study) -> Figure:
    """Draws the share of games in equilibrium, the mean regret, and one game where BR cycles."""
    figure = Figure(figsize=(9.5, 9.0), layout="constrained")
    grid = figure.subplots(3, 2, sharex=True)
    by_name = {(c.name, c.is_sampled): c for c in found.courses}
    swinging = most_swinging(by_name["br", False])
    for column, is_sampled in enumerate((False, True)):
        for name in (*SHOWN, "br, all data"):
            course = by_name[name, is_sampled]
            look = {
                "color": LOOKS[name.split(",")[0]].colour,
                "linestyle": "-",
                "label": name.upper(),
            }
            if name not in SHOWN:
                look |= {"linestyle": ":", "label": "BR on all data"}
            rounds = 1 + np.arange(len(course.seen.regret))
            grid[0, column].plot(rounds, equilibrium_share(course), **look)
            grid[1, column].plot(rounds, np.mean(course.seen.regret, axis=1), **look)
            if name in SHOWN:
                returns = course.seen.real_return[:, swinging]
                grid[2, column].plot(rounds, returns, linewidth=1.0, **look)
        grid[0, column].set_title("sampled data" if is_sampled else "exact data")
        grid[0, column].set_ylim(-0.03, 1.05)
        grid[1, column].set_yscale("log")
        grid[1, column].set_ylim(1e-6, 1.0)
        grid[2, column].set_xlabel("round")
    epsilon = (
        rf"($\varepsilon_\pi \leq {POLICY_EPSILON:g}$, $\varepsilon_M \leq {MODEL_EPSILON:g}$ nats)"
    )
    grid[0, 0].set_ylabel(f"share of games in equilibrium\n{epsilon}")
    grid[1, 0].set_ylabel("mean regret\n" + r"(share of $R_{max}/(1-\gamma)$)")
    grid[2, 0].set_ylabel(
        "one game, in which BR swings most:\n" + r"$J(\pi, M)\,(1-\gamma)/R_{max}$"
    )
    for axes in grid.flat:
        style(axes)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def most_swinging(course: Course) -> int:
    """Returns the game whose real return varies most in the second half."""
    late = course.seen.real_return[len(course.seen.real_return) // 2 :]
    return int(np.argmax(np.ptp(late, axis=0)))


def equilibrium_share(course: Course) -> Float[np.ndarray, " T"]:
    """Share of games that are in equilibrium after each round."""
    seen = course.seen
    is_there = (seen.policy_gap <= POLICY_EPSILON) & (seen.model_loss <= MODEL_EPSILON)
    return np.mean(is_there, axis=1)


def draw_equilibria(found: Study) -> Figure:
    """Draws which equilibria are found from each prior, and what a wider real start does."""
    figure = Figure(figsize=(12.0, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_selection(left, found)
    for name in SHOWN:
        rows = [
            (width, np.mean(one.regret), np.mean(one.transfer))
            for width, floor, one in found.starts
            if one.course.name == name and floor == 0.0
        ]
        widths, regrets, transfers = zip(*rows, strict=True)
        look = {"color": LOOKS[name].colour, "label": name.upper()}
        middle.plot(widths, regrets, "o-", **look)
        right.plot(widths, transfers, "o-", **look)
    middle.set_ylabel(r"mean regret (share of $R_{max}/(1-\gamma)$)")
    right.set_ylabel(r"mean $D_{TV}(d^{\pi^*}_M, d^{\pi^*}_{\hat M})$")
    for axes in (middle, right):
        axes.set_xlabel("width of the real start: share that is uniform")
        axes.set_ylim(bottom=0.0)
    for axes in (left, middle, right):
        style(axes)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    return figure


def draw_selection(axes: Axes, found: Study) -> None:
    """Draws the mean regret of each schedule between that of the best and worst equilibrium."""
    for i, (prior, listed) in enumerate(found.equilibria):
        several = listed.num_different > 1
        if not several.any():
            continue
        ends = [np.mean(one[several]) for one in (listed.best, listed.worst)]
        label = "best to worst equilibrium" if i == len(found.equilibria) - 1 else None
        axes.plot([i, i], ends, color=SOFT, linewidth=16, solid_capstyle="butt", label=label)
        for k, one in enumerate(one for name, one in found.selected if name == prior):
            colour = LOOKS[one.course.name].colour
            axes.plot(i + 0.06 * (k - 1.5), np.mean(one.regret[several]), "o", color=colour)
    for name in SHOWN:
        axes.plot([], [], "o-", color=LOOKS[name].colour, label=name.upper())
    axes.set_xticks(range(len(found.equilibria)), [prior for prior, _ in found.equilibria])
    axes.set_xlim(-0.6, len(found.equilibria) - 0.4)
    axes.set_xlabel("what the model says of the untried")
    axes.set_ylabel("mean regret, games with several equilibria")


def draw_leaders(found: Study) -> Figure:
    """Draws what the implicit term changes: error of approximations, and real scores."""
    figure = Figure(figsize=(12.0, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_unrolled(left, found.unrolled_error)
    colour_of = dict(
        zip((one.setting.name for one in found.policy_leaders), SETTING_COLOURS, strict=True)
    )
    for axes, title, comparisons in (
        (middle, "The policy leads (PAL)", found.policy_leaders),
        (right, "The model leads (MAL)", found.model_leaders),
    ):
        draw_scores(axes, comparisons, colour_of)
        axes.set_title(title, fontsize=11)
    handles, labels = middle.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower right", ncols=4, frameon=False, title="the model"
    )
    for axes in (left, middle, right):
        style(axes)
    return figure


def draw_unrolled(axes: Axes, error: Float[np.ndarray, "K N"]) -> None:
    """Draws the error of unrolled derivatives against the number of steps."""
    low, median, high = np.quantile(error, [0.05, 0.5, 0.95], axis=1)
    steps = np.maximum(UNROLLED_STEPS, 0.4)
    axes.fill_between(steps, low, high, color=SOFT, alpha=0.6, label="5 to 95 % of games")
    axes.plot(steps, median, "o-", color=BLUE, markersize=4, label="median")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-10, 2.0)
    axes.set_xticks([0.4, 3, 30, 300], ["0: first\norder", "3", "30", "300"], minor=False)
    axes.set_xlabel("unrolled steps of the follower")
    axes.set_ylabel(r"relative error of $dJ/d\theta$")
    axes.set_title("PAL's gradient, model of 2 clusters", fontsize=11)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def draw_scores(axes: Axes, comparisons: list[Comparison], colour_of: Mapping[str, str]) -> None:
    """Draws the real score a leader reaches by one gradient against that by the other."""
    for one in comparisons:
        name = one.setting.name
        axes.plot(*one.score, ".", color=colour_of[name], label=name, alpha=0.6)
    lowest = min(0.0, *(float(one.score.min()) for one in comparisons)) - 0.05
    axes.plot([lowest, 1.0], [lowest, 1.0], color=INK, linewidth=0.8)
    axes.set_xlim(lowest, 1.05)
    axes.set_ylim(lowest, 1.05)
    axes.set_xlabel("real score, first-order gradient\n(0: uniform policy, 1: best)")
    axes.set_ylabel("real score, total derivative")
