"""``duopoly bench``: how fast the hot paths are and were, and how cost grows with its sizes."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from duopoly.bench import AXES, PATHS
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
    growth: bool = False
    """Instead, measure how time and memory grow with the sizes of the work."""
    runs: int | None = between(3, 1_000, None)
    """Runs of each path that are timed [default: 5, with --growth 3 of each size]."""
    out: Path | None = None
    """JSON file to write [default: bench.json or growth.json in results/bench]."""


FOLDER: Final = Path("results/bench")
NUM_RUNS: Final = 5
NUM_RUNS_OF_A_SIZE: Final = 3


def act(command: Bench) -> None:
    """Times one path after the other, then shows and keeps what came of it.

    Raises:
        UsageError: there is no such path or revision, or no place for the results; a
            `FailureError` if a path breaks down.
    """
    known: Mapping[str, Any] = AXES if command.growth else PATHS
    for name in command.only:
        if name not in known:
            raise UsageError(
                f"--only {name}: no such path{nearest(name, known)}; there are {', '.join(known)}"
            )
    if command.growth and command.against is not None:
        raise UsageError(f"--against {command.against}: --growth is of this revision alone")
    out = command.out or FOLDER / ("growth.json" if command.growth else "bench.json")
    names = tuple(dict.fromkeys(command.only)) or tuple(known)
    atomic.check_writable(out)
    (_grow if command.growth else _time)(command, names, out)
    print(f"written to {out}")


def _time(command: Bench, names: tuple[str, ...], out: Path) -> None:
    from rich.console import Console

    from duopoly.bench.measure import SOURCES, measure, sources_of
    from duopoly.bench.table import as_table, keep

    with contextlib.ExitStack() as stack:
        sides = [SOURCES]
        if command.against is not None:
            sides.append(stack.enter_context(sources_of(command.against)))
        tell = stack.enter_context(_telling())
        results = {}
        for number, name in enumerate(names, 1):
            tell(f"{number} of {len(names)}: {name}, {PATHS[name]}")
            results[name] = measure(name, command.runs or NUM_RUNS, sides)
    keep(results, command.against, out)
    Console().print(as_table(results, command.against))


def _grow(command: Bench, names: tuple[str, ...], out: Path) -> None:
    from rich.console import Console

    from duopoly.bench.growth import Growth, as_table, describe, keep
    from duopoly.bench.measure import measure

    found, num_runs = {}, command.runs or NUM_RUNS_OF_A_SIZE
    with _telling() as tell:
        for number, name in enumerate(names, 1):
            begin, sizes, measured = time.monotonic(), AXES[name], []
            for size in sizes:
                tell(f"{number} of {len(names)}: {name}, {size:,} of up to {sizes[-1]:,}")
                measured += measure(name, num_runs, size=size)
            found[name] = Growth(sizes, measured)
            keep(found, out)  # axis by axis, for all of them take minutes
            seconds = time.monotonic() - begin
            print(f"{describe(name, found[name])}; measured in {seconds:.0f} s", flush=True)
    Console().print(as_table(found))


@contextlib.contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Yields what says on the terminal what is measured now."""
    from rich.console import Console
    from rich.status import Status

    with Status("", console=Console(stderr=True)) as status:
        yield status.update
