"""A simulator that hangs is named."""

import time
from typing import Any

import gymnasium as gym
import numpy as np

from duopoly.world.interaction import collect, memoryless
from duopoly.world.task import Task
from duopoly.world.watch import watched


class Slow(gym.Env[Any, Any]):
    """Takes its time at the third step."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,))
    action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed, options=options)
        self._time = 0
        return np.zeros(1), {}

    def step(self, action: Any) -> Any:
        del action
        self._time += 1
        time.sleep(0.5 if self._time == 3 else 0.0)
        return np.zeros(1), 0.0, False, False, {}


def test_a_step_that_does_not_return_is_told_once(capsys) -> None:
    task = Task("Slow", "", lambda _: Slow(), horizon=10)
    with watched(patience=0.1):
        collect(task.make(None), task, memoryless(lambda _obs, _rng: np.zeros(1)), 10, 0, 0)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("duopoly: Slow: the step at action 2 of episode 0 (collect, round 0")
