"""Transitions that were logged elsewhere, read as the first content of a game's data.

A log is named arrays with a row per action, in order of time:

=====================  ==========  ==============================================================
name                   shape       meaning
=====================  ==========  ==============================================================
observations           [N, obs]    before the action, in the environment's units
actions                [N, act]    what the environment was given, in its units
rewards                [N]         of one action, summed over its repeats
next_observations      [N, obs]    after it; without them the next row's, and the last row of each
                                   episode, of which it is not known, is left out
terminations           [N]         whether the world ended (a fall); also ``terminals``
truncations            [N]         whether the episode was ended otherwise; also ``timeouts``
episode_starts         [N]         whether a row begins an episode, where truncations do not say it
action_repeat          []          environment steps of a row, to be compared with the task's
=====================  ==========  ==============================================================

Names with a slash in them (D4RL's ``infos/qpos``) are left alone. What is read is checked against
the task, and the first fault is one line that names the array, the row and the way out.
"""

import dataclasses
import difflib
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from duopoly.types import MAX_SIZE
from duopoly.world.log_record import LogRecord

if TYPE_CHECKING:
    from duopoly.world.task import Spec, Task

Arrays = Mapping[str, np.ndarray]

ALIASES: Final[Mapping[str, str]] = {"terminals": "terminations", "timeouts": "truncations"}
"""D4RL's names."""

_REQUIRED: Final = ("observations", "actions", "rewards", "terminations")
_ENDS: Final = ("truncations", "episode_starts")
NAMES: Final = (*_REQUIRED, *_ENDS, "next_observations", "action_repeat")

ROUNDING: Final = 1e-5
"""Share of half the action range by which an action may lie outside it, as rounding does."""


class LogError(ValueError):
    """A log cannot be used; the message names the array, the row, the value and the way out."""


@dataclasses.dataclass(frozen=True, eq=False)
class Log:
    """Transitions in order of time, the actions in policy units.

    Those that were read are inside [-1, 1]: neither the policy that drew them is known, nor what it
    drew before they were clipped.
    """

    obs: Float[np.ndarray, "N obs"]
    action: Float[np.ndarray, "N act"]
    reward: Float[np.ndarray, " N"]
    next_obs: Float[np.ndarray, "N obs"]
    terminated: Bool[np.ndarray, " N"]
    first: Bool[np.ndarray, " N"]

    @property
    def record(self) -> LogRecord:
        """Its length and a sum over all of it."""
        total = hashlib.sha256()
        for field in dataclasses.fields(self):
            array = np.ascontiguousarray(getattr(self, field.name))
            total.update(f"{field.name} {array.dtype} {array.shape}\n".encode())
            total.update(array.tobytes())
        num_episodes = int(self.first.sum()) + int(not self.first[0])
        return LogRecord(total.hexdigest(), len(self.obs), num_episodes)


def joined(logs: Sequence[Log]) -> Log:
    """Several logs as one, the newest last."""
    names = [field.name for field in dataclasses.fields(Log)]
    return Log(**{n: np.concatenate([getattr(log, n) for log in logs]) for n in names})


