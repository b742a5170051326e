"""Logged transitions from the disk and to it: ``.npz`` files, and Minari data sets by their id.

Nothing is unpickled, and nothing is downloaded. What a log holds is described in `world.logged`.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from duopoly.memory import machine_memory
from duopoly.runs import atomic
from duopoly.runs.errors import DamageError, UsageError
from duopoly.schedule import Memory, Schedule
from duopoly.settings import Settings
from duopoly.world.buffer import Buffer
from duopoly.world.checking.log_check import check_log
from duopoly.world.logged import Arrays, Log, LogError, arrays_of, joined, read_log
from duopoly.world.task import Task, TaskError

MINARI: Final = "minari:"
"""What the name of a Minari data set is typed after."""

MAX_BYTES: Final = 2**36
"""A larger file is not read."""

Source = str | os.PathLike[str] | Arrays
"""A file, ``minari:ID``, or the arrays themselves."""


def load_log(
    sources: Source | Sequence[Source], task: Task, settings: Settings, schedule: Schedule
) -> Log:
    """Reads the transitions that a game is to begin with, and checks them against its task.

    Args:
        sources: one log or several, the newest last: files, ``minari:ID`` or arrays by name.
        task: of the game.
        settings: of the game, which must have room for all of them.
        schedule: by which it is played.

    Raises:
        UsageError: naming the log, the array, the row and the way out.
        TaskError: the task cannot be played like that.
    """
    task = task.held(settings.collection.action_repeat)
    one = isinstance(sources, str | os.PathLike | Mapping)
    logs = [_read(source, task, settings) for source in ([sources] if one else sources)]
    if not logs:
        raise UsageError("data: there is no log; name a file, minari:ID or arrays")
    log = joined(logs)
    _check_room(len(log.obs), settings, schedule)
    return log


def save_log(path: str | os.PathLike[str], buffer: Buffer, task: Task) -> None:
    """Writes transitions as an ``.npz`` file that `load_log` reads.

    Raises:
        UsageError: there is none.
        DamageError: it cannot be written.
    """
    if len(buffer) == 0:
        raise UsageError(f"{os.fspath(path)}: there are no transitions yet")
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays_of(buffer.as_log, task))
    atomic.write_file(Path(path), out.getvalue())


def _read(source: Source, task: Task, settings: Settings) -> Log:
    name = "data" if isinstance(source, Mapping) else os.fspath(source)
    if isinstance(source, Mapping):
        arrays = {str(key): np.asarray(value) for key, value in source.items()}
    elif name.startswith(MINARI):
        from duopoly.runs.minari_logs import read_minari

        arrays = read_minari(name.removeprefix(MINARI), task)
    else:
        arrays = _read_npz(Path(source))
    try:
        log, model = read_log(arrays, task, name), settings.model
        is_reward_known = task.reward_fn is not None and not model.learn_reward
        is_end_known = task.terminated_fn is not None and not model.learn_termination
        check_log(log, task, name, reward=is_reward_known, termination=is_end_known)
    except (LogError, TaskError) as error:
        raise UsageError(str(error)) from None
    if "next_observations" not in arrays and not is_end_known:
        raise UsageError(
            f"{name}: has no next_observations, so the rows in which the world ends are left out, "
            f"but how it ends is to be learned from them: give next_observations"
        )
    return log


def _read_npz(path: Path) -> Arrays:
    """The arrays of a file.

    Raises:
        UsageError: it is none, or is damaged.
    """
    try:
        data = atomic.read_regular(path.resolve(), MAX_BYTES)
    except (DamageError, OSError, RuntimeError) as error:
        raise UsageError(f"{path}: {error}") from None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > machine_memory():
            raise UsageError(f"{path}: holds {size:,} bytes, more than this machine's memory")
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            members = {name: found[name] for name in found.files if "/" not in name}
            return {name: one for name, one in members.items() if isinstance(one, np.ndarray)}
    except UsageError:
        raise
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise _no_arrays(path, error) from None
    except (zipfile.BadZipFile, zlib.error, MemoryError, OverflowError, SyntaxError) as error:
        raise _no_arrays(path, error) from None


def _no_arrays(path: Path, error: BaseException) -> UsageError:
    return UsageError(
        f"{path}: is damaged or no .npz file of numbers, as numpy.savez writes: {error}"
    )


def _check_room(num_rows: int, settings: Settings, schedule: Schedule) -> None:
    """Refuses a log of which the model player would see a part only.

    Raises:
        UsageError: naming the setting that is too small.
    """
    model = settings.model
    if num_rows > model.capacity:
        raise UsageError(
            f"data: there are {num_rows} transitions, model.capacity = {model.capacity} are kept: "
            f"set model.capacity and model.window to {num_rows} or more"
        )
    if schedule.memory is Memory.WINDOW and num_rows > model.window:
        raise UsageError(
            f"data: there are {num_rows} transitions, of which {schedule.name} fits the newest "
            f"model.window = {model.window}: set it to {num_rows} or more"
        )
