"""docs/game.ipynb runs from its first cell to its last, and shows what it showed."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the notebook needs duopoly[docs]")

PATH = Path(__file__).parent.parent / "docs" / "game.ipynb"


def shapes_of(notebook) -> list[list[tuple[str, str]]]:
    """What each cell shows: pictures by their kind, text without its numbers."""
    found = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        found.append([(output.output_type, shape_of(output)) for output in outputs])
    return found


def shape_of(output) -> str:
    if output.output_type == "stream":
        return " ".join(
            re.sub(r"-?\d[\d.,:e+-]*|nan", "#", f"{output.name}: {output.text}").split()
        )
    return " ".join(sorted(output.get("data", {})))


def test_it_is_small_and_was_run_in_order() -> None:
    assert PATH.stat().st_size <= 300_000
    cells = [cell for cell in nbformat.read(PATH, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning or an error would be an output that is not there in the repository."""
    from nbclient import NotebookClient
    from traitlets.config import Config

    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    shown = nbformat.read(PATH, 4)
    played = nbformat.read(PATH, 4)
    local = Config({"KernelManager": {"transport": "ipc"}})
    NotebookClient(played, coalesce_streams=True, config=local).execute()
    assert shapes_of(played) == shapes_of(shown)
