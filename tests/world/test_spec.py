"""Which spaces are accepted, and how actions are scaled."""

# ruff: noqa: ARG005
# (Fakes take what the interface hands them.)

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Space, Text

from duopoly.world.task import Task, TaskError, inspect_spaces, to_env_units

F32, F64 = np.finfo(np.float32), np.finfo(np.float64)
OBS = Box(-np.inf, np.inf, (3,))
ACTION = Box(np.array([-1, 0], np.float32), np.array([1, 5], np.float32))


class Spaces(gym.Env):
    def __init__(self, observation_space: Space, action_space: Space) -> None:
        self.observation_space = observation_space
        self.action_space = action_space


def test_sizes_and_bounds_are_read() -> None:
    spec = inspect_spaces(Spaces(OBS, ACTION), "it")
    assert (spec.obs_dim, spec.action_dim) == (3, 2)
    np.testing.assert_array_equal(spec.action_low, [-1, 0])
    np.testing.assert_array_equal(spec.action_high, [1, 5])


@pytest.mark.parametrize(
    ("obs_space", "action_space", "words"),
    [
        (Box(0, 255, (8, 8, 3), np.uint8), ACTION, r"image \(8, 8, 3\).*observes its state"),
        (Dict(eye=Box(0, 255, (8, 8), np.uint8)), ACTION, r'obs\["eye"\] is an image'),
        (Dict(a=OBS, b=Text(3)), ACTION, r'obs\["b"\] is Text.*only arrays of numbers'),
        (Dict(a=Box(-1, 1, (0,))), ACTION, r'obs\["a"\] has shape \(0,\)'),
        (Dict(), ACTION, "observes nothing"),
        (OBS, Box(-1, 1, (2, 2)), r"shape \(2, 2\)"),
        (OBS, Discrete(2), r"action space is Discrete\(2\)"),
        (OBS, Box(-np.inf, np.inf, (2,)), r"component 0 has bounds \[-inf, inf\].*finite"),
        (OBS, Box(np.array([-1, 0.5], np.float32), np.array([1, 0.5], np.float32)),
         r"component 1 has bounds \[0.5, 0.5\].*cannot act"),
        (OBS, Box(0, 3, (2,), np.int64), "dtype int64"),
        (OBS, Box(-F64.max, F64.max, (1,), np.float64), "component 0 .*finite"),
        (OBS, Box(-F32.max, F32.max, (1,)), "component 0 .*finite"),
        (OBS, Box(2e38, 3e38, (1,)), "component 0 .*finite"),
        (OBS, Box(1.0, 1.0 + 1e-9, (1,), np.float64), "component 0 .*cannot act"),
    ],
)  # fmt: skip
def test_other_spaces_are_refused_in_one_line(
    obs_space: Space, action_space: Space, words: str
) -> None:
    task = Task("it", "", make=lambda _: Spaces(obs_space, action_space), horizon=5)
    with pytest.raises(TaskError, match=f"^it: .*{words}") as error:
        _ = task.spec
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("high", [0.1, 0.3, 1.0, 1e10 + 1])
def test_rounding_never_leaves_the_box(high: float) -> None:
    space = Box(-high, high, (2,), np.float64)
    spec = inspect_spaces(Spaces(OBS, space), "it")
    for corner in ([1, -1], [-1, 1]):
        action = spec.to_env_units(np.float32(corner))
        assert space.contains(action)
        np.testing.assert_allclose(action, np.multiply(high, corner), rtol=2e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_the_environment_is_given_is_inside_its_space(dtype: type) -> None:
    high = np.array([0.1, 3.3], dtype)
    space = Box(-high, high, dtype=dtype)
    spec = inspect_spaces(Spaces(OBS, space), "it")
    actions = np.random.default_rng(0).uniform(-1.5, 1.5, (500, 2)).astype(np.float32)
    assert all(space.contains(spec.for_env(action)) for action in actions)


def test_a_vector_of_environments_is_refused_by_name() -> None:
    env = gym.make_vec("Pendulum-v1", num_envs=3)
    with pytest.raises(TaskError, match=r"^it: is a vector of 3 environments"):
        inspect_spaces(env, "it")
    env.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"horizon": 5.0}, r"horizon = 5\.0, must be a whole number"),
        ({"horizon": True}, "horizon = True, must be a whole number"),
        ({"action_repeat": 0}, "action_repeat = 0, must be a whole number ≥ 1"),
        ({"constant": [1]}, r"constant = \[1\], must be a tuple"),
        ({"constant": 1}, "constant = 1, must be a tuple"),
        ({"angles": (True,)}, r"angles = \(True,\), must be a tuple of whole numbers"),
        ({"computed": (1.0,)}, r"computed = \(1\.0,\), must be a tuple of whole numbers"),
    ],
)
def test_fields_of_another_type_are_refused(fields: dict[str, Any], words: str) -> None:
    sound = Task("it", "", lambda _: gym.Env(), horizon=1)
    with pytest.raises(TaskError, match=words):  # past the type checker that tests run under
        Task.__post_init__(SimpleNamespace(**{**vars(sound), **fields}))  # pyright: ignore


def test_a_task_without_anything_to_learn_is_refused() -> None:
    task = Task("it", "", lambda _: Spaces(OBS, ACTION), horizon=1, constant=(0, 1, 2))
    with pytest.raises(TaskError, match="every observation component is constant or computed"):
        _ = task.learned


def test_a_task_that_contradicts_itself_is_refused() -> None:
    def make(_: str | None) -> gym.Env:
        return Spaces(OBS, ACTION)

    with pytest.raises(TaskError, match="horizon = 0"):
        Task("it", "", make, horizon=0)
    with pytest.raises(TaskError, match="compute_fn"):
        Task("it", "", make, horizon=1, computed=(0,))
    with pytest.raises(TaskError, match=r"\[1\] are constant and computed"):
        Task("it", "", make, 1, constant=(1,), computed=(1,), compute_fn=lambda o, a, n: n)
    with pytest.raises(TaskError, match="component 3 does not exist"):
        _ = Task("it", "", make, horizon=1, constant=(3,)).spec
    assert Task("it", "", make, horizon=1, constant=(1,)).learned == (0, 2)


@pytest.mark.parametrize("scale", [to_env_units, jax.vmap(to_env_units, (0, None, None))])
def test_actions_are_clipped_and_scaled(scale) -> None:
    low, high = np.float32([-1, 0.1]), np.float32([1, 0.7])
    policy_units = np.float32([[0, 0], [1, 1], [-1, -1], [9, -9], [0.5, 0.5]])
    expected = [[0, 0.4], [1, 0.7], [-1, 0.1], [1, 0.1], [0.5, 0.55]]
    scaled = np.asarray(scale(policy_units, low, high))
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)
    assert (scaled >= low).all()
    assert (scaled <= high).all()
    assert scaled.dtype == np.float32
