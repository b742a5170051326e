"""`duopoly theory` from its numbers to tables and figures; the search is stood in for."""

import csv
import json

import numpy as np
import pytest

from duopoly.app import theory
from duopoly.app.errors import FailureError, UsageError
from duopoly.theory.bounds import BOUNDS
from duopoly.theory.families import dirichlet
from duopoly.theory.search import Find
from duopoly.theory.sweep import random_situations


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def finds(seed: int, num_steps: int) -> list[Find]:  # noqa: ARG001
        situation = random_situations(np.random.default_rng(seed), 1, 3, dirichlet)
        return [
            Find(bound.name, discount, 0.5, situation)
            for bound in BOUNDS
            for discount in theory.SEARCH_DISCOUNTS
        ]

    monkeypatch.setattr(theory, "search_all", finds)
    monkeypatch.setattr(theory, "NUM_ROUNDS", 12)
    monkeypatch.setattr(theory, "cost_per_game", lambda *sizes: 0.1 * sizes[0])


@pytest.mark.usefixtures("quick")
def test_one_command_writes_every_table_and_figure(tmp_path, capsys) -> None:
    out = tmp_path / "new" / "place"
    theory.act(10, 3, 0, out)
    assert "violations" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    tables = {"bounds.csv", "schedules.csv", "leaders.csv", "cost.csv", "worst_cases.json"}
    figures = {"tightness.png", "discount.png", "schedules.png", "leaders.png"}
    assert names == tables | figures
    with (out / "bounds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["bound"] for row in rows] == [bound.name for bound in BOUNDS]
    assert {(row["games"], row["violations"]) for row in rows} == {("50", "0")}
    worst = json.loads((out / "worst_cases.json").read_text())
    assert len(worst) == len(BOUNDS) * len(theory.SEARCH_DISCOUNTS)
    assert all((out / name).stat().st_size > 5_000 for name in figures)


@pytest.mark.usefixtures("quick")
def test_a_violation_fails_the_command(tmp_path, monkeypatch) -> None:
    sweep = theory.sweep

    def wrong(seed: int, num_games: int, num_states: int):
        found = sweep(seed, num_games, num_states)
        return found._replace(right=0.1 * found.right)

    monkeypatch.setattr(theory, "sweep", wrong)
    with pytest.raises(FailureError, match="a bound is violated"):
        theory.act(10, 3, 0, tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="taken"):
        theory.act(10, 3, 0, tmp_path / "taken")
