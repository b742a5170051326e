"""``duopoly picture``: robots at reset and policies at work."""

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from tyro.conf import Positional, arg

from duopoly.cli import task_file
from duopoly.cli.flags import Typed
from duopoly.fields import between
from duopoly.runs import atomic
from duopoly.runs.config import MAX_SEED
from duopoly.runs.errors import UsageError, as_failures
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.trackers.show import show
from duopoly.world.tasks import UnknownTaskError, canonical_name, get_task

if TYPE_CHECKING:
    from duopoly.world.task import Task

KINDS: Final = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf")


@dataclasses.dataclass(frozen=True)
class Picture:
    """Draw robots at reset, or trained policies at work."""

    what: Positional[Annotated[tuple[str, ...], arg(metavar="TASK|RUN")]] = dataclasses.field(
        metadata={"unless": "task_file"}
    )
    """Tasks, each drawn once, at reset; or run directories and saved agents, each in several
    moments of an episode. May be left out with a --task-file, whose task is drawn then."""
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
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is meant by its name, or the runs' own."""


def complete(typed: Typed) -> tuple[Picture, Picture]:
    """What the command would be without its words, and what it is."""
    return Picture(()), Picture(typed.positionals.get("what", ()), **typed.flags)


def act(command: Picture) -> None:
    """Draws everything side by side.

    Raises:
        UnknownTaskError: a word is neither a task nor a directory.
        UsageError: there is nothing to draw, or no place for it; a `FailureError` if it failed.
    """
    own = task_file.load(command.task_file) if command.task_file else None
    known = () if own is None else (own.name,)
    words = [subject_of(word, known) for word in command.what or known]
    if command.out.suffix.lower() not in KINDS:
        raise UsageError(
            f"{command.out}: must end in one of {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        )
    atomic.check_writable(command.out)
    from duopoly.render import picture
    from duopoly.render.frames import RenderError

    def subject(word: str | Path) -> "Task | picture.Trained":
        if isinstance(word, Path):
            file = command.task_file if own and _task_name(word) == own.name else None
            return picture.Trained(word, task_file.task_of(RunDirectory(word), file))
        return own if own and word == own.name else get_task(word)

    subjects = [subject(word) for word in words]
    with as_failures(RenderError):
        drawn = picture.draw(subjects, command.moments, command.width, command.seed)
    picture.write(drawn, command.columns, command.out)
    for path in dict.fromkeys(word for word in words if isinstance(word, Path)):
        show(RunDirectory(path), {"picture": command.out})
    print(f"written to {command.out}, drawn with {drawn.backend}")


def _task_name(path: Path) -> str:
    return RunDirectory(path).read_config().task


def subject_of(word: str, known: Collection[str] = ()) -> str | Path:
    """What a word means: a task, by its own name, or a directory with a trained policy.

    Names in ``known`` are those of tasks, too.

    Raises:
        UnknownTaskError: it is neither the name of a task nor a directory.
        UsageError: the directory holds no run.
    """
    if word in known:
        return word
    try:
        return canonical_name(word)
    except UnknownTaskError:
        if not (path := Path(word)).is_dir():
            raise
    RunDirectory(path).read_config()
    return path
