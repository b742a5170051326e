"""What is compiled is kept for the next process, in a place of this kind of machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from duopoly.runs import compiled
from duopoly.runs.compiled import MIN_SECONDS, VARIABLE, keep_compiled


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch, tmp_path) -> Path:
    for name in (VARIABLE, MIN_SECONDS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_place_in_the_users_cache(tmp_path):
    keep_compiled()
    place = Path(os.environ[VARIABLE])
    assert place.is_dir()
    assert place.parent == tmp_path / "duopoly" / "compiled"
    assert os.environ[MIN_SECONDS] == "0"


def test_home_where_no_cache_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    keep_compiled()
    assert Path(os.environ[VARIABLE]).is_relative_to(tmp_path / ".cache")


def test_another_number_of_cores_is_another_place(monkeypatch):
    """The sums of a program are split over them, so its numbers differ."""
    keep_compiled()
    first = os.environ.pop(VARIABLE)
    monkeypatch.setattr(compiled, "_cores", lambda: 1_000)
    keep_compiled()
    assert os.environ[VARIABLE] != first


def test_what_the_user_says_stays(monkeypatch):
    monkeypatch.setenv(VARIABLE, "elsewhere")
    keep_compiled()
    assert os.environ[VARIABLE] == "elsewhere"
    assert MIN_SECONDS not in os.environ
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv(MIN_SECONDS, "3")
    keep_compiled()
    assert os.environ[MIN_SECONDS] == "3"


def test_a_second_process_compiles_nothing(tmp_path):
    program = (
        "from duopoly.runs.compiled import keep_compiled; keep_compiled(); import jax; "
        "hits = []; jax.monitoring.register_event_listener(lambda name, **_: hits.append(name)); "
        "jax.jit(lambda x: 2 * x + 1)(1.0); print(sum('cache_hits' in one for one in hits))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert found[0] == "0"
    assert int(found[1]) > 0


def test_where_nothing_can_be_kept_nothing_is(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for name, value in [("XDG_CACHE_HOME", str(tmp_path / "file")), ("XDG_CACHE_HOME", "")]:
        monkeypatch.setenv(name, value)
        monkeypatch.delenv("HOME", raising=False)
        keep_compiled()
        assert VARIABLE not in os.environ


def test_the_oldest_leave_where_it_is_too_much(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "MAX_BYTES", 100)
    folder = tmp_path / "duopoly" / "compiled" / "some"
    folder.mkdir(parents=True)
    for age in range(6):
        path = folder / f"program_{age}"
        path.write_bytes(bytes(20))
        os.utime(path, (1_000 - age, 1_000 - age))
    keep_compiled()
    assert {path.name for path in folder.iterdir()} == {"program_0", "program_1"}
