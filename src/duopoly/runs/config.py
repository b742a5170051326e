"""What makes a run the run it is, and where two runs differ."""

import dataclasses
import re
from typing import Any, Final

from duopoly.memory import MOST, check_memory
from duopoly.runs import settings_json
from duopoly.runs.errors import DamageError, UsageError
from duopoly.schedule import SCHEDULES, check_players
from duopoly.settings import Settings, SettingsError
from duopoly.world.log_record import LogRecord
from duopoly.world.perturb import Change, PerturbationError, read_change

FORMAT = 3
"""Version of everything that is kept on disk; another one is refused.

Format 2 kept actions clipped to the action space, so that what drew them could not be told.
"""


MAX_SEED = 2**31 - 1
MAX_STEPS = 10**12
MAX_SEEDS = 1_000
"""Of one span."""

_SPAN: Final = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What is run; only ``steps`` may grow later, to extend the run, and while they are 0 the
    rounds on logged data."""

    task: str
    algorithm: str
    seed: int
    steps: int
    settings: Settings
    perturb: tuple[Change, ...] = ()
    """How the world changes on the way, in the order of time."""
    data: LogRecord | None = None
    """By what the transitions that it begins with are known again; None: it begins with none."""

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        plain = settings_json.to_dict(self.settings)
        perturb = [str(change) for change in self.perturb]
        return {
            **dataclasses.asdict(self),
            "settings": plain,
            "perturb": perturb,
            "data": self.data._asdict() if self.data else {},
            "format": FORMAT,
        }

    @staticmethod
    def from_dict(values: object) -> "RunConfig":
        """From what `to_dict` gave; other fields, types or bounds are damage."""
        if isinstance(values, dict):  # a run of an earlier version began with no logged data
            values = {"data": {}, **values}
        record = read_record(values, _KINDS)
        for name in ("task", "algorithm"):
            if not record[name].isprintable():
                raise DamageError(f"{name} = {ascii(record[name])[:60]}: must be printable")
        for name, most in (("seed", MAX_SEED), ("steps", MAX_STEPS)):
            if not 0 <= record[name] <= most:
                raise DamageError(f"{name} = {record[name]}: must be in [0, {most}]")
        try:
            settings = settings_json.from_dict(record["settings"])
            if schedule := SCHEDULES.get(record["algorithm"]):  # another may be the user's own
                check_players(schedule, settings)
                check_memory(settings, schedule, MOST)
            perturb = tuple(read_change(str(change)) for change in record["perturb"])
        except (SettingsError, PerturbationError) as error:
            raise DamageError(str(error)) from None
        data = _read_log_record(record["data"], settings) if record["data"] else None
        who = record["task"], record["algorithm"], record["seed"], record["steps"]
        return RunConfig(*who, settings, perturb, data)


_KINDS = {
    "format": int,
    "task": str,
    "algorithm": str,
    "seed": int,
    "steps": int,
    "settings": dict,
    "perturb": list,
    "data": dict,
}


def _read_log_record(values: dict[str, Any], settings: Settings) -> LogRecord:
    kinds = {"sha256": str, "transitions": int, "episodes": int}
    if set(values) != set(kinds) or any(type(values[name]) is not kinds[name] for name in kinds):
        raise DamageError(f"data = {str(values)[:80]}: must have {', '.join(kinds)}")
    log = LogRecord(**values)
    if not re.fullmatch(r"[0-9a-f]{64}", log.sha256):
        raise DamageError(f"data.sha256 = {ascii(log.sha256)[:80]}: must be 64 hexadecimal digits")
    if not 1 <= log.episodes <= log.transitions <= settings.model.capacity:
        raise DamageError(
            f"data.transitions = {log.transitions}, data.episodes = {log.episodes}: must be at "
            f"most model.capacity = {settings.model.capacity}"
        )
    return log


def read_record(values: object, kinds: dict[str, type]) -> dict[str, Any]:
    """A JSON object of our format with exactly these fields, each of its kind.

    Raises:
        DamageError: naming the field that is missing, unknown or of another kind.
    """
    if not isinstance(values, dict):
        raise DamageError("holds no record")
    if values.get("format") != FORMAT:
        raise DamageError(
            f"format is {values.get('format')!r}, this version reads {FORMAT}: start the run anew, "
            f"or use the version that wrote it"
        )
    if odd := set(values) ^ set(kinds):
        raise DamageError(f"unknown or missing: {', '.join(sorted(odd))}")
    for name, kind in kinds.items():
        if type(values[name]) is not kind:
            raise DamageError(f"{name} = {values[name]!r}: must be of type {kind.__name__}")
    return values


def difference(recorded: dict[str, Any], wanted: dict[str, Any], path: str = "") -> str | None:
    """The first field in which two records differ, with both values; None where they agree."""
    for name in sorted(set(recorded) | set(wanted)):
        old, new = recorded.get(name), wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            if found := difference(old, new, f"{path}{name}."):
                return found
        elif old != new:
            return f"{path}{name} is {_spell(old)} there, {_spell(new)} here"
    return None


def extended(recorded: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """A run's record as it stands once the run has gone on to the end of another, if that is later.

    Its steps may grow, and while they are 0 its rounds on logged data (`with_offline_rounds`).
    """
    if recorded["steps"] == 0:
        recorded = with_offline_rounds(recorded, wanted)
    return {**recorded, "steps": max(recorded["steps"], wanted["steps"])}


def with_offline_rounds(recorded: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """A run's record with as many rounds on logged data as another has, if those are more.

    Before the first real step a run is as it would be if it had been meant to play so many.
    """
    old, new = (one["settings"]["collection"] for one in (recorded, wanted))
    rounds = max(old["offline_rounds"], new["offline_rounds"])
    settings = {**recorded["settings"], "collection": {**old, "offline_rounds": rounds}}
    return {**recorded, "settings": settings}


def _spell(value: Any) -> str:
    return "absent" if value is None else str(value)


def read_seeds(text: str, name: str = "--seeds") -> tuple[int, ...]:
    """Seeds as typed, under that name: numbers and spans of them, between commas.

    Raises:
        UsageError: it makes no sense, or names a seed twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _SPAN.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= MAX_SEED or last - first >= MAX_SEEDS:
            raise UsageError(
                f"{name} {text}: {part.strip() or 'nothing'!r} is no seed and no span of at most "
                f"{MAX_SEEDS} of them; write 0-9 or 0,2,5"
            )
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"{name} {text}: names a seed twice")
    return tuple(seeds)
