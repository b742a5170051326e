"""No byte of a checkpoint is trusted before its sum is checked, and no good one is ever lost."""

import dataclasses
import errno
import itertools
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from duopoly.runs import atomic, checkpoint
from duopoly.runs.checkpoint import Checkpoint, load, load_newest, name_of, save
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import DamageError
from duopoly.runs.packed import packed
from duopoly.settings import Settings, override

CONFIG = RunConfig("Hopper-v5", "pal", 0, 1_000, Settings())
NUM_OFFSETS = 50


def example(round_: int) -> Checkpoint:
    rng = np.random.default_rng(round_)
    players = {
        ".policy.weight": rng.normal(size=(3, 4)).astype(np.float32),
        ".model.members": np.asfortranarray(rng.normal(size=(2, 5))),
        ".count": np.array(round_, np.int32),
    }
    buffer = {"obs": np.zeros((0, 3), np.float32), "first": np.array([True, False])}
    return Checkpoint(round_, 10 * round_, {"players": players, "buffer": buffer})


def assert_same(found: Checkpoint | None, expected: Checkpoint) -> None:
    assert found is not None
    assert (found.round, found.env_steps) == (expected.round, expected.env_steps)
    for group, arrays in expected.groups.items():
        assert set(found.groups[group]) == set(arrays)
        for name, array in arrays.items():
            assert found.groups[group][name].dtype == array.dtype
            np.testing.assert_array_equal(found.groups[group][name], array, strict=True)


@pytest.fixture
def directory(tmp_path) -> Path:
    """Two rounds' checkpoints."""
    for round_ in (1, 2):
        save(tmp_path / "checkpoints", example(round_), CONFIG)
    return tmp_path / "checkpoints"


def test_newest_is_read_back(directory):
    assert_same(load_newest(directory, CONFIG), example(2))


def test_the_files_are_those_of_safetensors():
    """Byte for byte: every type of number, no row, no axis, and columns before rows."""
    rng = np.random.default_rng(0)
    types = ("u8", "i8", "f8", "f4", "u4", "i4", "f2", "u2", "i2", "i1", "u1", "?")
    arrays = {
        f".{i % 5}['ä{kind}']": rng.random((2, 3)).astype(kind) for i, kind in enumerate(types)
    }
    arrays |= {"none": np.zeros((0, 3), np.float32), "one": np.array(7, np.int64)}
    arrays["columns"] = np.asfortranarray(rng.normal(size=(2, 5)))
    in_order = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    assert b"".join(map(bytes, packed(arrays))) == safetensors.numpy.save(in_order)


def test_what_is_written_is_not_copied(tmp_path):
    """Of a large array no second one is made on its way to the disk."""
    arrays = {"obs": np.ones((1_000, 1_000), np.float32)}
    tracemalloc.start()
    try:
        save(tmp_path, Checkpoint(1, 1, {"players": {}, "buffer": arrays}), CONFIG)
        assert tracemalloc.get_traced_memory()[1] < arrays["obs"].nbytes / 4
    finally:
        tracemalloc.stop()
    assert load_newest(tmp_path, CONFIG) is not None


def test_nothing_yet(tmp_path):
    assert load_newest(tmp_path / "checkpoints", CONFIG) is None


def test_the_last_three_are_kept(directory):
    for round_ in range(3, 7):
        save(directory, example(round_), CONFIG)
    assert sorted(os.listdir(directory)) == [name_of(round_) for round_ in (4, 5, 6)]


def test_manifest_says_what_is_inside(directory):
    manifest = json.loads((directory / name_of(2) / "manifest.json").read_text())
    assert (manifest["format"], manifest["round"], manifest["env_steps"]) == (3, 2, 20)
    assert manifest["run"]["task"] == "Hopper-v5"
    assert manifest["run"]["settings"]["model"]["batch_size"] == 200
    assert manifest["arrays"]["players"][".policy.weight"] == {"shape": [3, 4], "dtype": "float32"}
    data = (directory / name_of(2) / "players.safetensors").read_bytes()
    assert manifest["files"]["players.safetensors"]["bytes"] == len(data)


