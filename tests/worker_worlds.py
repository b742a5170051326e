"""A world that does what its actions say, and policies that workers can be sent.

Workers import this module by its name, so it is light.
"""

# ruff: noqa: ARG001, ARG002
# (Fakes take what the interface hands them.)

import dataclasses
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from duopoly.types import Controller, Decision
from duopoly.world.perturb import Perturbation
from duopoly.world.task import Task

GO_ON, END, DIVERGE, RAISE, DIE = 0.0, 0.2, 0.4, 0.6, 0.8
"""What the world is told to do by the second component of an action."""


class Obedient(gym.Env):
    """Observes the time, a number of the episode's own, and which world it is."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gym.spaces.Box(-1, 1, (2,))

    def __init__(self, flag: float = 0.0) -> None:
        self._obs = np.array([0.0, 0.0, flag])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._obs[:2] = 0.0, self.np_random.uniform()
        return self._obs, {}

    def step(self, action: np.ndarray) -> Any:
        self._obs[0] += 1.0
        told = round(float(action[1]), 3)
        if told == RAISE:
            raise RuntimeError(f"told so at {self._obs[0]:.0f}")
        if told == DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        reward = np.nan if told == DIVERGE else self.np_random.normal() + action[0]
        return self._obs, reward, told == END, False, {}


def make(render_mode: str | None) -> Obedient:
    return Obedient()


def make_changed(render_mode: str | None) -> Obedient:
    return Obedient(1.0)


def make_here_alone(render_mode: str | None) -> Obedient:
    """Fails in a worker."""
    if multiprocessing.parent_process() is not None:
        raise OSError("the robot is taken")
    return Obedient()


HORIZON = 10_000
TASK = Task(
    "Obedient",
    "does as it is told",
    make,
    HORIZON,
    perturbations=(Perturbation("changed", "", make_changed),),
)


@dataclasses.dataclass(frozen=True)
class Fate:
    """Draws actions, and lets the episode's own number decide how long it goes well, and then."""

    ends: tuple[float, ...] = (END,)
    """Of episodes, by the first digit of their number after the point, each in turn."""
    longest: int = 30
    """Actions that go well, at most; the number tells how many it is."""
    once: Path | None = None
    """While there is no such file, who is to die dies and leaves it; then nobody does."""
    slow: bool = False
    """Takes up to some milliseconds per action, so that episodes end in another order."""

    def act(
        self, obs: np.ndarray, memory: Any, rng: np.random.Generator, deterministic: bool
    ) -> Decision:
        clock, chance, _ = obs
        if self.slow:
            time.sleep(0.002 * (chance * 100.0 % 1.0))
        told = GO_ON
        if clock >= int(chance * 1_000.0) % self.longest:
            told = self.ends[int(chance * 10.0) % len(self.ends)]
        if told == DIE and self.once is not None:
            told = END if self.once.exists() else DIE
            self.once.touch()
        noise = 0.0 if deterministic else rng.normal()
        return Decision(np.array([noise, told]), memory, (float(clock), noise))


def controller(**fate: Any) -> Controller:
    return Controller(Fate(**fate).act)
