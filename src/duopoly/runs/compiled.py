"""Compiled programs are kept between processes: a second start has most of them at hand.

JAX keeps and finds them; here is said where, and that it keep the small ones, too: a start has more
than a hundred of those. It is told by environment variables, so that nothing heavy is loaded.
"""

import contextlib
import hashlib
import os
import platform
from pathlib import Path
from typing import Final

from duopoly.runs.atomic import make_folder

VARIABLE: Final = "JAX_COMPILATION_CACHE_DIR"

MIN_SECONDS: Final = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"

MAX_BYTES: Final = 2**30
"""Of what is kept; where it is more, the oldest leave."""


def keep_compiled() -> None:
    """Has JAX keep what it compiles in the user's cache, unless the user has said where.

    Where nothing can be kept, nothing is. To be called before JAX is loaded.
    """
    if VARIABLE not in os.environ and (folder := _folder()) is not None:
        with contextlib.suppress(OSError):
            make_folder(folder)
            _prune(folder.parent)
            if os.access(folder, os.W_OK | os.X_OK):
                os.environ[VARIABLE] = str(folder)
                os.environ.setdefault(MIN_SECONDS, "0")


def _folder() -> Path | None:
    """A place for this kind of machine: a program is made for its instructions and its cores."""
    cache = os.environ.get("XDG_CACHE_HOME")
    if not cache and "HOME" not in os.environ:
        return None
    root = Path(cache) if cache else Path(os.environ["HOME"]) / ".cache"
    kind = (platform.machine(), _instructions(), _cores(), os.environ.get("PJRT_NPROC", ""))
    name = hashlib.sha256(repr(kind).encode()).hexdigest()[:16]
    return root / "duopoly" / "compiled" / name


def _instructions() -> str:
    """What the processor says it can do, where there is somebody to ask."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()


def _cores() -> int:
    """Cores that this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prune(root: Path) -> None:
    """Removes the oldest files, where there is more than is to be kept, until half of that is left.

    Another process may do the same at the same time.
    """
    found = [(path.stat(), path) for path in root.rglob("*") if path.is_file()]
    total = sum(info.st_size for info, _ in found)
    if total <= MAX_BYTES:
        return
    for info, path in sorted(found, key=lambda one: one[0].st_mtime):
        if total <= MAX_BYTES // 2:
            break
        path.unlink(missing_ok=True)
        total -= info.st_size
