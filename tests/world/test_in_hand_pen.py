"""The hand with the pen, against the environment that it is made from."""

import subprocess
import sys
import warnings

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium_robotics.envs.adroit_hand.adroit_pen import AdroitHandPenEnv
from transitions import Rhythm, disagreement, join, play, uniform

from duopoly.types import Episode
from duopoly.world.task import TaskError
from duopoly.world.tasks import get_task
from duopoly.world.tasks.catalogue import CATALOGUE
from duopoly.world.tasks.in_hand_pen import (
    AXIS,
    AXIS_ERROR,
    DESIRED_AXIS,
    POSITION_ERROR,
    InHandPenEnv,
    complete,
    in_goal,
    in_hand_pen_task,
)

PEN = get_task("InHandPen")
IN_HAND_PEN = "duopoly/InHandPen-v0"


@pytest.mark.parametrize(
    ("hand_velocities", "num_actions"), [(True, (5_000, 1_000)), (False, (500, 500))]
)
def test_reward_and_termination_are_those_of_the_environment(
    hand_velocities: bool, num_actions: tuple[int, int]
) -> None:
    task = in_hand_pen_task(CATALOGUE["InHandPen"], hand_velocities=hand_velocities)
    policies = uniform(24), Rhythm(24)
    played = join(*(play(task, p, n) for p, n in zip(policies, num_actions, strict=True)))
    reward_error, num_mismatches = disagreement(task, played)
    assert reward_error <= 5e-6
    assert num_mismatches == 0
    assert played.terminated.sum() >= 5
    assert played.reward.max() > 50.0


def test_it_is_the_original_until_the_pen_drops() -> None:
    ours, original = InHandPenEnv(), AdroitHandPenEnv(reward_type="dense")
    ours.action_space.seed(0)
    num_dropped, dropped = 0, True
    for seed in range(300):
        if dropped:
            obs = ours.reset(seed=seed)[0]
            np.testing.assert_array_equal(obs, [*original.reset(seed=seed)[0], *np.zeros(24)])
        action = ours.action_space.sample()
        obs, reward, dropped, truncated, info = ours.step(action)
        expected, expected_reward, _, _, expected_info = original.step(action)
        np.testing.assert_array_equal(obs[:45], expected)
        assert reward == expected_reward
        assert info["success"] == expected_info["success"]
        assert not truncated
        assert dropped == (original.data.body("Object").xpos[2] < 0.075)  # pyright: ignore
        np.testing.assert_allclose(obs[45:], original.data.qvel[:24] * 0.01)
        num_dropped += dropped
    assert num_dropped >= 2
    ours.close()
    original.close()


def test_what_the_model_need_not_learn_follows_from_the_rest() -> None:
    assert PEN.learned == (*range(36), *range(45, 69))
    played = play(PEN, Rhythm(24), 200)
    real = played.next_obs
    desired = played.obs[:, DESIRED_AXIS]
    np.testing.assert_array_equal(real[:, DESIRED_AXIS], desired)
    broken = real.copy()
    broken[:, POSITION_ERROR.start : AXIS_ERROR.stop] = 7.0
    broken[:, AXIS] *= 1.3
    fixed = jax.vmap(complete)(played.obs, played.action, broken)
    np.testing.assert_allclose(fixed, real, atol=1e-6)


def an_episode(num_in_goal: int) -> Episode:
    """In the goal at first; then the pen is 76 mm away, and later turned by 37°."""
    next_obs = np.zeros((100, 69), np.float32)
    next_obs[:, AXIS] = next_obs[:, DESIRED_AXIS] = [0.6, 0.0, 0.8]
    next_obs[num_in_goal:, POSITION_ERROR] = [0.076, 0.0, 0.0]
    next_obs[num_in_goal + 5 :, POSITION_ERROR] = [0.074, 0.0, 0.0]
    next_obs[num_in_goal + 5 :, AXIS] = [0.0, 0.0, 1.0]
    zeros = np.zeros((100, 24), np.float32)
    return Episode(next_obs, zeros, zeros[:, 0], next_obs, False, True, 100)


