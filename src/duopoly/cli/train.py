"""``duopoly train``: a run from its first step, or its newest checkpoint, to its end."""

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from tyro.conf import Positional, arg

from duopoly.cli import task_file
from duopoly.cli.flags import Typed, build
from duopoly.cli.task_file import MAX_WORKERS
from duopoly.fields import between
from duopoly.memory import check_memory
from duopoly.presets import preset
from duopoly.runs import atomic
from duopoly.runs.config import MAX_SEED, MAX_STEPS, RunConfig, read_seeds
from duopoly.runs.errors import UsageError, as_failures, tell
from duopoly.runs.launch import train_in, train_side_by_side
from duopoly.runs.rundir import RunDirectory, run_directory
from duopoly.runs.trackers import catalogue, record
from duopoly.runs.trackers.catalogue import TrackerName
from duopoly.runs.trackers.follow import Tracking
from duopoly.schedule import SCHEDULES, AlgorithmName, check_offline, check_players, check_workers
from duopoly.settings import Settings
from duopoly.world.environments import time_limit
from duopoly.world.log_record import LogRecord
from duopoly.world.perturb import Change, PerturbationError, read_change, read_changes
from duopoly.world.tasks import canonical_name, get_task, is_registered
from duopoly.world.tasks.catalogue import CATALOGUE

if TYPE_CHECKING:
    from duopoly.world.logged import Log
    from duopoly.world.task import Task

Overlap = Literal["auto", "always", "never"]

DEFAULTS = preset("", "pal")
"""What a task without a preset of its own starts from."""


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
    steps: int = between(0, MAX_STEPS, DEFAULTS.num_env_steps)
    """Real environment steps in all, each action repeat included; 0: none, with --data."""
    seed: int = between(0, MAX_SEED, 0)
    """Seed of everything random."""
    seeds: str | None = None
    """Several seeds instead, such as 0-9 or 0,2,5: side by side, a run directory each."""
    out: Path = Path("runs")
    """Directory under which <task>/<algorithm>/seed_<k> is made."""
    resume: bool = False
    """Continue the run that is there, as if it had never stopped."""
    num_workers: int = between(1, MAX_WORKERS, 1)
    """Processes that play the episodes, each in a copy of the environment of its own: for
    simulators whose step is slow. The numbers are the same, and it may be another at each start."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is trained on."""
    perturb: tuple[str, ...] = ()
    """Changes of the world after so many steps, such as goal@8000; ``duopoly tasks`` lists them."""
    data: tuple[str, ...] = ()
    """Logged transitions to begin with: .npz files, or minari:ID; see collection.offline-rounds."""
    track: tuple[TrackerName, ...] = ()
    """What follows the run besides TensorBoard; a run that goes on keeps its own."""
    overlap: Overlap = "auto"
    """Evaluate and save a round while the next is played; auto: in the tasks that come with us."""
    settings: Annotated[Settings, arg(name="")] = DEFAULTS.settings
    """How far the players go."""


def complete(typed: Typed) -> tuple[Train, Train]:
    """What the command would be without its flags, and what it is.

    Raises:
        UsageError: steps or changes of the world that the task does not allow.
        UnknownTaskError: no task has that name.
        SettingsError: settings that make no sense together.
    """
    task, action_repeat, horizon = _task(typed)
    changes = _changes(task, typed.flags)
    recorded = _recorded(task, typed.flags)
    default = _default(task, horizon, action_repeat, typed.flags, changes, recorded)
    command = build(default, typed.flags)
    if command.seeds is not None:
        if "seed" in typed.flags:
            raise UsageError("--seed and --seeds: give one of them")
        read_seeds(command.seeds)
    schedule = SCHEDULES[command.algorithm]
    check_players(schedule, command.settings)
    check_workers(command.settings, command.num_workers)
    check_memory(command.settings, schedule)
    action_repeat = command.settings.collection.action_repeat or action_repeat
    if command.steps == 0:
        if not (command.data or (recorded and recorded.data)):
            raise UsageError("--steps 0: without real steps a run needs --data to learn from")
        check_offline(command.settings)
    _check_steps(task, action_repeat, command.steps, changes)
    perturb = tuple(map(str, changes)) or default.perturb
    return default, dataclasses.replace(command, perturb=perturb)


def act(command: Train) -> None:
    """Trains, has the curve drawn and says where everything is.

    Raises:
        UsageError: the run cannot begin; a `FailureError` if the game broke down.
        Stopped: a signal asked for it.
    """
    seeds = (command.seed,) if command.seeds is None else read_seeds(command.seeds)
    task = _sound_task(command.task_file) if command.task_file else None
    _check_playable(command, task)
    log = read_log(command, task)
    runs = [run_of(command, seed, log.record if log else None) for seed in seeds]
    tracking = [Tracking(catalogue.make(command.track), _draw_curve) for _ in runs]
    how: dict[str, Any] = {
        "resume": command.resume,
        "task": task,
        "log": log,
        "workers": task_file.workers(command.num_workers, command.task, command.task_file),
        "overlaps": _overlaps(command),
    }
    if command.seeds is None:
        train_in(*runs[0], **how, tracking=tracking[0])
    else:
        train_side_by_side(runs, **how, tracking=tracking)
    for run, _ in runs:
        for name, path in {
            "curve": run.curve,
            "metrics": run.progress,
            "checkpoints": run.checkpoints,
        }.items():
            if path.exists():
                print(f"{name:11s} {path}")


def _overlaps(command: Train) -> bool:
    """Whether to evaluate beside the next round, in an environment of its own.

    Of a user's environment there may be one alone, such as a robot, or one may disturb another.
    """
    if command.overlap == "auto":
        return command.task in CATALOGUE
    return command.overlap == "always"


