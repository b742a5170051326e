"""Sweeps: only what is missing is played, what is killed goes on, and what was found is told."""

import contextlib
import json
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

import fake_duopoly
import pytest

from duopoly.cli.flags import read_flags
from duopoly.cli.main import main
from duopoly.cli.sweep import read_duration
from duopoly.cli.train import Train, complete, read_log, run_of
from duopoly.runs.errors import UsageError
from duopoly.runs.provenance import version
from duopoly.runs.rundir import RunDirectory, is_locked, locked
from duopoly.sweep.kept import KEPT

EXAMPLES = Path(__file__).parents[2] / "examples"
SWEEP = "tasks = 'Hopper-v5'\nsteps = 10_000\n"


@pytest.fixture(autouse=True)
def house(tmp_path, monkeypatch) -> Path:
    """A place with a sweep's file, where ``duopoly`` is the stand-in."""
    monkeypatch.chdir(tmp_path)
    executable = tmp_path / "python"
    executable.write_text(f"#!{sys.executable}\n{Path(fake_duopoly.__file__).read_text()}")
    executable.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(executable))
    Path("sweep.toml").write_text(SWEEP)
    words = ["Hopper-v5", "--steps", "10000"]
    _, config = run_of(complete(read_flags(words, Train))[1], 0)
    Path("settings.json").write_text(json.dumps(config.to_dict()))
    monkeypatch.setenv("FAKE_SETTINGS", str(tmp_path / "settings.json"))
    monkeypatch.setenv("FAKE_MUJOCO", version("mujoco"))
    monkeypatch.setenv("FAKE_CALLS", str(tmp_path / "calls"))
    return tmp_path


def sweep(*words: str) -> int:
    """The exit status of a sweep."""
    try:
        main(["sweep", *words])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def calls() -> list[str]:
    """What the stand-in was called with so far, and no more."""
    path = Path("calls")
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


KEPT_OF = Path("results/Hopper-v5/pal")


@pytest.mark.usefixtures("house")
def test_what_follows_the_runs_is_passed_on():
    assert sweep("sweep.toml", "--seeds", "0", "--track", "wandb", "mlflow") == 0
    assert calls()[0].endswith("--steps 10000 --track wandb mlflow")


@pytest.mark.usefixtures("house")
def test_workers_play_the_episodes_of_each_run():
    assert sweep("sweep.toml", "--seeds", "0", "--num-workers", "3") == 0
    trained, *evaluated = calls()
    assert trained.endswith("--steps 10000 --num-workers 3")
    assert len(evaluated) == 2
    assert all("--episodes 100 --num-workers 3" in call for call in evaluated)


def test_what_is_missing_is_played_and_nothing_else(house, capsys):
    assert sweep("sweep.toml", "--seeds", "0", "--episodes", "5", "--threads", "1") == 0
    run = house / "runs/studies/pal/Hopper-v5/pal/seed_0"
    out = house / "runs/studies/pal"
    assert calls() == [
        f"1 train Hopper-v5 --algorithm pal --seed 0 --out {out} --resume --steps 10000",
        f"1 evaluate {run} --episodes 5",
        f"1 evaluate {run} --episodes 5 --best",
    ]
    assert {path.name for path in (KEPT_OF / "seed_0").iterdir()} == set(KEPT.values())
    assert capsys.readouterr().err.splitlines() == ["Hopper-v5/pal, seed 0: done"]
    assert sweep("sweep.toml", "--seeds", "0,5", "--episodes", "5", "--levels", "1", "3") == 0
    assert {line.split()[6] for line in calls() if "train" in line} == {"5"}
    assert capsys.readouterr().out.splitlines() == [
        "Hopper-v5/pal, 9 environment steps, 5 episodes, seeds 0, 5",
        "| mean return | 2.5 | 2.5 | 2.5 (2.5 to 2.5) |",
        "| best policy's return | 8.25 | 8.25 | 8.25 (8.25 to 8.25) |",
        "| after steps | 7,000 | 7,000 | |",
        "| mean return from 5,000 to 10,000 steps | 5.1 | 5.1 | 5.1 (5.1 to 5.1) |",
        "| above 1 in the end | yes | yes | 100% (100% to 100%) |",
        "| steps to 1 | 7,500 | 7,500 | 7,500 (7,500 to 7,500) |",  # of 5 000 and 10 000 alone
        "| above 3 in the end | no | no | 0% (0% to 0%) |",
        "| steps to 3 | never | never | never (never to never) |",
        "| seconds | 60 | 60 | |",
    ]
    assert sweep("sweep.toml", "--seeds", "0", "--episodes", "6") == 0  # evaluated anew
    assert [line.split()[1] for line in calls()] == ["train", "evaluate", "evaluate"]
    assert sweep("sweep.toml", "--seeds", "8", "--table") == 0
    assert calls() == []


