"""A sweep whose driver, runs and nodes are killed leaves what an undisturbed one leaves."""

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_runs import TASK, TINY

from duopoly.runs.settings_json import to_dict
from duopoly.sweep.worker import num_rounds

pytestmark = pytest.mark.slow

NUM_KILLS = 5
NUM_SEEDS = 2
NUM_STEPS = 1_220
"""Thirty rounds: a run that is killed has come further since it was killed last."""
CLOCK = "time/"
PATIENCE_SECONDS = 600.0
"""Processes start slowly where many run at once."""


@pytest.fixture(autouse=True)
def no_nicer_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own default leaves its workers hardly any time where a machine is busy."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


def write_sweep(folder: Path) -> None:
    """Two seeds of a tiny game."""
    groups = to_dict(TINY).items()
    tables = {group: values for group, values in groups if isinstance(values, dict)}
    settings = "\n".join(
        f"{group}.{name} = {json.dumps(value)}"
        for group, values in tables.items()
        for name, value in values.items()
        if not isinstance(value, dict)
    )
    (folder / "sweep.toml").write_text(
        f"tasks = '{TASK}'\nseeds = '0-{NUM_SEEDS - 1}'\nsteps = {NUM_STEPS}\n"
        f"[settings]\n{settings}\n[variants.a]\nmodel.learning_rate = 0.01\n"
    )


@contextlib.contextmanager
def driver(folder: Path, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A sweep in a process of its own, which is stopped where the test fails meanwhile."""
    command = [sys.executable, "-m", "duopoly", "sweep", "sweep.toml", "--episodes", "2", *words]
    process = subprocess.Popen(
        [*command, "--threads", "1"], cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def what_is_kept(folder: Path) -> dict[str, object]:
    """The small files of all runs, without what the clock says."""
    found: dict[str, object] = {}
    for path in sorted((folder / "results").rglob("*.*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".csv":
            rows = list(csv.DictReader(path.read_text().splitlines()))
            found[name] = [
                {
                    tag: cell
                    for tag, cell in row.items()
                    if not tag.startswith(CLOCK) or tag == "time/total_timesteps"
                }
                for row in rows
            ]
        else:
            found[name] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_sweep(folder)
    with driver(folder, "--jobs", "2") as process:
        assert process.wait() == 0
    kept = what_is_kept(folder)
    assert len(kept) == NUM_SEEDS * 5
    return kept


def processes_of_runs(folder: Path) -> dict[Path, int]:
    """The processes that train in a folder, by the run of each."""
    found = {}
    for path in folder.rglob("status.json"):
        with contextlib.suppress(OSError, ValueError):
            status = json.loads(path.read_text())
            if status["state"] == "running":
                os.kill(status["pid"], 0)
                found[path.parent] = status["pid"]
    return found


def wait_for_runs(folder: Path, num_runs: int = 1) -> None:
    """Waits until so many runs are trained at once."""
    end = time.monotonic() + PATIENCE_SECONDS
    while len(processes_of_runs(folder)) < num_runs:
        assert time.monotonic() < end
        time.sleep(0.05)


def kill_a_run(folder: Path, rounds: dict[Path, int], chance: random.Random) -> None:
    """Kills one that has come further than the ``rounds`` at which it was killed last."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        alive = processes_of_runs(folder)
        further = [run for run in alive if num_rounds(run) > rounds.get(run, 0)]
        if further:
            run = chance.choice(sorted(further))
            rounds[run] = num_rounds(run)
            with contextlib.suppress(ProcessLookupError):  # it has come to its end
                os.kill(alive[run], signal.SIGKILL)
                return
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_drivers_and_killed_runs_lose_nothing(undisturbed, tmp_path):
    """A run that is killed is begun anew by its driver, or, where that is killed first, the next.

    What a killed driver has begun plays on, and the next one waits for it.
    """
    write_sweep(tmp_path)
    chance, rounds = random.Random(0), dict[Path, int]()
    for _ in range(NUM_KILLS):
        with driver(tmp_path, "--jobs", "2") as process:
            kill_a_run(tmp_path, rounds, chance)
            time.sleep(chance.uniform(0.0, 2.0))
            assert process.poll() is None
            process.kill()
    with driver(tmp_path, "--jobs", "2") as process:
        assert process.wait() == 0
    assert what_is_kept(tmp_path) == undisturbed


def test_a_ray_cluster_that_loses_a_node_loses_nothing(undisturbed, tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    write_sweep(tmp_path)
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes(PATIENCE_SECONDS)
        with driver(tmp_path, "--ray", cluster.address) as process:
            wait_for_runs(tmp_path, 2)  # one on each node
            cluster.remove_node(node, allow_graceful=False)
            assert process.wait() == 0
    finally:
        cluster.shutdown()
    assert what_is_kept(tmp_path) == undisturbed


def listening() -> set[str]:
    """Addresses of this machine at which somebody listens, as /proc spells them."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {line[1] for line in lines if line[3] == "0A"}


LOOPBACK = ("0100007F:", "0000000000000000FFFF00000100007F:", "00000000000000000000000001000000:")


def test_a_cluster_of_this_machine_alone_listens_to_nobody_else(undisturbed, tmp_path):
    pytest.importorskip("ray")
    write_sweep(tmp_path)
    before = listening()
    with driver(tmp_path, "--ray", "auto", "--seeds", "0") as process:
        wait_for_runs(tmp_path)
        new = listening() - before
        assert process.wait() == 0
    assert len(new) > 2
    assert all(address.startswith(LOOPBACK) for address in new), new
    kept = what_is_kept(tmp_path)
    assert kept == {name: undisturbed[name] for name in kept}
    assert len(kept) == 5