def run_of(
    command: Train, seed: int, data: LogRecord | None = None
) -> tuple[RunDirectory, RunConfig]:
    """The run of a seed, and where it lies.

    One that is resumed without a word of its ``data`` has those that it began with.
    """
    run = run_directory(command.out, command.task, command.algorithm, seed)
    if data is None and command.resume and atomic.exists(run.settings):
        data = run.read_config().data
    changes = tuple(map(read_change, command.perturb))
    who = command.task, command.algorithm, seed
    return run, RunConfig(*who, command.steps, command.settings, changes, data)


def read_log(command: Train, task: "Task | None" = None) -> "Log | None":
    """The transitions that a run is to begin with, once they are checked; None: with none.

    Raises:
        UsageError: they cannot be used; naming the log, the array, the row and the way out.
    """
    if not command.data:
        return None
    from duopoly.runs.logs import load_log
    from duopoly.world.task import TaskError

    task, schedule = task or get_task(command.task), SCHEDULES[command.algorithm]
    try:
        return load_log(command.data, task, command.settings, schedule)
    except TaskError as error:
        raise UsageError(str(error)) from error


def _task(typed: Typed) -> tuple[str, int, int | None]:
    """The task's own name, its environment steps per action, and the actions of an episode.

    The last is None for tasks that have presets, which know it.
    """
    name = typed.positionals.get("task")
    if file := typed.flags.get("task_file"):
        task = task_file.load(file, name)
        return task.name, task.action_repeat, task.horizon
    assert name is not None
    run = _run_of(name, typed.flags)
    if typed.flags.get("resume") and atomic.exists(run.settings):
        task_file.check_known(run)
    name = canonical_name(name)
    if row := CATALOGUE.get(name):
        return name, row.action_repeat, None
    return name, 1, time_limit(name)


def _changes(task: str, given: Mapping[str, Any]) -> tuple[Change, ...]:
    """The changes of the world as typed, in the order of time."""
    row = CATALOGUE.get(task)
    known = tuple(row.perturbations) if row else ()
    if file := given.get("task_file"):
        known = tuple(one.name for one in task_file.load(file, task).perturbations)
    try:
        return read_changes(given.get("perturb", ()), known, task)
    except PerturbationError as error:
        raise UsageError(f"--perturb {error}") from None


def _default(
    task: str,
    horizon: int | None,
    action_repeat: int,
    given: Mapping[str, Any],
    changes: tuple[Change, ...],
    recorded: RunConfig | None,
) -> Train:
    """What is not typed comes from the run that is resumed, or else from the preset.

    A preset that ends too early for what changes becomes twice as long as the last change's time.
    """
    default = Train(task=task, algorithm=given.get("algorithm", Train.algorithm))
    found = preset(
        task,
        default.algorithm,
        given.get("policy.improver"),
        horizon=horizon,
        action_repeat=action_repeat,
    )
    steps, settings, perturb, track = found.num_env_steps, found.settings, (), ()
    if changes:
        steps = max(steps, 2 * changes[-1].env_steps)
    if recorded:
        steps, settings = recorded.steps, recorded.settings
        perturb = tuple(map(str, recorded.perturb))
        track = catalogue.names_in(record.read(_run_of(task, given).trackers))
    return dataclasses.replace(
        default, steps=steps, settings=settings, perturb=perturb, track=track
    )


def _recorded(task: str, given: Mapping[str, Any]) -> RunConfig | None:
    """The run that is resumed, if there is one."""
    run = _run_of(task, given)
    return run.read_config() if given.get("resume") and atomic.exists(run.settings) else None


def _run_of(task: str, given: Mapping[str, Any]) -> RunDirectory:
    algorithm, seed = given.get("algorithm", Train.algorithm), given.get("seed", Train.seed)
    if given.get("seeds") is not None:
        seed = read_seeds(given["seeds"])[0]
    return run_directory(given.get("out", Train.out), task, algorithm, seed)


def _check_steps(
    task: str, action_repeat: int, num_env_steps: int, changes: tuple[Change, ...]
) -> None:
    if 0 < num_env_steps < action_repeat:
        raise UsageError(
            f"--steps {num_env_steps}: one action of {task} alone takes {action_repeat}"
        )
    if changes and changes[-1].env_steps >= num_env_steps:
        raise UsageError(
            f"--perturb {changes[-1]}: the run ends after {num_env_steps} steps, before the world "
            "changes; give more --steps"
        )


def _sound_task(file: Path) -> "Task":
    """The file's task, after a look at its functions and before anything is written."""
    task = task_file.load(file)
    from duopoly.world.checking.traceable import check_functions

    with as_failures():
        check_functions(task)
    return task


def _check_playable(command: Train, task: "Task | None") -> None:
    """Refuses spaces and action repeats that cannot be played, before anything is written."""
    num_held = command.settings.collection.action_repeat
    if not (task or is_registered(command.task) or num_held):
        return
    from duopoly.world.task import TaskError

    try:
        _ = (task or get_task(command.task)).held(num_held).spec
    except TaskError as error:
        raise UsageError(str(error)) from error


_drawing: Final = threading.Lock()
"""Matplotlib draws for one thread at a time, and seeds side by side have threads of their own."""


def _draw_curve(run: RunDirectory) -> Path | None:
    from duopoly.lab import curves

    try:
        with _drawing:
            curves.draw([curves.read_curve(run)], run.curve)
    except (UsageError, OSError) as error:
        tell(f"duopoly: no picture of the curve: {error}")
        return None
    return run.curve
