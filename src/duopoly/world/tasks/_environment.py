"""What our own environments share: how they are drawn, and how they read what they are given."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from duopoly.world.task import TaskError


def render_metadata(duration: float) -> dict[str, Any]:
    """What Gymnasium asks of an environment on MuJoCo whose actions last so many seconds."""
    return {
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
        "render_fps": round(1.0 / duration),
    }


def read_options(
    task: str, options: Mapping[str, Any] | None, known: tuple[str, ...]
) -> dict[str, Any]:
    """The reset options, each of them known.

    Raises:
        TaskError: an unknown option; the message names it and those that there are.
    """
    given = dict(options or {})
    if unknown := sorted(set(given) - set(known), key=str):
        there_are = ("there is " if len(known) == 1 else "there are ") + " and ".join(
            map(repr, known)
        )
        raise TaskError(f"{task}: unknown reset option {unknown}; {there_are}")
    return given


def as_number(value: object) -> float:
    """The value as a number; what is none becomes NaN, which lies in no range."""
    try:
        return float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def as_array(value: object) -> np.ndarray:
    """The value as an array of numbers; what is none becomes an empty one."""
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return np.empty(0)
