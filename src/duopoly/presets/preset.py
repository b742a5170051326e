"""What a preset is."""

import dataclasses

from duopoly.settings import Settings


@dataclasses.dataclass(frozen=True)
class Preset:
    """A starting point for one task and algorithm."""

    settings: Settings
    num_env_steps: int
    """Length of a run, in environment steps."""