@pytest.mark.parametrize(("num_in_goal", "success"), [(0, False), (20, False), (21, True)])
def test_success_is_more_than_twenty_steps_in_the_goal(num_in_goal: int, success: bool) -> None:
    episode = an_episode(num_in_goal)
    assert in_goal(episode).tolist() == [index < num_in_goal for index in range(100)]
    assert PEN.success_fn is not None
    assert PEN.success_fn(episode) is success


def test_the_goal_is_that_of_the_environment() -> None:
    env, rows, successes, dropped = InHandPenEnv(), [], [], True
    env.action_space.seed(0)
    for seed in range(400):
        if dropped:
            env.reset(seed=seed)
        obs, _, dropped, _, info = env.step(env.action_space.sample())
        rows.append(obs)
        successes.append(bool(info["success"]))
    next_obs, actions = np.array(rows, np.float32), np.zeros((400, 24), np.float32)
    episode = Episode(next_obs, actions, actions[:, 0], next_obs, False, True, 400)
    assert in_goal(episode).tolist() == successes
    assert any(successes)
    env.close()


def test_the_registered_environment_ends_after_100_actions() -> None:
    env = gym.make(IN_HAND_PEN, hand_velocities=False)
    assert env.observation_space.shape == (45,)
    assert env.spec is not None
    assert env.spec.max_episode_steps == PEN.horizon == 100
    env.close()


@pytest.mark.parametrize("hand_velocities", [True, False])
def test_it_passes_gymnasiums_checker(hand_velocities: bool) -> None:
    env = gym.make(IN_HAND_PEN, hand_velocities=hand_velocities).unwrapped
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Box observation space (min|max)imum value")
        check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("hand_velocities='yes'", "hand_velocities = 'yes', must be True or False"),
        ("reward_type='sparse'", "unknown option ['reward_type']; there are hand_velocities, "),
    ],
)
def test_a_wrong_option_is_refused(options: str, words: str) -> None:
    # In a process of its own: here the type checker of the tests would speak first.
    code = f"import duopoly, gymnasium; gymnasium.make('duopoly/InHandPen-v0', {options})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"TaskError: InHandPen: {words}" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [({"target": 1}, r"unknown reset option \['target'\]; there is 'initial_state_dict'"),
     ({"initial_state_dict": {"qpos": 3}}, "initial_state_dict must hold .* it is {'qpos': 3}")],
)  # fmt: skip
def test_a_wrong_reset_option_is_refused(options: dict[str, object], words: str) -> None:
    env = InHandPenEnv()
    with pytest.raises(TaskError, match=f"^InHandPen: {words}") as error:
        env.reset(seed=0, options=options)
    assert "\n" not in str(error.value)
    env.close()


def test_a_state_that_was_saved_comes_back() -> None:
    env = InHandPenEnv()
    obs, _ = env.reset(seed=0)
    for _ in range(3):
        obs, *_ = env.step(env.action_space.sample())
    state = env.get_env_state()
    env.reset(seed=1)
    again, _ = env.reset(seed=2, options={"initial_state_dict": state})
    np.testing.assert_allclose(again[:24], obs[:24], atol=1e-12)
    np.testing.assert_allclose(again[DESIRED_AXIS], obs[DESIRED_AXIS], atol=1e-12)
    env.close()


def test_the_robots_package_is_loaded_with_the_environment_only() -> None:
    code = (
        "import sys, duopoly, gymnasium\n"
        "from duopoly.world import tasks\n"
        "assert tasks.canonical_name('duopoly/InHandPen-v0') == 'InHandPen'\n"
        "assert not {'jax', 'mujoco', 'gymnasium_robotics'} & set(sys.modules)\n"
        "gymnasium.make('duopoly/InHandPen-v0').reset(seed=0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_that_package_the_pen_is_refused_in_one_line() -> None:
    code = (
        "import sys; sys.modules['gymnasium_robotics'] = None\n"
        "from duopoly.cli.main import main; main(['check', 'InHandPen'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "duopoly check: InHandPen needs gymnasium_robotics, which is not installed: "
        "pip install 'duopoly[robotics]'"
    ]
