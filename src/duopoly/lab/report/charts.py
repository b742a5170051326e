"""Which charts a page has: what runs are judged by first, then every metric that they know."""

import itertools
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from duopoly.game.metrics import DESCRIPTIONS
from duopoly.lab.curves import (
    Curve,
    Look,
    curve_of,
    looks_of,
    over_seeds,
    thinned,
    variants,
)
from duopoly.lab.report.chart import Chart, Kind, Line
from duopoly.lab.report.readings import COLLECTED, SUCCESS
from duopoly.lab.report.record import Record
from duopoly.lab.report.verdict import Group
from duopoly.runs.errors import UsageError
from duopoly.runs.metrics import ELAPSED, FPS, IMAGINED, RETURN, ROUND, STEPS

ERROR: Final = "game/model_objective"
GAP: Final = "game/return_gap"

MEANINGS: Final[Mapping[str, str]] = {
    **DESCRIPTIONS,
    ELAPSED: "seconds since the run began, stops excluded",
    FPS: "environment steps per second",
}
"""Every metric of ``progress.csv`` that makes a curve."""

_RATIOS: Final = ("_error", "_loss", "_objective", "_norm", "_residual", "kl", "critic/loss")
"""Endings of metrics of which ratios matter, not differences."""

MOST_POINTS: Final = 300
"""Points of a line; more cannot be told apart on a screen."""
FEWEST_POINTS: Final = 24
"""Points that each line has, however many there are."""
MOST_NUMBERS: Final = 100_000
"""Points of all lines of a page, which keep it within its size."""
LONGEST_LABEL: Final = 40
"""Letters of a label; groups that take more to tell apart are called A, B and so on."""


class Drawn(NamedTuple):
    """The runs as curves, and how each group of them looks."""

    groups: tuple[Group, ...]
    curves: tuple[tuple[Curve, ...], ...]
    """Of each group, seed by seed."""
    looks: tuple[Look, ...]


def drawn_of(records: Sequence[Record]) -> Drawn:
    """Groups of runs that differ in their seeds alone, in the order in which they are drawn."""
    configs = [record.config for record in records]
    curves = [
        curve_of(record.rows, record.config, variant, (*MEANINGS, ROUND))
        for record, variant in zip(records, variants(configs), strict=True)
    ]
    looks = looks_of(curves)
    groups, grouped = [], []
    letters = itertools.count()
    for name in looks:
        of_name = [pair for pair in zip(records, curves, strict=True) if pair[1].name == name]
        of_name.sort(key=lambda pair: pair[1].seed)
        one, variant = of_name[0][1], ""
        label = one.label
        if len(label) > LONGEST_LABEL:
            label, variant = f"{one.algorithm.upper()} {_letter(next(letters))}", one.variant
        groups.append(Group(label, tuple(record for record, _ in of_name), variant))
        grouped.append(tuple(curve for _, curve in of_name))
    return Drawn(tuple(groups), tuple(grouped), tuple(looks.values()))


def _letter(number: int) -> str:
    """A, B and so on to Z; then numbers."""
    letters = string.ascii_uppercase
    return letters[number] if number < len(letters) else str(number)


def headlines(drawn: Drawn) -> list[Chart]:
    """What a run is judged by, as far as it is known: return, success, imagination, model."""
    if _is_known(drawn, IMAGINED):
        title = "Imagined against real"
        meaning = "what the policy earned where it collected, and what it imagines to earn (dotted)"
        kinds: Mapping[str, Kind] = {COLLECTED: "main", IMAGINED: "imagined"}
    else:
        title, meaning = "Imagined less real return", MEANINGS[GAP]
        kinds = {GAP: "main"}
    succeeded = "share of the evaluation episodes that succeeded"
    found = [
        _chart(drawn, "return", "Return", MEANINGS[RETURN], {RETURN: "main"}),
        _chart(drawn, "success", "Success", succeeded, {SUCCESS: "main"}),
        _chart(drawn, "imagined", title, meaning, kinds),
        _chart(drawn, "error", "Error of the model", MEANINGS[ERROR], {ERROR: "main"}),
    ]
    return [chart for chart in found if chart]


