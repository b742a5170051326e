"""The tables of ``duopoly theory`` and of ``docs/theory.md``: rows of text, one dict a row."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float
from rich import box
from rich.console import Console
from rich.table import Table

from duopoly.lab.theory.study import RULES, Study
from duopoly.theory.bounds import (
    CLAIM,
    TRIED,
    both_with_followers,
    claimed_terms,
    everywhere,
    policy_gap,
    regret,
)
from duopoly.theory.equilibria import MODEL_EPSILON, POLICY_EPSILON, Course, backsliding
from duopoly.theory.search import Find
from duopoly.theory.selection import Ending, Equilibria
from duopoly.theory.solutions import Solution

Rows = list[dict[str, str]]
WIDTH: Final = 120
"""Columns that every table fits into, also where the output is no terminal."""


def tables_of(found: Study) -> dict[str, Rows]:
    """Returns every table under its name."""
    return {
        "bounds": bounds_rows(found),
        "tightness": tightness_rows(found),
        "schedules": [schedule_row(course) for course in found.courses],
        "claim": [claim_row(find) for find in finds_of(found, CLAIM.name)],
        "solutions": [solution_row(one) for one in found.solutions],
        "equilibria": [equilibria_row(prior, one) for prior, one in found.equilibria],
        "selection": list(selection_rows(found)),
        "starts": [start_row(*one) for one in found.starts],
        "progress": [progress_row(course) for course in found.courses],
        "priors": [prior_row(count, course) for count, course in found.priors],
        "gradients": list(gradient_rows(found)),
        "leaders": list(leader_rows(found)),
        "cost": cost_rows(found),
    }


def bounds_rows(found: Study) -> Rows:
    """One line per bound: how often tried, how often violated, and how tight it gets."""
    return [
        {
            "bound": bound.name,
            "stated in": bound.source,
            "games": str(sum(one.left.shape[1] for one in found.sweeps)),
            "finite": str(sum(int(one.num_finite[i]) for one in found.sweeps)),
            "violations": str(sum(int(one.violations[i]) for one in found.sweeps)),
            "tightest drawn": f"{max(one.ratio[i].max() for one in found.sweeps):.4f}",
            "tightest found": f"{max(f.ratio for f in finds_of(found, bound.name)):.4f}",
        }
        for i, bound in enumerate(TRIED)
    ]


def tightness_rows(found: Study) -> Rows:
    """One line per bound: the tightest game drawn by each seed, and found at each discount."""
    return [
        {"bound": bound.name}
        | {f"+{k}": f"{one.ratio[i].max():.4f}" for k, one in enumerate(found.sweeps)}
        | {f"γ={f.discount:g}": f"{f.ratio:.4f}" for f in finds_of(found, bound.name)}
        for i, bound in enumerate(TRIED)
    ]


def claim_row(find: Find) -> dict[str, str]:
    """Every term of a game that refutes what the paper says of PAL, as shares of R_max/(1−γ)."""
    s = everywhere(find.situation)
    terms = claimed_terms(s)
    mine, _ = both_with_followers(s)
    unit = (1.0 - find.discount) / float(s.reward_max[0])
    return {
        "γ": f"{find.discount:g}",
        "regret": f"{unit * float(regret(s)[0]):.4f}",
        "right side as claimed": f"{unit * sum(float(term[0]) for term in terms):.4f}",
        "PAL's ε_π": f"{unit * float(terms[0][0]):.4f}",
        "model term": f"{unit * float(terms[1][0]):.4f}",
        "transfer term": f"{unit * float(terms[2][0]):.4f}",
        "Nash gap": f"{unit * float(policy_gap(mine)[0]):.4f}",
    }


def solution_row(one: Solution) -> dict[str, str]:
    """How far PAL's solutions are from a Nash equilibrium, and from the best policy."""
    return {
        "model": one.setting.name,
        "Nash gap": f"{np.mean(one.nash_gap):.4f}",
        "its largest": f"{np.max(one.nash_gap):.4f}",
        "above 0.01": f"{np.mean(one.nash_gap > 0.01):.1%}",
        "ε_M": f"{np.mean(one.loss):.4f}",
        "regret": f"{np.mean(one.regret):.4f}",
        "largest": f"{np.max(one.regret):.4f}",
        "violated": str(np.sum(one.regret > one.claimed + 1e-9)),
        "tightest": f"{np.max(one.ratio):.4f}",
    }


