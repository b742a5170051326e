"""`docs/theory.md` quotes the tables of `results/theory/` as `duopoly theory` wrote them."""

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / "results" / "theory").glob("*.csv"))


def test_there_are_tables() -> None:
    assert len(TABLES) == 8


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_the_document_quotes_every_row(path: Path) -> None:
    lines = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8").splitlines()
    with path.open(encoding="utf-8") as file:
        for row in csv.reader(file):
            assert "| " + " | ".join(row) + " |" in lines
