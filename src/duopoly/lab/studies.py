"""The runs behind the tables of docs/results.md: train, evaluate, keep the small files of each.

    python -m duopoly.lab.studies                               # names the studies
    python -m duopoly.lab.studies Hopper-v5/mal --jobs 2        # plays one, or goes on with it
    python -m duopoly.lab.studies Hopper-v5/mal Hopper-v5/pal --table

A study is a task, an algorithm and what differs from its preset. Its runs lie in ``runs/studies``
and go on where they were stopped; what is finished and evaluated is copied to ``results/``. Each
of the ``--jobs`` runs has an equal share of the cores to itself, so that runs do not wait for one
another. ``--table`` prints what ``results/`` has.
"""

import argparse
import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np

from duopoly.lab.statistics import bootstrap_interval, interquartile_mean, steps_to_reach
from duopoly.runs.metrics import RETURN, read_progress

RESULTS, RUNS = Path("results"), Path("runs/studies")
KEPT = {
    "settings.json": "settings.json",
    "versions.json": "versions.json",
    "progress.csv": "progress.csv",
    "evaluation.json": "evaluation.json",
    "best/evaluation.json": "best.json",
}
"""Of a run's files, by what they are called in ``results/``: its last policy's evaluation, and that
of the policy that did best in training."""


@dataclasses.dataclass(frozen=True)
class Study:
    """For how long a task is played by an algorithm, and what differs from the preset."""

    num_env_steps: int
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Changes of the settings, by dotted name."""
    perturb: tuple[str, ...] = ()
    """Changes of the world on the way."""


IMPLICIT, UNROLLED = {"leader.gradient": "implicit"}, {"leader.gradient": "unrolled"}
BLIND = {"model.learn_reward": True, "model.learn_termination": True}
CAUTIOUS = {"robustness.cvar_alpha": 0.25}
REMEMBERING = {"model.window": 25_000, "model.epochs.convergence": 12}
PESSIMISTIC = {"robustness.disagreement_bonus": -1.0}
FROM_DATA = {"imagination.start_from_data": 0.5}
FORGETTING = {"model.window": 5_000}
SVG = {"policy.improver": "svg"}
SVG_FREE = SVG | {
    "policy.actor_critic.proximal": 0.0,
    "policy.actor_critic.halving_updates": 0,
}
SVG_HELD = SVG_FREE | {
    "collection.action_repeat": 2,
    "collection.episodes_go_on": False,
    "policy.discount": 0.99,
    "policy.actor_critic.horizon": 4,
    "policy.actor_critic.pool_horizon": 12,
    "policy.actor_critic.initial_share": 0.0,
    "robustness.disagreement_bonus": 0.0,
}
LONGER_ARM, OTHER_GOALS = ("forearm@10000",), ("goal@8000",)

STUDIES: dict[str, Study] = {
    "Reacher7DOF/pal": Study(8_000),
    "Reacher7DOF/pal-15000": Study(15_000),
    "Reacher7DOF/mal": Study(15_000),
    "Reacher7DOF/gda": Study(15_000),
    "Reacher7DOF/br": Study(15_000),
    "Reacher7DOF/pets": Study(8_000),
    "Reacher7DOF/pal-implicit": Study(8_000, IMPLICIT),
    "Reacher7DOF/pal-unrolled": Study(8_000, UNROLLED),
    "Reacher7DOF/pal-forearm": Study(20_000, perturb=LONGER_ARM),
    "Reacher7DOF/pal-forearm-forgetting": Study(20_000, FORGETTING, LONGER_ARM),
    "Reacher7DOF/mal-forearm": Study(20_000, perturb=LONGER_ARM),
    "Reacher7DOF/pal-goal": Study(16_000, perturb=OTHER_GOALS),
    "Reacher7DOF/mal-goal": Study(16_000, perturb=OTHER_GOALS),
    "Hopper-v5/pal": Study(50_000),
    "Hopper-v5/pal-remembering": Study(50_000, REMEMBERING),
    "Hopper-v5/mal": Study(100_000),
    "Hopper-v5/pal-blind": Study(50_000, BLIND),
    "Hopper-v5/pal-implicit": Study(50_000, IMPLICIT),
    "Hopper-v5/pal-unrolled": Study(50_000, UNROLLED),
    "Hopper-v5/pal-cvar": Study(50_000, CAUTIOUS),
    "Hopper-v5/pal-pessimistic": Study(50_000, PESSIMISTIC),
    "Hopper-v5/pal-svg-held": Study(30_000, SVG_HELD),
    "HalfCheetah-v5/pal-svg-held": Study(30_000, SVG_HELD),
    "Hopper-v5/pal-svg": Study(50_000, SVG),
    "Hopper-v5-unclipped/pal-svg": Study(50_000, SVG),
    "HalfCheetah-v5/pal-svg": Study(50_000, SVG),
    "HalfCheetah-v5/pal-svg-free": Study(50_000, SVG_FREE),
    "HalfCheetah-v5/pal-svg-blind": Study(50_000, SVG | BLIND),
    "Walker2d-v5-unclipped/pal-svg": Study(50_000, SVG),
    "Ant-v5/pal-svg": Study(50_000, SVG),
    "DClawTurn/pal-svg": Study(25_000, SVG),
    "DKittyOrient/pal-svg": Study(30_000, SVG),
    "DClawTurn/pal": Study(50_000),
    "DKittyOrient/pal": Study(100_000),
    "InHandPen/pal": Study(200_000),
    "HalfCheetah-v5/pal": Study(100_000),
    "HalfCheetah-v5/pal-from-data": Study(100_000, FROM_DATA),
    "Walker2d-v5/pal": Study(100_000),
    "Ant-v5/pal": Study(100_000),
}
"""Named ``task/algorithm`` or ``task/algorithm-what differs``."""


def algorithm_of(name: str) -> str:
    """The algorithm that a study's name names."""
    return name.split("/")[1].split("-")[0]


