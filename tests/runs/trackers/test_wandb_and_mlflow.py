"""What W&B and MLflow are given is what is read back from where they keep it, without a network."""

import dataclasses
import importlib.util
import json
import os
import struct
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from duopoly.cli.main import main
from duopoly.cli.parsing import parse
from duopoly.runs.errors import UsageError
from duopoly.runs.launch import train_in, train_side_by_side
from duopoly.runs.metrics import RETURN, ROUND, STEPS, read_progress
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.trackers import catalogue, record
from duopoly.runs.trackers.follow import Tracking, followed
from duopoly.runs.trackers.show import show
from duopoly.runs.trackers.tracker import TrackedRun, tracked

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:(mlflow|sqlalchemy|alembic|wandb|pydantic)"  # of each other's
)
NAMES = ("wandb", "mlflow")
SETTINGS = {"task": "T", "model.window": 3, "policy.discount": 0.5, "hidden": "8 8"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with all that W&B and MLflow keep."""
    wandb, _ = pytest.importorskip("wandb"), pytest.importorskip("mlflow")
    for name in os.environ:
        if name.startswith(("WANDB_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "private"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    wandb.teardown()


def logged_blocks(path: Path):
    """The records in a file of LevelDB's log format, as W&B writes while it is offline."""
    data, position, parts = path.read_bytes(), 7, []
    assert data[:4] == b":W&B"
    while position + 7 <= len(data):
        if (left := 32_768 - position % 32_768) < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


class Offline:
    """All that W&B has written of its runs in a folder, part by part, by the run's id."""

    def __init__(self, place: Path) -> None:
        from wandb.proto.wandb_internal_pb2 import Record

        self.rows, self.configs, self.runs = defaultdict(list), defaultdict(dict), {}
        self.exits = defaultdict(list)
        files = sorted(place.glob("wandb/offline-run-*/run-*.wandb"), key=os.path.getmtime)
        for file in files:
            key = file.stem.removeprefix("run-")
            for block in logged_blocks(file):
                found = Record.FromString(block)
                if found.HasField("run"):
                    self.runs[key] = found.run
                    self._configure(key, found.run.config)
                if found.HasField("config"):
                    self._configure(key, found.config)
                if found.HasField("history"):
                    self.rows[key].append(
                        {
                            item.key or ".".join(item.nested_key): json.loads(item.value_json)
                            for item in found.history.item
                        }
                    )
                if found.HasField("exit"):
                    self.exits[key].append(found.exit.exit_code)

    def _configure(self, key, config):
        for item in config.update:
            self.configs[key][item.key or item.nested_key[0]] = json.loads(item.value_json)


def client():
    from mlflow import MlflowClient

    return MlflowClient()


def rounds_in_mlflow(key: str) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in client().get_metric_history(key, ROUND)]


def rounds_in_wandb(place: Path, key: str) -> list[tuple[int, float]]:
    return [(row[STEPS], row[ROUND]) for row in Offline(place).rows[key] if ROUND in row]


def keys_of(run: RunDirectory) -> tuple[str, str]:
    entries = record.read(run.trackers)
    return entries["WandB"].key, entries["MLflow"].key


def test_a_run_and_its_resume_are_one_run_there(place, config):
    run = RunDirectory(place / "run")
    for steps in (100, config.steps):
        tracking = Tracking(catalogue.make(NAMES))
        some = dataclasses.replace(config, steps=steps)
        train_in(run, some, resume=True, tracking=tracking)
    wandb_key, mlflow_key = keys_of(run)
    table = [(row[STEPS], row[ROUND]) for row in read_progress(run.progress)]
    assert len(table) == 4
    assert rounds_in_wandb(place, wandb_key) == table
    assert rounds_in_mlflow(mlflow_key) == table

    title = "InvertedPendulum-v5 pal seed 0"
    offline = Offline(place)
    begun, configured = offline.runs[wandb_key], offline.configs[wandb_key]
    assert (begun.project, begun.display_name) == ("duopoly", title)
    assert (configured["model.window"], configured["steps"]) == (80, 180)
    assert offline.exits[wandb_key] == [0, 0]
    returns = [row[RETURN] for row in read_progress(run.progress)]
    assert [row[RETURN] for row in offline.rows[wandb_key]] == returns

    found = client().get_run(mlflow_key)
    assert (found.info.run_name, found.info.status) == (title, "FINISHED")
    assert client().get_experiment(found.info.experiment_id).name == "duopoly"
    assert (found.data.params["model.window"], found.data.params["steps"]) == ("80", "100")
    assert [one.value for one in client().get_metric_history(mlflow_key, RETURN)] == returns


