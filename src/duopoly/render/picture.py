"""Robots at reset and trained policies at work, side by side in one picture."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from duopoly.agent import load_agent
from duopoly.render import figures
from duopoly.render.frames import Frame, opengl_backend, render_moments
from duopoly.world.interaction import memoryless
from duopoly.world.task import Task

_DPI: Final = 100
_STRIP: Final = 26
"""Height of the line above a drawing that says what it shows, in pixels."""
_GAP: Final = 4
"""Between drawings, in pixels."""


@dataclasses.dataclass(frozen=True)
class Shot:
    """One drawing and what it shows."""

    frame: Frame
    title: str


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Drawings of one size, in order."""

    shots: list[Shot]
    backend: str
    """What drew them."""


class Trained(NamedTuple):
    """A policy at a path; a task of one's own must be given."""

    path: Path
    task: Task | None


def draw(subjects: Sequence[Task | Trained], num_moments: int, width: int, seed: int) -> Drawing:
    """Draws tasks at reset, and trained policies at work.

    Raises:
        UsageError: there is no trained policy at a path.
        RenderError: a task is not simulated by MuJoCo.
    """
    size = max(1, width * 3 // 4), width
    shots = []
    for subject in subjects:
        if isinstance(subject, Task):
            shots.append(_at_reset(subject, seed, size))
        else:
            shots += _at_work(subject, seed, num_moments, size)
    return Drawing(shots, opengl_backend() or "our ray caster: no OpenGL was found")


def write(drawing: Drawing, columns: int, out: Path) -> None:
    """Writes the drawings row by row, pixel by pixel, each under its title.

    Raises:
        UsageError: ``out`` ends in no kind of picture, or cannot be written.
    """
    shots = drawing.shots
    height, width = shots[0].frame.shape[:2]
    num_columns = min(columns, len(shots))
    num_rows = -(-len(shots) // num_columns)
    full_width = num_columns * width + (num_columns - 1) * _GAP
    full_height = num_rows * (height + _STRIP)
    figure = Figure(figsize=(full_width / _DPI, full_height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    for index, shot in enumerate(shots):
        row, column = divmod(index, num_columns)
        left, top = column * (width + _GAP), full_height - row * (height + _STRIP)
        figure.figimage(shot.frame, left, top - _STRIP - height, origin="upper")
        figure.text(
            (left + 6) / full_width,
            (top - _STRIP / 2) / full_height,
            shot.title,
            va="center",
            color=figures.INK,
            fontsize=10,
        )
    figures.write(figure, out)


def _at_reset(task: Task, seed: int, size: tuple[int, int]) -> Shot:
    still = np.zeros(task.spec.action_dim)
    ((_, frame),) = render_moments(task, memoryless(lambda _obs, _rng: still), seed, 1, size)
    return Shot(frame, task.name)


def _at_work(what: Trained, seed: int, num_moments: int, size: tuple[int, int]) -> list[Shot]:
    agent = load_agent(what.path, what.task)
    task = agent.task_now
    moments = render_moments(task, agent.controller, seed, num_moments, size)
    return [Shot(frame, f"{task.name}, {num_actions} actions") for num_actions, frame in moments]
