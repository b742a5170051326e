"""``duopoly bench``: how fast the hot paths are, and whether they were faster before."""

import contextlib
import dataclasses
from pathlib import Path

from duopoly.bench import PATHS
from duopoly.fields import between, nearest
from duopoly.runs import atomic
from duopoly.runs.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Bench:
    """Time the hot paths against the machine's matrix products, or against an earlier revision.

    Each is compiled first, in a process of its own. Let nothing else run beside it.
    """

    only: tuple[str, ...] = ()
    """Hot paths to time [default: all]."""
    against: str | None = None
    """Revision of the clone that this is; each run is followed by one of it."""
    runs: int = between(3, 1_000, 5)
    """Runs of each path that are timed."""
    out: Path = Path("results/bench/bench.json")
    """JSON file to write."""


def act(command: Bench) -> None:
    """Times one path after the other, then shows and keeps what came of it.

    Raises:
        UsageError: there is no such path or revision, or no place for the results; a
            `FailureError` if a path breaks down.
    """
    for name in command.only:
        if name not in PATHS:
            raise UsageError(
                f"--only {name}: no such path{nearest(name, PATHS)}; there are {', '.join(PATHS)}"
            )
    atomic.check_writable(command.out)
    from rich.console import Console
    from rich.status import Status

    from duopoly.bench.measure import SOURCES, measure, sources_of
    from duopoly.bench.table import as_table, keep

    names = tuple(dict.fromkeys(command.only)) or tuple(PATHS)
    results = {}
    with contextlib.ExitStack() as stack:
        sides = [SOURCES]
        if command.against is not None:
            sides.append(stack.enter_context(sources_of(command.against)))
        console = Console(stderr=True)
        status = stack.enter_context(Status("", console=console))
        for number, name in enumerate(names, 1):
            status.update(f"{number} of {len(names)}: {name}, {PATHS[name]}")
            results[name] = measure(name, command.runs, sides)
    keep(results, command.against, command.out)
    Console().print(as_table(results, command.against))
    print(f"written to {command.out}")
