"""Where each round's metrics go: ``progress.csv``."""

import contextlib
import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from duopoly.runs.atomic import append_synced, exists, read_regular, write_file
from duopoly.runs.errors import DamageError, tell

Metrics = Mapping[str, float]

ROUND = "time/iterations"
STEPS = "time/total_timesteps"
ELAPSED = "time/time_elapsed"
FPS = "time/fps"
RETURN = "eval/mean_reward"
IMAGINED = "imagined/return_mean"
HORIZON_SHARE = "imagined/horizon_share"

_MAX_BYTES = 2**30
"""No table of ours comes near this size; a larger one is not read."""


def place(env_steps: int, round_: int) -> int:
    """Where trackers put a round: rounds before the first environment step by their number."""
    return env_steps or round_


class ProgressTable:
    """One row per round under a fixed header; numbers are written so that they read back exactly.

    Rows are appended with one write each, so a killed process leaves at most a torn last line.
    """

    def __init__(self, path: Path, num_rounds: int) -> None:
        """Keeps the rows of the first ``num_rounds`` rounds of an earlier process, if any.

        Which of them are missing is told on stderr.
        """
        self._path = path
        header, rows = _read_whole(path)
        self._header = header
        rows = [row for row in rows if row.get(ROUND, math.inf) <= num_rounds]
        self.time_elapsed = rows[-1].get(ELAPSED, 0.0) if rows else 0.0
        """Seconds of training up to the last row, over all processes that worked on it."""
        self.best_return, self.best_round = -math.inf, 0
        """The highest return of an evaluation so far, and its round, the first that had it."""
        for row in rows:
            self._compare(row)
        if missing := set(range(1, num_rounds + 1)) - {row[ROUND] for row in rows}:
            rounds = ", ".join(map(str, sorted(missing)))
            tell(f"duopoly: {path} lacks the rows of rounds {rounds}")
        self.kept = [{tag: row.get(tag, math.nan) for tag in header} for row in rows]
        """The rows that were kept, as they are read from now on."""
        lines = [_line(header)] + [_line(_spell(row, header)) for row in rows]
        write_file(path, "".join(lines if header else []).encode())

    def append(self, metrics: Metrics) -> None:
        """Writes one row and waits until it is on disk. The first row sets the header."""
        text = ""
        if not self._header:
            self._header = list(metrics)
            text = _line(self._header)
        row = {tag: float(metrics.get(tag, math.nan)) for tag in self._header}
        append_synced(self._path, (text + _line(_spell(row, self._header))).encode())
        self.time_elapsed = row.get(ELAPSED, self.time_elapsed)
        self._compare(row)

    def _compare(self, row: Metrics) -> None:
        number = row.get(ROUND, math.nan)
        if row.get(RETURN, math.nan) > self.best_return and math.isfinite(number):
            self.best_return, self.best_round = row[RETURN], round(number)


def is_alike(horizon_share: float) -> bool:
    """Whether imagined returns are of as many actions as real ones, so that they compare.

    Of runs that do not tell, such as those of earlier versions, it is assumed.
    """
    return not abs(horizon_share - 1.0) > 0.1


def read_progress(path: Path) -> list[dict[str, float]]:
    """The rows of a ``progress.csv``, without a torn last line."""
    return _read_whole(path)[1]


def _read_whole(path: Path) -> tuple[list[str], list[dict[str, float]]]:
    """Header and rows, without a torn last line; both empty where there is no file.

    Raises:
        DamageError: what is there is no such table.
    """
    if not exists(path):
        return [], []
    try:
        text = read_regular(path, _MAX_BYTES).decode("utf-8", errors="replace")
        header, *lines = list(csv.reader(text[: text.rfind("\n") + 1].splitlines())) or [[]]
    except csv.Error as error:
        raise DamageError(f"{path}: is no table: {error}; move it away") from None
    except DamageError as error:
        raise DamageError(f"{path}: {error}") from None
    if header and not {ROUND, STEPS} <= set(header):
        missing = next(tag for tag in (ROUND, STEPS) if tag not in header)
        raise DamageError(
            f"{path}: is no table of rounds, it has no column {missing}; move it away"
        )
    return header, [_numbers(header, line) for line in lines if len(line) == len(header)]


def _numbers(header: list[str], line: list[str]) -> dict[str, float]:
    row = {}
    for tag, cell in zip(header, line, strict=True):
        with contextlib.suppress(ValueError):
            row[tag] = float(cell)
    return row


def _spell(row: Metrics, header: list[str]) -> list[str]:
    """Whole numbers without a point, others in the shortest form that reads back the same."""
    values = [row.get(tag, math.nan) for tag in header]
    return [str(int(value)) if value.is_integer() else repr(value) for value in values]


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
