"""What computed a run: physics and numerics change between versions, so each run records them."""

import platform
import shlex
import sys
from importlib import metadata

from duopoly.runs import atomic
from duopoly.runs.config import difference
from duopoly.runs.errors import DamageError, tell
from duopoly.runs.rundir import RunDirectory

PACKAGES = ("duopoly", "jax", "jaxlib", "numpy", "equinox", "optax", "gymnasium", "mujoco")


def version(package: str) -> str:
    """The installed version of a package, or ``unknown`` (a checkout that was never installed)."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    """Versions of the interpreter, the platform and every package whose change changes results."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{package: version(package) for package in PACKAGES},
    }


def record(run: RunDirectory) -> None:
    """Writes the command line and the versions; other versions than before are worth a warning.

    A resumed run equals one that never stopped only under the versions it began with.
    """
    atomic.append_synced(run.command, f"{shlex.join(sys.argv)}\n".encode())
    now = versions()
    if atomic.exists(run.versions) and (found := _change(run, now)):
        tell(f"duopoly: {run.path} was begun under other versions: {found}")
    atomic.write_file(run.versions, atomic.dump_json(now))


def _change(run: RunDirectory, now: dict[str, str]) -> str | None:
    """Where the recorded versions differ from those of ``now``, or why nobody can tell."""
    try:
        data = atomic.read_regular(run.versions, atomic.MAX_JSON_BYTES)
        before = atomic.load_json(data, run.versions.name)
    except DamageError as error:
        return str(error)
    if not isinstance(before, dict):
        return f"{run.versions.name} holds no record"
    return difference(before, now)
