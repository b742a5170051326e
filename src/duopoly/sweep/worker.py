"""One run of a sweep, from wherever it is to its end: trained, evaluated, kept.

Each part is an ordinary ``duopoly`` process, so that it does not matter who starts it, or where.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

from duopoly.runs.errors import DamageError, FailureError
from duopoly.runs.metrics import read_progress
from duopoly.runs.rundir import RunDirectory, is_locked
from duopoly.sweep.kept import keep

MAX_DEATHS: Final = 3
"""How often in a row a process may be killed without having come any further."""

_LOOK_SECONDS: Final = 0.2
"""Between two looks at a process."""


class Order(NamedTuple):
    """A run that is to be played. Paths are absolute, for it may be played on another machine."""

    name: str
    """Of its study."""
    seed: int
    words: tuple[str, ...]
    """What follows ``duopoly`` to train it, or to go on with it."""
    common: tuple[str, ...]
    """What follows every command."""
    num_env_steps: int
    run: Path
    kept: Path
    """Folder of what is kept of it."""
    num_episodes: int
    """Of each evaluation."""
    num_threads: int
    """On which its numbers depend: sums in another order round differently."""
    place: Path
    """Directory to work in."""
    num_workers: int = 1
    """Processes that play its episodes."""

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name}, seed {self.seed}"

    @property
    def log(self) -> Path:
        """What its processes write."""
        return self.run.with_name(f"{self.run.name}.log")


class StoppedError(Exception):
    """Whoever ordered the run wants no more of it."""


def play(order: Order, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Plays a run, or what is left of it, and keeps its results.

    A process that is killed is started again, as long as it comes further each time. If the process
    of another sweep works on the run, as that of one that was killed may, it is waited for.

    Raises:
        FailureError: it failed; the log tells how.
        StoppedError: ``is_stopping`` said so; what was played is safe.
    """
    order.run.parent.mkdir(parents=True, exist_ok=True)
    workers = ("--num-workers", str(order.num_workers)) if order.num_workers > 1 else ()
    evaluate = ("evaluate", str(order.run), "--episodes", str(order.num_episodes), *workers)
    with order.log.open("a") as log:
        for words in ((*order.words, *workers), evaluate, (*evaluate, "--best")):
            _see_through(order, words, log, is_stopping)
    keep(order.run, order.kept)


def _see_through(
    order: Order, words: Sequence[str], log: IO[str], is_stopping: Callable[[], bool]
) -> None:
    num_deaths, before = 0, num_rounds(order.run)
    while True:
        while is_locked(RunDirectory(order.run)) and not is_stopping():
            time.sleep(_LOOK_SECONDS)
        code = _run(order, words, log, is_stopping)
        if code == 0:
            return
        if 0 < code < 128:
            if is_locked(RunDirectory(order.run)):  # by one that came first
                continue
            raise FailureError(f"failed, see {order.log}")
        rounds = num_rounds(order.run)
        num_deaths, before = (1 if rounds > before else num_deaths + 1), rounds
        if num_deaths == MAX_DEATHS:
            signal = code - 128 if code > 0 else -code
            raise FailureError(f"killed {num_deaths} times by signal {signal}, see {order.log}")


def _run(order: Order, words: Sequence[str], log: IO[str], is_stopping: Callable[[], bool]) -> int:
    """The exit status of a ``duopoly`` process, which is told to stop when this one is."""
    if is_stopping():
        raise StoppedError
    threads = str(order.num_threads)
    process = subprocess.Popen(
        [sys.executable, "-m", "duopoly", *words, *order.common],
        cwd=order.place,
        env={**os.environ, "PJRT_NPROC": threads, "OMP_NUM_THREADS": threads},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # a Ctrl-C is ours, to be passed on once
    )
    try:
        while not is_stopping():
            try:
                return process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        raise StoppedError
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def num_rounds(run: Path) -> int:
    """How many rounds of a run are on record."""
    try:
        return len(read_progress(run / "progress.csv"))
    except DamageError:
        return 0
