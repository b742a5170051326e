"""A run directory belongs to one run, and to one process at a time."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from duopoly.runs import provenance
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import DamageError, UsageError
from duopoly.runs.rundir import RunDirectory, claim, is_begun, locked, run_directory
from duopoly.settings import Settings, override
from duopoly.world.perturb import Change

CONFIG = RunConfig("Hopper-v5", "pal", 3, 1_000, Settings())


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return run_directory(tmp_path, "Hopper-v5", "pal", 3)


def begin(run: RunDirectory, config: RunConfig = CONFIG, *, resume: bool = False) -> None:
    with locked(run):
        is_begun(run, config, resume=resume)
        claim(run, config)


def test_path_follows_from_what_is_run(tmp_path):
    run = run_directory(tmp_path, "Hopper-v5", "pal", 3)
    assert run.path == tmp_path / "Hopper-v5" / "pal" / "seed_3"


@pytest.mark.parametrize("task", ["../../etc", "a/b", "/abs", "..", "", "a\0b", "x" + "\n"])
def test_a_task_name_cannot_leave_the_root(task, tmp_path):
    path = run_directory(tmp_path, task, "pal", 0).path
    assert path.parent.parent.parent == tmp_path
    assert path.resolve().is_relative_to(tmp_path.resolve())


def test_config_is_read_back(run):
    begin(run)
    assert run.read_config() == CONFIG


def test_a_changing_world_is_part_of_the_config(run):
    changing = dataclasses.replace(CONFIG, perturb=(Change("wind", 10), Change("rain", 20)))
    begin(run, changing)
    assert run.read_config() == changing
    assert json.loads(run.settings.read_text())["perturb"] == ["wind@10", "rain@20"]
    with pytest.raises(UsageError, match=r"different run: perturb is \['wind@10', .* \[\] here"):
        begin(run, resume=True)


def test_an_occupied_directory_is_refused_without_resume(run):
    begin(run)
    with pytest.raises(UsageError, match=r"already holds a run: continue it with --resume"):
        begin(run)
    begin(run, resume=True)


def test_resume_begins_a_run_where_there_is_none(run):
    begin(run, resume=True)
    assert run.read_config() == CONFIG


def test_a_foreign_directory_is_never_resumed(run):
    run.path.mkdir(parents=True)
    (run.path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"is not a run"):
        begin(run, resume=True)
    assert [path.name for path in run.path.iterdir()] == ["thesis.tex"]


def test_a_directory_made_for_nothing_goes_again(run, tmp_path):
    with pytest.raises(UsageError, match="no"), locked(run):
        raise UsageError("no")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "Reacher7DOF"}, "task is Hopper-v5 there, Reacher7DOF here"),
        ({"algorithm": "mal"}, "algorithm is pal there, mal here"),
        ({"seed": 4}, "seed is 3 there, 4 here"),
        ({"steps": 999}, "steps is 1000 there, 999 here"),
        (
            {"settings": override(Settings(), {"model.batch_size": 7})},
            "settings.model.batch_size is 200 there, 7 here",
        ),
    ],
)
def test_resume_refuses_a_different_run(run, change, message):
    begin(run)
    with pytest.raises(UsageError, match=message):
        begin(run, dataclasses.replace(CONFIG, **change), resume=True)
    assert run.read_config() == CONFIG


def test_a_run_may_be_extended(run):
    begin(run)
    longer = dataclasses.replace(CONFIG, steps=2_000)
    begin(run, longer, resume=True)
    assert run.read_config() == longer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "NaN",
        "3" * 10_000,
        "[" * 100_000,
        '{"format": 2}',
        '{"format": 3, "format": 3}',
        '{"format": 3, "task": "x"}',
        "\xff",
        '!!python/object/apply:os.system ["touch canary"]',
        '{"_target_": "os.system"}',
    ],
)
def test_a_damaged_record_is_one_line(run, text):
    begin(run)
    run.settings.write_bytes(text.encode("latin-1"))
    with pytest.raises(DamageError, match=str(run.settings)) as told:
        run.read_config()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("seed", value) for value in ("3", True, -1, 2**31)),
        *(("steps", value) for value in (1.5, -1, 10**12 + 1)),
        ("task", None),
    ],
)
def test_a_record_of_other_types_is_refused(run, field, value):
    begin(run)
    record = json.loads(run.settings.read_text())
    run.settings.write_text(json.dumps({**record, field: value}))
    with pytest.raises(DamageError, match=f"{field} = "):
        run.read_config()


def test_a_linked_record_is_refused(run, tmp_path):
    begin(run)
    elsewhere = tmp_path / "elsewhere.json"
    run.settings.rename(elsewhere)
    run.settings.symlink_to(elsewhere)
    with pytest.raises(DamageError, match=r"settings.json is not a regular file"):
        run.read_config()


@pytest.mark.parametrize("name", ["settings", "progress", "command", "status", "lock", "video"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc", path)])
def test_what_is_no_file_of_ours_is_refused(run, name, make):
    """A pipe would hold up whoever reads it, and a link lead out of the run."""
    begin(run)
    path = getattr(run, name)
    path.unlink(missing_ok=True)
    make(path)
    with pytest.raises(UsageError, match=f"{path} is not a regular file: move it away"):
        begin(run, resume=True)
    assert path.is_symlink() or not path.is_file()


def test_checkpoints_elsewhere_are_refused(run, tmp_path):
    begin(run)
    (tmp_path / "elsewhere").mkdir()
    run.checkpoints.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamageError, match="checkpoints is not a folder: move it away"):
        run.read_config()


def test_settings_that_fit_in_no_memory_are_refused(run):
    begin(run)
    record = json.loads(run.settings.read_text())
    record["settings"]["model"]["hidden"] = [2**31 - 1] * 2
    run.settings.write_text(json.dumps(record))
    with pytest.raises(DamageError, match=r"num_members × model.hidden: needs .* TiB of memory"):
        run.read_config()


def test_a_second_process_is_kept_out_until_the_first_one_dies(run):
    code = (
        "import sys, time, pathlib\n"
        "from duopoly.runs.rundir import RunDirectory, locked\n"
        f"with locked(RunDirectory(pathlib.Path({str(run.path)!r}))):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, close_fds=False
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"in use by process {holder.pid}"):
            begin(run)
        holder.kill()
    begin(run)
    assert run.lock.read_text() == f"{os.getpid()}\n"


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write to"):
        begin(run_directory(tmp_path / "file", "Hopper-v5", "pal", 0))


@pytest.mark.parametrize("name", ["x" * 4_000, "x/" * 2_000])
def test_a_path_that_is_too_long_is_one_line(tmp_path, name):
    with pytest.raises(UsageError, match="File name too long"):
        begin(RunDirectory(tmp_path / name))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["[]", "{", "\x00"])
def test_a_bad_record_of_versions_is_a_warning(run, text, capsys):
    begin(run)
    run.versions.write_text(text)
    provenance.record(run)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "versions.json" in told
    provenance.record(run)
    assert capsys.readouterr().err == ""


def test_what_a_file_says_controls_no_terminal(run, capsys):
    begin(run)
    provenance.record(run)
    versions = json.loads(run.versions.read_text())
    run.versions.write_text(json.dumps({**versions, "jax": "\x1b[2J\x1b]0;title\x07\n1.0"}))
    provenance.record(run)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told[:-1].isprintable()
    assert "\\x1b[2J" in told


def test_status_tells_what_is_going_on(run):
    begin(run)
    run.write_status("stopped", 3, 120, "SIGTERM")
    status = json.loads(run.status.read_text())
    assert status["state"] == "stopped"
    assert (status["round"], status["env_steps"]) == (3, 120)
    assert (status["pid"], status["message"]) == (os.getpid(), "SIGTERM")
    assert status["peak_rss_mib"] > 10
