"""The project's own environments in Gymnasium's registry.

Importing this module registers them, so that this works in any program::

    gymnasium.make("duopoly.world.registration:duopoly/Reacher7DOF-v0")
"""

import gymnasium as gym

REACHER_7DOF = "duopoly/Reacher7DOF-v0"

if REACHER_7DOF not in gym.registry:
    gym.register(
        id=REACHER_7DOF,
        entry_point="duopoly.world.tasks.reacher7dof:Reacher7DOFEnv",
        max_episode_steps=50,
    )
