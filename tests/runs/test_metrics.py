"""Metrics survive on disk exactly, whatever happens to the process."""

import math
import os

import pytest

from duopoly.runs.errors import DamageError
from duopoly.runs.metrics import ProgressTable, read_progress

ROWS = [
    {
        "time/iterations": round_,
        "time/total_timesteps": 100 * round_,
        "time/time_elapsed": round_ + 0.5,
        "eval/mean_reward": reward,
    }
    for round_, reward in [(1, 1 / 3), (2, math.nan), (3, -1e-300)]
]


@pytest.fixture
def path(tmp_path):
    table = ProgressTable(tmp_path / "progress.csv", num_rounds=0)
    for row in ROWS:
        table.append(row)
    return tmp_path / "progress.csv"


def test_numbers_read_back_exactly(path):
    assert [repr(row) for row in read_progress(path)] == [
        repr({tag: float(value) for tag, value in row.items()}) for row in ROWS
    ]


def test_whole_numbers_have_no_point(path):
    assert path.read_text().splitlines()[1].startswith("1,100,1.5,0.333")


@pytest.mark.parametrize("num_lost", range(1, 80))
def test_a_torn_last_line_is_repaired(path, num_lost):
    whole = path.read_bytes()
    path.write_bytes(whole[:-num_lost])
    num_rows = len(read_progress(path))
    assert num_rows < 3
    table = ProgressTable(path, num_rounds=num_rows)
    for row in ROWS[num_rows:]:
        table.append(row)
    assert path.read_bytes() == whole


def test_rows_after_the_checkpoint_are_cut_off(path):
    whole = path.read_bytes()
    table = ProgressTable(path, num_rounds=1)
    assert table.time_elapsed == 1.5
    assert len(read_progress(path)) == 1
    for row in ROWS[1:]:
        table.append(row)
    assert path.read_bytes() == whole


def test_what_is_kept_is_what_is_read_again(path):
    path.write_text(path.read_text().replace("200", "many") + "3,torn")
    table = ProgressTable(path, num_rounds=3)
    assert len(table.kept) == 3
    assert [repr(row) for row in table.kept] == [repr(row) for row in read_progress(path)]


def test_rows_are_kept_by_their_round_and_missing_ones_are_told(path, capsys):
    """The row of the second round was lost: the third is still none of the first two."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2] + lines[3:]))
    ProgressTable(path, num_rounds=2)
    assert [row["time/iterations"] for row in read_progress(path)] == [1]
    assert capsys.readouterr().err == f"duopoly: {path} lacks the rows of rounds 2\n"


def test_a_table_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(DamageError, match="cannot be read"):
        read_progress(tmp_path)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"time/iterations," + b"a" * 200_000 + b"\n1,2\n", "field larger than"),
        (b"eval/mean_reward\n1.0\n", "no column time/iterations"),
        (b"time/iterations\n1.0\n", "no column time/total_timesteps"),
        (bytes(range(256)) * 40, "no column"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, data, fault):
    path = tmp_path / "progress.csv"
    path.write_bytes(data)
    for read in (read_progress, lambda path: ProgressTable(path, num_rounds=1)):
        with pytest.raises(DamageError, match=rf"{path}: is no table.*{fault}.*; move it away$"):
            read(path)
    assert path.read_bytes() == data


def test_the_header_is_fixed_by_the_first_row(path):
    ProgressTable(path, num_rounds=3).append({"eval/mean_reward": 2.0, "new/tag": 1.0})
    last = read_progress(path)[-1]
    assert set(last) == set(ROWS[0])
    assert last["eval/mean_reward"] == 2.0
    assert math.isnan(last["time/total_timesteps"])


def test_a_full_disk_is_told(path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    table = ProgressTable(path, num_rounds=3)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DamageError, match=r"progress.csv \(\d+ bytes needed\): No space left"):
        table.append(ROWS[0])
