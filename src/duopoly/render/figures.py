"""What all our pictures have in common: ink, grid and the file they end in."""

import textwrap
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from duopoly.runs.atomic import make_folder
from duopoly.runs.errors import UsageError

INK: Final = "#333333"

_MAX_WITHIN, _MAX_LABEL = 6, 48
"""Names, and letters of each, that a legend holds without hiding what is drawn."""


def new_figure(width: float, height: float, title: str) -> Figure:
    """Returns an empty figure, in inches, with a title."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, color=INK, parse_math=False)
    return figure


def style(axes: Axes) -> None:
    """Draws axes in our ink: two spines and a pale grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Names what is drawn in ``axes``: within them, or below the figure where there is much to say.

    Names are shown as they are: a dollar sign begins no formula.
    """
    handles, labels = axes.get_legend_handles_labels()
    labels = [textwrap.fill(label, _MAX_LABEL) for label in labels]
    small = {"frameon": False, "fontsize": 9, "labelcolor": INK}
    if len(labels) <= _MAX_WITHIN and all(len(label) <= _MAX_LABEL for label in labels):
        legend = axes.legend(handles, labels, **small)
    else:
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=1, **small)
        height = sum(label.count("\n") + 1 for label in labels) * 0.19
        figure.set_figheight(figure.get_figheight() + height)
    for text in legend.get_texts():
        text.set_parse_math(False)


def write(figure: Figure, out: Path) -> None:
    """Writes a figure, of the kind that ``out`` ends in.

    Raises:
        UsageError: ``out`` ends in no kind of picture, or cannot be written.
    """
    kinds = FigureCanvasAgg.get_supported_filetypes()
    if out.suffix.removeprefix(".").lower() not in kinds:
        raise UsageError(f"{out}: must end in one of {', '.join('.' + kind for kind in kinds)}")
    try:
        make_folder(out.parent)
        figure.savefig(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
