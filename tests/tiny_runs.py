"""A run small enough to train in seconds, and fixtures made from it."""

import csv
import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from duopoly.runs.checkpoint import load_newest
from duopoly.runs.config import RunConfig
from duopoly.runs.launch import train_in
from duopoly.runs.rundir import RunDirectory, run_directory
from duopoly.settings import Settings, override

ROUNDS = "time/iterations", "time/total_timesteps"
"""Columns of time that tell no seconds."""

TASK = "InvertedPendulum-v5"

TINY = override(
    Settings(),
    {
        "collection.initial_steps": 60,
        "collection.steps_per_round": 40,
        "model.num_members": 2,
        "model.hidden": (8,),
        "model.epochs.conservative": 1,
        "model.epochs.convergence": 2,
        "model.batch_size": 16,
        "model.window": 80,
        "model.capacity": 200,
        "imagination.num_rollouts": 4,
        "imagination.horizon": 5,
        "policy.hidden": (4,),
        "policy.steps.conservative": 1,
        "policy.steps.convergence": 1,
        "policy.fisher_samples": 20,
        "policy.cg_iterations": 3,
        "policy.value.hidden": (4,),
        "policy.value.batch_size": 10,
        "policy.value.epochs": 1,
        "evaluation.num_episodes": 2,
        "evaluation.gap_steps": 0,
    },
)


def rows_of(run: RunDirectory) -> list[dict[str, str]]:
    """The table without the seconds: only those differ between two runs of the same seed."""
    with run.progress.open() as file:
        rows = list(csv.DictReader(file))
    is_clock = lambda name: name.startswith("time/") and name not in ROUNDS  # noqa: E731
    return [{name: cell for name, cell in row.items() if not is_clock(name)} for row in rows]


def fingerprint(run: RunDirectory) -> tuple[object, object]:
    """All numbers of the newest checkpoint and the best, and the table without the clock's."""
    kept = [numbers_of(run), numbers_of(RunDirectory(run.best))]
    return kept, rows_of(run)


def numbers_of(run: RunDirectory) -> tuple[object, ...]:
    """The newest checkpoint of a run or saved agent, with a sum of each array."""
    found = load_newest(run.checkpoints, run.read_config())
    assert found is not None
    sums = {
        f"{group}/{name}": (array.shape, hashlib.sha256(array.tobytes()).hexdigest())
        for group, arrays in found.groups.items()
        for name, array in arrays.items()
    }
    return found.round, found.env_steps, sums


def tags_of_images(path: Path) -> set[str]:
    """What TensorBoard shows of a run in pictures."""
    accumulator = EventAccumulator(str(path))
    accumulator.Reload()
    return set(accumulator.Tags()["images"])


@pytest.fixture(scope="session")
def config() -> RunConfig:
    """PAL on the pendulum, for four rounds."""
    return RunConfig(TASK, "pal", 0, 180, TINY)


@pytest.fixture(scope="session")
def finished_run(config, tmp_path_factory) -> RunDirectory:
    """A run that was trained to its end; not to be changed."""
    run = run_directory(tmp_path_factory.mktemp("runs"), TASK, "pal", 0)
    train_in(run, config, resume=False)
    return run


@pytest.fixture(scope="session")
def command(tmp_path_factory):
    """Starts ``python -m duopoly`` in a process of its own; compiled code is shared."""
    cache = tmp_path_factory.mktemp("compiled")
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }

    def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "duopoly", *words],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            close_fds=False,  # spares a fork, of which JAX would warn
        )

    return start


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    """`TINY` as typed on the command line."""
    words = []
    for name, value in _leaves(TINY):
        if value is False:
            continue  # a switch that is not thrown
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        words += ["--" + name.replace("_", "-"), *map(str, values)]
    return words


def _leaves(record: object, prefix: str = ""):
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value
