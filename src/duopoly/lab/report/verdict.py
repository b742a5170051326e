"""Runs in words: what came of them, what stands out, and what to try. Pure functions of records."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from duopoly.lab.report.readings import (
    ENOUGH,
    SUCCESS,
    last_third,
    number,
    share,
    unit_of_returns,
)
from duopoly.lab.report.record import Diagnosed, Record
from duopoly.lab.report.rules import RULES, Weight
from duopoly.lab.statistics import bootstrap_interval, interquartile_mean
from duopoly.runs.metrics import RETURN

MIN_SEEDS: Final = 3
"""Seeds of which it can be told that they differ."""
APART: Final = 0.5
"""Range of the seeds' last returns, in units of the median range within a run."""
UNEXPLAINED: Final = 0.5
"""R² of a component's change in one action below which the model does not know it."""
VALUE_BIAS: Final = 0.25
"""Bias of the expected values over the size of what was earned."""

WEIGHTS: Final[tuple[Weight, ...]] = ("trouble", "warning", "note")


class Seen(NamedTuple):
    """What was seen, and in which run."""

    who: str
    what: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that stands out, in all the runs where it does."""

    headline: str
    weight: Weight
    seen: tuple[Seen, ...]
    remedy: str
    see: str = ""
    """The metric whose curve shows it, or nothing."""


class Group(NamedTuple):
    """Runs that differ in their seeds alone."""

    label: str
    records: tuple[Record, ...]
    variant: str = ""
    """The settings that set it apart from others of its algorithm, where the label is short."""

    def name_of(self, record: Record) -> str:
        """What one of its runs is called."""
        return f"{self.label}, seed {record.config.seed}"


def findings(groups: Sequence[Group]) -> list[Finding]:
    """All that stands out, what weighs most first; nothing: then nothing does."""
    found = [*_of_ends(groups)]
    for rule in RULES:
        seen = tuple(
            Seen(group.name_of(record), said)
            for group in groups
            for record in group.records
            if (said := rule.speak(record))
        )
        if seen:
            found.append(Finding(rule.headline, rule.weight, seen, rule.remedy, rule.see))
    found += [*_of_seeds(groups), *_of_diagnoses(groups), *_of_evaluations(groups)]
    return sorted(found, key=lambda one: WEIGHTS.index(one.weight))


def outcome(group: Group) -> str:
    """What a group came to, in a sentence; of several seeds pooled."""
    records = group.records
    head = group.label if len(records) == 1 else f"{group.label}, {len(records)} seeds"
    each = "" if len(records) == 1 else " each"
    evaluations = [record.evaluation for record in records if record.evaluation]
    steps = [record.env_steps for record in records] + [one.env_steps for one in evaluations]
    if any(steps):
        head += f": {_range([one for one in steps if one])} real environment steps{each}"
    elif rounds := [len(record.rows) for record in records if record.rows]:
        head += f": {_range(rounds)} rounds on logged data{each}"
    else:
        return f"{head}: no finished round is recorded."
    if len(evaluations) == len(records):
        episodes = _range([one.num_episodes for one in evaluations])
        where = f"over {episodes} fresh episodes{each}"
        returns = [one.mean_return for one in evaluations]
        success = [one.success_rate for one in evaluations if one.success_rate is not None]
    else:
        where = "in the last evaluated round"
        returns, success = (
            [float(value) for record in records for value in record.known(tag)[-1:]]
            for tag in (RETURN, SUCCESS)
        )
    if not returns:
        return f"{head}; no round was evaluated."
    said = f"mean return {_pooled(returns, number)}"
    if success:
        said += f", success {_pooled(success, share)}"
    return f"{head}; {said} {where}."


def _pooled(scores: Sequence[float], spell: Callable[[float], str]) -> str:
    """The interquartile mean of several scores with its interval; a single one as it is."""
    values = np.array(scores)
    if len(values) == 1:
        return spell(scores[0])
    low, high = bootstrap_interval([values])
    ends = f"({spell(float(low))} to {spell(float(high))})"
    return f"{spell(float(interquartile_mean(values)))} {ends}"


def _range(counts: Sequence[int]) -> str:
    """Of counts that are the same within a hundredth, the largest alone."""
    low, high = min(counts), max(counts)
    return f"{high:,}" if low >= ENOUGH * high else f"{low:,} to {high:,}"


def _of_ends(groups: Sequence[Group]) -> Iterator[Finding]:
    """Runs that did not come to their end."""
    ends: dict[str, list[Seen]] = {"failed": [], "stopped": [], "running": [], "dead": []}
    for group in groups:
        for record in group.records:
            status = record.status
            if status is None or status.state == "finished":
                continue
            is_dead = status.state == "running" and not record.is_worked_on
            message = f": {status.message}" if status.message else ""
            at = f"after {record.env_steps:,} of {record.config.steps:,} steps{message}"
            ends["dead" if is_dead else status.state].append(Seen(group.name_of(record), at))
    for (headline, weight, remedy), seen in zip(_ENDS, ends.values(), strict=True):
        if seen:
            yield Finding(headline, weight, tuple(seen), remedy)


_ENDS: Final[tuple[tuple[str, Weight, str], ...]] = (
    (
        "Failed",
        "trouble",
        "The message says why; once that is mended, the same command with `--resume` goes on from "
        "the last finished round.",
    ),
    ("Stopped", "note", "The same command with `--resume` goes on, as if it had never stopped."),
    ("Still running", "note", "What is shown is how far it has come; make the page again later."),
    (
        "Ended without a word",
        "warning",
        "It says that it is running, but no process works in its directory: it was killed, or its "
        "machine went down. The same command with `--resume` goes on.",
    ),
)
"""Failed, stopped, running and dead runs."""


def _of_seeds(groups: Sequence[Group]) -> Iterator[Finding]:
    """Seeds that end far apart, or after different numbers of steps."""
    apart, short = [], []
    for group in groups:
        if said := _apart(group.records):
            apart.append(Seen(group.label, said))
        steps = {record.config.seed: record.env_steps for record in group.records}
        last = max(steps.values())
        behind = [seed for seed, one in steps.items() if one < ENOUGH * last]
        if behind:
            said = ", ".join(f"seed {seed} ends at {steps[seed]:,}" for seed in behind)
            short.append(Seen(group.label, f"{said}, others go on to {last:,}"))
    if apart:
        yield Finding(
            "The seeds differ widely",
            "warning",
            tuple(apart),
            "One seed tells little: report all of them with their interval, play more of them, and "
            "choose settings on other seeds than those that are reported.",
            RETURN,
        )
    if short:
        yield Finding(
            "Seeds of different length",
            "note",
            tuple(short),
            "A mean over seeds is drawn as far as all of them have come.",
        )


def _apart(records: Sequence[Record]) -> str | None:
    ends = {record.config.seed: _end(record) for record in records}
    known = {seed: end for seed, end in ends.items() if end is not None}
    units = [unit for record in records if (unit := unit_of_returns(record))]
    if len(known) < MIN_SEEDS or not units:
        return None
    worst, best = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    apart = (known[best] - known[worst]) / float(np.median(units))
    if apart < APART:
        return None
    return (
        f"from {number(known[worst])} (seed {worst}) to {number(known[best])} (seed {best}), "
        f"{share(apart)} of the range of a run's returns (threshold {share(APART)})"
    )


def _end(record: Record) -> float | None:
    """How well a run ends: by its evaluation, or else by its last rounds."""
    return record.evaluation.mean_return if record.evaluation else last_third(record, RETURN)


def _of_evaluations(groups: Sequence[Group]) -> Iterator[Finding]:
    """Runs that were not evaluated, or went on after it."""
    never, old = [], []
    for group in groups:
        for record in group.records:
            who, found = group.name_of(record), record.evaluation
            if record.is_worked_on:
                continue
            if found is None:
                rounds = record.known(RETURN).size
                some = f"{rounds} rounds were, by few episodes each" if rounds else "no round was"
                never.append(Seen(who, some))
            elif found.env_steps < record.env_steps:
                said = f"after {found.env_steps:,} steps; it has gone on to {record.env_steps:,}"
                old.append(Seen(who, said))
    if never:
        yield Finding(
            "Not evaluated in the end",
            "note",
            tuple(never),
            "`duopoly evaluate RUN` plays a hundred episodes that training has not seen.",
        )
    if old:
        yield Finding(
            "The evaluation is of an earlier policy",
            "note",
            tuple(old),
            "`duopoly evaluate RUN` plays the newest.",
        )


def _of_diagnoses(groups: Sequence[Group]) -> Iterator[Finding]:
    """What ``duopoly diagnose`` found of the model and of the values."""
    for headline, look, remedy in _DIAGNOSES:
        seen = tuple(
            Seen(group.name_of(record), said)
            for group in groups
            for record in group.records
            if record.diagnosed and (said := look(record.diagnosed))
        )
        if seen:
            yield Finding(headline, "warning", seen, remedy)


def _unexplained(diagnosed: Diagnosed) -> str | None:
    poor = sorted((r, name) for name, r in diagnosed.explained.items() if r < UNEXPLAINED)
    if not poor:
        return None
    named = ", ".join(f"{name} ({r:.2f})" for r, name in poor[:3])
    more = f" and {len(poor) - 3} more" if len(poor) > 3 else ""
    return f"R² of the change in one action: {named}{more} (threshold {UNEXPLAINED:g})"


def _no_better(diagnosed: Diagnosed) -> str | None:
    for horizon, error in sorted(diagnosed.model_error.items()):
        still = diagnosed.still_error.get(horizon)
        if still is not None and error >= still:
            return (
                f"from {horizon} actions ahead its error is {number(error)}, that of predicting "
                f"no change {number(still)}"
            )
    return None


def _wrong_values(diagnosed: Diagnosed) -> str | None:
    bias, earned = diagnosed.value_bias, diagnosed.value_earned
    if bias is None or earned is None or abs(bias) < VALUE_BIAS * abs(earned):
        return None
    return (
        f"expected {number(abs(bias))} too {'much' if bias > 0 else 'little'} of what earns "
        f"{number(earned)} on average (threshold {share(VALUE_BIAS)})"
    )


_DIAGNOSES: Final[tuple[tuple[str, Callable[[Diagnosed], str | None], str], ...]] = (
    (
        "The model does not know some components",
        _unexplained,
        "More data or epochs, a larger network (`model.hidden`) or, where something is hidden or "
        "cut, such as velocities, a task that observes it.",
    ),
    (
        "The model is no better than standing still",
        _no_better,
        "Imagination that long is guessing: imagine less far, or fit better first.",
    ),
    (
        "Values are not what is earned",
        _wrong_values,
        "The policy follows wrong expectations; the picture of values shows when.",
    ),
)
"""What to look for in a diagnosis, and what to try then."""
