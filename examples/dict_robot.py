"""A robot that observes a Dict: docs/your_own_robot.md checks, trains and exports it."""

# pyright: reportAttributeAccessIssue=false
from pathlib import Path

import gymnasium as gym
import jax.numpy as jnp
import mujoco
import numpy as np

import duopoly

BOX = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)


class PuckEnv(gym.Env):
    """A puck on a table is pushed to a place that changes with every episode."""

    observation_space = gym.spaces.Dict(achieved_goal=BOX, desired_goal=BOX, velocity=BOX)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self):
        path = Path(__file__).with_suffix(".xml")
        self.model = mujoco.MjModel.from_xml_path(str(path))
        self.data = mujoco.MjData(self.model)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.goal = self.np_random.uniform(-0.5, 0.5, 2)
        return self._observe(), {}

    def step(self, action):
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, nstep=5)
        return self._observe(), -np.linalg.norm(self.data.qpos - self.goal), False, False, {}

    def _observe(self):
        place, goal, velocity = map(np.copy, (self.data.qpos, self.goal, self.data.qvel))
        return {"achieved_goal": place, "desired_goal": goal, "velocity": velocity}


TASK = duopoly.make_task(
    lambda render_mode: PuckEnv(),
    name="Puck",
    horizon=20,
    constant=(2, 3),
    reward_fn=lambda obs, action, next_obs: -jnp.linalg.norm(next_obs[:2] - next_obs[2:4]),
    terminated_fn=lambda obs, action, next_obs: jnp.zeros((), bool),
)
