"""What a comparison of a task with its environment found, and how it is told."""

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class Worst:
    """The transition at which a function is furthest from the environment."""

    episode: int
    """Counted from 0, in the order played."""
    step: int
    """Action within the episode, counted from 0."""
    obs: Float[np.ndarray, " obs"]
    action: Float[np.ndarray, " act"]
    """In the environment's units."""
    next_obs: Float[np.ndarray, " obs"]
    expected: float | bool
    """What the environment gave."""
    got: float | bool
    """What the task says."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """One part of a task, compared with the environment."""

    part: str
    num_compared: int
    """Actions compared."""
    num_wrong: int
    """Those at which the two differ by more than rounding explains."""
    mean_deviation: float
    """Over all actions; of a yes-or-no function the share that is wrong."""
    max_deviation: float
    worst: Worst | None
    """None where nothing is wrong."""

    def __str__(self) -> str:
        mean, largest = self.mean_deviation, self.max_deviation
        deviation = f"deviation {mean:.3g} on average, {largest:.3g} at most"
        if self.worst is None:
            return f"  {self.part}: agrees at {self.num_compared:,} actions ({deviation})"
        at = self.worst
        return "\n".join(
            [
                f"  {self.part}: DIFFERS at {self.num_wrong:,} of {self.num_compared:,} actions "
                f"({deviation})",
                f"    most in episode {at.episode}, action {at.step}: "
                f"the environment gives {_spell(at.expected)}, the task {_spell(at.got)}",
                f"    obs      = {_spell(at.obs)}",
                f"    action   = {_spell(at.action)}",
                f"    next_obs = {_spell(at.next_obs)}",
            ]
        )


@dataclasses.dataclass(frozen=True, eq=False)
class TaskReport:
    """What `check_task` found; `str` of it is for people."""

    task: str
    num_actions: int
    num_episodes: int
    num_ends: int
    """Episodes that the world ended (terminated, not truncated)."""
    num_dropped: int
    """Episodes thrown away because the simulation diverged."""
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    """What could not be compared, or may surprise."""

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.differing

    @property
    def differing(self) -> tuple[str, ...]:
        """Names of the parts that differ from the environment."""
        return tuple(found.part for found in self.comparisons if found.num_wrong)

    def __str__(self) -> str:
        head = (
            f"{self.task}: {self.num_actions:,} actions in {self.num_episodes:,} episodes, "
            f"{self.num_ends:,} of them ended by the world"
        )
        if self.num_dropped:
            head += f"; {self.num_dropped:,} more diverged and were dropped"
        notes = (f"  note: {note}" for note in self.notes)
        return "\n".join([head, *map(str, self.comparisons), *notes])


def _spell(value: float | bool | np.ndarray) -> str:
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=6, max_line_width=10**6, threshold=60)
    return str(value) if isinstance(value, bool) else f"{value:.7g}"
