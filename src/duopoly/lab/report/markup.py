"""HTML and SVG as values: text is escaped wherever it enters, by construction.

Run names, paths and settings are data that anyone may have written.
"""

import html
import json
from collections.abc import Iterable
from typing import Any, Final, final


@final
class Html(str):
    """Text that is HTML already; any other text is escaped where it becomes a part of some."""

    __slots__ = ()


Part = str | float | Html
"""What an element may hold; numbers are shown as Python spells them."""

VOID: Final = frozenset({"meta", "img", "br", "circle", "line", "rect", "path", "use"})
"""Elements without content."""


def tag(name: str, /, *parts: Part, **attributes: Part | bool | None) -> Html:
    """An element with its content and its attributes.

    Of the attributes' names a last underscore is dropped and the others become hyphens. True makes
    an attribute without a value; None and False leave it out.
    """
    shown = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID and not parts:
        return Html(f"<{name}{shown}/>")
    return Html(f"<{name}{shown}>{join(parts)}</{name}>")


def prose(text: str) -> Html:
    """A sentence in which what stands between backticks is code."""
    pieces = text.split("`")
    return join(tag("code", one) if place % 2 else one for place, one in enumerate(pieces))


def join(parts: Iterable[Part]) -> Html:
    """Parts one after another."""
    return Html("".join(escaped(part) for part in parts))


def escaped(part: Part) -> Html:
    """Text as HTML has it; letters that nobody sees, or that turn text around, are spelled out."""
    if isinstance(part, Html):
        return part
    return Html(html.escape(printable(str(part)), quote=True))


def printable(text: str) -> str:
    """Text in which whatever cannot be printed, line ends aside, is spelled as Python does."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def data(values: Any) -> Html:
    """Values for the page's own script, in an element that is never run.

    In JSON within HTML, nothing may look like the end of the element.
    """
    spelled = json.dumps(values, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        spelled = spelled.replace(letter, f"\\u{ord(letter):04x}")
    return Html(f'<script type="application/json">{spelled}</script>')


def _name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")
