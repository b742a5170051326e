"""What was measured, to read and to keep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from duopoly.bench.measure import Measured
from duopoly.lab.statistics import bootstrap_interval
from duopoly.runs import atomic
from duopoly.runs.provenance import versions

Results = Mapping[str, Sequence[Measured]]
"""By hot path: of the package as it is, and of the revision that it is compared to, if any."""


def as_table(results: Results, against: str | None) -> Table:
    """One row a hot path."""
    device = next(iter(results.values()))[0].device
    table = Table(title=f"duopoly bench on {device}")
    table.add_column("path")
    headings = ("one run", "seconds", "GFLOP/s", "share", "peak MiB")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "one run" else "right")
    if against is not None:
        table.add_column(f"seconds / those of {against}", justify="right")
    for name, (now, *before) in results.items():
        rate = "" if now.rate is None else f"{now.rate / 1e9:.0f}"
        share = "" if now.share is None else f"{now.share:.0%}"
        best = min(now.seconds)
        cells = [name, now.what, f"{best:.3g}", rate, share, f"{now.peak_mib:.0f}"]
        if before:
            ratio, low, high = ratio_to(now, before[0])
            cells.append(f"{ratio:.3f} ({low:.3f} to {high:.3f})")
        table.add_row(*cells)
    rate = max(max(sides[0].rates) for sides in results.values())
    table.add_row("", "matrix product, the best", "", f"{rate / 1e9:.0f}", "100%", "")
    return table


def ratio_to(now: Measured, before: Measured) -> tuple[float, float, float]:
    """Median over the pairs of runs of the time now to the time before, and its 95 % interval."""
    ratios = np.divide(now.seconds, before.seconds)
    low, high = bootstrap_interval([ratios], statistic=np.median)
    return float(np.median(ratios)), float(low), float(high)


def keep(results: Results, against: str | None, path: Path) -> None:
    """Writes all that was measured, with the versions of what ran.

    Raises:
        DamageError: it cannot be written.
    """
    content: dict[str, Any] = {"versions": versions(), "against": against}
    content["paths"] = {
        name: {
            side: {**one._asdict(), "share": one.share}
            for side, one in zip(("now", "before"), sides, strict=False)
        }
        for name, sides in results.items()
    }
    atomic.write_file(path, atomic.dump_json(content))
