"""Gymnasium-Robotics' Fetch arm brings its gripper to a goal: a Dict with goals as a task.

    pip install 'duopoly[robotics]'
    duopoly check --task-file examples/fetch_reach.py
    duopoly train --task-file examples/fetch_reach.py --steps 4000 --model.hidden 128 128

Of a Dict the parts come in the order of their names, in every Fetch task: ``achieved_goal``,
``desired_goal``, ``observation``.
"""

import gymnasium as gym
import gymnasium_robotics
import jax.numpy as jnp

import duopoly

gym.register_envs(gymnasium_robotics)

ACHIEVED, DESIRED, GRIPPER = slice(0, 3), slice(3, 6), slice(6, 9)
REACHED = 0.05
"""Distance from the goal within which it is reached, in m."""


def distance(obs):
    """From where the gripper is to where it should be, in m."""
    return jnp.linalg.norm(obs[ACHIEVED] - obs[DESIRED])


TASK = duopoly.make_task(
    "FetchReachDense-v4",  # FetchReach-v4 pays -1 until the goal is reached: much harder to find
    name="FetchReach",
    reward_fn=lambda obs, action, next_obs: -distance(next_obs),
    terminated_fn=lambda obs, action, next_obs: jnp.zeros((), bool),
    success_fn=lambda episode: bool(distance(episode.next_obs[-1]) <= REACHED),
    constant=range(DESIRED.start, DESIRED.stop),
    # The gripper's place stands in the observation twice: it is learned once.
    computed=range(GRIPPER.start, GRIPPER.stop),
    compute_fn=lambda obs, action, next_obs: next_obs.at[GRIPPER].set(next_obs[ACHIEVED]),
)
