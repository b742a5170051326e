"""SIGKILL at random moments: a run that was killed again and again equals one that never was.

    python benchmarks/kills.py --kills 50

Plays a tiny run to its end, then the same one in another directory, killed so many times at a
moment drawn at random, most of them while it plays. Its table, the clock's columns left out, and
all arrays of its last checkpoint must be bit-equal to those of the first; else the exit code is 1.
"""

import argparse
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from damage import TASK, TINY

from duopoly.runs import checkpoint
from duopoly.runs.rundir import RunDirectory

STEPS = 12_000
CLOCK = {"time/time_elapsed", "time/fps"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    num_kills = parser.parse_args().kills
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        play(root, "whole").wait()
        whole, run = (
            RunDirectory(root / out / TASK / "pal" / "seed_0") for out in ("whole", "parts")
        )
        killed = 0
        while killed < num_kills:
            process = play(root, "parts")
            # Half of the time on the way to the first round, half of it among the rounds.
            if chance.random() < 0.7:
                wait_for_a_round(run, process)
                time.sleep(chance.uniform(0.0, 0.15))
            else:
                time.sleep(chance.uniform(0.0, 4.0))
            if process.poll() is not None:
                break
            process.kill()
            process.wait()
            killed += 1
        finished = play(root, "parts").wait() == 0
        same = finished and content(run) == content(whole)
        print(f"{killed} kills, {len(rows(run))} rounds: {'bit-equal' if same else 'DIFFERENT'}")
    sys.exit(not same or killed < num_kills)


def play(root: Path, out: str) -> "subprocess.Popen[bytes]":
    flags = [word for name, value in TINY.items() for word in spelt(name, value)]
    words = ["train", TASK, *flags, "--steps", str(STEPS), "--out", out, "--resume"]
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(root / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "duopoly", *words],
        cwd=root,
        env={**os.environ, **cache},
        stdout=subprocess.DEVNULL,
    )


def spelt(name: str, value: object) -> list[str]:
    """A setting as it is typed."""
    values = value if isinstance(value, tuple) else (value,)
    return ["--" + name.replace("_", "-"), *map(str, values)]


def wait_for_a_round(run: RunDirectory, process: "subprocess.Popen[bytes]") -> None:
    """Waits until the table grows, or the process ends."""
    before = size(run)
    while process.poll() is None and size(run) <= before:
        time.sleep(0.002)


def size(run: RunDirectory) -> int:
    return run.progress.stat().st_size if run.progress.exists() else 0


def rows(run: RunDirectory) -> list[dict[str, str]]:
    with run.progress.open() as file:
        found = list(csv.DictReader(file))
    return [{name: cell for name, cell in row.items() if not is_clock(name)} for row in found]


def is_clock(name: str) -> bool:
    """Whether a column tells seconds."""
    return name in CLOCK or (name.startswith("time/") and name.endswith(("_s", "_ms")))


def content(run: RunDirectory) -> object:
    """All that must be the same."""
    found = checkpoint.load_newest(run.checkpoints, run.read_config())
    assert found is not None
    arrays = {
        (group, name): (str(array.dtype), array.shape, array.tobytes())
        for group, named in found.groups.items()
        for name, array in named.items()
    }
    return found.round, found.env_steps, arrays, rows(run)


if __name__ == "__main__":
    main()
