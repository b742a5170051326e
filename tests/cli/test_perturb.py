"""A run whose world changes goes on after any stop as if nothing had happened."""

import dataclasses

import numpy as np
import pytest
from tiny_runs import rows_of

from duopoly.runs.checkpoint import load_newest
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import DamageError, UsageError
from duopoly.runs.launch import train_in
from duopoly.runs.rundir import RunDirectory
from duopoly.world.perturb import Change


@pytest.fixture(scope="module")
def changing(config) -> RunConfig:
    """The arm, whose targets move in the second round and whose forearm grows in the third."""
    changes = Change("goal", 80), Change("forearm", 105)
    return dataclasses.replace(config, task="Reacher7DOF", steps=180, perturb=changes)


def numbers(run: RunDirectory) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    found = load_newest(run.checkpoints, run.read_config())
    assert found is not None
    return {**found.groups["players"], **found.groups["buffer"]}, rows_of(run)


def test_stopped_before_and_after_the_changes_is_as_never_stopped(changing, tmp_path):
    whole, parts = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "parts")
    train_in(whole, changing, resume=False)
    for steps in (60, 100, 140, 180):
        train_in(parts, dataclasses.replace(changing, steps=steps), resume=True)
    (one, rows), (other, other_rows) = numbers(whole), numbers(parts)
    assert rows == other_rows
    assert [row["world/num_changes"] for row in rows] == ["0", "1", "2", "2"]
    assert set(one) == set(other)
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
    # An episode has 50 actions, and rounds end at 60, 100, 140 and 180. The longer forearm takes
    # the place of the other targets.
    targets, first = one["obs"][:, 17:20], one["first"]
    begins = np.flatnonzero(first)
    assert list(begins) == [0, 50, 60, 100, 140]
    in_far_box = (targets[:, 1] >= -1.3) & (targets[:, 1] <= -0.9)
    assert [bool(in_far_box[begin]) for begin in begins] == [False, False, False, True, False]
    np.testing.assert_allclose(one["obs"][begins, 14], [0.821, 0.821, 0.821, 0.821, 0.921])
    with pytest.raises(UsageError, match="holds a different run: perturb is"):
        train_in(whole, dataclasses.replace(changing, perturb=()), resume=True)


@pytest.mark.parametrize("perturb", [["goal"], [5], ["goal@0"], "goal@5", None, [["goal@5"]]])
def test_changes_that_were_not_written_by_us_are_damage(changing, perturb):
    record = {**changing.to_dict(), "perturb": perturb}
    with pytest.raises(DamageError, match=r"perturb|NAME@STEPS|at least 1 step"):
        RunConfig.from_dict(record)