def test_a_killed_run_goes_on_and_one_that_comes_no_further_is_given_up(house, capsys):
    assert sweep("sweep.toml", "--seeds", "1-3", "--jobs", "1") == 1
    trained = [line.split()[6] for line in calls() if line.split()[1] == "train"]
    assert trained == ["1", "2", "2", "2", "3", "3", "3"]
    told = capsys.readouterr().err
    log = house / "runs/studies/pal/Hopper-v5/pal/seed_1.log"
    assert f"Hopper-v5/pal, seed 1: failed, see {log}" in told
    assert "Hopper-v5/pal, seed 2: done" in told
    assert "Hopper-v5/pal, seed 3: killed 3 times by signal 9" in told
    assert "2 of 3 runs failed" in told
    assert [path.name for path in KEPT_OF.iterdir()] == ["seed_2"]


@pytest.mark.parametrize("name", ["results/Hopper-v5/pal/seed_0", "runs/studies/pal"])
def test_what_was_played_differently_is_refused_before_anything_starts(name, capsys):
    assert sweep("sweep.toml", "--seeds", "0") == 0
    for path in [*Path(name).rglob("settings.json")]:
        record = json.loads(path.read_text())
        record["settings"]["model"]["window"] = 77
        path.write_text(json.dumps(record))
    if name.startswith("runs"):
        (KEPT_OF / "seed_0" / "evaluation.json").unlink()
    calls()
    assert sweep("sweep.toml", "--seeds", "0,5") == 2
    assert calls() == []
    told = capsys.readouterr().err
    assert "settings.model.window is 77 there" in told
    assert "move it away, or give another --" in told


def test_another_simulator_is_never_pooled(capsys, monkeypatch):
    monkeypatch.setenv("FAKE_MUJOCO", "1.0")
    assert sweep("sweep.toml", "--seeds", "0") == 0
    assert sweep("sweep.toml", "--seeds", "0-1") == 2
    assert "mujoco is 1.0 there" in capsys.readouterr().err


def test_a_longer_run_goes_on():
    assert sweep("sweep.toml", "--seeds", "0") == 0
    Path("sweep.toml").write_text(SWEEP.replace("10_000", "20_000"))
    calls()
    sweep("sweep.toml", "--seeds", "0")
    assert calls()[0].endswith("--steps 20000")
    Path("sweep.toml").write_text(SWEEP.replace("10_000", "5_000"))
    assert sweep("sweep.toml", "--seeds", "0") == 2


def test_logged_data_reach_the_runs_and_tell_them_apart(monkeypatch, capsys):
    def write_log(num_rows: int) -> None:
        monkeypatch.setattr(sys, "argv", ["log_transitions.py", "log.npz", str(num_rows)])
        runpy.run_path(str(EXAMPLES / "log_transitions.py"))

    write_log(80)
    text = "tasks = 'InvertedPendulum-v5'\nsteps = 0\ndata = 'log.npz'\n"
    Path("sweep.toml").write_text(text)
    words = ["InvertedPendulum-v5", "--steps", "0", "--data", "log.npz"]
    wanted = complete(read_flags(words, Train))[1]
    _, config = run_of(wanted, 0, read_log(wanted).record)
    Path("settings.json").write_text(json.dumps(config.to_dict()))
    assert sweep("sweep.toml", "--seeds", "0") == 0
    assert calls()[0].endswith("--resume --steps 0 --data log.npz")
    assert sweep("sweep.toml", "--seeds", "0") == 0
    assert calls() == []
    Path("sweep.toml").write_text(text + "settings.collection.offline_rounds = 60\n")
    sweep("sweep.toml", "--seeds", "0")
    words = calls()[0].split()
    assert words[words.index("--collection.offline-rounds") + 1] == "60"

    Path("sweep.toml").write_text(text)
    write_log(60)
    assert sweep("sweep.toml", "--seeds", "0") == 2
    assert "holds what was played differently: data.episodes is " in capsys.readouterr().err
    Path("sweep.toml").write_text(text.replace("InvertedPendulum-v5", "Reacher7DOF"))
    assert sweep("sweep.toml") == 2
    told = "line 3, data: log.npz: observations has 4 components, Reacher7DOF observes 20"
    assert told in capsys.readouterr().err
    assert calls() == []


