"""Checkpoints: named arrays and a manifest that vouches for every byte of them.

A checkpoint is a directory ``round_000012`` with ``players.safetensors``, ``buffer.safetensors``
and ``manifest.json``. Reading one checks sizes and SHA-256 sums before anything is used, takes no
file name from the manifest, and can execute nothing: there are only numbers in it.
"""

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from duopoly.runs import atomic, settings_json
from duopoly.runs.config import (
    FORMAT,
    MAX_STEPS,
    RunConfig,
    difference,
    read_record,
    with_offline_rounds,
)
from duopoly.runs.errors import DamageError, tell
from duopoly.runs.packed import Chunks, packed
from duopoly.settings import SettingsError

Arrays = dict[str, np.ndarray]

GROUPS = ("players", "buffer")
"""The groups of arrays; each is one file."""

NUM_KEPT = 3

MAX_BYTES = 2**36
"""Larger files are not read."""

_NAME = re.compile(r"round_(\d{6,9})")
_MANIFEST = "manifest.json"
_KINDS = {
    "format": int,
    "run": dict,
    "round": int,
    "env_steps": int,
    "files": dict,
    "arrays": dict,
    "sha256": str,
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a finished round leaves: all that the next one needs."""

    round: int
    env_steps: int
    groups: dict[str, Arrays]
    """Arrays by group and name."""


class ForeignError(DamageError):
    """A checkpoint belongs to another run; ``field`` tells where that one differs."""

    def __init__(self, field: str) -> None:
        super().__init__(f"belongs to another run: {field}")
        self.field = field


def encode(checkpoint: Checkpoint, config: RunConfig) -> dict[str, Chunks]:
    """The files of a checkpoint, by name; its arrays are not copied."""
    files = {f"{group}.safetensors": packed(checkpoint.groups[group]) for group in GROUPS}
    manifest = {
        "format": FORMAT,
        "run": _owner(config),
        "round": checkpoint.round,
        "env_steps": checkpoint.env_steps,
        "files": {name: _vouch(chunks) for name, chunks in files.items()},
        "arrays": {group: _describe(arrays) for group, arrays in checkpoint.groups.items()},
    }
    return {**files, _MANIFEST: [atomic.dump_json(_sealed(manifest))]}


def save(directory: Path, checkpoint: Checkpoint, config: RunConfig) -> Path:
    """Writes a checkpoint beside the older ones, then removes all but the last three.

    Raises:
        DamageError: it could not be written; the older ones are as they were.
    """
    path = directory / name_of(checkpoint.round)
    atomic.write_directory(path, encode(checkpoint, config))
    for _, old in _found(directory)[NUM_KEPT:]:
        atomic.remove_directory(old)
    return path


def load_newest(directory: Path, config: RunConfig) -> Checkpoint | None:
    """The newest sound checkpoint; a damaged one is named on stderr and the one before tried.

    Returns None where no round was ever finished.

    Raises:
        DamageError: there are checkpoints, and none is sound and of this run.
    """
    newest, faults = None, []
    for _, path in _found(directory):
        try:
            newest = load(path, config)
            break
        except DamageError as error:
            faults.append((path, error))
    foreign = [error.field for _, error in faults if isinstance(error, ForeignError)]
    if newest is None and foreign and len(foreign) == len(faults):
        raise DamageError(f"settings.json differs from all of {directory}: {foreign[0]}")
    for path, error in faults:
        tell(f"duopoly: skipping checkpoint {path}: {error}")
    if newest is None and faults:
        raise DamageError(f"no sound checkpoint in {directory}")
    return newest


def load(path: Path, config: RunConfig) -> Checkpoint:
    """Reads and verifies one checkpoint of the run ``config``.

    Raises:
        DamageError: with the first thing that is not as it was written.
        ForeignError: with the first thing that another run has otherwise.
    """
    if path.is_symlink() or not path.is_dir():
        raise DamageError("not a directory")
    manifest = _read_manifest(path / _MANIFEST)
    there, here = _completed(manifest["run"]), _owner(config)
    if manifest["env_steps"] == 0:
        there = with_offline_rounds(there, here)
    if found := difference(there, here):
        raise ForeignError(found)
    if path.name != name_of(manifest["round"]):
        raise DamageError(f"holds round {manifest['round']}")
    if not 0 <= manifest["env_steps"] <= MAX_STEPS:
        raise DamageError(f"{_MANIFEST} says {manifest['env_steps']} environment steps")
    groups = {group: _read_group(path, group, manifest) for group in GROUPS}
    return Checkpoint(manifest["round"], manifest["env_steps"], groups)


def name_of(round_: int) -> str:
    """The name of a round's checkpoint."""
    return f"round_{round_:06d}"


def _found(directory: Path) -> list[tuple[int, Path]]:
    """What is named like a checkpoint, newest first."""
    if not directory.is_dir():
        return []
    matches = ((_NAME.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)


def _owner(config: RunConfig) -> dict[str, Any]:
    """The part of a run's config that its checkpoints share: an extended run keeps them."""
    record = config.to_dict()
    names = ("task", "algorithm", "seed", "settings", "perturb", "data")
    return {name: record[name] for name in names}


def _vouch(chunks: Chunks) -> dict[str, Any]:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return {"bytes": sum(map(len, chunks)), "sha256": found.hexdigest()}


def _describe(arrays: Arrays) -> dict[str, Any]:
    return {k: {"shape": list(v.shape), "dtype": str(v.dtype)} for k, v in arrays.items()}


def _sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "sha256": hashlib.sha256(atomic.dump_json(manifest)).hexdigest()}


def _read_manifest(path: Path) -> dict[str, Any]:
    data = atomic.read_regular(path, atomic.MAX_JSON_BYTES)
    manifest = read_record(atomic.load_json(data, path.name), _KINDS)
    if set(manifest["files"]) != {f"{group}.safetensors" for group in GROUPS}:
        raise DamageError(f"{path.name} names other files than a checkpoint has")
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    if atomic.dump_json(_sealed(content)) != data:
        raise DamageError(f"{path.name} is altered: its SHA-256 does not match")
    return manifest


def _read_group(path: Path, group: str, manifest: dict[str, Any]) -> Arrays:
    name = f"{group}.safetensors"
    data = atomic.read_regular(path / name, MAX_BYTES)
    if _vouch([data]) != manifest["files"][name]:
        raise DamageError(f"{name} is altered: its size or SHA-256 does not match")
    try:
        arrays = safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise DamageError(f"{name} cannot be read: {error}") from None
    except KeyError as error:  # bfloat16 and others that NumPy does not have
        raise DamageError(f"{name} holds numbers of type {error}, unknown here") from None
    if _describe(arrays) != manifest["arrays"].get(group):
        raise DamageError(f"{name} holds other arrays than its manifest says")
    return arrays


def _completed(owner: dict[str, Any]) -> dict[str, Any]:
    """The same with settings that came later: a run that was made without them has their defaults.

    Raises:
        DamageError: they are no settings.
    """
    try:
        settings = settings_json.to_dict(settings_json.from_dict(owner.get("settings")))
    except SettingsError as error:
        raise DamageError(str(error)) from None
    return {"data": {}, **owner, "settings": settings}
