"""From words typed to a complete command: checked first, then built by tyro."""

import dataclasses
from typing import Any, TypeVar

import tyro

from duopoly.app import atomic, flags, settings_json
from duopoly.app.commands import COMMANDS, Command, Train
from duopoly.app.errors import UsageError
from duopoly.app.rundir import run_directory
from duopoly.presets import preset
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
    if kind is not Train:
        return _build(kind, words)
    task = canonical_name(typed.positionals[0])
    changes = _changes(task, typed.flags.get("perturb", ()))
    default = _train_defaults(task, typed.flags, changes)
    _check_settings(default.settings, typed.flags)
    _check_steps(task, typed.flags.get("steps", default.steps), changes)
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


def _changes(task: str, typed: tuple[str, ...]) -> tuple[Change, ...]:
    """The changes of the world as typed, in the order of time."""
    try:
        return read_changes(typed, tuple(PERTURBATIONS.get(task, ())), task)
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
        seed, out = given.get("seed", 0), given.get("out", default.out)
        run = run_directory(out, task, default.algorithm, seed)
        if atomic.exists(run.settings):
            recorded = run.read_identity()
            steps, settings = recorded.steps, recorded.settings
            perturb = tuple(map(str, recorded.perturb))
    return dataclasses.replace(default, steps=steps, settings=settings, perturb=perturb)


def _check_steps(task: str, num_env_steps: int, changes: tuple[Change, ...]) -> None:
    repeat = ACTION_REPEATS.get(task, 1)
    if num_env_steps < repeat:
        raise UsageError(f"--steps {num_env_steps}: one action of {task} alone takes {repeat}")
    if changes and changes[-1].env_steps >= num_env_steps:
        raise UsageError(
            f"--perturb {changes[-1]}: the run ends after {num_env_steps} steps, before the world "
            "changes; give more --steps"
        )


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
