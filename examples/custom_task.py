"""Bring your own task; also: duopoly check --task-file examples/custom_task.py, or train."""

import gymnasium as gym
import jax.numpy as jnp
import numpy as np

import duopoly
from duopoly.settings import CollectionSettings, ImaginationSettings, ModelSettings


class CartEnv(gym.Env):
    """A force is to bring a cart (position, velocity) to rest at 0, on a rail that ends at ±2."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.v = self.np_random.uniform(-1.0, 1.0, 2)
        return np.array([self.x, self.v]), {}

    def step(self, action):
        self.x, self.v = self.x + 0.1 * self.v, self.v + 0.3 * action[0]
        reward = 1.0 - self.x**2 - 0.1 * self.v**2
        return np.array([self.x, self.v]), reward, abs(self.x) > 2.0, False, {}


TASK = duopoly.make_task(
    lambda render_mode: CartEnv(), name="Cart", horizon=50,
    reward_fn=lambda obs, action, next_obs: 1.0 - next_obs[0] ** 2 - 0.1 * next_obs[1] ** 2,
    terminated_fn=lambda obs, action, next_obs: jnp.abs(next_obs[0]) > 2.0,
)  # fmt: skip

if __name__ == "__main__":
    print(duopoly.check_task(TASK))
    collection, model = CollectionSettings(1_000, 250), ModelSettings(hidden=(64, 64))
    settings = duopoly.Settings(collection, model, ImaginationSettings(num_rollouts=20, horizon=50))
    agent = duopoly.PAL(TASK, seed=0, settings=settings)
    agent.learn(2_000, callback=lambda round_: print(round_.metrics["eval/mean_reward"]))
