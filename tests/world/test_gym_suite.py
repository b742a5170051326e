"""Gymnasium's robots: known functions, observations and rewards against the environments."""

import warnings

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from transitions import Rhythm, disagreement, join, play, uniform

from duopoly.types import Episode
from duopoly.world.environments import ENV_STEPS
from duopoly.world.interaction import collect, evaluate, memoryless, run_episode
from duopoly.world.seeds import EpisodeSeed
from duopoly.world.task import TaskError
from duopoly.world.tasks import TASK_NAMES, get_task
from duopoly.world.tasks.catalogue import CATALOGUE
from duopoly.world.tasks.pendulums import POLE, TIP, place_tip
from duopoly.world.tasks.runners import RUNNERS, runner_task

DOUBLE = "InvertedDoublePendulum-v5"
ARMS = ("Reacher-v5", "Pusher-v5")
SUITE = (*RUNNERS, "InvertedPendulum-v5", DOUBLE, *ARMS)
NEVER_END = {"HalfCheetah-v5", "Swimmer-v5", *ARMS}
FALL_SOON = {"Hopper-v5", "Walker2d-v5", "Humanoid-v5"}

MAX_REWARD_ERROR = dict.fromkeys(SUITE, 1e-6) | {DOUBLE: 4e-6}
"""In points; what float32 leaves of rewards between 1 and 10 points."""


@pytest.mark.parametrize("name", SUITE)
def test_reward_and_termination_are_those_of_the_environment(name: str) -> None:
    task = get_task(name)
    policies = uniform(task.spec.action_dim), Rhythm(task.spec.action_dim)
    num_actions = 5_000 // task.action_repeat, 1_000
    played = join(*(play(task, p, n) for p, n in zip(policies, num_actions, strict=True)))
    reward_error, num_mismatches = disagreement(task, played)
    assert reward_error <= MAX_REWARD_ERROR[name]
    assert num_mismatches == 0
    assert played.terminated.any() == (name not in NEVER_END)


@pytest.mark.parametrize("name", RUNNERS)
@pytest.mark.parametrize("action_repeat", [1, 4])
def test_a_runner_earns_what_gymnasium_pays_it_apart_from_contacts(
    name: str, action_repeat: int
) -> None:
    held, plain = runner_task(CATALOGUE[name], action_repeat).make(None), gym.make(name)
    policy, rng = Rhythm(held.action_space.shape[0]), np.random.default_rng(0)  # pyright: ignore
    high = held.action_space.high  # pyright: ignore
    size = held.observation_space.shape[0] - 1  # pyright: ignore
    num_cut, terminated = 0, True
    for seed in range(50):
        if terminated:
            obs = held.reset(seed=seed)[0]
            np.testing.assert_array_equal(obs, [*plain.reset(seed=seed)[0][:size], 0.0])
        action = (high * policy(np.empty(0), rng).clip(-1, 1)).astype(np.float32)
        obs, reward, terminated, _, info = held.step(action)
        steps = [plain.step(action) for _ in range(info[ENV_STEPS])]
        np.testing.assert_array_equal(obs[:-1], steps[-1][0][:size])
        paid = sum(float(step[1]) - step[4].get("reward_contact", 0.0) for step in steps)
        assert reward == pytest.approx(paid, abs=1e-12)
        assert terminated == steps[-1][2]
        if info[ENV_STEPS] == action_repeat:
            velocities = [step[4]["x_velocity"] for step in steps]
            assert obs[-1] == pytest.approx(np.mean(velocities), abs=1e-12)
        else:
            assert terminated
            num_cut += 1
    assert (num_cut > 0) == (action_repeat > 1 and name in FALL_SOON)
    held.close()
    plain.close()


@pytest.mark.parametrize("name", sorted(FALL_SOON))
def test_the_reward_of_a_fall_within_a_held_action_is_known_too(name: str) -> None:
    task = runner_task(CATALOGUE[name], 5)
    played = play(task, Rhythm(task.spec.action_dim), 200)
    cut = played.num_env_steps < 5
    assert cut.any()
    assert played.terminated[cut].all()
    reward_error, num_mismatches = disagreement(task, played)
    assert reward_error <= 1e-5  # sums of five steps
    assert num_mismatches == 0


@pytest.mark.parametrize("name", ["Hopper-v5", "Walker2d-v5"])
def test_unclipped_velocities_are_those_of_the_simulator(name: str) -> None:
    task, plain = get_task(f"{name}-unclipped"), get_task(name)
    assert (task.horizon, task.action_repeat) == (plain.horizon, plain.action_repeat)
    rng = np.random.default_rng(0)
    whole, cut = task.held(1).make(None), plain.held(1).make(None)
    num_beyond = 0
    for seed in range(20):
        np.testing.assert_array_equal(whole.reset(seed=seed)[0], cut.reset(seed=seed)[0])
        ended, action = False, np.sign(rng.normal(size=task.spec.action_dim))
        while not ended:
            obs, reward, ended, _, _ = whole.step(action)
            seen, paid, fell, _, _ = cut.step(action)
            assert (reward, ended) == (paid, fell)
            size = len(seen) // 2  # the velocities and the x-velocity come last
            np.testing.assert_array_equal(
                np.clip(obs[-1 - size : -1], -10, 10), seen[-1 - size : -1]
            )
            num_beyond += int((np.abs(obs[-1 - size : -1]) > 10.0).sum())
    assert num_beyond > 0


