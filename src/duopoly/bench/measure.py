"""Hot paths timed, one revision alone or two in turn."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from duopoly.runs.errors import FailureError, UsageError

SOURCES = Path(__file__).resolve().parents[2]
"""Where this very package is imported from."""


class Measured(NamedTuple):
    """A hot path of one revision."""

    what: str
    """What one run is."""
    seconds: list[float]
    """Of each run, in their order."""
    num_flops: float | None
    """Floating-point operations of one run."""
    rates: list[float]
    """Of matrix products beside the runs, in floating-point operations per second; along an axis of
    growth they are not measured."""
    peak_mib: float
    device: str
    idle_mib: float | None = None
    """What the process had at most before the path was prepared; an earlier revision tells none."""

    @property
    def rate(self) -> float | None:
        """Floating-point operations per second, at best."""
        return self.num_flops / min(self.seconds) if self.num_flops else None

    @property
    def share(self) -> float | None:
        """Of the rate of matrix products, each at its best."""
        return self.rate / max(self.rates) if self.rate else None


@contextlib.contextmanager
def sources_of(revision: str) -> Iterator[Path]:
    """The package's sources as they were, in a folder of their own.

    Raises:
        UsageError: this is no clone, it has no such revision, or that has no benchmarks.
    """
    root = SOURCES.parent
    words = ("git", "-C", str(root), "archive", "--format=tar", f"{revision}^{{commit}}", "src")
    try:
        archive = subprocess.run(words, check=True, capture_output=True).stdout
    except FileNotFoundError as error:
        raise UsageError("--against needs git, which is not installed") from error
    except subprocess.CalledProcessError as error:
        raise UsageError(
            f"--against {revision}: no such revision in {root}; run it in a clone of duopoly, and "
            f"see git log for what there is"
        ) from error
    with tempfile.TemporaryDirectory(prefix="duopoly-bench-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        sources = Path(folder) / "src"
        if not (sources / "duopoly" / "bench" / "worker.py").exists():
            raise UsageError(f"--against {revision}: it has no benchmarks yet; take a newer one")
        yield sources


def measure(
    name: str, num_runs: int, sides: Sequence[Path] = (SOURCES,), size: int | None = None
) -> list[Measured]:
    """Times a hot path of each side's sources, run by run in turn.

    With a ``size`` it is one along its axis of growth, and no matrix products are timed beside it.

    Raises:
        FailureError: the path breaks down, or one of the sides does not know it.
    """
    with contextlib.ExitStack() as stack:
        words = (name,) if size is None else (name, str(size))
        workers = [stack.enter_context(_worker(words, sources)) for sources in sides]
        for worker in workers:  # one after another, so that none waits for another to compile
            _ask(worker, None)
        seconds: list[list[float]] = [[] for _ in sides]
        rates: list[float] = []
        for _ in range(num_runs):
            if size is None:
                rates.append(_ask(workers[0], "rate"))
            for taken, worker in zip(seconds, workers, strict=True):
                taken.append(_ask(worker, "run"))
        ends = [_ask(worker, "end") for worker in workers]
    return [
        Measured(**end, seconds=taken, rates=rates)
        for taken, end in zip(seconds, ends, strict=True)
    ]


class _Worker(NamedTuple):
    name: str
    process: subprocess.Popen[str]
    said: IO[str]
    """What it writes to stderr."""


@contextlib.contextmanager
def _worker(named: Sequence[str], sources: Path) -> Iterator[_Worker]:
    """A process that has begun to prepare the path."""
    environ = {**os.environ, "PYTHONPATH": str(sources)}
    words = (sys.executable, "-m", "duopoly.bench.worker", *named)
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            words,
            env=environ,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as process,
    ):
        try:
            yield _Worker(" ".join(named), process, said)
        finally:
            process.kill()


def _ask(worker: _Worker, what: str | None) -> Any:
    """Returns the worker's next answer, to what is asked of it."""
    _, process, said = worker
    assert process.stdin is not None
    assert process.stdout is not None
    if what is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{what}\n")
            process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        said.seek(0)
        last = (said.read().strip().splitlines() or ["it said nothing"])[-1]
        raise FailureError(f"benchmark {worker.name} broke down: {last}")
    return json.loads(answer)
