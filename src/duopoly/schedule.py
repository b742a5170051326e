"""Who moves when: each algorithm is a value, a `Schedule` of the same game.

Pure Python on purpose: the command line checks a schedule against the settings before JAX starts.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

from duopoly.settings import Degree, Settings, SettingsError


class Move(enum.Enum):
    """What can happen in a round."""

    COLLECT = "collect"
    """The policy acts in the real world: data D_k from µ^π_M."""
    FIT = "fit"
    """The model player improves M̂ on the data it remembers."""
    IMPROVE = "improve"
    """The policy player improves π in the model."""


class Memory(enum.Enum):
    """Which data the model player fits."""

    FRESH = "fresh"
    """Only what was just collected, D_k."""
    WINDOW = "window"
    """A window of recent transitions."""
    EVERYTHING = "everything"
    """All data so far."""


class Leader(enum.Enum):
    """Who moves slowly, knowing that the other will answer with a best response (Eq. 10)."""

    NOBODY = "nobody"
    POLICY = "policy"
    MODEL = "model"


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Who moves when, how far, and on which memory.

    A round goes through ``stages`` in order. All moves of one stage happen at once: each sees the
    players as they were when the stage began.
    """

    name: str
    stages: tuple[tuple[Move, ...], ...]
    policy_effort: Degree
    model_effort: Degree
    memory: Memory
    leader: Leader

    def __post_init__(self) -> None:
        moves = sorted(move.value for stage in self.stages for move in stage)
        if moves != sorted(move.value for move in Move):
            raise ValueError(
                f"schedule {self.name!r} has the moves {', '.join(moves)}; "
                f"a round has each of {', '.join(move.value for move in Move)} once"
            )


# Gradient descent ascent, Eq. (6)-(7)
GDA: Final = Schedule(
    name="gda",
    stages=((Move.COLLECT,), (Move.IMPROVE, Move.FIT)),
    policy_effort=Degree.STEP,
    model_effort=Degree.STEP,
    memory=Memory.FRESH,
    leader=Leader.NOBODY,
)

# Best response, Eq. (8)-(9)
BR: Final = Schedule(
    name="br",
    stages=((Move.COLLECT,), (Move.IMPROVE, Move.FIT)),
    policy_effort=Degree.CONVERGENCE,
    model_effort=Degree.CONVERGENCE,
    memory=Memory.FRESH,
    leader=Leader.NOBODY,
)

# Policy as leader, Algorithm 1, Eq. (12)-(13)
PAL: Final = Schedule(
    name="pal",
    stages=((Move.COLLECT,), (Move.FIT,), (Move.IMPROVE,)),
    policy_effort=Degree.CONSERVATIVE,
    model_effort=Degree.CONVERGENCE,
    memory=Memory.WINDOW,
    leader=Leader.POLICY,
)

# Model as leader, Algorithm 2, Eq. (15)-(16)
MAL: Final = Schedule(
    name="mal",
    stages=((Move.IMPROVE,), (Move.COLLECT,), (Move.FIT,)),
    policy_effort=Degree.CONVERGENCE,
    model_effort=Degree.CONSERVATIVE,
    memory=Memory.EVERYTHING,
    leader=Leader.MODEL,
)

SCHEDULES: Final[Mapping[str, Schedule]] = {s.name: s for s in (GDA, BR, PAL, MAL)}


def check_leader(schedule: Schedule, settings: Settings) -> None:
    """Refuses a leader's gradient where nobody leads.

    Raises:
        SettingsError: both players of the schedule move at once, so neither foresees an answer.
    """
    if schedule.leader is Leader.NOBODY and settings.leader.gradient != "first_order":
        raise SettingsError(
            f"leader.gradient = {settings.leader.gradient!r}: nobody leads in {schedule.name}, "
            f"where each player answers the other's last move; keep 'first_order', or play pal "
            f"or mal"
        )