def train_words(name: str, seed: int) -> list[str]:
    """What follows ``duopoly`` to train one seed of a study, or to go on with it."""
    study, (task, variant) = STUDIES[name], name.split("/")
    words = ["train", task, "--algorithm", algorithm_of(name), "--seed", str(seed)]
    words += ["--steps", str(study.num_env_steps), "--out", str(RUNS / variant), "--resume"]
    changes = {"evaluation.gap_steps": 0, **study.changes}  # a third faster on Hopper-v5
    for setting, value in changes.items():
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(value, bool):
            group, dot, name_of_it = setting.rpartition(".")
            setting, values = group + dot + ("" if value else "no_") + name_of_it, ()
        words += ["--" + setting.replace("_", "-"), *map(str, values)]
    return [*words, "--perturb", *study.perturb] if study.perturb else words


def run(name: str, seed: int, num_episodes: int) -> None:
    """Trains one seed, or what is left of it, evaluates it and keeps its results."""
    (task, variant), algorithm = name.split("/"), algorithm_of(name)
    path = RUNS / variant / task / algorithm / f"seed_{seed}"
    path.parent.mkdir(parents=True, exist_ok=True)
    evaluate = ["evaluate", str(path), "--episodes", str(num_episodes)]
    with (path.parent / f"seed_{seed}.log").open("a") as log:
        for words in (train_words(name, seed), evaluate, [*evaluate, "--best"]):
            command = [sys.executable, "-m", "duopoly", *words]
            subprocess.run(command, check=True, stdout=log, stderr=log)
    kept = RESULTS / name / f"seed_{seed}"
    kept.mkdir(parents=True, exist_ok=True)
    for file, called in KEPT.items():
        shutil.copyfile(path / file, kept / called)


def play(names: Sequence[str], seeds: Sequence[int], jobs: int, num_episodes: int) -> bool:
    """Plays every seed of every study, ``jobs`` at a time; tells whether all came to an end."""
    shares: Queue[list[int]] = Queue()
    for share in np.array_split(sorted(os.sched_getaffinity(0)), jobs):
        shares.put(share.tolist())

    def keep_to_own_cores() -> None:
        os.sched_setaffinity(0, shares.get())  # of this thread and what it starts

    def one(job: tuple[str, int]) -> bool:
        name, seed = job
        try:
            run(name, seed, num_episodes)
        except subprocess.CalledProcessError as error:
            print(f"{name}, seed {seed}: failed, see its log in {RUNS}: {error}", flush=True)
            return False
        print(f"{name}, seed {seed}: done", flush=True)
        return True

    with ThreadPoolExecutor(jobs, initializer=keep_to_own_cores) as pool:
        return all(list(pool.map(one, [(name, seed) for name in names for seed in seeds])))


