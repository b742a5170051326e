"""Whether two revisions play the same games, bit by bit: for changes that must change nothing.

    python benchmarks/same.py main                              # main against the working tree
    python benchmarks/same.py main --only pal trpo-slbo         # two games of the table alone
    python benchmarks/same.py main --allow-missing .model.old   # what the change takes away

Small games, which together go through every schedule and player, are played by REV's code and by
the working tree's, from the command line alone, so that modules may move and be renamed. Every
array of every checkpoint must have the same bytes, and every cell of progress.csv but those of the
clock the same text. Exits with 1 where anything differs.

REV's side lies in ``--out``, by commit, and is played once; it serves on the machine and with the
packages it was played with. Both sides have one core, the first there is, so that sums are split
alike. Programs compiled before are taken from ``--out`` too, where XLA finds nothing new in them.
"""

import argparse
import csv
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
INITIAL_STEPS, STEPS_PER_ROUND = 400, 200
RECORD, COMPILED = "played.txt", "compiled"
NUM_SHOWN = 5
"""Differences printed of each game."""

Contents = dict[tuple[str, str], np.ndarray | str]
"""What a run left: arrays and cells, by where they are, such as their round, and by name."""

SMALL = f"""--seed 1 --out .
--collection.initial-steps {INITIAL_STEPS} --collection.steps-per-round {STEPS_PER_ROUND}
--model.num-members 2 --model.hidden 32 32 --model.batch-size 64 --model.outcome-hidden 16
--model.epochs.conservative 2 --model.epochs.convergence 3
--imagination.num-rollouts 5 --imagination.horizon 20
--policy.hidden 16 --policy.fisher-samples 100 --policy.cg-iterations 4
--policy.steps.conservative 2 --policy.steps.convergence 3
--policy.value.hidden 16 --policy.value.batch-size 50
--policy.planner.horizon 4 --policy.planner.num-samples 12 --policy.planner.num-elites 4
--leader.num-samples 64 --leader.num-rollouts 3 --leader.cg-iterations 4 --leader.unrolled-steps 3
--evaluation.num-episodes 2 --evaluation.open-loop-steps 5 --evaluation.gap-steps 0"""
"""Of every game; its own flags come later and win."""

GAP = "--evaluation.gap-steps 1"
BLIND = "--model.learn-reward --model.learn-termination"
PROXIMAL = "--model.proximal 0.1 --model.holdout 0.2 --model.patience 1"
LIKELIHOOD = "--model.loss likelihood --model.bootstrap --policy.planner.num-particles 2"
CAUTIOUS = """--robustness.cvar-alpha 0.5 --robustness.disagreement-bonus -1
--robustness.max-disagreement 0.3 --model.num-members 3"""
IMPLICIT, UNROLLED = "--leader.gradient implicit", "--leader.gradient unrolled"
REWEIGHTED = f"{IMPLICIT} --leader.steps all --leader.baseline-ridge 0.1 --leader.memory 2"
CHANGING = "--perturb forearm@200 goal@300 --model.window 300"
FROM_DATA = "--imagination.start-from-data 0.5 --imagination.start-rounds 2"


@dataclasses.dataclass(frozen=True)
class Game:
    """What is played, and by which rules beside `SMALL`."""

    task: str
    algorithm: str
    flags: str = ""
    resumed: bool = False
    """Stopped a round before its end, and resumed."""

    def script(self, num_rounds: int) -> str:
        """Returns the arguments of ``duopoly`` that play it, a line for each call."""
        ends = [num_rounds - 1, num_rounds] if self.resumed else [num_rounds]
        steps = [INITIAL_STEPS + STEPS_PER_ROUND * (end - 1) for end in ends]
        rules = " ".join(f"--algorithm {self.algorithm} {SMALL} {self.flags}".split())
        return "".join(f"train {self.task} {rules} --steps {end} --resume\n" for end in steps)


GAMES: dict[str, Game] = {
    "pal": Game("InvertedPendulum-v5", "pal", GAP),
    "mal": Game("Hopper-v5", "mal", GAP),
    "gda": Game("Reacher-v5", "gda", f"{GAP} {PROXIMAL}"),
    "br": Game("InvertedPendulum-v5", "br", "--model.activation tanh"),
    "cem-pets": Game("InvertedPendulum-v5", "pets", f"{GAP} {CAUTIOUS}"),
    "mppi-mal": Game("Pendulum-v1", "mal", f"--policy.improver mppi {LIKELIHOOD}"),
    "trpo-metrpo": Game("Hopper-v5", "metrpo", LIKELIHOOD),
    "trpo-slbo": Game("Reacher-v5", "slbo", f"--model.num-members 1 {GAP}"),
    "pg-pal": Game("Pendulum-v1", "pal", "--policy.improver pg --policy.entropy-bonus 0.01"),
    "blind-mal": Game("Hopper-v5", "mal", f"{BLIND} {LIKELIHOOD} {GAP}"),
    "likelihood-pal": Game("Reacher-v5", "pal", f"{LIKELIHOOD} {PROXIMAL} {GAP}"),
    "reweighted-pal": Game("Hopper-v5", "pal", REWEIGHTED),
    "unrolled-pal": Game("InvertedPendulum-v5", "pal", f"{UNROLLED} {BLIND}"),
    "implicit-mal": Game("InvertedPendulum-v5", "mal", IMPLICIT),
    "unrolled-mal": Game("InvertedPendulum-v5", "mal", f"{UNROLLED} {BLIND}"),
    "cautious-pal": Game("Walker2d-v5", "pal", f"{CAUTIOUS} {FROM_DATA}"),
    "perturbed-pal": Game("Reacher7DOF", "pal", CHANGING),
    "resumed-pal": Game("InvertedPendulum-v5", "pal", f"{IMPLICIT} {GAP}", resumed=True),
    "resumed-mal": Game("Reacher7DOF", "mal", FROM_DATA, resumed=True),
}
"""By name; the last word is the algorithm."""


