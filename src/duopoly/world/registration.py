"""The project's own environments in Gymnasium's registry.

`import duopoly` imports this module, which registers them, so that this works in any program::

    import duopoly, gymnasium

    gymnasium.make("duopoly/Reacher7DOF-v0")
    gymnasium.make("duopoly/DClawTurn-v0", variant="fixed")

Neither JAX nor MuJoCo nor Gymnasium-Robotics is loaded before an environment is made.
"""

import gymnasium as gym

from duopoly.world.tasks.catalogue import LISTED

for _row in LISTED:
    if _row.environment and _row.env_id not in gym.registry:
        gym.register(
            id=_row.env_id,
            entry_point=f"duopoly.world.tasks.{_row.environment}",
            max_episode_steps=_row.env_steps,
        )
