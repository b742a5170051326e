"""How lines look on paper and on a dark screen: colours as style, dashes as strokes."""

from collections.abc import Iterable
from typing import Final

from duopoly.lab.curves import Look

ON_DARK: Final = {
    "#0072b2": "#1193d4",
    "#56b4e9": "#7edcff",
    "#1b2a6b": "#606dff",
    "#d55e00": "#ec5213",
    "#7a0f2b": "#e93755",
    "#d8c21f": "#e8d97d",
    "#7a7a7a": "#8a8a8a",
    "#222222": "#f4f4f4",
}
"""What stands on a dark page for each colour of `duopoly.lab.curves.LOOKS`: as far apart."""

_DASHES: Final = {"-": "", "--": "7 3.5", "-.": "8 3 1.5 3", ":": "1.5 3.5"}
IMAGINED_DASHES: Final = "2 3"


def strokes(look: Look) -> str | None:
    """The dashes of a line as ``stroke-dasharray`` has them, in pixels; None: a whole line."""
    if isinstance(look.dashes, str):
        return _DASHES[look.dashes] or None
    return " ".join(str(2 * length) for length in look.dashes[1])


def style(looks: Iterable[Look]) -> str:
    """A class for each look, ``look-0`` and so on, that sets its colour in either scheme."""
    light, dark = "", ""
    for number, look in enumerate(looks):
        light += f".look-{number}{{--line:{look.colour}}}\n"
        dark += f".look-{number}{{--line:{ON_DARK[look.colour]}}}\n"
    return f"{light}@media screen and (prefers-color-scheme: dark){{\n{dark}}}\n"
