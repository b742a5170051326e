"""The project's own environments in Gymnasium's registry.

`import duopoly` imports this module, which registers them, so that this works in any program::

    import duopoly, gymnasium

    gymnasium.make("duopoly/Reacher7DOF-v0")

Neither JAX nor MuJoCo nor Gymnasium-Robotics is loaded before an environment is made.
"""

import gymnasium as gym

REACHER_7DOF = "duopoly/Reacher7DOF-v0"
IN_HAND_PEN = "duopoly/InHandPen-v0"

if REACHER_7DOF not in gym.registry:
    gym.register(
        id=REACHER_7DOF,
        entry_point="duopoly.world.tasks.reacher7dof:Reacher7DOFEnv",
        max_episode_steps=50,
    )

if IN_HAND_PEN not in gym.registry:
    gym.register(
        id=IN_HAND_PEN,
        entry_point="duopoly.world.tasks.in_hand_pen:InHandPenEnv",
        max_episode_steps=100,
    )
