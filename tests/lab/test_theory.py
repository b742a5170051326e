"""`duopoly theory` from its numbers to tables and figures; the long computations cut short."""

import csv
import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest

from duopoly.lab.theory import report as theory
from duopoly.lab.theory import study as theory_study
from duopoly.lab.theory.study import SEARCH_DISCOUNTS
from duopoly.runs.errors import FailureError, UsageError
from duopoly.theory.bounds import BOUNDS, TRIED
from duopoly.theory.families import dirichlet
from duopoly.theory.search import Find
from duopoly.theory.sweep import random_situations


@pytest.fixture(scope="module")
def found() -> Iterator[theory_study.Study]:
    def finds(seed: int) -> list[Find]:
        situation = random_situations(np.random.default_rng(seed), 1, 3, dirichlet)
        return [
            Find(bound.name, discount, 0.5, situation)
            for bound in TRIED
            for discount in SEARCH_DISCOUNTS
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory_study, "search_all", finds)
        patch.setattr(theory_study, "NUM_ROUNDS", 25)
        patch.setattr(theory_study, "LEADER_STEPS", 5)
        patch.setattr(theory_study, "COST_SIZES", ((4, 5), (8, 5)))
        yield theory_study.study(10, 3, 0)


TABLES = (
    *("bounds", "tightness", "claim", "solutions", "schedules", "progress", "priors"),
    *("equilibria", "selection", "starts", "gradients", "leaders", "cost"),
)
FIGURES = ("tightness", "discount", "schedules", "equilibria", "leaders")


def test_one_command_writes_every_table_and_figure(found, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(theory, "study", lambda *_: found)
    out = tmp_path / "new" / "place"
    theory.report(10, 3, 0, out)
    assert {path.name for path in out.iterdir()} == {
        "worst_cases.json",
        *(f"{name}.csv" for name in TABLES),
        *(f"{name}.png" for name in FIGURES),
    }
    printed = capsys.readouterr().out
    for bound in TRIED:
        assert bound.name in printed
    with (out / "bounds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["bound"] for row in rows] == [bound.name for bound in TRIED]
    assert {(row["games"], row["violations"]) for row in rows[:-1]} == {("50", "0")}
    worst = json.loads((out / "worst_cases.json").read_text())
    assert len(worst) == len(TRIED) * len(SEARCH_DISCOUNTS)
    assert all((out / f"{name}.png").stat().st_size > 5_000 for name in FIGURES)


def test_a_violation_fails_the_command(found, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(theory, "draw_all", lambda *_: None)

    def act(right: slice) -> None:
        sweeps = [one._replace(right=one.right.copy()) for one in found.sweeps]
        for one in sweeps:
            one.right[right] *= 0.1
        monkeypatch.setattr(theory, "study", lambda *_: dataclasses.replace(found, sweeps=sweeps))
        theory.report(10, 3, 0, tmp_path)

    with pytest.raises(FailureError, match="a bound is violated"):
        act(slice(0, len(BOUNDS)))
    act(slice(len(BOUNDS), None))  # the claim that is no bound


def test_a_place_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="taken"):
        theory.report(10, 3, 0, tmp_path / "taken")