def equilibria_row(prior: str, one: Equilibria) -> dict[str, str]:
    """How many equilibria the games have, and how good the best and the worst are."""
    has_one = one.num_different > 0
    return {
        "prior": prior,
        "none": f"{np.mean(one.num_different == 0):.1%}",
        "one": f"{np.mean(one.num_different == 1):.1%}",
        "several": f"{np.mean(one.num_different > 1):.1%}",
        "most": str(np.max(one.num_different)),
        "regret of the best": f"{np.mean(one.best[has_one]):.4f}" if has_one.any() else "",
        "of the worst": f"{np.mean(one.worst[has_one]):.4f}" if has_one.any() else "",
    }


def selection_rows(found: Study) -> Iterator[dict[str, str]]:
    """One line per prior and schedule: all games, and those with several equilibria."""
    several = {prior: one.num_different > 1 for prior, one in found.equilibria}
    for prior, one in found.selected:
        hard = one.regret[several[prior]]
        yield (
            {"prior": prior, "schedule": one.course.name}
            | {"in equilibrium": f"{np.mean(in_equilibrium(one)):.1%}"}
            | regret_columns(one)
            | {"where several": f"{np.mean(hard):.4f}" if hard.size else ""}
            | {"transfer": f"{np.mean(one.transfer):.3f}"}
        )


def start_row(width: float, floor: float, one: Ending) -> dict[str, str]:
    """How a schedule ends where the real start is wide by so much."""
    return (
        {"exploration": f"{floor:g}", "width": f"{width:g}", "schedule": one.course.name}
        | {"reach": share(one.course.rounds_to_equilibrium)}
        | {"after": middle(one.course.rounds_to_equilibrium)}
        | regret_columns(one)
        | {"transfer": f"{np.mean(one.transfer):.3f}"}
    )


def in_equilibrium(one: Ending) -> Bool[np.ndarray, " N"]:
    """Whether the last pair is an ε-equilibrium of the game that was played."""
    seen = one.course.seen
    return (seen.policy_gap[-1] <= POLICY_EPSILON) & (seen.model_loss[-1] <= MODEL_EPSILON)


def regret_columns(one: Ending) -> dict[str, str]:
    """Share of games with a small regret at the end, its mean, and its largest."""
    return {
        f"regret ≤ {POLICY_EPSILON:g}": f"{np.mean(one.regret <= POLICY_EPSILON):.1%}",
        "mean": f"{np.mean(one.regret):.4f}",
        "largest": f"{np.max(one.regret):.3f}",
    }


def finds_of(found: Study, bound: str) -> list[Find]:
    """Returns the worst cases of one bound, by discount."""
    return sorted((f for f in found.finds if f.bound == bound), key=lambda f: f.discount)


def schedule_row(course: Course) -> dict[str, str]:
    """How many games of a schedule find equilibrium, how soon, and what they cost."""
    return {
        "schedule": course.name,
        "data": data_of(course),
        "reach": share(course.rounds_to_equilibrium),
        "after": middle(course.rounds_to_equilibrium),
        "stay": share(course.rounds_to_stay),
        "from": middle(course.rounds_to_stay),
        "samples": middle(course.samples(course.rounds_to_stay, RULES)),
        f"regret ≤ {POLICY_EPSILON:g}": share(course.rounds_to_best),
        "from round": middle(course.rounds_to_best),
    }


