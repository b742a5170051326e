"""``duopoly export``: a trained policy for where there is no duopoly."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from duopoly.export import FORMATS, Format
from duopoly.runs import atomic
from duopoly.runs.errors import UsageError
from duopoly.runs.rundir import RunDirectory


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a trained policy as a folder that needs no duopoly: NumPy weights, StableHLO, ONNX."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run directory or saved agent; its task is not needed."""
    formats: tuple[Format, ...] = ("numpy", "stablehlo", "onnx")
    """What is written; all but numpy need duopoly[export]."""
    out: Path | None = None
    """Folder to write [default: export in the run]."""


def act(command: Export) -> None:
    """Writes the folder, then compares each format's actions with the policy's.

    Raises:
        UsageError: there is nothing to export, or no place for it; a `FailureError` if a format
            acts otherwise than the policy.
    """
    if not command.formats:
        raise UsageError(f"--formats: name one of {', '.join(FORMATS)}, or several")
    run = RunDirectory(command.run)
    run.read_config()
    folder = command.out or run.export
    atomic.check_writable(folder / "policy.json" if folder.is_dir() else folder)
    from rich.console import Console

    from duopoly.export.folder import as_table, check_replaceable, compare, write
    from duopoly.export.policy import read_policy

    check_replaceable(folder)
    policy = read_policy(run)
    formats = tuple(dict.fromkeys(command.formats))
    write(policy, formats, folder)
    Console().print(as_table(policy, compare(policy, formats, folder)))
    print(f"written to {folder}")
