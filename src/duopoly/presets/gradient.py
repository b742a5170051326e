"""Settings for policy players that follow a gradient or plan, task by task."""

from collections.abc import Mapping
from typing import Any, Final

from duopoly.presets.preset import Preset
from duopoly.settings import Settings, override

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

# Half of the passes over the data lose nothing; stopped by held-out data, fits lose more.
REACHER_PAL = override(REACHER, {"model.epochs.convergence": 20})

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

_FOUND: Final[Mapping[tuple[str, str], Preset]] = {
    ("Reacher7DOF", "pal"): Preset(REACHER_PAL, 8_000),
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
PRESETS: Final[Mapping[tuple[str, str], Preset]] = {
    **_FOUND,
    **{(task, "auto"): found for (task, algorithm), found in _FOUND.items() if algorithm == "pal"},
    # No run is longer than PAL's window, and fits are padded to all data.
    ("Reacher7DOF", "auto"): Preset(override(REACHER_PAL, {"model.capacity": 20_000}), 15_000),
}
"""PAL's are found by trying; the others start from them and from the authors' configurations. Tasks
in `SHARED` have one for all, and a game with a referee starts from PAL's."""

METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Plans every action by CEM; it explores by the noise of its plans alone.
    "pets": {"policy.improver": "cem", "policy.planner.exploration_std": 0.0},
    # Improves the policy by TRPO over the ensemble.
    "metrpo": {"policy.improver": "trpo"},
    # Improves the policy by TRPO in a single network.
    "slbo": {"policy.improver": "trpo", "model.num_members": 1},
}
"""What an earlier method changes of a task's settings for MAL, whichever the task."""