def prior_row(count: float, course: Course) -> dict[str, str]:
    """Returns the line of a schedule whose model has a prior worth so many observations."""
    row = {"prior": f"{count:g}"} | schedule_row(course)
    del row["data"]
    return row | {"cycles": cycles(course)}


def cycles(course: Course) -> str:
    """Share of games that repeat themselves without coming to rest."""
    return f"{np.mean(course.period > 1):.1%}"


def progress_row(course: Course) -> dict[str, str]:
    """How steadily a schedule's objectives improve, and where it ends."""
    return {
        "schedule": course.name,
        "data": data_of(course),
        "cycles": cycles(course),
        "rises of −J(π,M̂)": f"{np.median(backsliding(-course.seen.policy_objective)):.3f}",
        "of ℓ": f"{np.median(backsliding(course.seen.model_objective)):.3f}",
        "of regret": f"{np.median(backsliding(course.seen.regret)):.3f}",
        "final regret": f"{np.mean(course.seen.regret[-1]):.5f}",
        "its largest": f"{np.max(course.seen.regret[-1]):.3f}",
    }


def data_of(course: Course) -> str:
    """Names the kind of data."""
    return "sampled" if course.is_sampled else "exact"


def share(rounds: Float[np.ndarray, " N"]) -> str:
    """Share of games that get there."""
    return f"{np.mean(np.isfinite(rounds)):.1%}"


def middle(counts: Float[np.ndarray, " N"]) -> str:
    """Median over all games, where half of them get there."""
    median = float(np.median(counts))
    return f"{median:.0f}" if math.isfinite(median) else "—"


def comparisons(found: Study) -> Iterator[tuple[str, Any]]:
    """Yields every comparison of leaders with the leader's name."""
    yield from (("pal", one) for one in found.policy_leaders)
    yield from (("mal", one) for one in found.model_leaders)


def gradient_rows(found: Study) -> Iterator[dict[str, str]]:
    """One line per leader and model: how the gradients at the start compare."""
    for leader, one in comparisons(found):
        real = np.median(one.cosine_real)
        yield {
            "leader": leader,
            "model": one.setting.name,
            "total against differences": f"{np.max(one.error):.0e}",
            "cos(first, total)": f"{np.median(one.cosine):.3f}",
            "smallest": f"{np.min(one.cosine):.3f}",
            "cos(total, real)": f"{real:.6f}" if math.isfinite(real) else "",
        }


def leader_rows(found: Study) -> Iterator[dict[str, str]]:
    """One line per leader and model: where climbing by either gradient ends."""
    for leader, one in comparisons(found):
        gain = one.score[1] - one.score[0]
        yield {
            "leader": leader,
            "model": one.setting.name,
            "objective, first": f"{np.mean(one.objective[0]):.4f}",
            "total": f"{np.mean(one.objective[1]):.4f}",
            "score, first": f"{np.mean(one.score[0]):.3f}",
            "score, total": f"{np.mean(one.score[1]):.3f}",
            "better": f"{np.mean(gain > 0.01):.1%}",
            "worse": f"{np.mean(gain < -0.01):.1%}",
        }


def cost_rows(found: Study) -> Rows:
    """One line per size; the exponent is that of the growth since the line before."""
    rows, before = [], None
    for states, cost in found.cost:
        row = {"states": str(states), "ms per game": f"{cost:.3g}", "exponent": ""}
        if before is not None:
            growth = math.log(cost / before[1]) / math.log(states / before[0])
            row["exponent"] = f"{growth:.2f}"
        before = states, cost
        rows.append(row)
    return rows


def show(title: str, rows: Sequence[dict[str, str]]) -> None:
    """Prints a table."""
    table = Table(box=box.SIMPLE, title=title, padding=(0, 1))
    for name in rows[0]:
        is_number = rows[0][name][:1].isdigit() or rows[0][name] in {"", "—"}
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    Console(width=WIDTH).print(table)


def write(path: Path, rows: Rows) -> None:
    """Writes a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
