"""Settings for actor-critics: the same for all tasks, and what differs from them."""

from collections.abc import Mapping
from typing import Any, Final

from duopoly.settings import Improver, Settings, override

# An actor-critic, the same for all tasks: its actor and critics learn as fast as the data come in.
ACTOR_CRITIC = override(
    Settings(),
    {
        "collection.initial_steps": 4_000,
        "collection.steps_per_round": 500,
        "collection.episodes_go_on": True,
        "model.hidden": (256, 256),
        "model.learning_rate": 3e-3,
        "model.batch_size": 256,
        "model.window": 100_000,
        "model.epochs.convergence": 40,
        "model.steps_per_env_step": 1.0,
        "imagination.num_rollouts": 5,
        "imagination.horizon": 200,
        "policy.improver": "svg",
        "policy.hidden": (256, 256),
        "policy.discount": 0.995,
        "policy.learning_rate": 5e-4,
        "policy.min_log_std": -3.0,
        "policy.steps.step": 50,
        "policy.steps.conservative": 1_000,
        "policy.steps.convergence": 1_000,
        "policy.actor_critic.horizon": 5,
        "policy.actor_critic.pool_horizon": 20,
        "policy.actor_critic.newest_share": 0.5,
        "policy.actor_critic.max_gradient_norm": 1_000.0,
        "evaluation.gap_steps": 0,
    },
)

_PENDULUM: Final = {"collection.initial_steps": 500}
_ARM: Final = {"collection.initial_steps": 2_500, "policy.discount": 0.97}
# They learn twice as fast where each action is held for one step, not for two.
_RUNNER: Final = {"collection.action_repeat": 1}
ACTOR_CRITICS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Hopper-v5": _RUNNER,
    "HalfCheetah-v5": _RUNNER,
    "Walker2d-v5": _RUNNER,
    "Reacher7DOF": _ARM,
    "Reacher-v5": _ARM,
    "Pusher-v5": _ARM,
    "InvertedPendulum-v5": _PENDULUM,
    "InvertedDoublePendulum-v5": _PENDULUM,
    "Pendulum-v1": {"collection.initial_steps": 1_000, "policy.discount": 0.98},
    "DClawTurn": {"policy.discount": 0.97},
    "DKittyOrient": {"policy.discount": 0.98},
    "InHandPen": {"policy.discount": 0.98},
}
"""What differs from `ACTOR_CRITIC`, by task: how far episodes look ahead, and how long they are."""

# To stand still is tempting.
_CURIOUS: Final = {
    "robustness.disagreement_bonus": 3.0,
    "robustness.num_compared": 1,
    "policy.actor_critic.initial_share": 0.15,
}
# Without noise the members' errors cancel, and the slow drift that ends in a fall is not imagined.
_NOISY: Final = {"model.loss": "noise_level", "model.noise_share": 0.5}
IN_SCHEDULES: Final[Mapping[str, Mapping[str, Any]]] = {
    "Hopper-v5": _CURIOUS,
    "Walker2d-v5": {**_CURIOUS, **_NOISY},
}
"""What differs from `ACTOR_CRITIC` in the paper's schedules, by task."""

# The policy is conservative: it stays near to the round's first, and settles as data come in.
_CONSERVATIVE: Final = {
    "policy.actor_critic.proximal": 1.0,
    "policy.actor_critic.halving_updates": 40_000,
}
SCHEDULED: Final[Mapping[str, Mapping[str, Any]]] = {
    "pal": _CONSERVATIVE,
    "auto": {**_CONSERVATIVE, "policy.steps.convergence": 2_000},
    "mal": {"policy.actor_critic.tolerance": 0.01, "policy.steps.convergence": 2_000},
}
"""What differs from `ACTOR_CRITIC` in one of the paper's schedules."""

IMPROVERS: Final[tuple[Improver, ...]] = ("svg", "sac")
"""The policy players whose settings begin with `ACTOR_CRITIC`."""

ACTOR_CRITIC_METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Critics learn from real steps alone, the actor through three imagined ones from real states.
    "svg": {
        "policy.improver": "svg",
        "policy.actor_critic.horizon": 3,
        "policy.actor_critic.lookahead_weight": 1.0,
        "policy.actor_critic.pool_horizon": 1,
        "policy.actor_critic.real_share": 1.0,
        "policy.actor_critic.num_critics": 2,
    },
    # Both learn over several imagined steps, from states that the actor has imagined.
    "dhmbpo": {
        "policy.improver": "svg",
        "policy.actor_critic.horizon": 5,
        "policy.actor_critic.lookahead_weight": 1.0,
        "policy.actor_critic.pool_horizon": 20,
        "policy.actor_critic.num_critics": 5,
        "policy.actor_critic.batch_size": 256,
        "policy.actor_critic.target_entropy": -1.0,
        "model.layer_norm": True,
        "model.dropout": 0.005,
        "model.num_members": 8,
    },
    # Both learn from single steps, imagined from real states, and a few real ones among them.
    "mbpo": {
        "policy.improver": "sac",
        "policy.steps.convergence": 10_000,
        "policy.actor_critic.pool_horizon": 1,
        "policy.actor_critic.real_share": 0.05,
        "policy.actor_critic.num_critics": 2,
        "policy.actor_critic.batch_size": 256,
        "model.loss": "likelihood",
        "model.num_members": 7,
    },
    # Both learn from single real steps; the model, as small as can be, is not asked.
    "sac": {
        "policy.improver": "sac",
        "policy.steps.convergence": 500,
        "policy.actor_critic.real_share": 1.0,
        "policy.actor_critic.num_critics": 2,
        "policy.actor_critic.batch_size": 256,
        "policy.actor_critic.target_entropy": -1.0,
        "model.num_members": 1,
        "model.hidden": (1,),
        "model.epochs.convergence": 1,
    },
}
"""What an earlier method changes of `ACTOR_CRITIC`, whichever the task."""