def git(*arguments: str) -> str:
    """Asks git about this repository."""
    return subprocess.check_output(["git", "-C", str(ROOT), *arguments], text=True).strip()


def environment(tree: Path, compiled: Path) -> dict[str, str]:
    """Returns the variables under which ``python -m duopoly`` runs the code of a tree."""
    source = tree / "src"
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {
        "PYTHONPATH": str(source),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    where = "import importlib.util as u; print(u.find_spec('duopoly').origin)"
    run = subprocess.run([sys.executable, "-c", where], env=env, stdout=subprocess.PIPE, text=True)
    if not run.stdout.startswith(str(source)):
        raise RuntimeError(f"{run.stdout.strip() or 'nothing'} would be run instead of {source}")
    return env


def play(name: str, num_rounds: int, folder: Path, env: dict[str, str]) -> None:
    """Plays a game in a new folder."""
    folder.mkdir()
    script = GAMES[name].script(num_rounds)
    for line in script.splitlines():
        command = [sys.executable, "-m", "duopoly", *line.split()]
        run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(f"{name} failed: duopoly {line}\n{run.stderr}")
    (folder / RECORD).write_text(script)


def play_before(args: argparse.Namespace) -> Path:
    """Plays what does not lie there yet of REV's side; returns where it lies."""
    kept, missing = args.out / git("rev-parse", "--verify", f"{args.rev}^{{commit}}"), []
    for name in args.only:
        record = kept / name / RECORD
        if not record.exists() or record.read_text() != GAMES[name].script(args.rounds):
            missing.append(name)
    if not missing:
        return kept
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept) as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), kept.name)
        try:
            env = environment(tree, args.out / COMPILED)
            for name in missing:
                play(name, args.rounds, tree.parent / name, env)
                shutil.rmtree(kept / name, ignore_errors=True)
                (tree.parent / name).rename(kept / name)  # only what was played to its end
        finally:
            git("worktree", "remove", "--force", str(tree))
    return kept


def contents(folder: Path) -> Contents:
    """Reads the run in a folder: its checkpoints, and of progress.csv what tells no time."""
    (run,) = folder.glob("*/*/seed_*")
    arrays = {
        (f"{file.parent.name}/{file.stem}", name): array
        for file in sorted(run.glob("checkpoints/round_*/*.safetensors"))
        for name, array in load_file(file).items()
    }
    with (run / "progress.csv").open(newline="") as file:
        cells = {
            (f"row {index}", column): text
            for index, row in enumerate(csv.DictReader(file), start=1)
            for column, text in row.items()
            if not column.startswith("time/") or column == "time/total_timesteps"
        }
    return {**arrays, **cells}


def change(before: np.ndarray | str, after: np.ndarray | str) -> str | None:
    """Tells how two cells differ, if they do in a character, or two arrays, in a bit."""
    if isinstance(before, str) or isinstance(after, str):
        return None if before == after else f"{before} became {after}"
    if before.dtype != after.dtype or before.shape != after.shape:
        return f"{before.dtype}{before.shape} became {after.dtype}{after.shape}"
    if before.tobytes() == after.tobytes():
        return None
    with np.errstate(invalid="ignore"):
        apart = np.abs(before.astype(float) - after.astype(float))
    return f"max abs difference {np.max(apart, initial=0.0, where=~np.isnan(apart)):.3g}"


def compare(name: str, before: Contents, after: Contents, allowed: Sequence[str]) -> bool:
    """Prints how the two sides of a game compare; tells whether they are equal."""
    common = [key for key in before if key in after]
    gone = {name: None for place, name in before if (place, name) not in after}
    new = {name: None for place, name in after if (place, name) not in before}
    told = [(key, change(before[key], after[key])) for key in common]
    differing = [f"{place} {name}: {what}" for (place, name), what in told if what is not None]
    lines = [f"only before: {name}" for name in gone if not name.startswith(tuple(allowed))]
    lines += [f"only after: {name}" for name in new]
    num_arrays = sum(isinstance(before[key], np.ndarray) for key in common)
    equal = num_arrays > 0 and not differing and not lines
    verdict = "equal" if equal else f"not equal: {len(differing)} differ"
    head = f"{name:16}{num_arrays:5} arrays{len(common) - num_arrays:5} cells  {verdict}"
    print("\n    ".join([head, *lines, *differing[:NUM_SHOWN]]), flush=True)
    return equal


def compare_revisions(args: argparse.Namespace) -> bool:
    """Plays both sides of every game; tells whether all are equal."""
    equal, begin = True, time.monotonic()
    kept, middle = play_before(args), time.monotonic()
    env = environment(ROOT, args.out / COMPILED)
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            after = Path(folder) / name
            try:
                play(name, args.rounds, after, env)
            except RuntimeError as error:
                print(error, flush=True)
                equal = False
            else:
                equal &= compare(name, contents(kept / name), contents(after), args.allow_missing)
    print(f"{middle - begin:.0f} s before, {time.monotonic() - middle:.0f} s after")
    return equal


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rev", metavar="REV", help="what the working tree is compared with")
    parser.add_argument("--only", nargs="+", default=[*GAMES], choices=GAMES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3, help="length of a game, from 2")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/same", help="where REV's side is")
    parser.add_argument("--allow-missing", nargs="+", default=[], metavar="PREFIX")
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error(f"--rounds {args.rounds}: must be at least 2, the first that improves in MAL")
    args.out = args.out.resolve()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of what is started, too
    sys.exit(0 if compare_revisions(args) else 1)


if __name__ == "__main__":
    main()
