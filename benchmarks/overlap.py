"""What it gains to evaluate and save a round beside the next one, and that nothing else changes.

    python benchmarks/overlap.py HalfCheetah-v5            # from its first round on
    python benchmarks/overlap.py runs/Hopper-v5/pal/seed_0 # from where that run stands

Let nothing else run on the machine. Two copies of a run go on in turn, a few rounds at a time, one
with the overlap and one without, so that a noisy neighbour slows both alike. A round's seconds are
what lies between its row and the one before, without the first of each turn, in which the run is
read. Exits with 1 where a number that is not the clock's differs.
"""

import argparse
import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from duopoly.lab.statistics import bootstrap_interval
from duopoly.presets import preset
from duopoly.runs.config import RunConfig
from duopoly.runs.launch import train_in
from duopoly.runs.metrics import ELAPSED, STEPS, Metrics, read_progress
from duopoly.runs.rundir import RunDirectory
from duopoly.world.tasks import canonical_name

MOVES = "time/collect_s", "time/fit_s", "time/improve_s", "time/evaluate_s"
CLOCK = "time/"
SIDES = {"in turn": False, "overlapped": True}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", metavar="TASK|RUN")
    parser.add_argument("--rounds", type=int, default=4, help="of a turn, from 2")
    parser.add_argument("--turns", type=int, default=4, help="of each side, after one to warm up")
    args = parser.parse_args()
    if args.rounds < 2 or args.turns < 1:
        parser.error("--rounds must be at least 2, --turns at least 1")
    with tempfile.TemporaryDirectory() as folder:
        runs = {side: RunDirectory(Path(folder) / side.replace(" ", "_")) for side in SIDES}
        config, first = begin(args.what, list(runs.values()))
        per_round = config.settings.collection.steps_per_round
        for turn in range(args.turns + 1):
            steps = first + args.rounds * per_round * (turn + 1)
            for side, run in runs.items():
                longer = dataclasses.replace(config, steps=steps)
                train_in(run, longer, resume=True, overlaps=SIDES[side])
        rows = {side: read_progress(run.progress) for side, run in runs.items()}
    same = [told_of(row) for row in rows["in turn"]] == [told_of(row) for row in rows["overlapped"]]
    tell(rows, args.rounds, args.turns)
    print("all else is equal" if same else "NOT EQUAL")
    sys.exit(not same)


def begin(what: str, runs: list[RunDirectory]) -> tuple[RunConfig, int]:
    """Returns what is played, and after how many environment steps its next turn begins."""
    if not Path(what, "settings.json").exists():
        task = canonical_name(what)
        settings = preset(task, "pal").settings
        initial = settings.collection.initial_steps - settings.collection.steps_per_round
        return RunConfig(task, "pal", 0, 0, settings), initial
    for run in runs:
        shutil.copytree(what, run.path, ignore=shutil.ignore_patterns("events.*", "trackers.json"))
    rows = read_progress(runs[0].progress)
    return runs[0].read_config(), int(rows[-1][STEPS])


def told_of(row: Metrics) -> dict[str, str]:
    """What a row tells but for the clock's columns."""
    return {tag: repr(x) for tag, x in row.items() if tag == STEPS or not tag.startswith(CLOCK)}


def tell(rows: dict[str, list[dict[str, float]]], num_rounds: int, num_turns: int) -> None:
    """Prints the seconds of a round, what of them each part takes, and what the overlap saves."""
    medians = {}
    for side, found in rows.items():
        turns = [
            np.array(
                [row[ELAPSED] for row in found[len(found) - num_rounds * (i + 1) :][:num_rounds]]
            )
            for i in reversed(range(num_turns))
        ]
        medians[side] = np.array([np.median(np.diff(turn)) for turn in turns])
        parts = {
            tag: np.median([row[tag] for row in found[-num_rounds * num_turns :]]) for tag in MOVES
        }
        told = ", ".join(f"{tag.split('/')[1]} {seconds:.3f}" for tag, seconds in parts.items())
        print(f"{side:11s} {np.median(medians[side]):.3f} s a round; {told}")
    ratios = medians["overlapped"] / medians["in turn"]
    low, high = bootstrap_interval([ratios], statistic=np.median)
    print(
        f"overlapped / in turn, by turns: {np.median(ratios):.3f} ({low:.3f} to {high:.3f}); "
        f"saved {np.median(medians['in turn'] - medians['overlapped']):.3f} s a round"
    )


if __name__ == "__main__":
    main()
