"""The run directory ``runs/<task>/<algorithm>/seed_<k>/``: where it is, whose it is, what it says.

The path follows from what is run, without a time stamp, so that asking for the same run twice
means the same directory. No JAX here: a directory that cannot be used is refused in no time.
"""

import dataclasses
import fcntl
import os
import platform
import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

from duopoly.runs import atomic
from duopoly.runs.config import RunConfig, difference, extended
from duopoly.runs.errors import DamageError, UsageError

State = Literal["running", "finished", "stopped", "failed"]

_MAX_LOCK_BYTES = 32


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Where each thing of a run lies."""

    path: Path

    @property
    def settings(self) -> Path:
        """Full settings with task, algorithm, seed and steps."""
        return self.path / "settings.json"

    @property
    def spaces(self) -> Path:
        """Sizes and bounds of what is observed and done."""
        return self.path / "spaces.json"

    @property
    def command(self) -> Path:
        """Command lines that worked on this run."""
        return self.path / "command.txt"

    @property
    def versions(self) -> Path:
        """Versions of what computed it."""
        return self.path / "versions.json"

    @property
    def progress(self) -> Path:
        """One row of metrics per round."""
        return self.path / "progress.csv"

    @property
    def checkpoints(self) -> Path:
        """The last rounds' checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Saved agent of the round that did best in its own evaluation."""
        return self.path / "best"

    @property
    def curve(self) -> Path:
        """Learning curve."""
        return self.path / "curve.png"

    @property
    def status(self) -> Path:
        """What the run is doing."""
        return self.path / "status.json"

    @property
    def trackers(self) -> Path:
        """Where W&B and MLflow have their records of it."""
        return self.path / "trackers.json"

    @property
    def evaluation(self) -> Path:
        """Result of ``duopoly evaluate``."""
        return self.path / "evaluation.json"

    @property
    def video(self) -> Path:
        """Film that ``duopoly video`` makes."""
        return self.path / "video.mp4"

    @property
    def diagnosis(self) -> Path:
        """Folder of what ``duopoly diagnose`` found."""
        return self.path / "diagnosis"

    @property
    def report(self) -> Path:
        """Page that ``duopoly report`` writes."""
        return self.path / "report.html"

    @property
    def export(self) -> Path:
        """Folder of the policy as ``duopoly export`` writes it."""
        return self.path / "export"

    @property
    def lock(self) -> Path:
        """Held while a process works here; released by the kernel when it dies."""
        return self.path / "run.lock"

    def read_config(self) -> RunConfig:
        """What was recorded when the run began.

        Raises:
            UsageError: where there is no run, or its record is damaged.
        """
        atomic.recover(self.path)
        if not atomic.exists(self.settings):
            raise UsageError(f"{self.path} is not a run: it has no {self.settings.name}")
        self._check_kinds()
        try:
            data = atomic.read_regular(self.settings, atomic.MAX_JSON_BYTES)
            record = atomic.load_json(data, self.settings.name)
            return RunConfig.from_dict(record)
        except DamageError as error:
            raise DamageError(f"{self.settings}: {error}") from None

    def _check_kinds(self) -> None:
        """Refuses a link, a pipe or the like where a file or a folder of ours belongs.

        Raises:
            DamageError: naming it.
        """
        folders = self.checkpoints, self.best, self.diagnosis, self.export
        files = (
            *(self.settings, self.spaces, self.command, self.versions, self.progress, self.curve),
            *(self.status, self.trackers, self.evaluation, self.video, self.report, self.lock),
        )
        for path in (*files, *folders):
            if not atomic.is_kind(path, folder=path in folders):
                kind = "folder" if path in folders else "regular file"
                raise DamageError(f"{path} is not a {kind}: move it away")

    def write_config(self, config: RunConfig) -> None:
        """Records what is run here."""
        atomic.write_file(self.settings, atomic.dump_json(config.to_dict()))

    def write_status(
        self, state: State, round_: int | None, env_steps: int | None, message: str = ""
    ) -> None:
        """Tells anyone who looks what the run is doing; None: that is not known yet."""
        status = {
            "state": state,
            "round": round_,
            "env_steps": env_steps,
            "pid": os.getpid(),
            "peak_rss_mib": peak_rss_mib(),
            "updated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "message": message,
        }
        atomic.write_file(self.status, atomic.dump_json(status))


def run_directory(root: Path, task: str, algorithm: str, seed: int) -> RunDirectory:
    """The directory of a run under ``root``; a task's name is made safe for a path."""
    return RunDirectory(root / safe_name(task) / algorithm / f"seed_{seed}")


def safe_name(task: str) -> str:
    """A task's name as a folder has it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", task).strip("._") or "task"


def is_locked(run: RunDirectory) -> bool:
    """Whether a process works in a run directory at this moment."""
    try:
        with run.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def locked(run: RunDirectory) -> Iterator[None]:
    """Holds the run directory, made where it is missing, against other processes.

    An error of the user's leaves the lock as it was.

    Raises:
        UsageError: if another process works there, or it cannot be written.
    """
    try:
        made = [path for path in (run.path, *run.path.parents) if not path.exists()]
        atomic.make_folder(run.path)
        if not atomic.is_kind(run.lock, folder=False):
            raise UsageError(f"{run.lock} is not a regular file: move it away")
        file = run.lock.open("ab+")
    except OSError as error:
        raise UsageError(f"cannot write to {run.path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(32).decode(errors="replace").strip() or "unknown"
            raise UsageError(f"{run.path} is in use by process {holder}") from None
        if not run.lock.exists():  # removed by who held it when it was opened here
            raise UsageError(f"{run.path} was in use just now: try again")
        file.seek(0)
        content, info = file.read(_MAX_LOCK_BYTES), os.fstat(file.fileno())
        if info.st_size > len(content):
            raise UsageError(f"{run.lock} is no lock of ours: move it away")
        _rewrite(file, f"{os.getpid()}\n".encode())
        try:
            yield
        except UsageError:
            with suppress(OSError):  # the folder may be gone
                _rewrite(file, content)
                os.utime(run.lock, ns=(info.st_atime_ns, info.st_mtime_ns))
                if not content and not run.settings.exists():
                    run.lock.unlink()
                    atomic.remove_if_empty(*made)
            raise


def is_begun(run: RunDirectory, config: RunConfig, *, resume: bool) -> bool:
    """Whether a locked run directory holds this very run, to be continued; changes nothing there.

    Raises:
        UsageError: it holds anything and ``resume`` is off, or holds a different run.
    """
    occupied = any(
        path != run.lock and not path.name.startswith(atomic.TEMPORARY_PREFIX)
        for path in run.path.iterdir()
    )
    if occupied and not resume:
        raise UsageError(
            f"{run.path} already holds a run: continue it with --resume, "
            "or choose another --seed or --out"
        )
    if occupied:
        _check_same(run, run.read_config(), config)
    return occupied


def claim(run: RunDirectory, config: RunConfig) -> None:
    """Makes a locked run directory ours, once nothing speaks against it."""
    atomic.remove_leftovers(run.path)
    run.write_config(config)


def _rewrite(file: IO[bytes], content: bytes) -> None:
    file.truncate(0)
    file.write(content)
    file.flush()


def peak_rss_mib() -> int:
    """The most memory that this process has had at once.

    Where the kernel does not tell, it is at least what the process that started it had.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 2**10
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def _check_same(run: RunDirectory, recorded: RunConfig, wanted: RunConfig) -> None:
    there, here = recorded.to_dict(), wanted.to_dict()
    if found := difference(extended(there, here), here):
        raise UsageError(f"{run.path} holds a different run: {found}")
