"""Curves as SVG that stretches with the page, and as numbers for who points at them.

The picture is whole without the script: lines stand in a box of a thousand by a thousand that is
stretched over the plot, and what must not be stretched, such as letters, is placed by percents.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

from duopoly.lab.curves import Curve, Look
from duopoly.lab.report.looks import IMAGINED_DASHES, strokes
from duopoly.lab.report.markup import Html, data, join, tag
from duopoly.lab.report.readings import number, share

HEIGHT: Final = 240
"""Of a plot, in pixels."""
BOX: Final = 1_000
FROM_RATIO: Final = 20.0
"""Largest over smallest value from which on an axis of positive numbers is logarithmic."""
MARKED: Final = 30
"""Points from which on a line goes without marks."""

Kind = Literal["main", "seed", "imagined"]


class Line(NamedTuple):
    """A line of a chart; a NaN is not drawn."""

    label: str
    look: int
    """Number of the look among the chart's."""
    kind: Kind
    steps: Float[np.ndarray, " T"]
    values: Float[np.ndarray, " T"]
    band: tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]] | None = None
    """Lower and upper end of an interval."""
    rounds: Sequence[int] = ()
    """Of a line that is one run's."""


@dataclasses.dataclass(frozen=True)
class Chart:
    """One metric, or what belongs together, over the course of the runs."""

    name: str
    """Identifies it in the page."""
    title: str
    meaning: str
    lines: tuple[Line, ...]
    looks: tuple[Look, ...]
    changes: tuple[tuple[int, str], ...] = ()
    """Steps at which the world changed, and what to."""
    is_share: bool = False
    has_zero: bool = False
    """Differences count, not ratios: the axis is never logarithmic."""
    axis: str = Curve.axis
    """What is counted from left to right."""


class Axes(NamedTuple):
    """What a plot spans."""

    last_step: float
    low: float
    high: float
    is_log: bool

    def across(self, steps: Any) -> Any:
        """Places of steps from left to right, in [0, 1]."""
        return np.asarray(steps) / self.last_step

    def down(self, values: Any) -> Any:
        """Places of values from top to bottom, in [0, 1]."""
        low, high = (np.log10([self.low, self.high])) if self.is_log else (self.low, self.high)
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = np.log10(values) if self.is_log else np.asarray(values)
        return np.clip((high - seen) / (high - low), -1.0, 2.0)


def draw(chart: Chart) -> Html:
    """The chart as a figure, with its numbers beside it for the script."""
    axes = axes_of(chart)
    title = tag("h3", chart.title)
    if axes.is_log:
        title = tag("h3", chart.title, " ", tag("small", "logarithmic"))
    picture = tag(
        "svg",
        tag("title", f"{chart.title} over {chart.axis}"),
        _grid(chart, axes),
        tag(
            "svg",
            join(_drawn(line, chart.looks[line.look], axes) for line in _back_to_front(chart)),
            viewBox=f"0 0 {BOX} {BOX}",
            preserveAspectRatio="none",
            width="100%",
            height="100%",
        ),
        join(_marks(line, axes) for line in _back_to_front(chart)),
        tag("g", class_="pointer"),
        width="100%",
        height=HEIGHT,
        role="img",
    )
    return tag(
        "figure",
        tag("figcaption", title, tag("p", chart.meaning)),
        _legend(chart),
        tag("div", picture, class_="plot"),
        data(_numbers(chart, axes)),
        class_="chart",
        id=f"chart-{chart.name}",
    )


def axes_of(chart: Chart) -> Axes:
    """What a chart must span to hold all that is drawn."""
    seen = [np.concatenate([line.values, *(line.band or ())]) for line in chart.lines]
    values = np.concatenate(seen)
    values = values[np.isfinite(values)]
    last = max(float(line.steps.max()) for line in chart.lines)
    low, high = float(values.min()), float(values.max())
    if chart.is_share:
        return Axes(last or 1.0, min(low, 0.0), max(high, 1.0), False)
    if not chart.has_zero and low > 0.0 and high / low >= FROM_RATIO:
        return Axes(last or 1.0, low / 1.15, high * 1.15, True)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return Axes(last or 1.0, low - room, high + room, False)


def _back_to_front(chart: Chart) -> list[Line]:
    order: dict[Kind, int] = {"seed": 0, "imagined": 1, "main": 2}
    return sorted(chart.lines, key=lambda line: order[line.kind])


