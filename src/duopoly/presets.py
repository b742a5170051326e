"""Settings to start from, per task and algorithm; pure Python, read before JAX starts."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from duopoly.settings import Improver, Settings, override
from duopoly.world.tasks.catalogue import CATALOGUE


@dataclasses.dataclass(frozen=True)
class Preset:
    """A starting point for one task and algorithm."""

    settings: Settings
    num_env_steps: int
    """Length of a run, in environment steps."""


HOPPER = override(
    Settings(),
    {
        "collection.initial_steps": 8_000,
        "collection.steps_per_round": 2_000,
        "model.hidden": (256, 256),
        "model.learning_rate": 3e-3,
        "imagination.num_rollouts": 50,
        "imagination.horizon": 500,
        "policy.discount": 0.995,
        "policy.fisher_samples": 10_000,
    },
)

# Seen 100 actions ahead, to dive earns more than to stand, and leads on to a hop while noise lasts.
HOPPER_PAL = override(HOPPER, {"policy.discount": 0.99, "policy.entropy_bonus": 0.005})

# Half of the authors' 20 policy steps between collections of half the size, from a wider policy.
HOPPER_MAL = override(HOPPER, {"model.epochs.conservative": 5, "policy.steps.convergence": 10})

REACHER = override(
    Settings(),
    {
        "collection.initial_steps": 2_500,
        "collection.steps_per_round": 500,
        "model.hidden": (128, 128),
        "model.learning_rate": 1e-2,
        "model.batch_size": 128,
        "model.window": 20_000,
        "model.epochs.convergence": 40,
        "imagination.num_rollouts": 60,
        "imagination.horizon": 50,
        "policy.initial_log_std": -0.5,
        "policy.discount": 0.97,
        "policy.gae_lambda": 0.95,
        "policy.steps.conservative": 10,
        "policy.fisher_samples": 4_000,
        "policy.value.batch_size": 250,
    },
)

PENDULUM = override(
    Settings(),
    {
        "collection.initial_steps": 500,
        "collection.steps_per_round": 500,
        "model.hidden": (128, 128),
        "model.learning_rate": 1e-2,
        "model.batch_size": 64,
        "imagination.num_rollouts": 50,
        "imagination.horizon": 200,
        "policy.discount": 0.99,
        "policy.fisher_samples": 4_000,
    },
)

# Gymnasium's Pendulum-v1, of which nothing is known: the reward is learned with the model.
SWING_UP = override(
    Settings(),
    {
        "collection.initial_steps": 1_000,
        "collection.steps_per_round": 500,
        "model.hidden": (128, 128),
        "model.learning_rate": 3e-3,
        "model.batch_size": 128,
        "model.outcome_hidden": (64, 64),
        "imagination.num_rollouts": 25,
        "imagination.horizon": 200,
        "policy.discount": 0.98,
        "policy.gae_lambda": 0.95,
        "policy.steps.conservative": 10,
        "policy.fisher_samples": 4_000,
    },
)

# Random torques throw it over: from a third of their usual size it learns to keep its feet first.
ANT = override(
    HOPPER,
    {
        "model.window": 40_000,
        "model.epochs.convergence": 12,
        "imagination.horizon": 250,
        "policy.initial_log_std": -1.0,
        "policy.discount": 0.99,
    },
)

# Only from the start, upright: on its back, where half of the early data are, it is easy to creep.
CHEETAH = override(
    HOPPER,
    {
        "model.window": 50_000,
        "imagination.num_rollouts": 100,
        "imagination.horizon": 75,
        "policy.discount": 0.98,
        "policy.gae_lambda": 0.95,
        "policy.steps.conservative": 10,
    },
)

PUSHER = override(
    REACHER,
    {
        "model.hidden": (256, 256),
        "model.learning_rate": 3e-3,
        "imagination.horizon": 100,
    },
)

# With 24 joints, a gradient from few rollouts is mostly noise; damping keeps it out of the step.
PEN = override(
    PUSHER,
    {
        "collection.initial_steps": 5_000,
        "collection.steps_per_round": 2_000,
        "model.batch_size": 256,
        "model.window": 40_000,
        "model.epochs.conservative": 5,
        "model.epochs.convergence": 10,
        "imagination.num_rollouts": 120,
        "policy.discount": 0.98,
        "policy.steps.conservative": 20,
        "policy.steps.convergence": 40,
        "policy.cg_damping": 0.1,
        "policy.value.batch_size": 1_000,
    },
)

DKITTY = override(
    REACHER,
    {
        "collection.initial_steps": 4_000,
        "collection.steps_per_round": 1_000,
        "model.hidden": (256, 256),
        "model.learning_rate": 3e-3,
        "model.batch_size": 256,
        "model.epochs.conservative": 5,
        "model.epochs.convergence": 10,
        "imagination.horizon": 80,
        "policy.discount": 0.98,
        "policy.steps.conservative": 20,
        "policy.steps.convergence": 40,
    },
)

# What three fingertips do to a valve is hard to predict: all data, and long fits of larger steps.
DCLAW = override(
    DKITTY,
    {
        "model.learning_rate": 1e-2,
        "model.window": 50_000,
        "model.epochs.convergence": 15,
        "imagination.num_rollouts": 360,
        "imagination.horizon": 40,
        "policy.initial_log_std": 0.0,
        "policy.entropy_bonus": 0.003,
        "policy.discount": REACHER.policy.discount,
    },
)

SHARED: Final[Mapping[str, Preset]] = {
    "HalfCheetah-v5": Preset(CHEETAH, 100_000),
    "Walker2d-v5": Preset(HOPPER, 100_000),
    "Ant-v5": Preset(ANT, 100_000),
    "Humanoid-v5": Preset(ANT, 300_000),
    "Swimmer-v5": Preset(HOPPER, 50_000),
    "InvertedDoublePendulum-v5": Preset(PENDULUM, 10_000),
    "Reacher-v5": Preset(REACHER, 8_000),
    "Pusher-v5": Preset(PUSHER, 20_000),
    "InHandPen": Preset(PEN, 200_000),
    "DClawTurn": Preset(DCLAW, 50_000),
    "DKittyOrient": Preset(DKITTY, 100_000),
}
"""Found by trying PAL; what MAL, BR and GDA make of them, docs/tuning.md tells."""

PRESETS: Final[Mapping[tuple[str, str], Preset]] = {
    ("Reacher7DOF", "pal"): Preset(REACHER, 8_000),
    ("Reacher7DOF", "mal"): Preset(REACHER, 15_000),
    ("Reacher7DOF", "gda"): Preset(REACHER, 15_000),
    ("Reacher7DOF", "br"): Preset(REACHER, 15_000),
    ("Hopper-v5", "pal"): Preset(HOPPER_PAL, 50_000),
    ("Hopper-v5", "mal"): Preset(HOPPER_MAL, 100_000),
    ("Hopper-v5", "gda"): Preset(HOPPER, 100_000),
    ("Hopper-v5", "br"): Preset(HOPPER, 100_000),
    ("InvertedPendulum-v5", "pal"): Preset(PENDULUM, 5_000),
    ("InvertedPendulum-v5", "mal"): Preset(PENDULUM, 5_000),
    ("InvertedPendulum-v5", "gda"): Preset(PENDULUM, 10_000),
    ("InvertedPendulum-v5", "br"): Preset(PENDULUM, 10_000),
    ("Pendulum-v1", "pal"): Preset(SWING_UP, 5_000),
    ("Pendulum-v1", "mal"): Preset(SWING_UP, 10_000),
    ("Pendulum-v1", "gda"): Preset(SWING_UP, 20_000),
    ("Pendulum-v1", "br"): Preset(SWING_UP, 20_000),
    **{
        (task, algorithm): shared
        for task, shared in SHARED.items()
        for algorithm in ("pal", "mal", "gda", "br")
    },
}
"""PAL's are found by trying; the others start from them and from the authors' configurations. Tasks
in `SHARED` have one for all."""


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

SCHEDULED: Final[Mapping[str, Mapping[str, Any]]] = {
    # The policy is conservative: it stays near to the round's first, and settles as data come in.
    "pal": {
        "policy.actor_critic.proximal": 1.0,
        "policy.actor_critic.halving_updates": 40_000,
    },
    "mal": {"policy.actor_critic.tolerance": 0.01, "policy.steps.convergence": 2_000},
}
"""What differs from `ACTOR_CRITIC` in one of the paper's schedules."""