def until(condition) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_time_budget_stops_what_is_under_way(capsys):
    begun = time.monotonic()
    assert sweep("sweep.toml", "--seeds", "4", "--time-budget", "1s") == 124
    assert time.monotonic() - begun < 20.0
    assert "--time-budget 1s is spent; the same command goes on" in capsys.readouterr().err
    assert len(calls()) == 1


def test_a_signal_stops_what_is_under_way(house, capsys):
    run = house / "runs/studies/pal/Hopper-v5/pal/seed_4"

    def interrupt() -> None:
        until((run / "begun").exists)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert sweep("sweep.toml", "--seeds", "4,0") == 128 + signal.SIGTERM
    thread.join()
    assert "stopped by SIGTERM" in capsys.readouterr().err
    assert [line.split()[6] for line in calls()] == ["4"]


def test_a_run_that_another_process_plays_is_waited_for(house):
    run = RunDirectory(house / "runs/studies/pal/Hopper-v5/pal/seed_0")
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(run))
        assert is_locked(run)
        thread = threading.Timer(1.0, stack.close)
        thread.start()
        sweep("sweep.toml", "--seeds", "0")
        assert not thread.is_alive()
    assert not is_locked(run)
    assert (KEPT_OF / "seed_0" / "best.json").exists()


def test_studies_are_named_and_compared(capsys):
    assert sweep("--names") == 0
    assert "Reacher7DOF/pal" in capsys.readouterr().out.split()
    Path("sweep.toml").write_text(SWEEP + "[variants.a]\n[variants.b]\n")
    assert sweep("sweep.toml", "--seeds", "0,5") == 0
    told = "Hopper-v5/pal-a is better than Hopper-v5/pal-b with probability 0.50 (0.50 to 0.50; "
    assert told + "2 and 2 seeds)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "is missing; see --help"),
        (
            ["Hopper-v5/pal", "--seeds", "0", "2"],
            "'2' is no study and no .toml file; seeds are one word: --seeds 0,2,5",
        ),
        (["Hopper-v5/pals"], "'Hopper-v5/pals' is no study and no .toml file; did you mean"),
        (["none.toml"], "none.toml: "),
        (["sweep.toml", "--jobs", "1000"], "--jobs 1000: must be at most"),
        (["sweep.toml", "--seeds", "3-1"], "--seeds 3-1: '3-1' is no seed"),
        (["sweep.toml", "--time-budget", "soon"], "--time-budget 'soon': must be a time such as"),
    ],
)
def test_what_is_mistyped_is_refused(words, told, capsys):
    assert sweep(*words) == 2
    assert told in capsys.readouterr().err
    assert calls() == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5_400), ("1.5h", 5_400), ("1h30m", 5_400), ("20s", 20)]
)
def test_durations(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "90", "m", "-1h", "1m1h"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError):
        read_duration(text)


def test_settings_that_came_since_have_their_defaults():
    record = json.loads(Path("settings.json").read_text())
    del record["settings"]["model"]["noise_share"], record["settings"]["leader"]
    Path("settings.json").write_text(json.dumps(record))
    assert sweep("sweep.toml", "--seeds", "0") == 0
    calls()
    assert sweep("sweep.toml", "--seeds", "0") == 0
    assert calls() == []


def test_what_was_played_by_former_code_is_shown_but_not_added_to(capsys):
    record = json.loads(Path("settings.json").read_text())
    Path("settings.json").write_text(json.dumps({**record, "format": 2}))
    assert sweep("sweep.toml", "--seeds", "0") == 0
    assert sweep("sweep.toml", "--seeds", "0", "--table") == 0
    assert sweep("sweep.toml", "--seeds", "0-1") == 2
    assert "format is 2 there" in capsys.readouterr().err
