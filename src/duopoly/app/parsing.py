"""From words typed to a complete command: checked first, then built by tyro."""

import dataclasses
from typing import Any, TypeVar

import tyro

from duopoly.app import atomic, flags, settings_json
from duopoly.app.commands import COMMANDS, Command, Train
from duopoly.app.errors import UsageError
from duopoly.app.rundir import run_directory
from duopoly.presets import preset
from duopoly.schedule import SCHEDULES, check_leader
from duopoly.settings import Settings
from duopoly.world.tasks import ACTION_REPEATS, canonical_name

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
    if kind is not Train:
        return _build(kind, words)
    task = canonical_name(typed.positionals[0])
    default = _train_defaults(task, typed.flags)
    _check_settings(default.settings, typed.flags)
    _check_steps(task, typed.flags.get("steps", default.steps))
    train = dataclasses.replace(_build(Train, words, default), task=task)
    check_leader(SCHEDULES[train.algorithm], train.settings)
    return train


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


def _train_defaults(task: str, given: dict[str, Any]) -> Train:
    """What is not typed comes from the run that is resumed, or else from the preset."""
    default = Train(task=task, algorithm=given.get("algorithm", Train.algorithm))
    found = preset(task, default.algorithm)
    steps, settings = found.num_env_steps, found.settings
    if given.get("resume"):
        seed, out = given.get("seed", 0), given.get("out", default.out)
        run = run_directory(out, task, default.algorithm, seed)
        if atomic.exists(run.settings):
            recorded = run.read_identity()
            steps, settings = recorded.steps, recorded.settings
    return dataclasses.replace(default, steps=steps, settings=settings)


def _check_steps(task: str, num_env_steps: int) -> None:
    repeat = ACTION_REPEATS.get(task, 1)
    if num_env_steps < repeat:
        raise UsageError(f"--steps {num_env_steps}: one action of {task} alone takes {repeat}")


def _check_settings(default: Settings, given: dict[str, Any]) -> None:
    """Finds settings that are each in bounds but make no sense together."""
    merged = settings_json.to_dict(default)
    for name, value in given.items():
        *groups, field = name.split(".")
        target = merged
        for group in groups:
            target = target[group]
        if groups:
            target[field] = value
    settings_json.from_dict(merged)
