"""The project's own environments in Gymnasium's registry.

`import duopoly` imports this module, which registers them, so that this works in any program::

    import duopoly, gymnasium

    gymnasium.make("duopoly/Reacher7DOF-v0")
    gymnasium.make("duopoly/DClawTurn-v0", variant="fixed")

Neither JAX nor MuJoCo nor Gymnasium-Robotics is loaded before an environment is made.
"""

import gymnasium as gym

REACHER_7DOF = "duopoly/Reacher7DOF-v0"
DCLAW_TURN = "duopoly/DClawTurn-v0"
DKITTY_ORIENT = "duopoly/DKittyOrient-v0"
IN_HAND_PEN = "duopoly/InHandPen-v0"

_ENVIRONMENTS = {
    REACHER_7DOF: ("reacher7dof:Reacher7DOFEnv", 50),
    DCLAW_TURN: ("dclaw_turn:DClawTurnEnv", 40),
    DKITTY_ORIENT: ("dkitty_env:DKittyOrientEnv", 80),
    IN_HAND_PEN: ("in_hand_pen:InHandPenEnv", 100),
}
"""Module and class of each, and its horizon."""

for _name, (_entry_point, _horizon) in _ENVIRONMENTS.items():
    if _name not in gym.registry:
        gym.register(
            id=_name,
            entry_point=f"duopoly.world.tasks.{_entry_point}",
            max_episode_steps=_horizon,
        )
