"""The page's tables: what became of each run, and its settings beside those of the preset."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from duopoly.lab.evaluate import Evaluation
from duopoly.lab.report.markup import Html, Part, tag
from duopoly.lab.report.readings import ENOUGH, number, share
from duopoly.lab.report.record import Record
from duopoly.lab.report.verdict import Group
from duopoly.presets import PRESETS, preset
from duopoly.runs import settings_json
from duopoly.runs.config import RunConfig
from duopoly.runs.metrics import RETURN, ROUND
from duopoly.settings import Settings
from duopoly.world.environments import time_limit
from duopoly.world.tasks import UnknownTaskError, is_registered
from duopoly.world.tasks.catalogue import CATALOGUE

NOT_KNOWN: Final = "–"


def runs_table(groups: Sequence[Group]) -> Html:
    """One row for each run, with the columns of which something is known."""
    records = [(group, record) for group in groups for record in group.records]
    columns = {
        name: [tell(group, record) for group, record in records] for name, tell in _COLUMNS.items()
    }
    known = {name: cells for name, cells in columns.items() if set(cells) != {NOT_KNOWN}}
    head = tag("tr", *(tag("th", name, scope="col", class_=_side(name)) for name in known))
    rows = [
        tag(
            "tr",
            *(tag("td", cell, class_=_side(name)) for name, cell in zip(known, row, strict=True)),
        )
        for row in zip(*known.values(), strict=True)
    ]
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="runs wide card"
    )


def _side(column: str) -> str | None:
    return None if column in ("run", "state", "directory") else "figure"


def _state(_group: Group, record: Record) -> str:
    if record.status is None:
        return NOT_KNOWN
    if record.status.state == "running" and not record.is_worked_on:
        return "ended without a word"
    return record.status.state


def _steps(_group: Group, record: Record) -> str:
    done, wanted = record.env_steps, record.config.steps
    return f"{done:,}" if done >= ENOUGH * wanted else f"{done:,} of {wanted:,}"


def _evaluated(which: Callable[[Record], Evaluation | None]) -> Callable[[Group, Record], str]:
    def tell(_group: Group, record: Record) -> str:
        found = which(record)
        if found is None:
            return NOT_KNOWN
        success = "" if found.success_rate is None else f", {share(found.success_rate)}"
        return f"{number(found.mean_return)} ± {number(found.std_return)}{success}"

    return tell


def _last(_group: Group, record: Record) -> str:
    known = record.known(RETURN)
    return number(float(known[-1])) if known.size else NOT_KNOWN


def _best(_group: Group, record: Record) -> str:
    known = record.known(RETURN)
    if not known.size:
        return NOT_KNOWN
    best = max((row for row in record.rows if RETURN in row), key=lambda row: _ranked(row[RETURN]))
    where = f", round {best[ROUND]:,.0f}" if ROUND in best else ""
    return f"{number(float(known.max()))}{where}"


def _ranked(value: float) -> tuple[bool, float]:
    """Orders what is no number before all numbers."""
    return (value == value, value)


_COLUMNS: Final[Mapping[str, Callable[[Group, Record], str]]] = {
    "run": Group.name_of,
    "state": _state,
    "rounds": lambda _, record: f"{len(record.rows):,}",
    "environment steps": _steps,
    "last return": _last,
    "best return": _best,
    "evaluation": _evaluated(lambda record: record.evaluation),
    "best policy's": _evaluated(lambda record: record.best),
    "directory": lambda _, record: str(record.path),
}


def baseline(config: RunConfig) -> tuple[str, Settings]:
    """The settings from which a run started if nothing was typed, and what to call them."""
    task, improver = config.task, config.settings.policy.improver
    if task in CATALOGUE or (task, "pal") in PRESETS:
        return "preset", preset(task, config.algorithm, improver).settings
    try:
        horizon = time_limit(task) if is_registered(task) else None
    except UnknownTaskError:
        horizon = None
    found = preset(task, config.algorithm, improver, horizon=horizon)
    return "settings of a task without a preset", found.settings


def settings_tables(groups: Sequence[Group]) -> Html:
    """What differs from the presets, and all settings."""
    configs = [group.records[0].config for group in groups]
    bases = [baseline(config) for config in configs]
    values = [_flat(settings_json.to_dict(config.settings)) for config in configs]
    usual = [_flat(settings_json.to_dict(base)) for _, base in bases]
    changed = [
        name
        for name in values[0]
        if any(mine[name] != its[name] for mine, its in zip(values, usual, strict=True))
        or len({mine[name] for mine in values}) > 1
    ]
    labels = [group.label for group in groups]

    def table(names: Sequence[str]) -> Html:
        heads = [tag("th", head, scope="col") for head in ("setting", *labels)]
        rows = []
        for place, name in enumerate(names):
            group, last = name.partition(".")[::2]
            if place == 0 or not names[place - 1].startswith(f"{group}."):
                heading = tag("th", group, colspan=len(heads), scope="rowgroup")
                rows.append(tag("tr", heading, class_="group"))
            pairs = zip(values, usual, strict=True)
            cells = [_cell(mine[name], its[name]) for mine, its in pairs]
            rows.append(tag("tr", tag("td", last, class_="name"), *cells))
        head = tag("thead", tag("tr", *heads))
        return tag("div", tag("table", head, tag("tbody", *rows)), class_="wide")

    called = " and ".join(dict.fromkeys(name for name, _ in bases))
    if changed:
        others = " or from run to run" if len(groups) > 1 else ""
        first = tag("p", f"What differs from the {called}{others}:")
        shown = tag("div", first, table(changed), class_="card")
    else:
        shown = tag("p", f"All settings are those of the {called}.", class_="card")
    whole = tag("details", tag("summary", "All settings"), table([*values[0]]), class_="card")
    return Html(shown + whole)


def _cell(mine: str, its: str) -> Html:
    if mine == its:
        return tag("td", mine)
    parts: tuple[Part, ...] = (mine, " ", tag("small", f"instead of {its}"))
    return tag("td", tag("span", *parts, class_="changed"))


def _flat(group: Mapping[str, Any], path: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in group.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}{name}.")
        else:
            found[path + name] = _spelled(value)
    return found


def _spelled(value: Any) -> str:
    """As the command line takes it."""
    if isinstance(value, list):
        return " ".join(map(_spelled, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
