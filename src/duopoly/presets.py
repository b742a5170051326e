"""Settings to start from, per task and algorithm; pure Python, read before JAX starts."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final

from duopoly.settings import (
    CollectionSettings,
    Effort,
    ImaginationSettings,
    ModelSettings,
    PolicySettings,
    Settings,
    ValueSettings,
)
from duopoly.world.tasks import VARIANTS


@dataclasses.dataclass(frozen=True)
class Preset:
    """A starting point for one task and algorithm."""

    settings: Settings
    num_env_steps: int
    """Length of a run, in environment steps."""


HOPPER = Settings(
    collection=CollectionSettings(initial_steps=8_000, steps_per_round=2_000),
    model=ModelSettings(hidden=(256, 256), learning_rate=3e-3),
    imagination=ImaginationSettings(num_rollouts=50, horizon=500),
    policy=PolicySettings(discount=0.995, fisher_samples=10_000),
)

# Seen 100 actions ahead, to dive earns more than to stand, and leads on to a hop while noise lasts.
HOPPER_PAL = dataclasses.replace(
    HOPPER, policy=dataclasses.replace(HOPPER.policy, discount=0.99, entropy_bonus=0.005)
)

# Half of the authors' 20 policy steps between collections of half the size, from a wider policy.
HOPPER_MAL = dataclasses.replace(
    HOPPER,
    model=dataclasses.replace(HOPPER.model, epochs=Effort(step=1, conservative=5, convergence=25)),
    policy=dataclasses.replace(HOPPER.policy, steps=Effort(step=1, conservative=5, convergence=10)),
)

REACHER = Settings(
    collection=CollectionSettings(initial_steps=2_500, steps_per_round=500),
    model=ModelSettings(
        hidden=(128, 128),
        learning_rate=1e-2,
        batch_size=128,
        window=20_000,
        epochs=Effort(step=1, conservative=10, convergence=40),
    ),
    imagination=ImaginationSettings(num_rollouts=60, horizon=50),
    policy=PolicySettings(
        initial_log_std=-0.5,
        discount=0.97,
        gae_lambda=0.95,
        steps=Effort(step=1, conservative=10, convergence=20),
        fisher_samples=4_000,
        value=ValueSettings(batch_size=250),
    ),
)

PENDULUM = Settings(
    collection=CollectionSettings(initial_steps=500, steps_per_round=500),
    model=ModelSettings(hidden=(128, 128), learning_rate=1e-2, batch_size=64),
    imagination=ImaginationSettings(num_rollouts=50, horizon=200),
    policy=PolicySettings(discount=0.99, fisher_samples=4_000),
)

# Gymnasium's Pendulum-v1, of which nothing is known: the reward is learned with the model.
SWING_UP = Settings(
    collection=CollectionSettings(initial_steps=1_000, steps_per_round=500),
    model=ModelSettings(
        hidden=(128, 128), learning_rate=3e-3, batch_size=128, outcome_hidden=(64, 64)
    ),
    imagination=ImaginationSettings(num_rollouts=25, horizon=200),
    policy=PolicySettings(
        discount=0.98,
        gae_lambda=0.95,
        steps=Effort(step=1, conservative=10, convergence=20),
        fisher_samples=4_000,
    ),
)

# Random torques throw it over: from a third of their usual size it learns to keep its feet first.
ANT = dataclasses.replace(
    HOPPER,
    model=dataclasses.replace(
        HOPPER.model, window=40_000, epochs=Effort(step=1, conservative=10, convergence=12)
    ),
    imagination=ImaginationSettings(num_rollouts=50, horizon=250),
    policy=dataclasses.replace(HOPPER.policy, initial_log_std=-1.0, discount=0.99),
)

# Only from the start, upright: on its back, where half of the early data are, it is easy to creep.
CHEETAH = dataclasses.replace(
    HOPPER,
    model=dataclasses.replace(HOPPER.model, window=50_000),
    imagination=ImaginationSettings(num_rollouts=100, horizon=75),
    policy=dataclasses.replace(
        HOPPER.policy,
        discount=0.98,
        gae_lambda=0.95,
        steps=Effort(step=1, conservative=10, convergence=20),
    ),
)

PUSHER = dataclasses.replace(
    REACHER,
    model=dataclasses.replace(REACHER.model, hidden=(256, 256), learning_rate=3e-3),
    imagination=ImaginationSettings(num_rollouts=60, horizon=100),
)

# With 24 joints, a gradient from few rollouts is mostly noise; damping keeps it out of the step.
PEN = dataclasses.replace(
    PUSHER,
    collection=CollectionSettings(initial_steps=5_000, steps_per_round=2_000),
    model=dataclasses.replace(
        PUSHER.model,
        batch_size=256,
        window=40_000,
        epochs=Effort(step=1, conservative=5, convergence=10),
    ),
    imagination=ImaginationSettings(num_rollouts=120, horizon=100),
    policy=dataclasses.replace(
        PUSHER.policy,
        discount=0.98,
        steps=Effort(step=1, conservative=20, convergence=40),
        cg_damping=0.1,
        value=ValueSettings(batch_size=1_000),
    ),
)

DKITTY = dataclasses.replace(
    REACHER,
    collection=CollectionSettings(initial_steps=4_000, steps_per_round=1_000),
    model=dataclasses.replace(
        REACHER.model,
        hidden=(256, 256),
        learning_rate=3e-3,
        batch_size=256,
        epochs=Effort(step=1, conservative=5, convergence=10),
    ),
    imagination=ImaginationSettings(num_rollouts=60, horizon=80),
    policy=dataclasses.replace(
        REACHER.policy, discount=0.98, steps=Effort(step=1, conservative=20, convergence=40)
    ),
)

# What three fingertips do to a valve is hard to predict: all data, and long fits of larger steps.
DCLAW = dataclasses.replace(
    DKITTY,
    model=dataclasses.replace(
        DKITTY.model,
        learning_rate=1e-2,
        window=50_000,
        epochs=Effort(step=1, conservative=5, convergence=15),
    ),
    imagination=ImaginationSettings(num_rollouts=360, horizon=40),
    policy=dataclasses.replace(
        DKITTY.policy,
        initial_log_std=0.0,
        entropy_bonus=0.003,
        discount=REACHER.policy.discount,
    ),
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


def as_pets(base: Settings) -> Settings:
    """Plans every action by CEM, as PETS does; it explores by the noise of its plans alone."""
    planner = dataclasses.replace(base.policy.planner, exploration_std=0.0)
    policy = dataclasses.replace(base.policy, improver="cem", planner=planner)
    return dataclasses.replace(base, policy=policy)


def as_metrpo(base: Settings) -> Settings:
    """Improves the policy by TRPO over the ensemble, as ME-TRPO does."""
    policy = dataclasses.replace(base.policy, improver="trpo")
    return dataclasses.replace(base, policy=policy)


def as_slbo(base: Settings) -> Settings:
    """Improves the policy by TRPO in a single network, as SLBO does."""
    policy = dataclasses.replace(base.policy, improver="trpo")
    model = dataclasses.replace(base.model, num_members=1)
    return dataclasses.replace(base, policy=policy, model=model)


METHODS: Final[Mapping[str, Callable[[Settings], Settings]]] = {
    "pets": as_pets,
    "metrpo": as_metrpo,
    "slbo": as_slbo,
}
"""What an earlier method changes of a task's settings for MAL, whichever the task."""


def preset(task_name: str, algorithm: str) -> Preset:
    """Returns the starting point for a task and an algorithm; for other tasks, the defaults.

    A variant of a task starts where the task does.
    """
    base = VARIANTS.get(task_name, task_name)
    if algorithm in METHODS and (base, algorithm) not in PRESETS:
        found = preset(base, "mal")
        return Preset(METHODS[algorithm](found.settings), found.num_env_steps)
    return PRESETS.get((base, algorithm), Preset(Settings(), 50_000))
