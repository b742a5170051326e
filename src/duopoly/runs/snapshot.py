"""Between the state of a game and the named arrays of a checkpoint."""

import dataclasses
from typing import TypeVar

import equinox as eqx
import jax
import numpy as np

from duopoly.game.state import GameState
from duopoly.runs.checkpoint import Arrays, Checkpoint
from duopoly.runs.errors import DamageError
from duopoly.world.buffer import Buffer, BufferFormatError


def snapshot(state: GameState) -> Checkpoint:
    """The state as numbers, copied to the host."""
    groups = {"players": _named_arrays(state.players), "buffer": state.buffer.arrays()}
    return Checkpoint(state.round, state.env_steps, groups)


def restore(checkpoint: Checkpoint, template: GameState) -> GameState:
    """The state that `snapshot` saw, with the structure of a freshly started game.

    Raises:
        DamageError: the arrays do not fit the template; the message names the first that differs.
    """
    players = _with_arrays(template.players, checkpoint.groups["players"])
    try:
        buffer = Buffer.from_arrays(checkpoint.groups["buffer"])
    except BufferFormatError as error:
        raise DamageError(f"checkpoint does not fit: {error}") from None
    return dataclasses.replace(
        template,
        round=checkpoint.round,
        env_steps=checkpoint.env_steps,
        players=players,
        buffer=buffer,
    )


_Tree = TypeVar("_Tree", bound=eqx.Module)


def _named_arrays(tree: eqx.Module) -> Arrays:
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _with_arrays(tree: _Tree, arrays: Arrays) -> _Tree:
    numbers, structure = eqx.partition(tree, eqx.is_array)
    leaves, definition = jax.tree_util.tree_flatten_with_path(numbers)
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    if odd := set(names) ^ set(arrays):
        raise DamageError(
            f"checkpoint does not fit: array {min(odd)} is on one side only, "
            "as in a run of another version; start the run anew"
        )
    for name, (_, leaf) in zip(names, leaves, strict=True):
        _check_fit(name, arrays[name], leaf)
    loaded = jax.tree_util.tree_unflatten(definition, [jax.numpy.asarray(arrays[n]) for n in names])
    return eqx.combine(loaded, structure)


def _check_fit(name: str, found: np.ndarray, expected: jax.Array) -> None:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise DamageError(
            f"checkpoint does not fit: array {name} is {found.dtype} {found.shape}, "
            f"expected {expected.dtype} {expected.shape}"
        )
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise DamageError(f"checkpoint does not fit: array {name} holds NaN")
