"""Log transitions with NumPy alone, as one would on a real robot, for ``duopoly train --data``.

    python examples/log_transitions.py log.npz
    duopoly train InvertedPendulum-v5 --data log.npz --steps 0

Half of the rows are of a controller that holds the pole for a while and lets the cart drift away,
half of random forces.
"""

import sys

import gymnasium as gym
import numpy as np

path, num_rows = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2_000
rng, env = np.random.default_rng(0), gym.make("InvertedPendulum-v5")
(obs, _), starts, rows = env.reset(seed=0), True, []
for number in range(num_rows):
    action = rng.uniform(-3.0, 3.0, 1)  # inside the bounds of the action space
    if number < num_rows // 2:
        action = np.clip(20.0 * obs[1:2] + 2.0 * obs[3:4] + 0.2 * action, -3.0, 3.0)
    next_obs, reward, terminated, truncated, _ = env.step(action)
    rows.append((obs, action, reward, next_obs, terminated, truncated, starts))
    obs, starts = next_obs, terminated or truncated or number + 1 == num_rows // 2
    if starts:
        obs, _ = env.reset(seed=number + 1)

columns = (np.array(column) for column in zip(*rows, strict=True))
names = ("observations", "actions", "rewards", "next_observations")
names += ("terminations", "truncations", "episode_starts")
np.savez(path, **dict(zip(names, columns, strict=True)))
