"""Pictures and films of runs within the page, as far as it stays small enough to be sent."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from duopoly.lab.report.markup import Html, join, tag
from duopoly.lab.report.record import Record
from duopoly.lab.report.verdict import Group
from duopoly.runs import atomic
from duopoly.runs.errors import DamageError
from duopoly.runs.rundir import RunDirectory

DIAGNOSES: Final = {
    "open_loop.png": "How far ahead the model can be believed: its error after so many actions of "
    "real episodes, and that of predicting no change.",
    "one_step.png": "Change in one action, predicted against real, component by component; the "
    "worst explained come first.",
    "disagreement.png": "By how much the members differ along real and imagined rollouts from the "
    "same states.",
    "fan.png": "The same policy from the same start: in reality, and in every member's world.",
    "values.png": "What the policy player expected of real states against what it then earned.",
    "gaps.png": "How far the players were from an equilibrium, round by round.",
}
"""The pictures of ``duopoly diagnose``, and what they show."""

MAX_FILE: Final = 64 * 2**20
"""No picture or film of ours comes near this size; a larger one is not read."""
_PNG, _MP4 = b"\x89PNG\r\n\x1a\n", b"ftyp"


class Budget:
    """Bytes that may still be added to the page."""

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes
        self.left_out: list[Path] = []
        """Files for which there was no room."""

    def embed(self, path: Path, kind: str, content: bytes) -> str | None:
        """A file as a data URI; None where it would make the page too large."""
        size = 4 * -(-len(content) // 3) + 1_000
        if size > self._left:
            self.left_out.append(path)
            return None
        self._left -= size
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def diagnoses(groups: Sequence[Group], budget: Budget) -> Html:
    """The pictures of all runs that have some.

    Raises:
        DamageError: one is no picture.
    """
    return join(
        _picture(group, record, path, meaning, budget)
        for group in groups
        for record in group.records
        for name, meaning in DIAGNOSES.items()
        if atomic.exists(path := RunDirectory(record.path).diagnosis / name)
    )


def _picture(group: Group, record: Record, path: Path, meaning: str, budget: Budget) -> Html:
    content = _read(path)
    if not content.startswith(_PNG):
        raise DamageError(f"{path} is no PNG picture: move it away")
    source = budget.embed(path, "image/png", content)
    if source is None:
        return Html()
    who = group.name_of(record)
    caption = tag("figcaption", tag("strong", who), ". ", meaning)
    return tag("figure", tag("img", src=source, alt=meaning), caption)


def films(groups: Sequence[Group], budget: Budget) -> Html:
    """The films of all runs that have one.

    Raises:
        DamageError: one is no film.
    """
    found = []
    for group in groups:
        for record in group.records:
            path = RunDirectory(record.path).video
            if not atomic.exists(path):
                continue
            content = _read(path)
            if content[4:8] != _MP4:
                raise DamageError(f"{path} is no MP4 film: move it away")
            if source := budget.embed(path, "video/mp4", content):
                who = group.name_of(record)
                film = tag(
                    "video", src=source, controls=True, loop=True, muted=True, preload="auto"
                )
                found.append(tag("figure", film, tag("figcaption", who)))
    return join(found)


def _read(path: Path) -> bytes:
    try:
        return atomic.read_regular(path, MAX_FILE)
    except DamageError as error:
        raise DamageError(f"{path}: {error}") from None