def flip(path: Path, offset: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["manifest.json", "players.safetensors", "buffer.safetensors"])
def test_every_flipped_bit_is_found(directory, name, capsys):
    """Whatever bit it is, the checkpoint is named and the one before is used."""
    rng = np.random.default_rng(0)
    path = directory / name_of(2) / name
    whole = path.read_bytes()
    for offset in rng.integers(len(whole), size=NUM_OFFSETS):
        flip(path, int(offset), int(rng.integers(8)))
        assert_same(load_newest(directory, CONFIG), example(1))
        told = capsys.readouterr().err
        assert told.startswith(f"duopoly: skipping checkpoint {path.parent}: ")
        assert told.count("\n") == 1
        path.write_bytes(whole)
    assert_same(load_newest(directory, CONFIG), example(2))


@pytest.mark.parametrize("name", ["manifest.json", "players.safetensors", "buffer.safetensors"])
@pytest.mark.parametrize("size", [0, 1, 0.5, -1])
def test_truncation_is_found(directory, name, size):
    path = directory / name_of(2) / name
    data = path.read_bytes()
    path.write_bytes(data[: int(size * len(data)) if isinstance(size, float) else size])
    assert_same(load_newest(directory, CONFIG), example(1))


def remove_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def remove_arrays(path: Path) -> None:
    (path / "players.safetensors").unlink()


def be_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("notes")


def be_empty(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def be_a_link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def link_arrays(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    (path / "players.safetensors").rename(elsewhere)
    (path / "players.safetensors").symlink_to(elsewhere)


def link_to_endless(path: Path) -> None:
    (path / "players.safetensors").unlink()
    (path / "players.safetensors").symlink_to("/dev/zero")


def pipe_for_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()
    os.mkfifo(path / "manifest.json")


def take_older_arrays(path: Path) -> None:
    shutil.copy(path.with_name(name_of(1)) / "players.safetensors", path)


def take_older_round(path: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(path.with_name(name_of(1)), path)


@pytest.mark.parametrize(
    "damage",
    [
        remove_manifest,
        remove_arrays,
        be_a_file,
        be_empty,
        be_a_link,
        link_arrays,
        link_to_endless,
        pipe_for_manifest,
        take_older_arrays,
        take_older_round,
    ],
)
def test_what_is_not_a_checkpoint_is_skipped(directory, damage, capsys):
    damage(directory / name_of(2))
    assert_same(load_newest(directory, CONFIG), example(1))
    assert f"skipping checkpoint {directory / name_of(2)}" in capsys.readouterr().err


def test_none_sound_is_an_error(directory):
    for round_ in (1, 2):
        remove_manifest(directory / name_of(round_))
    with pytest.raises(DamageError, match="no sound checkpoint"):
        load_newest(directory, CONFIG)


def rewrite(path: Path, **changes: object) -> None:
    """Alters a manifest and seals it again, as only someone with intent would."""
    manifest = json.loads((path / "manifest.json").read_text()) | changes
    manifest.pop("sha256")
    (path / "manifest.json").write_bytes(atomic.dump_json(checkpoint._sealed(manifest)))


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"../../settings.json": {"bytes": 1, "sha256": "0"}}},
        {"files": {"/etc/passwd": {"bytes": 1, "sha256": "0"}}},
        {"files": {"players.safetensors": None, "buffer.safetensors": []}},
        {"format": 2},
        {"round": 2.0},
        {"round": None},
        {"run": []},
        {"run": {}},
        {"arrays": {}},
        {"class_path": "os.system"},
    ],
    ids=str,
)
def test_a_manifest_made_with_intent_is_refused(directory, changes):
    rewrite(directory / name_of(2), **changes)
    with pytest.raises(DamageError):
        load(directory / name_of(2), CONFIG)


def test_no_number_in_a_manifest_is_nan(directory):
    path = directory / name_of(2) / "manifest.json"
    path.write_text(path.read_text().replace('"env_steps": 20', '"env_steps": NaN'))
    with pytest.raises(DamageError, match="NaN is not a number"):
        load(path.parent, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "Reacher7DOF"}, "task is Hopper-v5 there, Reacher7DOF here"),
        ({"algorithm": "mal"}, "algorithm is pal there, mal here"),
        ({"seed": 1}, "seed is 0 there, 1 here"),
    ],
)
def test_another_runs_checkpoint_is_refused(directory, change, message):
    with pytest.raises(DamageError, match=message):
        load(directory / name_of(2), dataclasses.replace(CONFIG, **change))


