"""Mistakes that the user can mend, told in one line."""

import contextlib
import sys
from collections.abc import Iterator


class UsageError(ValueError):
    """What was asked cannot be done; the message is one line naming the fault and the way out."""

    exit_code = 2


class FailureError(UsageError):
    """What was asked was begun and failed."""

    exit_code = 1


class DamageError(FailureError):
    """Something on disk is not what was written there, or could not be written."""


def tell(text: str) -> None:
    """Writes one line to stderr; what a file or a user put into it controls no terminal."""
    line = " ".join(text.split())
    print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), file=sys.stderr)


@contextlib.contextmanager
def as_failures(*more: type[Exception]) -> Iterator[None]:
    """Turns the known ways in which a game can fail, and ``more``, into a `FailureError`."""
    from duopoly.game.state import GameError
    from duopoly.world.interaction import SimulatorError
    from duopoly.world.perturb import PerturbationError
    from duopoly.world.task import TaskError

    try:
        yield
    except (GameError, SimulatorError, TaskError, PerturbationError, *more) as error:
        raise FailureError(str(error)) from error
