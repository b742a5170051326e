"""Files and directories that are either whole or absent, whenever the process dies."""

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from duopoly.runs.errors import DamageError, UsageError
from duopoly.runs.packed import Chunks

TEMPORARY_PREFIX = ".tmp-"
"""Start of the name of everything unfinished; whatever carries it may be deleted."""

MAX_JSON_BYTES = 16 * 2**20
"""No description of ours comes near this size; a larger one is not read."""


def write_file(path: Path, data: bytes) -> None:
    """Writes ``data`` so that ``path`` holds the old content or the new, never a part of either."""
    temporary = temporary_beside(path)
    try:
        _write_synced(temporary, [data])
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, len(data), error) from error
    finally:
        _remove(temporary)


def append_synced(path: Path, data: bytes) -> None:
    """Appends ``data`` with one write and waits until it is on disk."""
    try:
        with path.open("ab", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot_write(path, len(data), error) from error


def write_directory(path: Path, files: Mapping[str, Chunks]) -> None:
    """Writes a directory of ``files`` that appears under its name complete and on disk.

    A directory already there gives way once the new one is safe; what fails before leaves it as
    it was, and what dies just then leaves it aside, for `recover`.
    """
    temporary, aside = temporary_beside(path), _aside(path)
    recover(path)
    try:
        _write_tree(temporary, files)
        try:
            if os.path.lexists(path):
                _remove(aside)
                os.replace(path, aside)
            os.replace(temporary, path)
        finally:
            recover(path)
        _sync_directory(path.parent)
        _remove(aside)
    except OSError as error:
        num_bytes = sum(len(chunk) for chunks in files.values() for chunk in chunks)
        raise _cannot_write(path, num_bytes, error) from error
    finally:
        _remove(temporary)


def remove_directory(path: Path) -> None:
    """Removes a directory, under a temporary name so that half of it is never taken for all."""
    temporary = temporary_beside(path)
    os.replace(path, temporary)
    _remove(temporary)


def remove_if_empty(*paths: Path) -> None:
    """Removes directories, in the order given, as far as they are empty."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.rmdir()


def recover(path: Path) -> None:
    """Puts back the directory that a `write_directory` which never ended had moved aside, if any.

    Where the disk does not allow that, it stays where it is.
    """
    if not os.path.lexists(path) and os.path.lexists(_aside(path)):
        with contextlib.suppress(OSError):
            os.replace(_aside(path), path)


def remove_leftovers(directory: Path) -> None:
    """Removes what a killed process left unfinished in ``directory``."""
    for path in directory.glob(f"{TEMPORARY_PREFIX}*"):
        _remove(path)


def exists(path: Path) -> bool:
    """Whether there is something at ``path``.

    Raises:
        UsageError: nobody can tell: its name is too long, or its directory may not be searched.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return True


def is_kind(path: Path, *, folder: bool) -> bool:
    """Whether there is nothing at ``path``, or a folder or a regular file of its own: no link.

    Raises:
        UsageError: nobody can tell.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)


def make_folder(path: Path) -> None:
    """Makes a folder, and those that it is in, where they are missing.

    Raises:
        OSError: it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except RecursionError:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)) from None


def check_writable(path: Path) -> None:
    """Finds out, before long work begins, whether a file can be written; makes its directory.

    Raises:
        UsageError: it cannot.
    """
    try:
        make_folder(path.parent)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of at most ``max_bytes``; a link or anything else is refused.

    Raises:
        DamageError: with the reason, where there is no such file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise DamageError(f"{path.name} is not a regular file")
            if info.st_size > max_bytes:
                raise DamageError(f"{path.name} has {info.st_size} bytes, more than {max_bytes}")
            return file.read()
    except FileNotFoundError:
        raise DamageError(f"{path.name} is missing") from None
    except OSError as error:
        raise DamageError(f"{path.name} cannot be read: {error.strerror}") from None


def dump_json(value: Any) -> bytes:
    """The one spelling of ``value`` in JSON: sorted keys, NaN and infinity refused."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def load_json(data: bytes, name: str) -> Any:
    """The value of JSON ``data``; NaN, infinities and duplicate keys are damage."""
    try:
        return json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{name} is not valid JSON: {error}") from None


def temporary_beside(path: Path) -> Path:
    """A name in the directory of ``path`` for what is not finished yet."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{os.getpid()}")


def _aside(path: Path) -> Path:
    """Where an old directory waits until the new one is in place; any process can tell."""
    return path.with_name(f"{TEMPORARY_PREFIX}old-{path.name}")


def _remove(path: Path) -> None:
    """Removes what is ours; what the disk does not give away stays."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _write_tree(root: Path, files: Mapping[str, Chunks]) -> None:
    root.mkdir(parents=True)
    for name, chunks in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        _write_synced(root / name, chunks)
    for folder, _, _ in os.walk(root):
        _sync_directory(Path(folder))


def _write_synced(path: Path, chunks: Chunks) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, num_bytes: int, error: OSError) -> DamageError:
    return DamageError(f"cannot write {path} ({num_bytes} bytes needed): {error.strerror}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key occurs twice")
    return record
