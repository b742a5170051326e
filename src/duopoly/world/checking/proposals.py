"""What a task could know besides: components that stand still, or follow from others."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import scipy.linalg
from jaxtyping import Float

from duopoly.world.checking.random_play import Played
from duopoly.world.task import Task

RELATIVE: Final = 1e-5
"""Of a component's spread: what is explained up to it is explained, in numbers of float32."""

MAX_ROWS: Final = 5_000
"""Transitions that are looked at."""

MAX_TERMS: Final = 3
"""Terms of a formula worth telling; of more components it is a coincidence of few data."""


def propose(task: Task, played: Played) -> Iterator[str]:
    """Notes on components that the model need not learn.

    Proposed are ``constant`` ones, and such that are a linear function of a few others at the same
    moment. Of what a task declares itself nothing is said.
    """
    known = set(task.constant + task.computed)
    rest = [i for i in range(task.spec.obs_dim) if i not in known]
    moved = np.abs(played.next_obs - played.first_obs).max(axis=0)
    still = [i for i in rest if moved[i] == 0.0]
    if still:
        names = _spell(task, still)
        yield f"{names} never changed within an episode: constant={_tuple(still)} if that is so"
    moving = [i for i in rest if i not in still]
    values = played.next_obs[:MAX_ROWS].astype(np.float64)
    for index, terms in _linear(values, moving):
        formula = " + ".join(f"{weight:.6g} {task.spec.obs_name(i)}" for i, weight in terms)
        yield (
            f"{task.spec.obs_name(index)} follows from others: {formula} + a constant; "
            f"computed=({index},) with a compute_fn leaves less to learn"
        )


def _linear(
    values: Float[np.ndarray, "N obs"], moving: Sequence[int]
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Components that are a linear function of a few others, with the weights of those.

    Each is expressed by components that are no such functions themselves.
    """
    if len(values) < 2 * len(moving) or len(moving) < 2:
        return
    columns = values[:, moving] - values[:, moving].mean(axis=0)
    spread = columns.std(axis=0)
    names = [i for i, s in zip(moving, spread, strict=True) if s > 0.0]
    scale = dict(zip(moving, spread, strict=True))
    standard = columns[:, spread > 0.0] / spread[spread > 0.0]
    factors: Any = scipy.linalg.qr(standard, mode="economic", pivoting=True)
    _, r, order = factors
    size = np.abs(np.diag(r))
    rank = int((size > RELATIVE * np.sqrt(len(values))).sum())
    if rank == len(names):
        return
    weights = scipy.linalg.solve_triangular(r[:rank, :rank], r[:rank, rank:])
    base = [names[k] for k in order[:rank]]
    for place, k in enumerate(order[rank:]):
        index, weight = names[k], weights[:, place]
        terms = [
            (i, float(w * scale[index] / scale[i]))
            for i, w in zip(base, weight, strict=True)
            if abs(w) > 10.0 * RELATIVE
        ]
        if 0 < len(terms) <= MAX_TERMS:
            yield index, terms


def _spell(task: Task, indices: Sequence[int]) -> str:
    """Names, the middle ones of many left out."""
    names = [task.spec.obs_name(i) for i in indices]
    return ", ".join(names) if len(names) <= 6 else ", ".join([*names[:3], "…", names[-1]])


def _tuple(indices: Sequence[int]) -> str:
    """As Python writes it, a span as a range."""
    if len(indices) > 6 and list(indices) == list(range(indices[0], indices[-1] + 1)):
        return f"range({indices[0]}, {indices[-1] + 1})"
    return str(tuple(indices))
