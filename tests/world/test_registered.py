"""Environments that are only registered: played with nothing known, or refused in one line."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from duopoly.world.interaction import collect, memoryless
from duopoly.world.task import TaskError
from duopoly.world.tasks import UnknownTaskError, canonical_name, get_task, is_registered


class Drift(gym.Env):
    """One number that the action pushes."""

    observation_space = Box(-np.inf, np.inf, (1,))
    action_space = Box(-1.0, 1.0, (1,))

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**kwargs)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return action.astype(np.float32), 1.0, False, False, {}


class Choice(Drift):
    action_space = Discrete(2)


class Film(Drift):
    observation_space = Box(0, 255, (8, 8, 3), np.uint8)


class Broken(Drift):
    def __init__(self) -> None:
        raise ImportError("no\nphysics here")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym.envs.registration, "registry", registry := {**gym.registry})
    monkeypatch.setattr(gym, "registry", registry)
    gym.register("tests/Drift-v0", Drift, max_episode_steps=7)
    gym.register("tests/Endless-v0", Drift)
    for kind in (Choice, Film, Broken):
        gym.register(f"tests/{kind.__name__}-v0", kind)


def test_pendulum_is_a_task_with_nothing_known() -> None:
    task = get_task("Pendulum-v1")
    assert canonical_name("Pendulum-v1") == task.name == "Pendulum-v1"
    assert (task.reward_fn, task.terminated_fn, task.success_fn) == (None, None, None)
    assert (task.horizon, task.action_repeat, task.learned) == (200, 1, (0, 1, 2))
    np.testing.assert_array_equal(task.spec.action_high, [2.0])


def echo(obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    return obs


@pytest.mark.usefixtures("registered")
def test_horizon_is_the_limit_of_the_registry_or_a_thousand() -> None:
    task = get_task("tests/Drift-v0")
    assert task.horizon == 7
    assert get_task("tests/Endless-v0").horizon == 1_000
    episodes = collect(task.make(None), task, memoryless(echo), 10, 0, 0).episodes
    assert [(len(e.obs), e.truncated, e.terminated) for e in episodes] == [
        (7, True, False),
        (3, False, False),
    ]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tests/Choice-v0", r"action space is Discrete\(2\)"),
        ("tests/Film-v0", r"is an image \(8, 8, 3\)"),
        ("tests/Broken-v0", "tests/Broken-v0 cannot be made: ImportError: no physics here"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(name: str, words: str) -> None:
    with pytest.raises(TaskError, match=words) as caught:
        _ = get_task(name).spec
    assert "\n" not in str(caught.value)


def test_our_own_task_comes_before_gymnasiums() -> None:
    assert not is_registered("Hopper-v5")
    assert get_task("Hopper-v5").reward_fn is not None
    assert canonical_name("duopoly/Reacher7DOF-v0") == "Reacher7DOF"
    assert is_registered("Hopper-v4")


@pytest.mark.parametrize("name", ["antigravity:Pendulum-v1", "os:Env-v0", ":", "a:b:c"])
def test_no_module_is_imported_for_a_name(name: str) -> None:
    for ask in (canonical_name, get_task, is_registered):
        with pytest.raises(UnknownTaskError, match="no module is imported for a name"):
            ask(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Pendulum-v0", "Pendulum-v1"),
        ("Pendulum", "InvertedPendulum-v5"),
        ("Hoper-v5", "Hopper-v5"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownTaskError, match=f"did you mean .*{near}"):
        canonical_name(name)
