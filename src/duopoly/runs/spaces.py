"""What a run observes and does, kept beside its settings: whoever acts by its policy elsewhere has
neither the simulator nor the user's own task.
"""

import dataclasses
from typing import Any

import numpy as np

from duopoly.runs import atomic
from duopoly.runs.config import FORMAT, read_record
from duopoly.runs.errors import DamageError, UsageError
from duopoly.runs.rundir import RunDirectory
from duopoly.types import MAX_SIZE
from duopoly.world.task import Spec, Task
from duopoly.world.tasks import UnknownTaskError, get_task

DTYPES = {"float16": np.float16, "float32": np.float32}
"""Of actions, by the name that is kept."""


@dataclasses.dataclass(frozen=True)
class Spaces:
    """Sizes and bounds of a task."""

    spec: Spec
    angles: tuple[int, ...]
    """Components of the observation that are angles."""


def encode(task: Task) -> bytes:
    """The record of a task's spaces."""
    spec = task.spec
    return atomic.dump_json(
        {
            "format": FORMAT,
            "obs_dim": spec.obs_dim,
            "action_low": [float(x) for x in spec.action_low],
            "action_high": [float(x) for x in spec.action_high],
            "action_dtype": np.dtype(spec.action_dtype).name,
            "angles": list(task.angles),
            "obs_names": list(spec.obs_names),
        }
    )


def write(run: RunDirectory, task: Task) -> None:
    """Writes the record into a run that has none.

    Raises:
        DamageError: the disk takes no more.
    """
    if not atomic.exists(run.spaces):
        atomic.write_file(run.spaces, encode(task))


def read(run: RunDirectory, task_name: str) -> Spaces:
    """What a run of the task observes and does; of one without a record, what the task says.

    Raises:
        UsageError: there is no record, and the task is the user's own.
        DamageError: the record is not as it was written.
    """
    if not atomic.exists(run.spaces):
        try:
            task = get_task(task_name)
        except UnknownTaskError as error:
            raise UsageError(
                f"{run.path} has no {run.spaces.name}, as runs of earlier versions: go on with it "
                f"by `duopoly train --resume` once, which writes it"
            ) from error
        return Spaces(task.spec, task.angles)
    try:
        data = atomic.read_regular(run.spaces, atomic.MAX_JSON_BYTES)
        return _decode(atomic.load_json(data, run.spaces.name))
    except DamageError as error:
        raise DamageError(f"{run.spaces}: {error}") from None


def _decode(values: object) -> Spaces:
    kinds: dict[str, type] = {"action_low": list, "action_high": list, "angles": list}
    if isinstance(values, dict):  # runs of earlier versions have no names
        values = {"obs_names": [], **values}
    kinds |= {"format": int, "obs_dim": int, "action_dtype": str, "obs_names": list}
    record = read_record(values, kinds)
    low, high = (_numbers(record, name) for name in ("action_low", "action_high"))
    obs_dim, angles = record["obs_dim"], record["angles"]
    if record["action_dtype"] not in DTYPES:
        raise DamageError(f"action_dtype = {record['action_dtype']!r}: must be {', '.join(DTYPES)}")
    if obs_dim < 1 or not len(low) == len(high) > 0 or not (low < high).all():
        raise DamageError("obs_dim, action_low and action_high are those of no task")
    if not all(type(index) is int and 0 <= index < obs_dim for index in angles):
        raise DamageError(f"angles = {angles}: must be components of the observation")
    names = tuple(record["obs_names"])
    if len(names) not in (0, obs_dim) or not all(type(name) is str for name in names):
        raise DamageError("obs_names must be a text for each component of the observation")
    dtype = DTYPES[record["action_dtype"]]
    return Spaces(Spec(obs_dim, len(low), low, high, dtype, names), tuple(angles))


def _numbers(record: dict[str, Any], name: str) -> np.ndarray:
    if not all(type(x) is float and abs(x) < MAX_SIZE for x in record[name]):
        raise DamageError(f"{name} = {record[name]}: must be finite numbers")
    return np.asarray(record[name], np.float32)
