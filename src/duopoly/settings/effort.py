"""How far a player moves in a round."""

import dataclasses
import enum

from duopoly.fields import at_least
from duopoly.records import Checked


class Degree(enum.Enum):
    """How far a player moves in a round; an `Effort` says what that is in numbers."""

    STEP = "step"
    CONSERVATIVE = "conservative"
    CONVERGENCE = "convergence"


@dataclasses.dataclass(frozen=True)
class Effort(Checked):
    """How far a player moves in one round, by the degree its schedule asks for."""

    step: int = at_least(1, 1)
    """One small step: both players of GDA."""
    conservative: int = at_least(1, 5)
    """A few careful steps: the leader of PAL or MAL."""
    convergence: int = at_least(1, 25)
    """Enough steps for a best response: the follower of PAL or MAL, both players of BR."""

    def at(self, degree: Degree) -> int:
        """Returns the number for a degree."""
        match degree:
            case Degree.STEP:
                return self.step
            case Degree.CONSERVATIVE:
                return self.conservative
            case Degree.CONVERGENCE:
                return self.convergence