def read_log(arrays: Arrays, task: "Task", name: str) -> Log:
    """The transitions of a log, checked against the task whose they are.

    Args:
        arrays: as the table above has them.
        task: with its actions held as they are held in the game.
        name: of the log, for messages.

    Raises:
        LogError: with the first fault.
    """
    found, spec = _Reader(_by_name(arrays, name), name), task.spec
    found.check_repeat(task)
    found.check_width(spec, task.name)
    num_rows = len(found.arrays["observations"])
    if num_rows == 0:
        raise LogError(f"{name}: observations has no row: there is nothing to learn from")
    obs = found.numbers("observations", (num_rows, spec.obs_dim))
    action = _in_policy_units(found.numbers("actions", (num_rows, spec.action_dim)), task, name)
    reward = found.numbers("rewards", (num_rows,))
    terminated = found.flags("terminations", num_rows)
    first = _begins(found, terminated)
    last = np.append(first[1:], True)
    if task.action_repeat > 1:
        _check_lengths(last, task, name)
    if "next_observations" in found.arrays:
        next_obs, kept = found.numbers("next_observations", obs.shape), np.ones(num_rows, bool)
    else:
        next_obs, kept = np.roll(obs, -1, axis=0), ~last
        if not kept.any():
            raise LogError(
                f"{name}: without next_observations the last row of each episode is left out, and "
                f"no other is there: give next_observations"
            )
    rows = {
        "obs": obs, "action": action, "reward": reward, "next_obs": next_obs,
        "terminated": terminated, "first": first,
    }  # fmt: skip
    return Log(**{field: array[kept] for field, array in rows.items()})


def arrays_of(log: Log, task: "Task") -> dict[str, np.ndarray]:
    """What `read_log` reads back as these transitions, but for rounding of the actions.

    Actions are what the environment was given: what lies outside its bounds is clipped.
    """
    last = np.append(log.first[1:], True)
    return {
        "observations": log.obs,
        "actions": task.spec.for_env(log.action),
        "rewards": log.reward,
        "next_observations": log.next_obs,
        "terminations": log.terminated,
        "truncations": last & ~log.terminated,
        "episode_starts": log.first,
        "action_repeat": np.array(task.action_repeat, np.int64),
    }


class _Reader(NamedTuple):
    """A log's arrays by their own names, and the name of it all."""

    arrays: Arrays
    name: str

    def numbers(self, array: str, shape: tuple[int, ...]) -> Float[np.ndarray, "N *dims"]:
        """Finite numbers of a shape, in float32.

        Raises:
            LogError: they are not.
        """
        values = self.arrays[array]
        if values.dtype.kind not in "fiu" or values.shape != shape:
            wanted = f"numbers of shape {shape}"
            raise LogError(f"{self.name}: {_is(array, values)}, must be {wanted}")
        if not (is_sound := np.abs(values) < MAX_SIZE).all():
            place = tuple(np.argwhere(~is_sound)[0].tolist())
            raise LogError(
                f"{self.name}: {array}{list(place)} is {values[place]}, of row {place[0]}: not "
                f"finite or beyond belief; leave its episode out, or end it before"
            )
        return values.astype(np.float32)

    def flags(self, array: str, num_rows: int) -> Bool[np.ndarray, " N"]:
        """True or false for each row, also as 1 and 0.

        Raises:
            LogError: it is something else.
        """
        values = self.arrays[array]
        if values.dtype.kind not in "bfiu" or values.shape != (num_rows,):
            raise LogError(
                f"{self.name}: {_is(array, values)}, must be true or false of shape ({num_rows},)"
            )
        if (is_odd := (values != 0) & (values != 1)).any():
            row = int(np.argmax(is_odd))
            raise LogError(f"{self.name}: {array}[{row}] is {values[row]}, must be 0 or 1")
        return values.astype(bool)

    def check_repeat(self, task: "Task") -> None:
        """Refuses rows of more or fewer environment steps than an action of the task takes."""
        if (value := self.arrays.get("action_repeat")) is None:
            return
        if value.shape != () or value.dtype.kind not in "iu":
            raise LogError(f"{self.name}: {_is('action_repeat', value)}, must be one whole number")
        if (there := int(value)) != task.action_repeat:
            raise LogError(
                f"{self.name}: action_repeat is {there}, but each action of {task.name} is held "
                f"for {task.action_repeat} here: set collection.action_repeat to {there}"
            )

    def check_width(self, spec: "Spec", task: str) -> None:
        """Refuses observations with fewer or more components than the task's, by their names."""
        values = self.arrays["observations"]
        if values.ndim != 2 or values.shape[1] == spec.obs_dim:
            return
        found = values.shape[1]
        more = "one of another task, or another version of it?"
        if found < spec.obs_dim:
            missing = ", ".join(spec.obs_name(i) for i in range(found, spec.obs_dim)[:5])
            more = (
                f"{missing} would be missing, and cannot be filled in: log what the task itself "
                f"observes, as Agent.save_transitions and `duopoly evaluate --transitions` do"
            )
        raise LogError(
            f"{self.name}: observations has {found} components, {task} observes {spec.obs_dim}: "
            f"{more}"
        )


