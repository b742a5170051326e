"""In how many processes episodes are played.

Nothing heavy is imported, so that the command line can say it before a simulator is loaded.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from duopoly.world.task import Task


@dataclasses.dataclass(frozen=True)
class Workers:
    """Who plays the episodes of a game; it changes no number of it."""

    number: int = 1
    """Processes that play, each with a copy of the environment of its own; 1: this process alone,
    one episode after another."""
    source: "Callable[[], Task] | None" = None
    """Sent to each of them, where it makes the task; None: the task itself is sent."""

    def __post_init__(self) -> None:
        if not (isinstance(self.number, int) and self.number >= 1):
            raise ValueError(f"num_workers = {self.number}: must be a whole number ≥ 1")


ALONE: Final = Workers()
"""One process plays."""
