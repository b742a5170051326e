"""Between the state of a game and the named arrays of a checkpoint."""

import dataclasses
import re
from typing import Final, TypeVar

import equinox as eqx
import jax
import numpy as np

from duopoly.game.referee import Referee
from duopoly.game.state import GameState
from duopoly.policy.player import State
from duopoly.runs.checkpoint import Arrays, Checkpoint
from duopoly.runs.errors import DamageError
from duopoly.world.buffer import Buffer, BufferFormatError

MAX_NUMBER: Final = 1e30
"""Nothing that is learned comes near this size."""

MAX_COUNT: Final = 2**30
"""Most updates that are counted; twice as many no longer fit an int32."""

_POLICY: Final = ".policy"
"""What the names of the policy player's arrays begin with."""

_REFEREE: Final = ".referee."
"""What the names of the referee's begin with, which lie beside them."""

_SECOND_MOMENT, _DIVISOR = re.compile(r"\.nu\b"), re.compile(r"\.std\b")
"""In names of arrays: those that are never negative, and those by which something is divided."""


def snapshot(state: GameState) -> Checkpoint:
    """The state as numbers, copied to the host."""
    referee = {} if state.referee is None else state.referee.arrays()
    of_referee = {f"{_REFEREE}{name}": array for name, array in referee.items()}
    players = _named_arrays(state.players) | of_referee
    groups = {"players": players, "buffer": state.buffer.arrays()}
    return Checkpoint(state.round, state.env_steps, groups)


def restore(checkpoint: Checkpoint, template: GameState) -> GameState:
    """The state that `snapshot` saw, with the structure of a freshly started game.

    Raises:
        DamageError: what it holds cannot be the state of such a game; the message names the first
            thing that cannot.
    """
    arrays = checkpoint.groups["players"]
    of_referee = {name: array for name, array in arrays.items() if name.startswith(_REFEREE)}
    players = _with_arrays(template.players, {k: arrays[k] for k in arrays.keys() - of_referee})
    try:
        buffer = Buffer.from_arrays(checkpoint.groups["buffer"])
    except BufferFormatError as error:
        raise _misfit(str(error)) from None
    _check_buffer(buffer, template, checkpoint)
    return dataclasses.replace(
        template,
        round=checkpoint.round,
        env_steps=checkpoint.env_steps,
        players=players,
        buffer=buffer,
        referee=_restored_referee(of_referee),
    )


def _restored_referee(arrays: Arrays) -> Referee | None:
    """Returns what a referee remembers; None where there was none.

    Raises:
        DamageError: it is nothing that one can remember.
    """
    if not arrays:
        return None
    try:
        return Referee.from_arrays({k.removeprefix(_REFEREE): v for k, v in arrays.items()})
    except ValueError as error:
        raise _misfit(f"the referee's {error}") from None


def restore_policy(checkpoint: Checkpoint, template: State) -> State:
    """The policy player's state alone, with the structure of a freshly started one.

    Raises:
        DamageError: as for `restore`.
    """
    of_policy = {
        name.removeprefix(_POLICY): array
        for name, array in checkpoint.groups["players"].items()
        if name.startswith(_POLICY)
    }
    return _with_arrays(template, of_policy)


_Tree = TypeVar("_Tree")


def _named_arrays(tree: eqx.Module) -> Arrays:
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _with_arrays(tree: _Tree, arrays: Arrays) -> _Tree:
    numbers, structure = eqx.partition(tree, eqx.is_array)
    leaves, definition = jax.tree_util.tree_flatten_with_path(numbers)
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    if odd := set(names) ^ set(arrays):
        raise _misfit(
            f"array {min(odd)} is on one side only, as in a run of another version; "
            "start the run anew"
        )
    for name, (_, leaf) in zip(names, leaves, strict=True):
        if fault := _fault(name, arrays[name], leaf):
            raise _misfit(f"array {name} {fault}")
    loaded = jax.tree_util.tree_unflatten(definition, [jax.numpy.asarray(arrays[n]) for n in names])
    return eqx.combine(loaded, structure)


def _fault(name: str, found: np.ndarray, template: jax.Array) -> str | None:
    """Why an array cannot stand where the template's stands, if it cannot."""
    if found.shape != template.shape or found.dtype != template.dtype:
        return f"is {found.dtype} {found.shape}, expected {template.dtype} {template.shape}"
    if found.dtype.kind == "f":
        is_open = np.isinf(template) & (found == template)  # a bound that nothing has set yet
        if not (is_open | (np.abs(found) < MAX_NUMBER)).all():
            return "holds a number that is not finite or beyond belief"
        if _SECOND_MOMENT.search(name) and (found < 0).any():
            return "holds a negative number"
        if _DIVISOR.search(name) and (found <= 0).any():
            return "holds a number that is not positive"
    elif found.dtype.kind in "iu" and not ((found >= 0) & (found <= MAX_COUNT)).all():
        return "holds a count that is negative or beyond belief"
    return None


def _check_buffer(buffer: Buffer, template: GameState, checkpoint: Checkpoint) -> None:
    """Refuses data that a game of that many rounds and steps cannot have.

    Raises:
        DamageError: naming what it cannot have.
    """
    for name in ("obs", "action"):
        width, expected = (getattr(one, name).shape[1] for one in (buffer, template.buffer))
        if width != expected:
            raise _misfit(f"buffer's {name} has {width} components, expected {expected}")
    if buffer.capacity != (wanted := template.buffer.capacity):
        raise _misfit(f"buffer's capacity is {buffer.capacity}, that of the settings {wanted}")
    if len(buffer.sizes) > checkpoint.round:
        raise _misfit(f"buffer has {len(buffer.sizes)} collections of {checkpoint.round} rounds")
    logged = template.log.transitions if template.log else 0
    if not checkpoint.env_steps + logged >= len(buffer):
        raise _misfit(
            f"buffer has {len(buffer)} transitions of {checkpoint.env_steps} environment steps"
        )
    if checkpoint.round > 0 and len(buffer) == 0:
        raise _misfit(f"buffer has no transition after {checkpoint.round} rounds")


def _misfit(reason: str) -> DamageError:
    return DamageError(f"checkpoint does not fit: {reason}")
