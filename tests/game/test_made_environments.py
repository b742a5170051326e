"""Whatever environment a user brings is learned, or refused by name: made by Hypothesis."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from probes import TINY

from duopoly import PAL, make_task, override
from duopoly.game.state import GameError
from duopoly.world.interaction import SimulatorError
from duopoly.world.task import TaskError

SETTINGS = override(
    TINY,
    {
        "collection.initial_steps": 40,
        "collection.steps_per_round": 20,
        "imagination.horizon": 5,
        "evaluation.num_episodes": 1,
    },
)

FAULTS: dict[str, Callable[[tuple[Any, ...]], tuple[Any, ...]] | None] = {
    "none": None,
    "nan": lambda step: (np.full_like(step[0], np.nan, np.float64), *step[1:]),
    "infinite reward": lambda step: (step[0], float("inf"), *step[2:]),
    "shape": lambda step: (np.append(step[0], 0.0), *step[1:]),
    "vector reward": lambda step: (step[0], np.ones(1), *step[2:]),
    "text reward": lambda step: (step[0], "one", *step[2:]),
    "no reward": lambda step: (step[0], None, *step[2:]),
    "four results": lambda step: step[:4],
    "counts": lambda step: (*step[:4], {"env_steps": "all"}),
    "raises": lambda _: 1 / 0,  # pyright: ignore
    "numpy flags": lambda step: (*step[:2], np.bool_(step[2]), np.array(step[3]), step[4]),
}
HARMLESS = {"none", "counts", "numpy flags"}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an environment is made of."""

    obs_dim: int
    action_dim: int
    obs_dtype: type
    action_dtype: type
    unit: float
    offset: float
    pay: float
    low: float
    width: float
    length: int
    end_chance: float
    fault: str
    fault_at: int


class Made(gym.Env[Any, Any]):
    """A damped point in any units; it keeps its array, and changes the action that it is given."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = r = recipe
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (r.obs_dim,), r.obs_dtype)
        low = np.full(r.action_dim, r.low, r.action_dtype)
        high = low + np.asarray(r.width, r.action_dtype)
        self.action_space = gym.spaces.Box(low, high, dtype=r.action_dtype)
        self._x, self._time = np.zeros(r.obs_dim), 0
        self._shown = np.zeros(r.obs_dim, r.obs_dtype)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed, options=options)
        self._x, self._time = self.np_random.uniform(-1.0, 1.0, self._recipe.obs_dim), 0
        return self._show(), {}

    def step(self, action: np.ndarray) -> Any:
        assert self.action_space.contains(action), (action, self.action_space)
        r = self._recipe
        self._time += 1
        push = float(np.mean(action.astype(np.float64) - r.low) / r.width)
        action *= 0
        self._x = 0.9 * self._x + 0.1 * push
        ended = bool(self.np_random.uniform() < r.end_chance)
        reward = -r.pay * float(self._x @ self._x)
        step = self._show(), reward, ended, self._time >= r.length, {}
        fault = FAULTS[r.fault] if self._time > r.fault_at else None
        return step if fault is None else fault(step)

    def _show(self) -> np.ndarray:
        self._shown[:] = self._recipe.unit * self._x + self._recipe.offset
        return self._shown


def powers(most: int) -> st.SearchStrategy[float]:
    return st.integers(-most, most).map(lambda power: 10.0**power)


def recipes() -> st.SearchStrategy[Recipe]:
    floats = st.sampled_from([np.float16, np.float32, np.float64])

    def fit(recipe: Recipe) -> Recipe:
        """Half precision holds neither large numbers nor small differences of them."""
        if recipe.obs_dtype == np.float16:
            recipe = dataclasses.replace(recipe, unit=min(recipe.unit, 1e3), offset=0.0)
        if recipe.action_dtype == np.float16:
            recipe = dataclasses.replace(recipe, low=-1.0, width=2.0)
        return recipe

    return st.builds(
        Recipe,
        obs_dim=st.integers(1, 2),
        action_dim=st.integers(1, 2),
        obs_dtype=floats,
        action_dtype=floats,
        unit=powers(7),
        offset=st.sampled_from([0.0, -3.0, 1e3]),
        pay=powers(7),
        low=st.sampled_from([-1.0, 0.0, -7.0]),
        width=powers(3),
        length=st.sampled_from([1, 2, 7, 100, 1_000]),
        end_chance=st.sampled_from([0.0, 0.1, 1.0]),
        fault=st.sampled_from(list(FAULTS)),
        fault_at=st.integers(0, 70),
    ).map(fit)


def refusal(recipe: Recipe) -> str | None:
    """Play three rounds; return why they were refused, if they were.

    What is learned must act inside the action space.
    """
    task = make_task(lambda _: Made(recipe), name="Made", horizon=1_000)
    try:
        agent = PAL(task, settings=SETTINGS).learn(80)
    except (SimulatorError, TaskError, GameError) as error:
        return str(error)
    assert agent.num_timesteps == 80
    space = Made(recipe).action_space
    for obs in agent.state.buffer.obs[-5:]:
        action, _ = agent.predict(obs)
        assert space.contains(action)
        assert np.isfinite(action).all()
    return None


def few(recipe: Recipe) -> Recipe:
    """Give the environment sizes for which all is compiled already."""
    return dataclasses.replace(recipe, obs_dim=2, action_dim=1)


def check(recipe: Recipe) -> None:
    refused = refusal(recipe)
    if recipe.fault in HARMLESS:
        assert refused is None, refused
    elif refused is not None:
        assert refused.startswith("Made: ") or "policy" in refused or "model" in refused
        assert "\n" not in refused
    else:  # no episode came so far, or what diverged was dropped
        assert recipe.fault_at > 0


profile = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


@profile
@given(recipes().map(few))
def test_an_environment_is_learned_or_refused_by_name(recipe: Recipe) -> None:
    check(recipe)


@pytest.mark.slow
@settings(profile, max_examples=300, derandomize=False)
@given(recipes())
def test_many_more_are_learned_or_refused(recipe: Recipe) -> None:
    check(recipe)
