"""How time and memory grow with the sizes of the work: at which exponents, told and drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from rich.table import Table

from duopoly.bench import AXES
from duopoly.bench.measure import Measured
from duopoly.lab.curves import LOOKS
from duopoly.render.figures import INK, add_legend, new_figure, style, write
from duopoly.runs import atomic
from duopoly.runs.provenance import versions


class Growth(NamedTuple):
    """What was measured along an axis."""

    sizes: Sequence[int]
    measured: Sequence[Measured]

    @property
    def seconds(self) -> list[float]:
        """The best time of every size."""
        return [min(one.seconds) for one in self.measured]

    @property
    def mib(self) -> list[float]:
        """Most memory of the work itself, beside what the process had before; at least 1."""
        return [max(one.peak_mib - (one.idle_mib or 0.0), 1.0) for one in self.measured]

    @property
    def exponents(self) -> tuple[float, float]:
        """Of time and of memory: the slopes on logarithmic axes over the larger half of sizes.

        1 is linear. The smaller half shows what any size costs.
        """
        return self._slope(self.seconds), self._slope(self.mib)

    def _slope(self, values: Sequence[float]) -> float:
        half = len(self.sizes) // 2
        x, y = np.log(self.sizes[half:]), np.log(values[half:])
        return float(np.polyfit(x, y, 1)[0])


def describe(name: str, growth: Growth) -> str:
    """One line about an axis."""
    in_time, in_memory = growth.exponents
    span = f"{growth.sizes[0]:,} to {growth.sizes[-1]:,}"
    return f"{name}, {span}: exponents {in_time:.2f} of time, {in_memory:.2f} of memory"


def as_table(found: Mapping[str, Growth]) -> Table:
    """One row an axis."""
    device = next(iter(found.values())).measured[0].device
    table = Table(title=f"how cost grows, on {device}")
    for heading in ("path", "axis", "sizes"):
        table.add_column(heading)
    for heading in ("seconds", "exponent", "MiB", "exponent"):
        table.add_column(heading, justify="right")
    for name, one in found.items():
        path, _, axis = name.partition("-")
        in_time, in_memory = one.exponents
        table.add_row(
            path,
            axis,
            f"{one.sizes[0]:,} to {one.sizes[-1]:,}",
            f"{one.seconds[0]:.3g} to {one.seconds[-1]:.3g}",
            f"{in_time:.2f}",
            f"{one.mib[0]:.0f} to {one.mib[-1]:.0f}",
            f"{in_memory:.2f}",
        )
    return table


def keep(found: Mapping[str, Growth], out: Path) -> None:
    """Writes all that was measured, with the versions of what ran, and draws it beside.

    Raises:
        DamageError: it cannot be written.
    """
    content: dict[str, Any] = {"versions": versions()}
    content["axes"] = {
        name: {
            "sizes": list(one.sizes),
            "seconds": one.seconds,
            "mib": one.mib,
            "exponents": dict(zip(("seconds", "mib"), one.exponents, strict=True)),
            "measured": [each._asdict() for each in one.measured],
        }
        for name, one in found.items()
    }
    atomic.write_file(out, atomic.dump_json(content))
    draw(found, out.with_suffix(".png"))


def draw(found: Mapping[str, Growth], out: Path) -> None:
    """Draws time and memory against size, each as a multiple of its smallest."""
    figure = new_figure(11.0, 5.0, "How cost grows")
    left, right = figure.subplots(1, 2)
    _draw_side(left, found, "time", [(one.seconds, one.exponents[0]) for one in found.values()])
    _draw_side(right, found, "memory", [(one.mib, one.exponents[1]) for one in found.values()])
    for axes in (left, right):
        add_legend(figure, axes)
    write(figure, out)


def _draw_side(
    axes: Axes,
    found: Mapping[str, Growth],
    what: str,
    values: Sequence[tuple[Sequence[float], float]],
) -> None:
    style(axes)
    widest = max(one.sizes[-1] / one.sizes[0] for one in found.values())
    axes.plot([1, widest], [1, widest], color="#bbbbbb", lw=4, label="linear", zorder=0)
    looks = dict(zip(AXES, LOOKS.values(), strict=False))
    for (name, one), (costs, exponent) in zip(found.items(), values, strict=True):
        colour, dashes = looks[name]
        axes.plot(
            np.divide(one.sizes, one.sizes[0]),
            np.divide(costs, costs[0]),
            color=colour,
            ls=dashes,
            marker="o",
            ms=3,
            label=f"{name}: {exponent:.2f}",
        )
    axes.set(xscale="log", yscale="log", xlabel="size / smallest size")
    axes.set_ylabel(f"{what} / that of the smallest size", color=INK)
