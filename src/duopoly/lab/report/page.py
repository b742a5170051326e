"""The page: one file of HTML that asks for nothing beyond itself."""

import base64
import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from importlib.resources import files
from typing import Final

from duopoly.lab.curves import check_together
from duopoly.lab.report import charts, looks, pictures, tables
from duopoly.lab.report.chart import Chart, draw
from duopoly.lab.report.markup import Html, Part, join, prose, tag
from duopoly.lab.report.readings import MIN_ROUNDS
from duopoly.lab.report.record import Record
from duopoly.lab.report.verdict import Finding, Group, findings, outcome
from duopoly.runs.errors import UsageError
from duopoly.runs.provenance import version

MAX_BYTES: Final = 5_000_000
"""Of a page: what can be sent by mail and opened on a telephone."""

FIRST_METRIC: Final = "rollout/ep_rew_mean"
"""What the menu shows at first."""
FEW: Final = 6
"""Runs in which a thing was seen that are all shown at once."""
POOLED: Final = "Of several seeds: the interquartile mean with its 95 % bootstrap interval."


def page_of(records: Sequence[Record]) -> bytes:
    """The page on some runs of one task.

    Raises:
        UsageError: they are of different tasks, two are the same, or they are too many for a page;
            a `DamageError` where a picture or film is none.
    """
    drawn = charts.drawn_of(records)
    check_together([curve for curves in drawn.curves for curve in curves], "page")
    first, metrics = charts.headlines(drawn), charts.all_metrics(drawn)
    style = _asset("page.css") + looks.style(drawn.looks)
    before = [
        _verdict(drawn.groups, {chart.name for chart in metrics}),
        _section("Runs", _variants(drawn.groups), tables.runs_table(drawn.groups)),
        _curves(first),
        _metrics(metrics),
    ]
    after = [
        _section("Settings", tables.settings_tables(drawn.groups)),
        _section("How it was run", _provenance(records)),
    ]
    plain = _whole(drawn.groups, style, join([*before, *after]))
    if len(plain) > MAX_BYTES:
        raise UsageError(
            f"the page would have {len(plain):,} bytes, more than {MAX_BYTES:,}: give it fewer runs"
        )
    budget = pictures.Budget(MAX_BYTES - len(plain) - 10_000)
    shown = pictures.diagnoses(drawn.groups, budget)
    filmed = pictures.films(drawn.groups, budget)
    between = [
        _section("Film", tag("div", filmed, class_="pictures")) if filmed else Html(),
        _section("Diagnosis", tag("div", shown, class_="pictures")) if shown else Html(),
        _left_out(budget),
    ]
    return _whole(drawn.groups, style, join([*before, *between, *after]))


def _whole(groups: Sequence[Group], style: str, content: Html) -> bytes:
    """The document; a policy for its content forbids everything that is not in it."""
    script = _asset("page.js")
    rules = {
        "default-src": "'none'",
        "style-src": f"'{_hash(style)}'",
        "script-src": f"'{_hash(script)}'",
        "img-src": "data:",
        "media-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    policy = "; ".join(f"{name} {value}" for name, value in rules.items())
    task = groups[0].records[0].config.task
    title = f"{task}: {', '.join(group.label for group in groups)}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        Html('<link rel="icon" href="data:,">'),
        tag("title", title),
        tag("style", Html(style)),
    )
    made = f"Made by duopoly {version('duopoly')}. This page is one file and asks for nothing else."
    body = tag(
        "body",
        tag("header", tag("h1", task), tag("p", _subtitle(groups), class_="soft"), class_="page"),
        tag("main", content),
        tag("footer", made),
        tag("script", Html(script)),
    )
    document = tag("html", head, body, lang="en")
    return f"<!DOCTYPE html>\n{document}\n".encode("utf-8", errors="replace")