def all_metrics(drawn: Drawn) -> list[Chart]:
    """A chart for each metric that is known of any run, named by its tag."""
    known = [name for name in MEANINGS if name != STEPS and _is_known(drawn, name)]
    num_lines = sum(len(curves) + (len(curves) > 1) for curves in drawn.curves)
    most = MOST_NUMBERS // max(1, num_lines * len(known))
    most = min(max(most, FEWEST_POINTS), MOST_POINTS // 2)
    charts = (_chart(drawn, name, name, MEANINGS[name], {name: "main"}, most) for name in known)
    return [chart for chart in charts if chart]


def _is_known(drawn: Drawn, tag: str) -> bool:
    """Whether a metric is known of any run."""
    return any(_knows(curve, tag) for curves in drawn.curves for curve in curves)


def _chart(
    drawn: Drawn,
    name: str,
    title: str,
    meaning: str,
    kinds: Mapping[str, Kind],
    most: int = MOST_POINTS,
) -> Chart | None:
    """The chart of one metric or two; None where no run knows any."""
    lines = tuple(
        line
        for number, (group, curves) in enumerate(zip(drawn.groups, drawn.curves, strict=True))
        for tag, kind in kinds.items()
        for line in _lines(group, curves, tag, kind, number, most)
    )
    if not lines:
        return None
    curves = [*itertools.chain(*drawn.curves)]
    if any(curve.is_known(tag).sum() > most for curve in curves for tag in kinds):
        meaning += f"; of more rounds {most} are drawn, evenly spread"
    changes = {(change.env_steps, change.name) for one in curves for change in one.changes}
    return Chart(
        name=name_of(name),
        title=title,
        meaning=meaning,
        lines=lines,
        looks=drawn.looks,
        changes=tuple(sorted(changes)),
        is_share=all(tag.endswith(("_rate", "_share")) for tag in kinds),
        has_zero=not any(tag.endswith(_RATIOS) for tag in kinds),
        axis=curves[0].axis,
    )


def name_of(tag: str) -> str:
    """How the chart of a metric is called within the page."""
    return tag.replace("/", "-")


def _lines(
    group: Group, curves: Sequence[Curve], tag: str, kind: Kind, look: int, most: int
) -> Iterator[Line]:
    """The mean of a group over its seeds, with each seed behind it; or a single run's own line."""
    known = [curve for curve in curves if _knows(curve, tag)]
    suffix = ", imagined" if kind == "imagined" else ""
    if len(known) > 1:
        yield from _mean(known, tag, f"{group.label}, {len(known)} seeds{suffix}", kind, look, most)
    for curve in known:
        alone = len(known) == 1
        label = f"{group.label}, seed {curve.seed}{suffix}" if alone else f"seed {curve.seed}"
        if alone or kind == "main":
            yield _of_one(curve, tag, label, kind if alone else "seed", look, most)


def _mean(
    curves: Sequence[Curve], tag: str, label: str, kind: Kind, look: int, most: int
) -> Iterator[Line]:
    try:
        steps, *ends = over_seeds(curves, tag, most)
    except UsageError:  # the seeds have no steps in common
        return
    mean, low, high = ends
    yield Line(label, look, kind, steps, mean, (low, high) if kind == "main" else None)


def _of_one(curve: Curve, tag: str, label: str, kind: Kind, look: int, most: int) -> Line:
    steps, values = curve.known(tag)
    rounds = curve.metrics[ROUND][curve.is_known(tag)]
    places = thinned(steps.size, most)
    numbers = [round(float(one)) for one in rounds[places] if np.isfinite(one)]
    whole = numbers if len(numbers) == len(places) else []
    return Line(label, look, kind, steps[places], values[places], None, whole)


def _knows(curve: Curve, tag: str) -> bool:
    return curve.known(tag)[0].size > 0
