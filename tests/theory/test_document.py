"""`docs/theory.md` quotes the tables of `results/theory/` as `duopoly theory` wrote them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from duopoly.theory.bounds import CLAIM, Situation
from duopoly.theory.mdp import MDP

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / "results" / "theory").glob("*.csv"))


def test_there_are_tables() -> None:
    assert len(TABLES) == 13


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_the_document_quotes_every_row(path: Path) -> None:
    lines = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8").splitlines()
    with path.open(encoding="utf-8") as file:
        for row in csv.reader(file):
            assert "| " + " | ".join(row) + " |" in lines


def test_stored_games_refute_what_is_said_of_pal() -> None:
    stored = json.loads((ROOT / "results" / "theory" / "worst_cases.json").read_text("utf-8"))
    found = [one for one in stored if one["bound"] == CLAIM.name]
    assert len(found) == 5
    for one in found:
        tables = {name: np.array([one[name]]) for name in ("transition", "model", "rival")}
        real = MDP(
            tables["transition"], *(np.array([one[k]]) for k in ("reward", "start", "discount"))
        )
        situation = Situation(
            real,
            real._replace(transition=tables["model"]),
            np.array([one["policy"]]),
            np.ones(1),
            np.ones(1),
            real._replace(transition=tables["rival"]),
        )
        left, right = CLAIM.left(situation), CLAIM.right(situation)
        assert (left > right + 0.1).all() == (one["ratio"] > 1.0)
    assert sum(one["ratio"] > 1.0 for one in found) >= 3