def test_seeds_side_by_side_are_runs_of_their_own(place, config):
    runs = [
        (RunDirectory(place / f"seed_{seed}"), dataclasses.replace(config, seed=seed, steps=100))
        for seed in (0, 1)
    ]
    tracking = [Tracking(catalogue.make(NAMES)) for _ in runs]
    train_side_by_side(runs, resume=False, tracking=tracking)
    assert len({key for run, _ in runs for key in keys_of(run)}) == 4
    for seed, (run, _) in enumerate(runs):
        wandb_key, mlflow_key = keys_of(run)
        rows = read_progress(run.progress)
        offline = Offline(place).rows[wandb_key]
        assert [row[RETURN] for row in offline] == [row[RETURN] for row in rows]
        assert Offline(place).configs[wandb_key]["seed"] == seed
        assert rounds_in_mlflow(mlflow_key) == [(row[STEPS], row[ROUND]) for row in rows]
        assert client().get_run(mlflow_key).data.params["seed"] == str(seed)


def test_their_environment_variables_are_heeded(place, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_NAME", "a name")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    with followed(TrackedRun("mine", SETTINGS), catalogue.make(NAMES)):
        pass
    (begun,) = Offline(place).runs.values()
    assert (begun.project, begun.display_name) == ("theirs", "a name")
    assert client().get_experiment_by_name("theirs") is not None
    assert client().get_experiment_by_name("duopoly") is None


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")]
)
def test_a_run_that_ends_early_is_not_called_finished(place, error, status):
    with (
        pytest.raises(error),
        followed(TrackedRun("mine", SETTINGS, 0, place), catalogue.make(NAMES)),
    ):
        raise error
    wandb_key, mlflow_key = keys_of(RunDirectory(place))
    assert Offline(place).exits[wandb_key] == [1]
    assert client().get_run(mlflow_key).info.status == status


def test_another_store_is_refused_in_one_line(place, monkeypatch):
    run = TrackedRun("mine", SETTINGS, 0, place)
    with followed(run, catalogue.make("mlflow")):
        pass
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/other.db")
    with pytest.raises(UsageError, match=r"MLflow cannot .*: there is no run .* set MLFLOW_TRACK"):
        followed(run, catalogue.make("mlflow")).__enter__()


def test_pictures_and_films_join_the_run_that_is_there(place, config):
    run = RunDirectory(place / "run")
    run.path.mkdir()
    run.write_config(config)
    run.progress.write_text(f"{ROUND},{STEPS}\n1,60\n")
    run.write_status("stopped", 1, 60)
    with followed(tracked(config, 0, run.path), catalogue.make(NAMES)):
        pass
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(run.path / "fan.png")
    run.video.write_bytes(b"a film")
    show(run, {"diagnosis/fan": run.path / "fan.png", "video": run.video})
    wandb_key, mlflow_key = keys_of(run)
    shown = [row for row in Offline(place).rows[wandb_key] if STEPS in row]
    assert [row[STEPS] for row in shown] == [60, 60]
    assert shown[0]["diagnosis/fan._type"] == "image-file"
    assert shown[1]["video._type"] == "video-file"
    kept = [one.path for one in client().list_artifacts(mlflow_key)]
    assert kept == ["films", "pictures"]
    (picture,) = client().list_artifacts(mlflow_key, "pictures/diagnosis")
    assert picture.path == "pictures/diagnosis/fan.png"
    assert client().get_run(mlflow_key).info.status == "KILLED"


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_is_one_line_before_anything_is_written(
    name, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, name, None)
    assert importlib.util.find_spec(name) is None
    words = ["train", "InvertedPendulum-v5", "--out", str(tmp_path / "out"), "--track", name]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"is not installed: pip install 'duopoly[{name}]'" in told
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_none_is_refused(capsys):
    with pytest.raises(UsageError, match=r"no tracker is called 'wanb'.*did you mean 'wandb'"):
        catalogue.make(["wanb"])
    with pytest.raises(SystemExit):
        main(["train", "InvertedPendulum-v5", "--track", "wanb"])
    assert "--track 'wanb': must be one of wandb, mlflow" in capsys.readouterr().err


def test_a_resumed_command_goes_on_with_what_followed_the_run(tmp_path, config):
    run = RunDirectory(tmp_path / config.task / "pal" / "seed_0")
    run.path.mkdir(parents=True)
    run.write_config(config)
    entries = {"MLflow": record.Entry("a"), "Diary": record.Entry("b")}
    record.write(run.trackers, entries)
    words = ["train", config.task, "--out", str(tmp_path), "--resume"]
    assert parse(words).track == ("mlflow",)
    assert parse([*words, "--track", "wandb"]).track == ("wandb",)
    assert parse(words[:-1]).track == ()
