"""A study: a task, an algorithm and what differs from its preset, over several seeds."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duopoly.runs.rundir import run_directory, safe_name

SEEDS = (0, 1, 2, 3, 4)
"""Those of a study that names none."""


@dataclasses.dataclass(frozen=True)
class Study:
    """What is played, for how long, and what differs from the preset."""

    task: str
    variant: str
    """The algorithm, and after a hyphen what differs: ``pal-svg``."""
    algorithm: str
    num_env_steps: int | None = None
    """None: the preset's."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Changes of the settings, by dotted name."""
    perturb: tuple[str, ...] = ()
    """Changes of the world on the way."""
    seeds: tuple[int, ...] = SEEDS
    data: tuple[str, ...] = ()
    """Logged transitions to begin with, as they are typed."""

    @property
    def name(self) -> str:
        """``task/variant``, as it is typed; a path as well."""
        return f"{safe_name(self.task)}/{self.variant}"

    def run_path(self, root: Path, seed: int) -> Path:
        """Where the run of a seed lies, under the folder of all studies' runs."""
        return run_directory(root / self.variant, self.task, self.algorithm, seed).path

    def words(self, root: Path, seed: int) -> list[str]:
        """What follows ``duopoly`` to train one seed, or to go on with it."""
        words = ["train", self.task, "--algorithm", self.algorithm, "--seed", str(seed)]
        words += ["--out", str(root / self.variant), "--resume"]
        if self.num_env_steps is not None:
            words += ["--steps", str(self.num_env_steps)]
        for setting, value in self.changes.items():
            words += _spell(setting, value)
        if self.data:
            words += ["--data", *self.data]
        return [*words, "--perturb", *self.perturb] if self.perturb else words


def _spell(setting: str, value: Any) -> list[str]:
    """A setting as it is typed."""
    values = value if isinstance(value, tuple | list) else (value,)
    if isinstance(value, bool):
        group, dot, last = setting.rpartition(".")
        setting, values = group + dot + ("" if value else "no_") + last, ()
    return ["--" + setting.replace("_", "-"), *map(str, values)]
