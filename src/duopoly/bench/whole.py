"""What a user waits for: the simulator, collection and evaluation, rounds, and starts."""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import jax
import numpy as np

from duopoly.bench.kernels import Prepared
from duopoly.game.play import play
from duopoly.lockstep import Band
from duopoly.policy.gaussian import gaussian_controller, init_policy
from duopoly.presets import preset
from duopoly.schedule import SCHEDULES
from duopoly.settings import Improver, PolicySettings, override
from duopoly.types import Controller
from duopoly.world.interaction import collect, evaluate
from duopoly.world.task import Task
from duopoly.world.tasks import get_task

NUM_STEPS: Final = 5_000
"""Of the simulator, and of a collection."""
SMALL: Final = {
    "imagination.num_rollouts": 10,
    "policy.steps.conservative": 4,
    "evaluation.num_episodes": 2,
}
"""Settings of a game of which many are played."""
SWIFT, NEVER_ENDS, HOPPER = "Pendulum-v1", "HalfCheetah-v5", "Hopper-v5"


def step_path() -> Prepared:
    """The simulator alone."""
    task = get_task(NEVER_ENDS)
    env = task.build()
    low, high = task.spec.action_low, task.spec.action_high
    rng = np.random.default_rng(0)

    def run() -> None:
        for number in range(NUM_STEPS // task.action_repeat):
            if number % task.horizon == 0:
                env.reset(seed=number)
            env.step(rng.uniform(low, high))

    return Prepared(f"{NUM_STEPS:,} steps of {NEVER_ENDS}", run)


def collect_path() -> Prepared:
    """The same steps, acted by a policy and kept."""
    task, controller = _beginner(NEVER_ENDS)
    env = task.build()
    return Prepared(
        f"{NUM_STEPS:,} steps of {NEVER_ENDS}",
        lambda: collect(env, task, controller, NUM_STEPS, 0, 0),
    )


def evaluate_path() -> Prepared:
    """One episode without noise."""
    task, controller = _beginner(NEVER_ENDS)
    env = task.build()
    return Prepared(f"1 episode of {NEVER_ENDS}", lambda: evaluate(env, task, controller, 1, 0))


def round_path(improver: Improver | None = None) -> Prepared:
    """The next round of a game; the first one is over, and all is compiled."""
    settings = preset(HOPPER, "pal", improver).settings
    rounds = play(get_task(HOPPER), settings, SCHEDULES["pal"], 0, num_env_steps=10**9)
    next(rounds)
    return Prepared(
        f"{settings.collection.steps_per_round:,} steps, {settings.policy.improver}",
        lambda: next(rounds).state.players,
    )


def seeds_path(num_seeds: int) -> Prepared:
    """The next round of several games that are played side by side, each of them small."""
    settings = override(preset(SWIFT, "pal").settings, SMALL)
    games = [
        play(get_task(SWIFT), settings, SCHEDULES["pal"], seed, num_env_steps=10**9)
        for seed in range(num_seeds)
    ]

    def run() -> None:
        band = Band(num_seeds)

        def play_on(seed: int) -> None:
            with band.seat(seed):
                next(games[seed])

        seeds = range(num_seeds)
        band.run([threading.Thread(target=play_on, args=(seed,)) for seed in seeds])

    run()  # the first round is another one
    return Prepared(f"a round of {num_seeds} seeds of {SWIFT}, side by side", run)


def import_path() -> Prepared:
    """A new process that imports the package."""
    return Prepared("python -c 'import duopoly'", lambda: _start("-c", "import duopoly"))


def help_path() -> Prepared:
    """A new process that shows the commands."""
    return Prepared("duopoly --help", lambda: _start("-m", "duopoly", "--help"))


def first_round_path() -> Prepared:
    """A new process that trains for one round."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            words = ("train", SWIFT, "--steps", "400", "--out", folder)
            _start("-m", "duopoly", *words, "--collection.initial-steps", "400")

    return Prepared(f"duopoly train {SWIFT} --steps 400", run)


def _beginner(name: str) -> tuple[Task, Controller]:
    task = get_task(name)
    sizes = task.spec.obs_dim, task.spec.action_dim
    return task, gaussian_controller(init_policy(jax.random.key(0), *sizes, PolicySettings()))


def _start(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, cwd=Path.cwd(), stdout=subprocess.DEVNULL)
