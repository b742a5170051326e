"""``duopoly picture``: robots at reset and policies at work."""

import dataclasses
from pathlib import Path
from typing import Annotated, Final

from tyro.conf import Positional, arg

from duopoly.fields import between
from duopoly.runs import atomic
from duopoly.runs.config import MAX_SEED
from duopoly.runs.errors import UsageError, as_failures
from duopoly.runs.rundir import RunDirectory
from duopoly.world.tasks import UnknownTaskError, canonical_name

KINDS: Final = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf")


@dataclasses.dataclass(frozen=True)
class Picture:
    """Draw robots at reset, or trained policies at work."""

    what: Positional[Annotated[tuple[str, ...], arg(metavar="TASK|RUN")]]
    """Tasks, each drawn once, at reset; or run directories and saved agents, each in several
    moments of an episode."""
    out: Path = Path("picture.png")
    """Picture to write."""
    moments: int = between(1, 20, 4)
    """Moments of an episode, evenly spread from reset to end."""
    columns: int = between(1, 20, 4)
    """Drawings side by side, at most."""
    width: int = between(16, 4_096, 480)
    """Of a drawing, in pixels; three quarters of it is its height."""
    seed: int = between(0, MAX_SEED, 0)
    """Seed of the episodes."""


def act(command: Picture) -> None:
    """Draws everything side by side.

    Raises:
        UnknownTaskError: a word is neither a task nor a directory.
        UsageError: there is nothing to draw, or no place for it; a `FailureError` if it failed.
    """
    subjects = [subject_of(word) for word in command.what]
    if command.out.suffix.lower() not in KINDS:
        raise UsageError(
            f"{command.out}: must end in one of {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        )
    atomic.check_writable(command.out)
    from duopoly.render import picture
    from duopoly.render.frames import RenderError

    with as_failures(RenderError):
        drawn = picture.draw(subjects, command.moments, command.width, command.seed)
    picture.write(drawn, command.columns, command.out)
    print(f"written to {command.out}, drawn with {drawn.backend}")


def subject_of(word: str) -> str | Path:
    """What a word means: a task, by its own name, or a directory with a trained policy.

    Raises:
        UnknownTaskError: it is neither the name of a task nor a directory.
        UsageError: the directory holds no run.
    """
    try:
        return canonical_name(word)
    except UnknownTaskError:
        if not (path := Path(word)).is_dir():
            raise
    RunDirectory(path).read_config()
    return path
