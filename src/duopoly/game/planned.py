"""Acting by a planner from outside: the plan travels in ``state``, as a recurrent state would."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

Plans = Float[np.ndarray, "*batch T act"]
PlanOne = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Returns the action for one observation and the rest of a plan, and the new plan's rest."""


def plan_rows(
    plan_one: PlanOne, obs: Float[np.ndarray, "*batch obs"], ahead: Plans
) -> tuple[Float[np.ndarray, "*batch act"], Plans]:
    """Returns the actions for one observation or for each of a batch, and the rests of the plans.

    One after another, whatever their number, so that nothing is compiled anew.
    """
    if obs.ndim == 1:
        return plan_one(obs, ahead)
    planned = [plan_one(row, plan) for row, plan in zip(obs, ahead, strict=True)]
    if not planned:
        return np.zeros((0, ahead.shape[-1])), ahead
    actions, rests = zip(*planned, strict=True)
    return np.stack(actions), np.stack(rests)


def read_plans(
    state: Any,
    episode_start: np.ndarray | None,
    batch: tuple[int, ...],
    empty: Float[np.ndarray, "T act"],
) -> Plans:
    """Returns what is left of each plan: that of ``state``, empty where an episode begins.

    Raises:
        ValueError: ``state`` or ``episode_start`` is of another shape.
    """
    shape = (*batch, *empty.shape)
    if state is None:
        return np.broadcast_to(empty, shape)
    plans = np.asarray(state, empty.dtype)
    if plans.shape != shape:
        raise ValueError(f"state has shape {plans.shape}, expected {shape}: what predict returned")
    if episode_start is None:
        return plans
    begins = np.asarray(episode_start, bool)
    if begins.size not in (1, *batch):
        raise ValueError(f"episode_start has shape {begins.shape}, expected {batch or (1,)}")
    begins = np.broadcast_to(begins.reshape(-1), batch) if batch else begins.reshape(())
    return np.where(begins[..., None, None], empty, plans)
