"""The commands and their flags, as frozen dataclasses with one line of help per field.

No JAX here: what the user typed is read and checked before anything heavy is loaded.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from duopoly.presets import preset
from duopoly.runs.config import MAX_SEED
from duopoly.schedule import AlgorithmName
from duopoly.settings import Settings

DEFAULTS = preset("", "pal")
"""What a task without a preset of its own starts from."""


def _between(low: int, high: float, default: int) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a policy and a model on a task; everything lands in one run directory.

    Steps and settings that are not given come from the preset of the task and the algorithm; help
    without a TASK shows those of a task without a preset. Where the world changes on the way, the
    run lasts at least twice as long as until the last change.
    """

    task: Positional[Annotated[str, arg(metavar="TASK")]] = dataclasses.field(
        metadata={"unless": "task_file"}
    )
    """Name of a task, or id in Gymnasium's registry; may be left out with a --task-file."""
    algorithm: AlgorithmName = "pal"
    """Order and effort in which the two players move."""
    steps: int = _between(1, 10**12, DEFAULTS.num_env_steps)
    """Real environment steps in all, each action repeat included."""
    seed: int = _between(0, MAX_SEED, 0)
    """Seed of everything random."""
    out: Path = Path("runs")
    """Directory under which <task>/<algorithm>/seed_<k> is made."""
    resume: bool = False
    """Continue the run that is there, as if it had never stopped."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is trained on."""
    perturb: tuple[str, ...] = ()
    """Changes of the world after so many steps, such as goal@8000; ``duopoly tasks`` lists them."""
    settings: Annotated[Settings, arg(name="")] = DEFAULTS.settings
    """How far the players go."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Play a trained policy's mean action in the real world and report how well it does."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run directory or saved agent."""
    episodes: int = _between(1, 10**6, 100)
    """Episodes to play."""
    seed: int = _between(0, MAX_SEED, 0)
    """Seed of the episodes, none of which training has seen."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is the run's own task."""


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw learning curves: one run, or interquartile means over the seeds of several.

    Runs of one algorithm whose settings differ are drawn apart, named by what differs.
    """

    run: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN")]]
    """Run directories of one task."""
    out: Path | None = None
    """Picture to write [default: curve.png in the run, or in the working directory for several]."""


@dataclasses.dataclass(frozen=True)
class Video:
    """Film a trained policy."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run directory or saved agent."""
    episodes: int = _between(1, 10**4, 3)
    """Episodes to film."""
    out: Path | None = None
    """Film to write [default: video.mp4 in the run]."""
    seed: int = _between(0, MAX_SEED, 0)
    """Seed of the episodes."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is the run's own task."""


@dataclasses.dataclass(frozen=True)
class Check:
    """Compare a task's known functions with its environment, on random or a policy's actions."""

    task: Positional[Annotated[str, arg(metavar="TASK")]] = dataclasses.field(
        metadata={"unless": "task_file"}
    )
    """Name of the task; may be left out with a --task-file."""
    steps: int = _between(100, 10**7, 2_000)
    """Environment steps to play, each action repeat included."""
    seed: int = _between(0, MAX_SEED, 0)
    """Seed of the episodes."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is checked."""
    policy: Path | None = None
    """Run directory or saved agent whose policy acts, with its noise [default: random actions]."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Draw robots at reset, or trained policies at work."""

    what: Positional[Annotated[tuple[str, ...], arg(metavar="TASK|RUN")]]
    """Tasks, each drawn once, at reset; or run directories and saved agents, each in several
    moments of an episode."""
    out: Path = Path("picture.png")
    """Picture to write."""
    moments: int = _between(1, 20, 4)
    """Moments of an episode, evenly spread from reset to end."""
    columns: int = _between(1, 20, 4)
    """Drawings side by side, at most."""
    width: int = _between(16, 4_096, 480)
    """Of a drawing, in pixels; three quarters of it is its height."""
    seed: int = _between(0, MAX_SEED, 0)
    """Seed of the episodes."""


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Confront a run's model with what its policy really meets, in numbers and pictures."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run directory or saved agent."""
    episodes: int = _between(1, 10**6, 10)
    """Real episodes to play."""
    seed: int = _between(0, MAX_SEED, 0)
    """Seed of the episodes, none of which training has seen."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is the run's own task."""


@dataclasses.dataclass(frozen=True)
class Tasks:
    """List the tasks."""


@dataclasses.dataclass(frozen=True)
class Theory:
    """Check the paper's bounds on random tabular games, and draw the figures of docs/theory.md."""

    games: int = _between(10, 10**6, 10_000)
    """Random games per bound and seed; five seeds are tried."""
    states: int = _between(3, 64, 6)
    """States of each game."""
    seed: int = _between(0, MAX_SEED - 4, 0)
    """First of the five seeds."""
    out: Path = Path("results/theory")
    """Directory for tables and figures."""


Command = Train | Evaluate | Plot | Video | Picture | Diagnose | Check | Tasks | Theory

COMMANDS: dict[str, type[Command]] = {
    "train": Train,
    "evaluate": Evaluate,
    "plot": Plot,
    "video": Video,
    "picture": Picture,
    "diagnose": Diagnose,
    "check": Check,
    "tasks": Tasks,
    "theory": Theory,
}