def _asset(name: str) -> str:
    return files("duopoly.lab.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _subtitle(groups: Sequence[Group]) -> str:
    num = sum(len(group.records) for group in groups)
    runs = "one run" if num == 1 else f"{num} runs"
    return f"{', '.join(group.label for group in groups)} · {runs}"


def _section(title: str, *parts: Html) -> Html:
    return tag("section", tag("h2", title), *parts)


def _verdict(groups: Sequence[Group], names: Collection[str]) -> Html:
    """What came of the runs and what stands out, in words; ``names`` are those of charts."""
    said = [tag("p", outcome(group), class_="outcome") for group in groups]
    if any(len(group.records) > 1 for group in groups):
        said.append(tag("p", POOLED, class_="soft"))
    found = findings(groups)
    num_rounds = max(len(record.rows) for group in groups for record in group.records)
    if num_rounds < MIN_ROUNDS:
        few = f"A course is judged from {MIN_ROUNDS} rounds on: too early to tell."
        said.append(tag("p", few, class_="calm"))
    elif all(one.weight == "note" for one in found):
        said.append(tag("p", "Nothing stands out.", class_="calm"))
    if found:
        items = [_finding(one, names) for one in found]
        said.append(tag("ul", *items, class_="findings"))
    return _section("Verdict", *said)


def _variants(groups: Sequence[Group]) -> Html:
    """What stands behind short labels."""
    items = [
        tag("li", tag("strong", group.label), f": {group.variant}")
        for group in groups
        if group.variant
    ]
    if not items:
        return Html()
    return tag("details", tag("summary", "What sets them apart"), tag("ul", *items))


def _finding(found: Finding, names: Collection[str]) -> Html:
    items = [tag("li", tag("span", one.who, class_="who"), f": {one.what}") for one in found.seen]
    seen = tag("ul", *items)
    if len(items) > FEW:
        seen = tag("details", tag("summary", f"In {len(items)} runs"), seen)
    remedy: list[Part] = [prose(found.remedy)]
    if (name := charts.name_of(found.see)) in names:
        link = tag("a", f"See {found.see}", href=f"#chart-{name}")
        remedy += [" ", link, "."]
    return tag(
        "li",
        tag("span", found.weight, class_="weight"),
        tag("h3", found.headline),
        seen,
        tag("p", *remedy, class_="remedy"),
        class_=found.weight,
    )


def _curves(first: Sequence[Chart]) -> Html:
    if not first:
        return Html()
    said = [f"Over {first[0].axis}."]
    if any(line.band for chart in first for line in chart.lines):
        said.append(
            "Thick lines are interquartile means over the seeds with their 95 % bootstrap "
            "interval, as far as all seeds have come; thin ones are the seeds."
        )
    shown = tag("div", *map(draw, first), class_="charts")
    return _section("Curves", tag("p", " ".join(said), class_="soft"), shown)


def _metrics(metrics: Sequence[Chart]) -> Html:
    if not metrics:
        return Html()
    groups: dict[str, list[Html]] = {}
    for chart in metrics:
        is_first = chart.title == FIRST_METRIC
        option = tag("option", chart.title, value=f"chart-{chart.name}", selected=is_first)
        groups.setdefault(chart.title.partition("/")[0], []).append(option)
    groups |= {"time": groups.pop("time")} if "time" in groups else {}
    options = [tag("optgroup", *some, label=name) for name, some in groups.items()]
    label = tag("label", "Metric", for_="metric")
    menu = tag("div", label, tag("select", *options, id="metric"), class_="menu", hidden=True)
    summary = tag("summary", f"Curves of all {len(metrics)} metrics that are known")
    return _section(
        "Every metric", tag("details", summary, menu, *map(draw, metrics), class_="metrics")
    )


def _left_out(budget: pictures.Budget) -> Html:
    if not budget.left_out:
        return Html()
    named = [tag("li", str(path)) for path in budget.left_out]
    said = f"Left out, for the page would have more than {MAX_BYTES / 1e6:g} MB with them:"
    return tag("section", tag("p", said), tag("ul", *named), class_="soft")


def _provenance(records: Sequence[Record]) -> Html:
    """The commands and the versions, each once."""
    commands = dict.fromkeys(line for record in records for line in record.commands)
    versions = Counter(tuple(sorted(record.versions.items())) for record in records)
    parts = [tag("pre", "\n".join(commands))] if commands else []
    for found, count in versions.items():
        listed = ", ".join(f"{name} {one}" for name, one in found) or "versions not kept"
        who = f"{count} of {len(records)} runs: " if len(versions) > 1 else ""
        parts.append(tag("p", who, listed, class_="soft"))
    return tag("div", *parts, class_="card")
