"""Observations of several parts: one flat array, in a stated order, every component named."""

from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import duopoly
from duopoly.world.flat import component_names, flat, flat_observation
from duopoly.world.interaction import collect, memoryless
from duopoly.world.task import TaskError

GOAL = spaces.Dict(
    {
        "observation": spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
        "desired_goal": spaces.Box(-1, 1, (2,), np.float64),
        "mode": spaces.Discrete(3, start=1),
        "switches": spaces.Tuple((spaces.MultiBinary(2), spaces.Box(0, 9, ()))),
        "gears": spaces.MultiDiscrete([2, 2]),
    }
)
NAMES = (
    *('obs["desired_goal"][0]', 'obs["desired_goal"][1]'),
    *('obs["gears"][0] is 0', 'obs["gears"][0] is 1'),
    *('obs["gears"][1] is 0', 'obs["gears"][1] is 1'),
    *('obs["mode"] is 1', 'obs["mode"] is 2', 'obs["mode"] is 3'),
    *('obs["observation"][0][0]', 'obs["observation"][0][1]'),
    *('obs["observation"][1][0]', 'obs["observation"][1][1]'),
    *('obs["switches"][0][0]', 'obs["switches"][0][1]', 'obs["switches"][1]'),
)


class Goal(gym.Env[Any, Any]):
    """A point that is pushed towards a goal; what it observes has many parts."""

    observation_space = GOAL
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self) -> None:
        self.place, self.goal = np.zeros(2), np.zeros(2)

    def observe(self) -> dict[str, Any]:
        return {
            "observation": np.stack([self.place, 2.0 * self.place + 1.0]),
            "desired_goal": self.goal,
            "mode": np.int64(2),
            "switches": (np.array([0, 1], np.int8), np.float32(self.place[0] ** 2)),
            "gears": np.array([int(self.place[0] > 0.1), 1]),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.place, self.goal = np.zeros(2), self.np_random.uniform(-1, 1, 2)
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = np.clip(self.place + 0.1 * action, -2.0, 2.0)
        return self.observe(), -float(np.sum((self.place - self.goal) ** 2)), False, False, {}


@pytest.fixture
def task() -> duopoly.Task:
    return duopoly.make_task(lambda _: Goal(), name="goal", horizon=10)


def test_every_component_has_a_name_in_the_order_of_the_flat_array() -> None:
    assert component_names(GOAL) == NAMES
    env = Goal()
    obs, _ = env.reset(seed=0)
    env.place = np.array([0.25, -0.5])
    obs = env.observe()
    found = dict(zip(NAMES, flat_observation(GOAL, obs).tolist(), strict=True))
    assert found['obs["observation"][0][1]'] == -0.5
    assert found['obs["observation"][1][0]'] == 1.5
    assert found['obs["desired_goal"][1]'] == env.goal[1]
    assert [found[f'obs["mode"] is {i}'] for i in (1, 2, 3)] == [0, 1, 0]
    assert [found[f'obs["gears"][0] is {i}'] for i in (0, 1)] == [0, 1]
    assert found['obs["switches"][1]'] == 0.0625


def test_what_is_flat_stays_as_it_is() -> None:
    env = gym.make("Pendulum-v1")
    assert flat(env) is env
    assert component_names(env.observation_space) == ("obs[0]", "obs[1]", "obs[2]")
    assert component_names(spaces.Box(-1, 1, ())) == ("obs",)


def test_a_dict_robot_is_played(task: duopoly.Task) -> None:
    assert task.spec.obs_dim == len(NAMES)
    assert task.spec.obs_names == NAMES
    env = task.build()
    controller = memoryless(lambda _obs, rng: rng.uniform(-1.0, 1.0, 2))
    [episode] = collect(env, task, controller, 10, 0, 0).episodes
    assert episode.obs.shape == (10, len(NAMES))


def test_observations_are_read_as_the_environment_has_them(task: duopoly.Task) -> None:
    obs, _ = Goal().reset(seed=0)
    flat_obs = task.spec.read_obs(obs, "goal")
    np.testing.assert_allclose(flat_obs, flat_observation(GOAL, obs))
    np.testing.assert_array_equal(task.spec.read_obs(flat_obs, "goal"), flat_obs)
    with pytest.raises(ValueError, match="goal observes Dict"):
        task.spec.read_obs({"observation": np.zeros(2)}, "goal")
    flat_obs[9] = np.nan
    with pytest.raises(ValueError, match=r'belief: obs\["observation"\]\[0\]\[0\] is nan'):
        task.spec.read_obs(flat_obs, "goal")
    with pytest.raises(ValueError, match=r'obs\["observation"\]\[0\]\[0\] of row 1 is nan'):
        task.spec.read_obs(np.stack([np.zeros(len(NAMES)), flat_obs]), "goal")


def test_check_names_components_and_says_what_need_not_be_learned(task: duopoly.Task) -> None:
    report = str(duopoly.check_task(task, 400))
    assert 'obs["desired_goal"][0], obs["desired_goal"][1], obs["gears"][1] is 0, …' in report
    assert "constant=(0, 1, 4, 5, 6, 7, 8, 13, 14) if that is so" in report
    linear = [line for line in report.splitlines() if "follows from others" in line]
    assert len(linear) == 3  # twice the place, and the gear that is not the other
    assert any("-1 obs" in line and 'obs["gears"][0] is' in line for line in linear)
    wrong = duopoly.make_task(lambda _: Goal(), name="goal", horizon=10, constant=(9,))
    assert 'constant component obs["observation"][0][0]: DIFFERS' in str(
        duopoly.check_task(wrong, 100)
    )


def test_names_of_ones_own() -> None:
    names = [f"part {i}" for i in range(len(NAMES))]
    task = duopoly.make_task(lambda _: Goal(), name="goal", horizon=10, names=names)
    assert task.spec.obs_name(3) == "part 3"
    for wrong, told in ((names[1:], "names has 15, but"), ([*names[1:], "part 1"], "twice")):
        with pytest.raises(TaskError, match=told):
            _ = duopoly.make_task(lambda _: Goal(), name="goal", horizon=10, names=wrong).spec


def test_gymnasiums_checker_has_its_say() -> None:
    class Careless(Goal):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            del seed
            return super().reset(seed=None, options=options)

    task = duopoly.make_task(lambda _: Careless(), name="careless", horizon=10)
    assert "Gymnasium's checker: " in str(duopoly.check_task(task, 100))


def test_known_functions_see_the_flat_array(task: duopoly.Task) -> None:
    del task
    place, goal = slice(9, 11), slice(0, 2)
    known = duopoly.make_task(
        lambda _: Goal(),
        name="goal",
        horizon=10,
        reward_fn=lambda _obs, _action, next_obs: -jnp.sum((next_obs[place] - next_obs[goal]) ** 2),
    )
    assert duopoly.check_task(known, 100).ok
