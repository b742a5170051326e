"""What was played of an episode, and what of it counts under a budget of steps."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from duopoly.types import Episode
from duopoly.world.seeds import EpisodeSeed


class SimulatorError(RuntimeError):
    """The environment failed in a way that dropping one episode does not cure."""


class DivergedError(SimulatorError):
    """The simulation stopped making sense within an episode."""

    def __init__(self, reason: str, step: int, num_env_steps: int) -> None:
        super().__init__(f"{reason} at action {step}")
        self.reason = reason
        self.step = step
        self.num_env_steps = num_env_steps


class Step(NamedTuple):
    """One action and what the world made of it."""

    obs: Float[np.ndarray, " obs"]
    action: Float[np.ndarray, " act"]
    """In policy units, as the policy drew it; the world got it clipped to [-1, 1]."""
    reward: float
    next_obs: Float[np.ndarray, " obs"]
    terminated: bool
    truncated: bool
    num_env_steps: int
    seen: Any
    """What the controller observed of its decision."""


@dataclasses.dataclass(frozen=True)
class DroppedEpisode:
    """An episode thrown away whole because the simulation stopped making sense."""

    seed: EpisodeSeed
    reason: str
    step: int
    """Action at which it happened, counted from 0."""
    num_env_steps: int
    """Environment steps lost; they count against the budget."""

    def __str__(self) -> str:
        return f"{self.seed} dropped: {self.reason} at action {self.step}"


Outcome = Episode | DroppedEpisode


class Fault(NamedTuple):
    """Why an episode came to no end."""

    reason: str
    step: int = 0
    """Action at which it happened, counted from 0."""
    num_env_steps: int = 0
    """Environment steps made by then."""
    is_fatal: bool = False
    """It is not cured by dropping the episode."""


class Played(NamedTuple):
    """An episode as far as it was played, which may be further than it counts."""

    obs: Float[np.ndarray, "T obs"]
    action: Float[np.ndarray, "T act"]
    reward: Float[np.ndarray, " T"]
    next_obs: Float[np.ndarray, "T obs"]
    num_env_steps: Int[np.ndarray, " T"]
    """That each action took."""
    terminated: bool
    truncated: bool
    seen: tuple[Any, ...]
    """What the controller observed of each decision."""
    fault: Fault | None
    """What broke it off after these actions, if anything did."""

    @property
    def total_env_steps(self) -> int:
        """Environment steps made, those of the action at which it broke off included."""
        return self.fault.num_env_steps if self.fault else int(self.num_env_steps.sum())


def played(steps: Sequence[Step], fault: Fault | None = None) -> Played:
    """What these steps come to."""

    def whole(name: str) -> np.ndarray:
        return np.array([getattr(step, name) for step in steps], dtype=np.float32)

    return Played(
        obs=whole("obs"),
        action=whole("action"),
        reward=whole("reward"),
        next_obs=whole("next_obs"),
        num_env_steps=np.array([step.num_env_steps for step in steps], dtype=np.int64),
        terminated=bool(steps) and steps[-1].terminated,
        truncated=bool(steps) and steps[-1].truncated,
        seen=tuple(step.seen for step in steps),
        fault=fault,
    )


def cut(
    whole: Played,
    seed: EpisodeSeed,
    max_env_steps: int,
    action_repeat: int,
    known: Episode | None = None,
) -> Outcome:
    """What counts of an episode where the budget holds so many more environment steps.

    The last action that counts begins while ``action_repeat`` of them are left: exactly what is
    played where nothing beyond the budget is. ``known`` is what came before.

    Raises:
        SimulatorError: what broke it off within the budget is not cured by dropping it.
    """
    num_played, fault = len(whole.seen), whole.fault
    made_before = np.concatenate([[0], np.cumsum(whole.num_env_steps)])
    num_begun = int(np.count_nonzero(made_before + action_repeat <= max_env_steps))
    if fault is not None and num_begun > num_played:
        if fault.is_fatal:
            raise SimulatorError(fault.reason)
        return DroppedEpisode(seed, fault.reason, fault.step, fault.num_env_steps)
    count = min(num_begun, num_played)

    def counts(name: str) -> np.ndarray:
        new = getattr(whole, name)[:count]
        return new if known is None else np.concatenate([getattr(known, name), new])

    return Episode(
        obs=counts("obs"),
        action=counts("action"),
        reward=counts("reward"),
        next_obs=counts("next_obs"),
        terminated=whole.terminated and count == num_played,
        truncated=whole.truncated and count == num_played,
        num_env_steps=int(made_before[count]),
        seen=whole.seen[:count],
        num_known=0 if known is None else len(known.obs),
    )