def test_a_run_that_was_made_before_a_setting_has_its_default(directory):
    path = directory / name_of(2)
    run = json.loads((path / "manifest.json").read_text())["run"]
    del run["settings"]["model"]["layer_norm"], run["settings"]["policy"]["actor_critic"]
    rewrite(path, run=run)
    assert_same(load(path, CONFIG), example(2))
    settings = override(CONFIG.settings, {"model.layer_norm": True})
    with pytest.raises(DamageError, match=r"model\.layer_norm is False there, True here"):
        load(path, dataclasses.replace(CONFIG, settings=settings))


def test_a_longer_run_is_the_same_run(directory):
    assert_same(load_newest(directory, dataclasses.replace(CONFIG, steps=9_999)), example(2))


class Canary:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_nothing_is_ever_unpickled(directory, tmp_path):
    import pickle

    payload = pickle.dumps(Canary(tmp_path / "trace"))
    for name in ("manifest.json", "players.safetensors", "buffer.safetensors"):
        path = directory / name_of(2) / name
        whole = path.read_bytes()
        path.write_bytes(payload)
        assert_same(load_newest(directory, CONFIG), example(1))
        path.write_bytes(whole)
    assert not (tmp_path / "trace").exists()
    pickle.loads(payload)
    assert (tmp_path / "trace").exists()


def test_a_full_disk_is_told_and_costs_nothing(directory, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for round_ in (3, 4):
        save(directory, example(round_), CONFIG)
    before = sorted(os.listdir(directory))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DamageError, match=r"round_000005 \(\d+ bytes needed\): No space left"):
        save(directory, example(5), CONFIG)
    assert sorted(os.listdir(directory)) == before
    assert_same(load_newest(directory, CONFIG), example(4))


def test_a_damaged_checkpoint_gives_way_to_the_one_made_again(directory):
    remove_manifest(directory / name_of(2))
    save(directory, example(2), CONFIG)
    assert_same(load_newest(directory, CONFIG), example(2))


def test_settings_that_no_checkpoint_shares_are_named_once(directory, capsys):
    settings = override(CONFIG.settings, {"evaluation.num_episodes": 3})
    edited = dataclasses.replace(CONFIG, settings=settings)
    field = "settings.evaluation.num_episodes is 10 there, 3 here"
    with pytest.raises(DamageError, match=rf"settings\.json differs from all of .*: {field}"):
        load_newest(directory, edited)
    assert capsys.readouterr().err == ""


def fail_at(monkeypatch, function: str, call: int) -> None:
    """Lets one call of a function of `os` fail as a full disk does."""
    real, calls = getattr(os, function), itertools.count(1)

    def failing(*args):
        if next(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(os, function, failing)


@pytest.mark.parametrize("call", [1, 2])
def test_a_directory_that_cannot_be_replaced_stays(tmp_path, monkeypatch, call):
    atomic.write_directory(tmp_path / "agent", {"a": [b"old"]})
    with monkeypatch.context() as patch:
        fail_at(patch, "replace", call)
        with pytest.raises(DamageError, match="No space left"):
            atomic.write_directory(tmp_path / "agent", {"a": [b"new"]})
    assert os.listdir(tmp_path) == ["agent"]
    assert (tmp_path / "agent" / "a").read_bytes() == b"old"


def test_death_while_a_directory_is_replaced_loses_nothing(tmp_path, monkeypatch):
    agent = tmp_path / "agent"
    atomic.write_directory(agent, {"a": [b"old"]})
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "recover", lambda _path: None)  # the dead put nothing back
        fail_at(patch, "replace", 2)
        with pytest.raises(DamageError):
            atomic.write_directory(agent, {"a": [b"new"]})
    assert not agent.exists()
    atomic.recover(agent)
    assert (agent / "a").read_bytes() == b"old"
    atomic.write_directory(agent, {"a": [b"new"]})
    assert os.listdir(tmp_path) == ["agent"]
    assert (agent / "a").read_bytes() == b"new"


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DamageError, match="cannot write"):
        atomic.write_file(tmp_path / "file" / "x", b"")


def test_leftovers_are_removed(directory):
    (directory / ".tmp-round_000003-1").mkdir()
    (directory / ".tmp-round_000003-1" / "players.safetensors").touch()
    (directory / ".tmp-status.json-1").touch()
    atomic.remove_leftovers(directory)
    assert sorted(os.listdir(directory)) == [name_of(1), name_of(2)]
