"""A task of DeepMind's control suite, whose environments shimmy puts into Gymnasium's registry.

    pip install 'duopoly[dm-control]'
    duopoly check --task-file examples/dm_control_cartpole.py
    duopoly train --task-file examples/dm_control_cartpole.py --steps 10000 --model.hidden 128 128

The reward is that of ``dm_control/suite/cartpole.py``, which is the same for ``balance`` and
``swingup``. Of any other task of the suite nothing need be known:
``duopoly train dm_control/reacher-easy-v0 --import shimmy``.
"""

import gymnasium as gym
import jax.numpy as jnp
import shimmy  # pyright: ignore[reportMissingImports]

import duopoly

gym.register_envs(shimmy)


def near_zero(x, margin):
    """The suite's ``tolerance``: 1 at 0, falling as a Gaussian to 0.1 at the margin."""
    return 0.1 ** ((x / margin) ** 2)


def reward(obs, action, next_obs):
    """Upright, amid the rail, with little force and little speed; between 0 and 1."""
    cart, cosine, _, _, turning = next_obs
    small_force = jnp.maximum(1.0 - action[0] ** 2, 0.0)
    return (
        (1.0 + cosine) / 2.0
        * (1.0 + near_zero(cart, 2.0)) / 2.0
        * (4.0 + small_force) / 5.0
        * (1.0 + near_zero(turning, 5.0)) / 2.0
    )  # fmt: skip


TASK = duopoly.make_task(
    "dm_control/cartpole-balance-v0",
    name="CartpoleBalance",
    horizon=1_000,  # the suite ends an episode after 10 s; the registry does not tell
    reward_fn=reward,
    terminated_fn=lambda obs, action, next_obs: jnp.zeros((), bool),
)