def _is(array: str, values: np.ndarray) -> str:
    return f"{array} is {values.dtype} {values.shape}"


def _by_name(arrays: Arrays, name: str) -> Arrays:
    """The arrays by our names for them.

    Raises:
        LogError: one is missing, unknown or there under two names.
    """
    found: dict[str, np.ndarray] = {}
    for typed, values in arrays.items():
        if "/" in typed:
            continue
        known = ALIASES.get(typed, typed)
        if known not in NAMES:
            close = difflib.get_close_matches(typed, (*NAMES, *ALIASES), n=1)
            hint = f"did you mean {close[0]}?" if close else "leave it out, or name it infos/…"
            raise LogError(f"{name}: {typed} is no array of a log; {hint}")
        if known in found:
            raise LogError(f"{name}: {known} is there under two names: leave one of them out")
        found[known] = np.asarray(values)
    if missing := [one for one in _REQUIRED if one not in found]:
        raise LogError(f"{name}: has no {missing[0]}; a log has {', '.join(_REQUIRED)}")
    if not set(_ENDS) & set(found):
        raise LogError(
            f"{name}: has no truncations (or timeouts) and no episode_starts, so where episodes "
            f"end that did not terminate cannot be told; all False where none did"
        )
    if found["observations"].ndim == 0:
        raise LogError(f"{name}: {_is('observations', found['observations'])}, must have rows")
    return found


def _in_policy_units(
    action: Float[np.ndarray, "N act"], task: "Task", name: str
) -> Float[np.ndarray, "N act"]:
    """Actions with [-1, 1] for the action space.

    Raises:
        LogError: one lies outside it by more than rounding.
    """
    scaled = task.spec.to_policy_units(action)
    if (is_outside := np.abs(scaled) > 1.0 + ROUNDING).any():
        row, index = np.argwhere(is_outside)[0].tolist()
        low, high = task.spec.action_low[index], task.spec.action_high[index]
        raise LogError(
            f"{name}: actions[{row}, {index}] is {action[row, index]:g}, outside the bounds "
            f"[{low:g}, {high:g}] of {task.name}: give what the environment was "
            f"given, clipped to its bounds"
        )
    return scaled.clip(-1.0, 1.0).astype(np.float32)


def _begins(found: _Reader, terminated: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """Which rows begin an episode: those that say so, and what follows an end."""
    first, ends = np.zeros(len(terminated), bool), terminated
    first[0] = True
    if "episode_starts" in found.arrays:
        # A log may begin amid an episode.
        first = found.flags("episode_starts", len(terminated))
    if "truncations" in found.arrays:
        ends = ends | found.flags("truncations", len(terminated))
    first[1:] |= ends[:-1]
    return first


def _check_lengths(last: Bool[np.ndarray, " N"], task: "Task", name: str) -> None:
    """Refuses episodes that are too long to be of held actions.

    Raises:
        LogError: naming the first.
    """
    ends = np.flatnonzero(last)
    lengths = np.diff(ends, prepend=-1)
    if (is_long := lengths > task.horizon).any():
        at = int(np.argmax(is_long))
        raise LogError(
            f"{name}: the episode that ends in row {ends[at]} has {lengths[at]} rows, but at most "
            f"{task.horizon} actions of {task.action_repeat} environment steps make an episode of "
            f"{task.name}: log a row per action, or set collection.action_repeat to 1"
        )