def _drawn(line: Line, look: Look, axes: Axes) -> Html:
    dashes = {"main": strokes(look), "imagined": IMAGINED_DASHES, "seed": None}[line.kind]
    across, parts = axes.across(line.steps), []
    if line.band is not None:
        there = "L".join(_points(across, axes.down(line.band[1])))
        back = "L".join(_points(across[::-1], axes.down(line.band[0][::-1])))
        parts.append(tag("path", d=f"M{there}L{back}Z", class_=f"band look-{line.look}"))
    if line.steps.size > 1:
        way = "L".join(_points(across, axes.down(line.values)))
        parts.append(
            tag(
                "path",
                d=f"M{way}",
                class_=f"{line.kind} look-{line.look}",
                stroke_dasharray=dashes,
                vector_effect="non-scaling-stroke",
            )
        )
    return join(parts)


def _points(across: np.ndarray, down: np.ndarray) -> list[str]:
    return [f"{BOX * x:.4g} {BOX * y:.4g}" for x, y in zip(across, down, strict=True)]


def _marks(line: Line, axes: Axes) -> Html:
    """A dot at every point of a line of few, so that a single round can be seen."""
    if line.kind != "main" or line.steps.size > MARKED:
        return Html()
    places = zip(axes.across(line.steps), axes.down(line.values), strict=True)
    return join(
        tag("circle", cx=_percent(x), cy=_percent(y), r=2.2, class_=f"look-{line.look}")
        for x, y in places
    )


def _percent(place: float) -> str:
    return f"{100.0 * place:.4g}%"


def _grid(chart: Chart, axes: Axes) -> Html:
    """Thin lines with their numbers, and where the world changed."""
    parts = []
    for value, spelled in _ticks(chart, axes):
        y = _percent(float(axes.down(value)))
        is_zero = "zero" if value == 0.0 else None
        parts += [
            tag("line", x1="0", x2="100%", y1=y, y2=y, class_=is_zero),
            tag("text", spelled, x="0", y=y, dx="-8", dy="0.32em", class_="down"),
        ]
    format_steps = EngFormatter(sep="")
    for step in MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, axes.last_step):
        if 0.0 <= step <= axes.last_step:
            x = _percent(float(axes.across(step)))
            parts.append(tag("text", format_steps(step), x=x, y="100%", dy="1.5em", class_="along"))
    for step, name in chart.changes:
        if step <= axes.last_step:
            x = _percent(float(axes.across(step)))
            parts += [
                tag("line", x1=x, x2=x, y1="0", y2="100%", class_="change"),
                tag("text", name, x=x, y="0", dx="4", dy="1em"),
            ]
    return tag("g", *parts, class_="grid")


def _ticks(chart: Chart, axes: Axes) -> list[tuple[float, str]]:
    if axes.is_log:
        decades = math.log10(axes.high / axes.low)
        subs = (1.0,) if decades > 2.5 else (1.0, 3.0)
        found = LogLocator(subs=subs, numticks=8).tick_values(axes.low, axes.high)
    else:
        found = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(axes.low, axes.high)
    seen = [float(tick) for tick in found if axes.low <= tick <= axes.high]
    if chart.is_share:
        return [(tick, share(tick)) for tick in seen]
    return [
        (tick, number(tick) if abs(tick) >= 1e-3 or tick == 0 else f"{tick:g}") for tick in seen
    ]


def _legend(chart: Chart) -> Html:
    """What each line is; the seeds behind a mean are not named one by one."""
    items = []
    for line in chart.lines:
        if line.kind == "seed":
            continue
        look = chart.looks[line.look]
        dashes = IMAGINED_DASHES if line.kind == "imagined" else strokes(look)
        stroke = tag("line", x1=0, x2=26, y1=5, y2=5, stroke_dasharray=dashes)
        swatch = tag("svg", stroke, width=26, height=10, aria_hidden="true")
        items.append(tag("li", swatch, line.label, class_=f"{line.kind} look-{line.look}"))
    return tag("ul", *items, class_="legend")


def _numbers(chart: Chart, axes: Axes) -> dict[str, Any]:
    """What the script shows of a point, and where it is."""
    return {
        "last": axes.last_step,
        "low": axes.low,
        "high": axes.high,
        "log": axes.is_log,
        "share": chart.is_share,
        "lines": [
            {
                "label": line.label,
                "look": line.look,
                "kind": line.kind,
                "steps": [round(float(step)) for step in line.steps],
                "values": _spelled(line.values),
                **({"rounds": [*line.rounds]} if line.rounds else {}),
                **(
                    {"lower": _spelled(line.band[0]), "upper": _spelled(line.band[1])}
                    if line.band
                    else {}
                ),
            }
            for line in chart.lines
        ],
    }


def _spelled(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