def print_crossing(folders: Sequence[Path], level: float) -> None:
    """Prints after how many steps the seeds' mean return reaches a level, on a coarse grid.

    Published curves have a point every 10 000 steps; a finer grid is crossed earlier by chance.
    """
    curves = [read_progress(path / "progress.csv") for path in folders]
    at = [{row["time/total_timesteps"]: row[RETURN] for row in rows} for rows in curves]
    shared = sorted(set.intersection(*map(set, at)))
    grid = np.array([steps for steps in shared if steps == 5_000 or steps % 10_000 == 0])
    if not grid.size:
        print(f"| steps to {level:g} | the seeds share no point of the grid | |")
        return
    scores = np.array([[known[steps] for steps in grid] for known in at])
    crossing = functools.partial(steps_to_reach, grid, level=level)
    ends = bootstrap_interval([scores], statistic=crossing)
    found = [*(crossing(one[None]) for one in scores), crossing(scores), *ends]
    *each, together, low, high = ("never" if np.isinf(x) else f"{float(x):,.0f}" for x in found)
    print(f"| steps to {level:g} | {' | '.join(each)} | {together} ({low} to {high}) |")


def print_table(name: str, levels: Sequence[float] = ()) -> None:
    """Prints every seed's result and what they come to, as rows of docs/results.md.

    ``levels``: returns of which is told when the seeds' mean reaches them.
    """
    folders = sorted((RESULTS / name).glob("seed_*"), key=lambda path: int(path.name[5:]))
    if not folders:
        print(f"{name}: no results yet")
        return
    found = [json.loads((path / "evaluation.json").read_text()) for path in folders]
    seconds = [read_progress(path / "progress.csv")[-1]["time/time_elapsed"] for path in folders]
    print(f"{name}, {found[0]['env_steps']} environment steps, {found[0]['num_episodes']} episodes")
    for key in ("mean_return", "success_rate"):
        if found[0][key] is None:
            continue
        scores = np.array([result[key] for result in found])
        low, high = bootstrap_interval([scores])
        form = "{:.0%}" if key == "success_rate" else "{:.4g}"
        each = " | ".join(form.format(score) for score in scores)
        middle = [form.format(float(x)) for x in (interquartile_mean(scores), low, high)]
        print(f"| {key} | {each} | {middle[0]} ({middle[1]} to {middle[2]}) |")
    if all((path / "best.json").exists() for path in folders):
        best = [json.loads((path / "best.json").read_text()) for path in folders]
        scores = np.array([result["mean_return"] for result in best])
        ends = interquartile_mean(scores), *bootstrap_interval([scores])
        middle, low, high = (f"{float(x):.4g}" for x in ends)
        each = (f"{one['mean_return']:.4g} at {one['env_steps']:,}" for one in best)
        print(f"| best policy's return | {' | '.join(each)} | {middle} ({low} to {high}) |")
    for level in levels:
        print_crossing(folders, level)
    print(f"| seconds | {' | '.join(f'{s:.0f}' for s in seconds)} | |")


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the command line."""
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser("python -m duopoly.lab.studies", description=about)
    parser.add_argument("studies", nargs="*", choices=[*STUDIES, []], metavar="STUDY")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--episodes", type=int, default=100, help="episodes of the evaluation")
    parser.add_argument("--table", action="store_true", help="print what was found, play nothing")
    parser.add_argument("--levels", type=float, nargs="+", default=[], help="returns to reach")
    args = parser.parse_args(argv)
    cores = len(os.sched_getaffinity(0))
    if not 1 <= args.jobs <= cores:
        parser.error(f"--jobs {args.jobs}: must be in [1, {cores}], the cores there are")
    if not args.studies:
        print("\n".join(STUDIES))
    elif args.table:
        for name in args.studies:
            print_table(name, args.levels)
    else:
        sys.exit(0 if play(args.studies, args.seeds, args.jobs, args.episodes) else 1)


if __name__ == "__main__":
    main()