IMPROVERS: Final[tuple[Improver, ...]] = ("svg", "sac")
"""The policy players whose settings begin with `ACTOR_CRITIC`."""

METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Plans every action by CEM; it explores by the noise of its plans alone.
    "pets": {"policy.improver": "cem", "policy.planner.exploration_std": 0.0},
    # Improves the policy by TRPO over the ensemble.
    "metrpo": {"policy.improver": "trpo"},
    # Improves the policy by TRPO in a single network.
    "slbo": {"policy.improver": "trpo", "model.num_members": 1},
}
"""What an earlier method changes of a task's settings for MAL, whichever the task."""

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


def preset(task_name: str, algorithm: str, improver: Improver | None = None) -> Preset:
    """Returns the starting point for a task and an algorithm; for other tasks, the defaults.

    A variant of a task starts where the task does. ``improver`` asks for the settings of a policy
    player other than the preset's own.
    """
    row = CATALOGUE.get(task_name)
    base = row.listed_name if row else task_name
    if algorithm in ACTOR_CRITIC_METHODS:
        changes = ACTOR_CRITIC_METHODS[algorithm]
    elif improver in IMPROVERS:
        changes = IN_SCHEDULES.get(base, {}) | SCHEDULED.get(algorithm, {})
        changes = {**changes, "policy.improver": improver}
    elif algorithm in METHODS and (base, algorithm) not in PRESETS:
        found = preset(base, "mal")
        return Preset(override(found.settings, METHODS[algorithm]), found.num_env_steps)
    else:
        return PRESETS.get((base, algorithm), Preset(Settings(), 50_000))
    settings = override(ACTOR_CRITIC, {**ACTOR_CRITICS.get(base, {}), **changes})
    return Preset(settings, preset(base, "pal").num_env_steps)
