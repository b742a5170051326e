"""A library's soft actor-critic beside our own `sac`: whether ours learns as such a method should.

    pip install stable-baselines3           # best in an environment of its own: it brings PyTorch
    python benchmarks/library_sac.py DClawTurn DKittyOrient HalfCheetah-v5 --seeds 0 1 2 3 4

Stable-Baselines3's SAC with its default settings, after as many random steps as ours begins with,
each action held for as many environment steps. After every ``--evaluate-every`` of them the mean
action is played for 10 episodes, by the code that evaluates ours and with seeds like its own. Rows
are added to ``results/library/TASK.csv``; a seed that is there is not played again.
"""

import argparse
import csv
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from duopoly.game.report import success_rate
from duopoly.presets import preset
from duopoly.types import Controller, Decision
from duopoly.world.interaction import evaluate
from duopoly.world.task import Spec, Task
from duopoly.world.tasks import get_task

FOLDER: Final = Path("results/library")
COLUMNS: Final = ("method", "seed", "steps", "return", "success")
METHOD: Final = "SAC, Stable-Baselines3"


def mean_action(model: Any, spec: Spec) -> Controller:
    """Returns the controller that acts by the policy's mean."""

    def act(obs: np.ndarray, memory: Any, _rng: np.random.Generator, _mean: bool) -> Decision:
        in_env_units, _ = model.predict(obs.astype(np.float32), deterministic=True)
        return Decision(spec.to_policy_units(in_env_units), memory)

    return Controller(act)


def learn(
    task: Task, random_steps: int, seed: int, num_env_steps: int, evaluate_every: int
) -> list[tuple[Any, ...]]:
    """Returns the rows of one seed."""
    from stable_baselines3 import SAC  # pyright: ignore[reportMissingImports]

    held, began = task.action_repeat, time.perf_counter()
    env, judge = task.build(), task.build()
    model = SAC("MlpPolicy", env, learning_starts=random_steps // held, seed=seed, device="cpu")
    rows: list[tuple[Any, ...]] = []
    for index in range(num_env_steps // evaluate_every):
        model.learn(evaluate_every // held, reset_num_timesteps=index == 0)
        controller = mean_action(model, task.spec)
        played = evaluate(judge, task, controller, 10, seed, index).episodes
        mean = float(np.mean([episode.return_ for episode in played]))
        success = success_rate(played, task)
        rows.append((METHOD, seed, (index + 1) * evaluate_every, round(mean, 1), success))
        seconds = time.perf_counter() - began
        print(f"{task.name}, seed {seed}: {rows[-1][2:]} after {seconds:.0f} s", flush=True)
    env.close()
    judge.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--evaluate-every", type=int, default=5_000)
    asked = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in asked.tasks:
        ours = preset(name, "sac").settings.collection
        task, path = get_task(name).held(ours.action_repeat), FOLDER / f"{name}.csv"
        known = path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
        done = {int(row["seed"]) for row in csv.DictReader(known, COLUMNS)}
        for seed in sorted(set(asked.seeds) - done):
            rows = learn(task, ours.initial_steps, seed, asked.steps, asked.evaluate_every)
            with path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(
                    rows if file.tell() else [COLUMNS, *rows]
                )


if __name__ == "__main__":
    main()
