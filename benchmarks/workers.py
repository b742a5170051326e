"""When workers pay: collections in a simulator that sleeps in each step, by 1, 2 and 4 processes.

    python benchmarks/workers.py                  # steps of 0, 0.2, 2 and 20 ms
    python benchmarks/workers.py --step-ms 5 --workers 1 2 8

Each plays the same collection of ``--steps`` environment steps, in episodes that end by chance,
after 57 actions on average and 100 at most, and must bring the same data, bit by bit. Sleeping
takes no core, so that the ratios hold for simulators that wait: for another process, a licence, a
network. One that computes needs a core for each worker. A step of 0 ms shows what messages cost,
on a machine that has nothing else to do.
"""

import argparse
import contextlib
import functools
import time
from typing import Any

import gymnasium as gym
import jax
import numpy as np

from duopoly.policy.gaussian import gaussian_controller, init_policy
from duopoly.settings import PolicySettings
from duopoly.types import Controller
from duopoly.world.crew import Crew
from duopoly.world.interaction import CollectResult, collect_by
from duopoly.world.task import Task
from duopoly.world.workers import Workers

OBS, ACT, HORIZON = 20, 5, 100


class Sleeper(gym.Env[np.ndarray, np.ndarray]):
    """Sleeps in each step, and ends an episode by chance."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (OBS,))
    action_space = gym.spaces.Box(-1.0, 1.0, (ACT,), np.float32)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed, options=options)
        return self.np_random.normal(size=OBS), {}

    def step(self, action: np.ndarray) -> Any:
        if self._seconds > 0.0:
            time.sleep(self._seconds)
        obs = self.np_random.normal(size=OBS)
        return obs, float(action[0]), bool(self.np_random.uniform() < 1 / 80), False, {}


def make(seconds: float, _render_mode: str | None) -> Sleeper:
    return Sleeper(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--step-ms", type=float, nargs="+", default=[0.0, 0.2, 2.0, 20.0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    policy = gaussian_controller(init_policy(jax.random.key(0), OBS, ACT, PolicySettings()))
    print("| a step takes | " + " | ".join(f"{n} process(es)" for n in asked.workers) + " |")
    print("|---|" + "---|" * len(asked.workers))
    for milliseconds in asked.step_ms:
        make_env = functools.partial(make, milliseconds / 1e3)
        task = Task(f"Sleeper {milliseconds:g} ms", "sleeps", make_env, HORIZON)
        found = [measured(task, policy, number, asked) for number in asked.workers]
        alike = {content(result) for _, result in found}
        assert len(alike) == 1, "the data differ"
        first = found[0][0]
        cells = (f"{seconds:.2f} s ({first / seconds:.2f}×)" for seconds, _ in found)
        print(f"| {milliseconds:g} ms | " + " | ".join(cells) + " |", flush=True)


def measured(
    task: Task, policy: Controller, number: int, asked: argparse.Namespace
) -> tuple[float, CollectResult]:
    """The shortest time of several collections, once all processes have begun."""
    seconds, result = np.inf, CollectResult([], [])
    with contextlib.closing(Crew(task, (), Workers(number))) as crew:
        for _ in range(asked.repeats):
            begin = time.perf_counter()
            with crew.playing(policy, 0) as play:
                result = collect_by(play, task, asked.steps, 0, 0)
            seconds = min(seconds, time.perf_counter() - begin)
    return seconds, result


def content(result: CollectResult) -> bytes:
    """All that was seen, done and paid."""
    names = ("obs", "action", "reward", "next_obs")
    return b"".join(getattr(one, name).tobytes() for one in result.episodes for name in names)


if __name__ == "__main__":
    main()
