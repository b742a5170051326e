"""An agent as a directory: its settings, its spaces, and one checkpoint with all it has learned."""

import dataclasses

from duopoly.runs import atomic, checkpoint, spaces
from duopoly.runs.checkpoint import Checkpoint
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.rundir import RunDirectory
from duopoly.world.task import Task


def save(target: RunDirectory, kept: Checkpoint, config: RunConfig, task: Task) -> None:
    """Writes the directory; what was saved there before is replaced.

    Raises:
        DamageError: it cannot be written; what was there is as it was.
    """
    config = dataclasses.replace(config, steps=kept.env_steps)
    folder = f"{target.checkpoints.name}/{checkpoint.name_of(kept.round)}"
    encoded = checkpoint.encode(kept, config)
    files = {f"{folder}/{name}": chunks for name, chunks in encoded.items()}
    files[target.settings.name] = [atomic.dump_json(config.to_dict())]
    files[target.spaces.name] = [spaces.encode(task)]
    atomic.write_directory(target.path, files)


def holds(target: RunDirectory, round_: int) -> bool:
    """Whether the agent of that round is saved there."""
    return atomic.exists(target.checkpoints / checkpoint.name_of(round_))


def check_replaceable(target: RunDirectory) -> None:
    """Makes sure that a path is free for a saved agent, or holds one.

    Raises:
        UsageError: it holds something else.
    """
    if atomic.exists(target.lock):
        raise UsageError(f"{target.path} is a run directory: save the agent elsewhere")
    if atomic.exists(target.path) and not _is_ours(target):
        raise UsageError(f"{target.path} holds something else: save the agent elsewhere")


def _is_ours(target: RunDirectory) -> bool:
    """Whether a path is an empty directory, or one with a saved agent and nothing foreign."""
    if not target.path.is_dir():
        return False
    found = set(target.path.iterdir())
    if found:
        try:
            target.read_config()
        except UsageError:
            return False
    files = {target.settings, target.spaces, target.evaluation, target.video, target.report}
    return found <= files | {target.checkpoints, target.diagnosis, target.export}
