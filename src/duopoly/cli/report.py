"""``duopoly report``: runs as one page of HTML."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from duopoly.runs import atomic
from duopoly.runs.errors import UsageError
from duopoly.runs.rundir import RunDirectory

KINDS = (".html", ".htm")


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page: a verdict in words, curves, settings, pictures.

    It holds all that the runs have of these, evaluation, diagnosis and film among them, and asks
    for nothing beyond itself. Runs that have not come far are shown as far as they have.
    """

    run: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN")]]
    """Run directories of one task, or saved agents; seeds become one curve with an interval."""
    out: Path | None = None
    """Page to write [default: report.html in the run, or here for several]."""


def act(command: Report) -> None:
    """Reads the runs and writes the page.

    Raises:
        UsageError: one is no run, they do not belong on one page, or there is no place for it; a
            `DamageError` where a file of theirs is damaged.
    """
    runs = [RunDirectory(path) for path in command.run]
    for run in runs:
        run.read_config()
    out = command.out or (runs[0].report if len(runs) == 1 else Path("report.html"))
    if out.suffix.lower() not in KINDS:
        raise UsageError(f"{out}: must end in {' or '.join(KINDS)}")
    atomic.check_writable(out)
    from duopoly.lab.report.page import page_of
    from duopoly.lab.report.record import read_record

    page = page_of([read_record(run) for run in runs])
    atomic.write_file(out, page)
    print(f"written to {out}")
