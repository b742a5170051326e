"""What the files of a run tell, read strictly: a damaged one is refused, a missing one is none."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from jaxtyping import Float

from duopoly.fields import MisfitError, hints_of, read
from duopoly.lab.evaluate import Evaluation
from duopoly.runs import atomic
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import DamageError
from duopoly.runs.metrics import STEPS, read_progress
from duopoly.runs.rundir import RunDirectory, State, is_locked
from duopoly.sweep import kept

MAX_COMMAND_BYTES: Final = 2**20


@dataclasses.dataclass(frozen=True)
class Status:
    """What a run said of itself last."""

    state: State
    message: str


@dataclasses.dataclass(frozen=True)
class Diagnosed:
    """The numbers of a diagnosis on which a verdict rests."""

    env_steps: int
    model_error: Mapping[int, float]
    """Error of the model by how many actions it looked ahead, open loop."""
    still_error: Mapping[int, float]
    """The same of predicting that nothing changes."""
    explained: Mapping[str, float]
    """R² of the change in one action, by the component's name."""
    value_bias: float | None
    """What was expected of real states less what they earned; None: no values are learned."""
    value_earned: float | None


@dataclasses.dataclass(frozen=True)
class Record:
    """A run as its files tell of it; None and empty: there is no such file."""

    path: Path
    config: RunConfig
    rows: Sequence[Mapping[str, float]] = ()
    """Metrics, round by round."""
    status: Status | None = None
    is_worked_on: bool = False
    """A process works in the directory at this moment."""
    evaluation: Evaluation | None = None
    best: Evaluation | None = None
    """Of the policy that did best in training."""
    diagnosed: Diagnosed | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    commands: Sequence[str] = ()

    def column(self, tag: str) -> Float[np.ndarray, " rounds"]:
        """A metric, round by round; NaN where it is not known."""
        return np.array([row.get(tag, np.nan) for row in self.rows], dtype=float)

    def known(self, tag: str) -> Float[np.ndarray, " known"]:
        """The finite values of a metric, in the order of time."""
        values = self.column(tag)
        return values[np.isfinite(values)]

    @property
    def env_steps(self) -> int:
        """Real environment steps up to the last finished round."""
        steps = self.known(STEPS)
        return round(float(steps[-1])) if steps.size else 0


def read_record(run: RunDirectory) -> Record:
    """Everything but pictures and film.

    Raises:
        UsageError: there is no run; a `DamageError` where one of its files is damaged.
    """
    config = run.read_config()
    diagnosis = run.diagnosis / "diagnosis.json"
    return Record(
        path=run.path,
        config=config,
        rows=read_progress(run.progress),
        status=_read_as(Status, run.status),
        is_worked_on=is_locked(run),
        evaluation=_read_as(Evaluation, run.evaluation),
        best=_read_as(Evaluation, RunDirectory(run.best).evaluation)
        or _read_as(Evaluation, run.path / kept.KEPT["best/evaluation.json"]),
        diagnosed=_read_diagnosis(diagnosis) if atomic.exists(diagnosis) else None,
        versions=_read_versions(run.versions),
        commands=_read_commands(run.command),
    )


_Kind = TypeVar("_Kind")


def _read_as(kind: type[_Kind], path: Path) -> _Kind | None:
    """A JSON object as the dataclass whose fields it has; what else it has is left alone."""
    if not atomic.exists(path):
        return None
    values, found = kept.read(path), {}
    for name, hint in hints_of(kind).items():
        if name not in values:
            raise DamageError(f"{path}: {name} is missing")
        if values[name] is None and _may_be_none(kind, name):
            found[name] = None
            continue
        try:
            found[name] = read(values[name], hint)
        except MisfitError as error:
            raise DamageError(f"{path}: {name} = {error}") from None
    return kind(**found)


def _may_be_none(kind: type, name: str) -> bool:
    return types.NoneType in typing.get_args(typing.get_type_hints(kind)[name])


def _read_diagnosis(path: Path) -> Diagnosed:
    values = kept.read(path)

    def numbers(group: Any, *names: str) -> dict[str, float]:
        found = group if isinstance(group, dict) else {}
        for name in names or found:
            if isinstance(found.get(name), bool) or not isinstance(found.get(name), int | float):
                raise DamageError(f"{path}: {name} must be a number")
        return {name: float(found[name]) for name in names or found}

    def by_horizon(name: str) -> dict[int, float]:
        return {int(k): v for k, v in numbers(values.get(name)).items() if k.isdecimal()}

    earned = numbers(values["values"], "earned", "bias") if values.get("values") else {}
    return Diagnosed(
        env_steps=round(numbers(values, "env_steps")["env_steps"]),
        model_error=by_horizon("open_loop_error"),
        still_error=by_horizon("standing_still_error"),
        explained=numbers(values.get("explained_variance")),
        value_bias=earned.get("bias"),
        value_earned=earned.get("earned"),
    )


def _read_versions(path: Path) -> dict[str, str]:
    values = kept.read(path) if atomic.exists(path) else {}
    return {name: str(value) for name, value in values.items()}


def _read_commands(path: Path) -> list[str]:
    """The command lines, the last first; each is told once."""
    if not atomic.exists(path):
        return []
    try:
        text = atomic.read_regular(path, MAX_COMMAND_BYTES).decode(errors="replace")
    except DamageError as error:
        raise DamageError(f"{path}: {error}") from None
    return list(dict.fromkeys(line for line in reversed(text.splitlines()) if line.strip()))
