"""Tasks against their real environments, and the environments against their sources."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from transitions import disagreement, play, uniform

from duopoly.world.interaction import collect, memoryless
from duopoly.world.task import TaskError
from duopoly.world.tasks import (
    TASK_NAMES,
    UnknownTaskError,
    canonical_name,
    get_task,
)
from duopoly.world.tasks.reacher7dof import TARGET, distances


def test_reward_and_termination_are_those_of_the_environment() -> None:
    reacher = get_task("Reacher7DOF")
    played = play(reacher, uniform(7), 5_000)
    assert not played.terminated.any()
    reward_error, num_mismatches = disagreement(reacher, played)
    assert reward_error <= 3e-6
    assert num_mismatches == 0


def test_reacher_reproduces_the_rows_measured_with_mjrl() -> None:
    env = get_task("Reacher7DOF").make(None)
    target = np.random.default_rng(0).uniform((-0.3, -0.2, -0.25), (0.3, 0.2, 0.25))
    obs, _ = env.reset(options={"target": target})
    np.testing.assert_allclose(obs[14:], [0.821, -0.6, 0.0, *target], atol=1e-9)
    rng = np.random.default_rng(1)
    rows = [env.step(rng.uniform(-1, 1, 7)) for _ in range(50)]
    obs = [row[0] for row in rows]
    reward = [row[1] for row in rows]
    q = (-0.01125, 0.16795, 0.12997, -0.39872, -0.40743, -0.47301, 0.80776)
    np.testing.assert_allclose(obs[9][:7], q, atol=6e-6)
    np.testing.assert_allclose(obs[9][14:17], (0.80952, -0.62725, 0.00104), atol=6e-6)
    np.testing.assert_allclose(obs[49][14:17], (0.47482, -0.78238, -0.02586), atol=6e-6)
    expected = (-6.098494, -6.152943, -5.385803)
    np.testing.assert_allclose([reward[0], reward[9], reward[49]], expected, atol=6e-7)
    assert [row[3] for row in rows] == [False] * 49 + [True]


def test_reacher_has_the_masses_of_its_source() -> None:
    model = get_task("Reacher7DOF").make(None).unwrapped.model  # pyright: ignore
    masses = {"shoulder_pan": 24.312, "shoulder_lift": 10.472, "upper_arm_roll": 0.285,
              "upper_arm": 5.429, "elbow_flex": 1.357, "forearm_roll": 0.285, "forearm": 2.809,
              "wrist_flex": 0.0168, "wrist_roll": 2.145}  # fmt: skip
    for name, mass in masses.items():
        assert model.body(name).mass[0] == pytest.approx(mass, abs=6e-4), name


def test_reacher_passes_gymnasiums_checker() -> None:
    env = gym.make("duopoly/Reacher7DOF-v0")
    assert env.spec is not None
    assert env.spec.max_episode_steps == 50
    check_env(env.unwrapped, skip_render_check=True)


def test_importing_the_package_registers_the_reacher() -> None:
    code = (
        "import sys, duopoly, gymnasium\n"
        "assert not {'jax', 'mujoco'} & set(sys.modules)\n"
        "gymnasium.make('duopoly/Reacher7DOF-v0').reset(seed=0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reacher_places_the_target() -> None:
    env = get_task("Reacher7DOF").make(None)
    obs, info = env.reset(seed=0, options={"target": [0.1, -0.2, 0.3]})
    np.testing.assert_allclose(obs[TARGET], [0.1, -0.2, 0.3])
    assert info["distance"] == pytest.approx(np.linalg.norm(obs[14:17] - obs[17:20]))
    drawn, _ = env.reset(seed=0)
    again, _ = env.reset(seed=0, options={})
    np.testing.assert_array_equal(drawn, again)
    assert (np.abs(drawn[TARGET]) <= [0.3, 0.2, 0.25]).all()


@pytest.mark.parametrize(
    "options",
    [{"target": [0.0, 1.0]}, {"target": [0.0, np.nan, 0.0]}, {"target": "here"}, {"goal": [0] * 3}],
)
def test_reacher_refuses_a_wrong_target(options: dict[str, object]) -> None:
    env = get_task("Reacher7DOF").make(None)
    with pytest.raises(TaskError, match="target"):
        env.reset(seed=0, options=options)


def test_constant_components_do_not_change_within_an_episode() -> None:
    task = get_task("Reacher7DOF")
    assert task.constant == (17, 18, 19)
    assert task.learned == tuple(range(17))
    episodes = collect(task.make(None), task, memoryless(uniform(7)), 150, 0, 0).episodes
    goals = [episode.obs[0, TARGET] for episode in episodes]
    for episode, goal in zip(episodes, goals, strict=True):
        np.testing.assert_array_equal(episode.next_obs[:, TARGET], np.tile(goal, (50, 1)))
    assert len(np.unique(goals, axis=0)) == 3


def test_success_is_the_last_distance_or_standing_to_the_end() -> None:
    reacher = get_task("Reacher7DOF")
    (episode,) = collect(reacher.make(None), reacher, memoryless(uniform(7)), 50, 0, 0).episodes
    assert reacher.success_fn is not None
    assert not reacher.success_fn(episode)
    episode.next_obs[-1, 14:17] = episode.next_obs[-1, 17:20] + [0.049, 0.0, 0.0]
    assert distances(episode)[-1] == pytest.approx(0.049, abs=1e-6)
    assert reacher.success_fn(episode)

    pendulum = get_task("InvertedPendulum-v5")
    fallen = collect(pendulum.make(None), pendulum, memoryless(uniform(1)), 100, 0, 0).episodes[0]
    assert fallen.terminated
    assert pendulum.success_fn is not None
    assert not pendulum.success_fn(fallen)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("hopper-v5", "Hopper-v5"), ("Hoper", "Hopper-v5"), ("reacher7dof", "Reacher7DOF"),
     ("zzz", ", ".join(TASK_NAMES))],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownTaskError, match=f"{name}.*{nearest}"):
        canonical_name(name)


@pytest.mark.parametrize("name", [*TASK_NAMES, "duopoly/Reacher7DOF-v0"])
def test_every_task_is_found_by_its_name(name: str) -> None:
    task = get_task(name)
    assert task.name == canonical_name(name)
    for function in (task.reward_fn, task.terminated_fn):
        assert set(function.__annotations__) == {"obs", "action", "next_obs", "return"}
