"""Runs the study of exact games; prints and writes its tables, worst cases and figures."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from duopoly.lab.theory.figures import draw_all
from duopoly.lab.theory.study import NUM_SEEDS, study
from duopoly.lab.theory.tables import show, tables_of, write
from duopoly.runs.errors import FailureError, UsageError
from duopoly.theory.bounds import BOUNDS, CLAIM
from duopoly.theory.search import Find


def report(num_games: int, num_states: int, seed: int, out: Path) -> None:
    """Computes everything, prints the tables, writes them and the figures under ``out``.

    Raises:
        UsageError: ``out`` cannot be written.
        FailureError: a bound that is proved is violated.
    """
    begin = time.perf_counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "bounds.csv").touch()
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}") from None
    print(f"{NUM_SEEDS} × {num_games:,} games of {num_states} states; it takes a minute or two")
    found = study(num_games, num_states, seed)
    for name, rows in tables_of(found).items():
        show(name, rows)
        write(out / f"{name}.csv", rows)
    worst = [describe(find) for find in found.finds]
    text = ",\n".join(json.dumps(one) for one in worst)
    (out / "worst_cases.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
    draw_all(found, out)
    print(f"written to {out} in {time.perf_counter() - begin:.0f} s")
    if any(one.violations[: len(BOUNDS)].any() for one in found.sweeps):
        raise FailureError("a bound is violated: see the table")


def describe(find: Find) -> dict[str, Any]:
    """Returns a worst case as plain numbers."""
    game = find.situation
    arrays = {
        "transition": game.real.transition,
        "model": game.model.transition,
        "reward": game.real.reward,
        "start": game.real.start,
        "policy": game.policy,
        "radius": game.radius,
    }
    numbers = {name: np.round(np.asarray(x)[0], 9).tolist() for name, x in arrays.items()}
    if find.bound in {CLAIM.name, "policy leads"}:
        numbers["rival"] = np.round(np.asarray(game.rival.transition)[0], 9).tolist()
    head = {"bound": find.bound, "discount": find.discount, "ratio": round(find.ratio, 6)}
    return head | numbers
