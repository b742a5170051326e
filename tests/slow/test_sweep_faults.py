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
from pathlib import Path

import pytest
from tiny_runs import TASK, TINY

from duopoly.runs.settings_json import to_dict

pytestmark = pytest.mark.slow

NUM_KILLS = 5
CLOCK = "time/"


def write_sweep(folder: Path) -> None:
    """Two seeds of two variants, each of fifty rounds of a tiny game."""
    groups = to_dict(TINY).items()
    tables = {group: values for group, values in groups if isinstance(values, dict)}
    settings = "\n".join(
        f"{group}.{name} = {json.dumps(value)}"
        for group, values in tables.items()
        for name, value in values.items()
        if not isinstance(value, dict)
    )
    (folder / "sweep.toml").write_text(
        f"tasks = '{TASK}'\nseeds = '0-1'\nsteps = 2_000\n[settings]\n{settings}\n"
        "[variants.a]\n[variants.b]\nmodel.learning_rate = 0.01\n"
    )


def start(folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "duopoly", "sweep", "sweep.toml", "--episodes", "2", *words]
    return subprocess.Popen(
        [*command, "--threads", "1"], cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL
    )


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
    assert start(folder, "--jobs", "2").wait() == 0
    kept = what_is_kept(folder)
    assert len(kept) == 4 * 5
    return kept


def processes_of_runs(folder: Path) -> list[int]:
    """The processes that train in a folder."""
    found = []
    for path in folder.rglob("status.json"):
        with contextlib.suppress(OSError, ValueError):
            status = json.loads(path.read_text())
            if status["state"] == "running":
                os.kill(status["pid"], 0)
                found.append(status["pid"])
    return found


def wait_for_runs(folder: Path, seconds: float = 120.0) -> list[int]:
    end = time.monotonic() + seconds
    while not (found := processes_of_runs(folder)):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_a_killed_driver_and_killed_runs_lose_nothing(undisturbed, tmp_path):
    write_sweep(tmp_path)
    chance = random.Random(0)
    for _ in range(NUM_KILLS):
        driver = start(tmp_path, "--jobs", "2")
        wait_for_runs(tmp_path)
        time.sleep(chance.uniform(0.0, 3.0))
        driver.kill()
        driver.wait()
    driver = start(tmp_path, "--jobs", "2")
    num_killed = 0
    while driver.poll() is None and num_killed < NUM_KILLS:
        if found := processes_of_runs(tmp_path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(found), signal.SIGKILL)
                num_killed += 1
        time.sleep(chance.uniform(4.0, 8.0))
    assert driver.wait() == 0
    assert num_killed == NUM_KILLS
    assert what_is_kept(tmp_path) == undisturbed


def test_a_ray_cluster_that_loses_a_node_loses_nothing(undisturbed, tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    write_sweep(tmp_path)
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        driver = start(tmp_path, "--ray", cluster.address)
        end = time.monotonic() + 120.0
        while len(processes_of_runs(tmp_path)) < 2:  # one on each node
            assert time.monotonic() < end
            time.sleep(0.1)
        cluster.remove_node(node, allow_graceful=False)
        assert driver.wait() == 0
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
    driver = start(tmp_path, "--ray", "auto")
    wait_for_runs(tmp_path)
    new = listening() - before
    assert driver.wait() == 0
    assert len(new) > 2
    assert all(address.startswith(LOOPBACK) for address in new), new
    assert what_is_kept(tmp_path) == undisturbed
