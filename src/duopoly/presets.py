"""Settings found by trying, per task and algorithm; pure Python, read before JAX starts."""

import dataclasses
from collections.abc import Mapping
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

ALGORITHMS: Final = ("pal", "mal", "gda", "br")


@dataclasses.dataclass(frozen=True)
class Preset:
    """A starting point for one task and algorithm."""

    settings: Settings
    num_env_steps: int
    """Length of a run, in environment steps."""


HOPPER = Settings(
    model=ModelSettings(hidden=(256, 256), learning_rate=3e-3),
    policy=PolicySettings(discount=0.995, fisher_samples=10_000),
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
    model=ModelSettings(hidden=(128, 128), batch_size=64),
    imagination=ImaginationSettings(num_rollouts=50, horizon=200),
    policy=PolicySettings(discount=0.995),
)

PRESETS: Final[Mapping[tuple[str, str], Preset]] = {
    ("Hopper-v5", "pal"): Preset(HOPPER, 50_000),
    ("Reacher7DOF", "pal"): Preset(REACHER, 8_000),
    ("InvertedPendulum-v5", "pal"): Preset(PENDULUM, 5_000),
}


def preset(task_name: str, algorithm: str) -> Preset:
    """Return the starting point for a task and an algorithm.

    An algorithm without a preset of its own starts from PAL's: effort and memory differ by
    schedule anyway. A task without any starts from the defaults, for 50 000 steps.
    """
    fallback = PRESETS.get((task_name, "pal"), Preset(Settings(), 50_000))
    return PRESETS.get((task_name, algorithm), fallback)
