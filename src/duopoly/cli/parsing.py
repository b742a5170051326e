"""From words typed to a complete command: checked first, then built by tyro."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import tyro

from duopoly.cli import flags, task_file
from duopoly.cli.commands import COMMANDS, Check, Command, Train
from duopoly.presets import preset
from duopoly.runs import atomic, settings_json
from duopoly.runs.errors import UsageError
from duopoly.runs.rundir import RunDirectory, run_directory
from duopoly.schedule import SCHEDULES, check_players
from duopoly.settings import Settings
from duopoly.world.perturb import Change, PerturbationError, read_changes
from duopoly.world.tasks import ACTION_REPEATS, PERTURBATIONS, canonical_name

_AnyCommand = TypeVar("_AnyCommand", bound=Command)


def parse(words: list[str]) -> Command:
    """The command typed, complete with defaults; ``words[0]`` is its name.

    Raises:
        UsageError: for the first word that makes no sense.
        UnknownTaskError: no task has that name.
        SettingsError: settings that make no sense together.
    """
    kind = COMMANDS[words[0]]
    asks_help = any(word in ("-h", "--help") for word in words)
    if asks_help and len(words) == 2:
        return _build(kind, words)
    typed = flags.read_flags([w for w in words[1:] if w not in ("-h", "--help")], kind)
    if kind is not Train and kind is not Check:
        return _build(kind, words)
    task, action_repeat = _task(typed)
    if kind is Check:
        return dataclasses.replace(_build(Check, words, Check(task=task)), task=task)
    changes = _changes(task, typed.flags.get("perturb", ()), typed.flags.get("task_file"))
    default = _train_defaults(task, typed.flags, changes)
    settings = _check_settings(default.settings, typed.flags)
    check_players(SCHEDULES[default.algorithm], settings)
    _check_steps(task, action_repeat, typed.flags.get("steps", default.steps), changes)
    command = _build(Train, words, default)
    perturb = tuple(map(str, changes)) or default.perturb
    return dataclasses.replace(command, task=task, perturb=perturb)


def _build(
    kind: type[_AnyCommand], words: list[str], default: Any = tyro.MISSING_NONPROP
) -> _AnyCommand:
    return tyro.cli(
        kind,
        prog=f"duopoly {words[0]}",
        args=words[1:],
        default=default,
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _task(typed: flags.Typed) -> tuple[str, int]:
    """The task's own name and its environment steps per action."""
    name = typed.positionals[0] if typed.positionals else None
    if file := typed.flags.get("task_file"):
        task = task_file.load(file, name)
        return task.name, task.action_repeat
    assert name is not None
    run = _run_of(name, typed.flags)
    if typed.flags.get("resume") and atomic.exists(run.settings):
        task_file.check_known(run)
    name = canonical_name(name)
    return name, ACTION_REPEATS.get(name, 1)


def _changes(task: str, typed: tuple[str, ...], file: Path | None) -> tuple[Change, ...]:
    """The changes of the world as typed, in the order of time."""
    known = tuple(PERTURBATIONS.get(task, ()))
    if file:
        known = tuple(one.name for one in task_file.load(file, task).perturbations)
    try:
        return read_changes(typed, known, task)
    except PerturbationError as error:
        raise UsageError(f"--perturb {error}") from None


def _train_defaults(task: str, given: dict[str, Any], changes: tuple[Change, ...]) -> Train:
    """What is not typed comes from the run that is resumed, or else from the preset.

    A preset that ends too early for what changes becomes twice as long as the last change's time.
    """
    default = Train(task=task, algorithm=given.get("algorithm", Train.algorithm))
    found = preset(task, default.algorithm)
    steps, settings, perturb = found.num_env_steps, found.settings, ()
    if changes:
        steps = max(steps, 2 * changes[-1].env_steps)
    if given.get("resume"):
        run = _run_of(task, given)
        if atomic.exists(run.settings):
            recorded = run.read_config()
            steps, settings = recorded.steps, recorded.settings
            perturb = tuple(map(str, recorded.perturb))
    return dataclasses.replace(default, steps=steps, settings=settings, perturb=perturb)


def _run_of(task: str, given: dict[str, Any]) -> RunDirectory:
    algorithm, seed = given.get("algorithm", Train.algorithm), given.get("seed", Train.seed)
    return run_directory(given.get("out", Train.out), task, algorithm, seed)


def _check_steps(
    task: str, action_repeat: int, num_env_steps: int, changes: tuple[Change, ...]
) -> None:
    if num_env_steps < action_repeat:
        raise UsageError(
            f"--steps {num_env_steps}: one action of {task} alone takes {action_repeat}"
        )
    if changes and changes[-1].env_steps >= num_env_steps:
        raise UsageError(
            f"--perturb {changes[-1]}: the run ends after {num_env_steps} steps, before the world "
            "changes; give more --steps"
        )


def _check_settings(default: Settings, given: dict[str, Any]) -> Settings:
    """Returns the settings as typed.

    Raises:
        SettingsError: each is in bounds, but they make no sense together.
    """
    merged = settings_json.to_dict(default)
    for name, value in given.items():
        *groups, field = name.split(".")
        target = merged
        for group in groups:
            target = target[group]
        if groups:
            target[field] = value
    return settings_json.from_dict(merged)