@pytest.mark.parametrize("action_repeat", [0, -2, 3, 2_000])
def test_an_action_repeat_that_does_not_divide_the_episode_is_refused(action_repeat: int) -> None:
    with pytest.raises(TaskError, match=f"^Ant-v5: action_repeat = {action_repeat}, .*1, 2, 4"):
        runner_task(CATALOGUE["Ant-v5"], action_repeat)


@pytest.mark.parametrize(
    ("name", "obs_dim"),
    [("HalfCheetah-v5", 18), ("Walker2d-v5", 18), ("Ant-v5", 28), ("Humanoid-v5", 46),
     ("Swimmer-v5", 9), (DOUBLE, 11), ("Reacher-v5", 10), ("Pusher-v5", 23)],
)  # fmt: skip
def test_observations_have_their_documented_sizes(name: str, obs_dim: int) -> None:
    task = get_task(name)
    assert task.spec.obs_dim == obs_dim
    assert task.horizon * task.action_repeat == gym.spec(name).max_episode_steps


def test_the_double_pendulums_observation_shows_its_tip_and_unclipped_velocities() -> None:
    task = get_task(DOUBLE)
    env, plain = task.make(None), gym.make(DOUBLE)
    obs, seen = env.reset(seed=0)[0], plain.reset(seed=0)[0]
    fastest = 0.0
    for _ in range(300):
        np.testing.assert_array_equal(obs[:5], seen[:5])
        np.testing.assert_array_equal(np.clip(obs[5:8], -10, 10), seen[5:8])
        assert obs[8] == seen[8]
        np.testing.assert_array_equal(obs[TIP], plain.unwrapped.data.site_xpos[0, ::2])  # pyright: ignore
        fastest = max(fastest, np.abs(obs[5:8]).max())
        action = np.sign(obs[5:6])  # against one end of the rail, then the other
        obs, seen = env.step(action)[0], plain.step(action)[0]
    assert fastest > 10.0
    env.close()
    plain.close()


def test_the_tip_is_computed_from_angles_off_the_unit_circle_too() -> None:
    real = play(get_task(DOUBLE), uniform(1), 200).next_obs
    first, second = np.arctan2(real[:, 1:3], real[:, 3:5]).T
    angles = np.stack([first, first + second])
    x, height = real[:, 0] + POLE * np.sin(angles).sum(0), POLE * np.cos(angles).sum(0)
    np.testing.assert_allclose(real[:, TIP], np.stack([x, height], axis=1), atol=2e-4)
    broken = real.copy()
    broken[:, TIP] = 7.0
    broken[:, [1, 3]] *= 1.1
    fixed = jax.vmap(place_tip)(real, real[:, :1], broken)
    np.testing.assert_allclose(fixed, real, atol=2e-4)


@pytest.mark.parametrize("name", [n for n in TASK_NAMES if get_task(n).constant])
def test_constant_components_never_change_within_an_episode(name: str) -> None:
    task = get_task(name)
    policy = Rhythm(task.spec.action_dim)
    for episode in evaluate(task.make(None), task, memoryless(policy), 3, 0, 0).episodes:
        fixed = episode.next_obs[:, task.constant]
        np.testing.assert_array_equal(
            fixed, np.broadcast_to(episode.obs[0, task.constant], fixed.shape)
        )


@pytest.mark.parametrize("name", SUITE)
def test_an_episode_is_bit_equal_whatever_ran_before(name: str) -> None:
    task = get_task(name)
    address, env = EpisodeSeed(3, "collect", 7, 1), task.make(None)
    fresh, again = (
        run_episode(env, task, memoryless(uniform(task.spec.action_dim)), address, max_env_steps=40)
        for env in (env, env)
    )
    assert isinstance(fresh, Episode)
    assert isinstance(again, Episode)
    for field in ("obs", "action", "reward", "next_obs"):
        np.testing.assert_array_equal(getattr(fresh, field), getattr(again, field))


@pytest.mark.parametrize("name", SUITE)
def test_the_environment_passes_gymnasiums_checker(name: str) -> None:
    env = get_task(name).make(None)
    with warnings.catch_warnings():
        # All are meant: the wrapper belongs to the task, velocities have no bounds, and actions
        # have the units of the motors.
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        warnings.filterwarnings("ignore", ".*Box observation space (min|max)imum value")
        warnings.filterwarnings("ignore", ".*symmetric and normalized")
        check_env(env, skip_render_check=True, skip_close_check=True)
    env.close()


def test_success_is_standing_to_the_end_where_the_robot_can_fall() -> None:
    assert {name for name in SUITE if get_task(name).success_fn is None} == NEVER_END
    walker = get_task("Walker2d-v5")
    assert walker.success_fn is not None
    episodes = collect(walker.make(None), walker, memoryless(uniform(6)), 60, 0, 0).episodes
    assert episodes[0].terminated
    assert not walker.success_fn(episodes[0])
    assert walker.success_fn(episodes[-1]) != episodes[-1].terminated
