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

# More data a round, from a policy that moves further, as the authors' configuration for MAL has it.
HOPPER_MAL = dataclasses.replace(
    HOPPER,
    collection=CollectionSettings(initial_steps=20_000, steps_per_round=4_000),
    imagination=ImaginationSettings(num_rollouts=25, horizon=500),
    policy=dataclasses.replace(HOPPER.policy, initial_log_std=-0.5),
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

PRESETS: Final[Mapping[tuple[str, str], Preset]] = {
    ("Reacher7DOF", "pal"): Preset(REACHER, 8_000),
    ("Reacher7DOF", "mal"): Preset(REACHER, 15_000),
    ("Reacher7DOF", "gda"): Preset(REACHER, 15_000),
    ("Reacher7DOF", "br"): Preset(REACHER, 15_000),
    ("Hopper-v5", "pal"): Preset(HOPPER, 50_000),
    ("Hopper-v5", "mal"): Preset(HOPPER_MAL, 100_000),
    ("Hopper-v5", "gda"): Preset(HOPPER, 100_000),
    ("Hopper-v5", "br"): Preset(HOPPER, 100_000),
    ("InvertedPendulum-v5", "pal"): Preset(PENDULUM, 5_000),
    ("InvertedPendulum-v5", "mal"): Preset(PENDULUM, 5_000),
    ("InvertedPendulum-v5", "gda"): Preset(PENDULUM, 10_000),
    ("InvertedPendulum-v5", "br"): Preset(PENDULUM, 10_000),
}
"""PAL's are found by trying; the others start from them and from the authors' configurations."""


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
    """Returns the starting point for a task and an algorithm; for other tasks, the defaults."""
    if algorithm in METHODS and (task_name, algorithm) not in PRESETS:
        base = preset(task_name, "mal")
        return Preset(METHODS[algorithm](base.settings), base.num_env_steps)
    return PRESETS.get((task_name, algorithm), Preset(Settings(), 50_000))
