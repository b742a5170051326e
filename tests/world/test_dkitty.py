"""D'Kitty against ROBEL's numbers, and its task against its environment."""

import math

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from transitions import arrays, collect_twice, uniform

from duopoly.types import Episode
from duopoly.world.interaction import collect, memoryless
from duopoly.world.task import TaskError
from duopoly.world.tasks import canonical_name, get_task
from duopoly.world.tasks.catalogue import CATALOGUE
from duopoly.world.tasks.dkitty_env import (
    DESIRED,
    FACING,
    LAST_ACTION,
    QPOS,
    QVEL,
    ROOT_EULER,
    ROOT_POS,
    UPRIGHT,
    angle_error,
)
from duopoly.world.tasks.dkitty_orient import orient_reward, orient_task

TASK = get_task("DKittyOrient")
NUM_STEPS = 5_000
ALL = ["fixed", "random", "random_dynamics"]


def make(variant: str = "random", robel_quirks: bool = True) -> gym.Env:
    return gym.make(
        "duopoly/DKittyOrient-v0",
        variant=variant,
        robel_quirks=robel_quirks,
        disable_env_checker=True,
    )


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return collect_twice(TASK, NUM_STEPS // 2)


# Action: position and angles of the root, upright, angle error, reward, reward without quirks.
ROWS = {
    1: (-0.000070, 0.009599, 0.001531, 0.000107, -0.002681, 0.272289, 0.999996, 2.671262,
        -3.724001, -3.723516),
    5: (-0.016064, 0.050340, -0.014671, -0.022394, 0.030985, 0.376589, 0.999269, 2.589780,
        -3.593094, -3.585098),
    10: (-0.007143, 0.055060, -0.026512, -0.010022, 0.010905, 0.375535, 0.999890, 2.583118,
         -3.580769, -3.556749),
    20: (0.006608, 0.070259, -0.034264, 0.010549, 0.027526, 0.328831, 0.999566, 2.619821,
         -3.801765, -3.770250),
}  # fmt: skip


def test_the_rows_measured_with_robel_are_reproduced() -> None:
    env, plain = make(), make(robel_quirks=False)
    options = {"initial_angle": 0.3, "target_angle": math.pi - 0.2}
    obs, _ = env.reset(options=options)
    plain.reset(options=options)
    np.testing.assert_allclose(obs[:48], [0.3 * (index == 5) for index in range(48)], atol=1e-12)
    np.testing.assert_allclose(obs[FACING], [-math.sin(0.3), math.cos(0.3)], atol=1e-12)
    np.testing.assert_allclose(obs[DESIRED], [-math.sin(0.2), -math.cos(0.2)], atol=1e-12)
    assert env.unwrapped.data.ncon == 4  # pyright: ignore
    rng = np.random.default_rng(1)
    for count in range(1, 21):
        action = 0.5 * rng.uniform(-1, 1, 12)
        obs, reward, terminated, _, info = env.step(action)
        plain_reward = plain.step(action)[1]
        assert not terminated
        if count in ROWS:
            row = (*obs[:6], obs[UPRIGHT], info["angle_error"], reward, plain_reward)
            np.testing.assert_allclose(row, ROWS[count], atol=1e-5, rtol=0)


def test_standing_still_earns_what_robel_pays() -> None:
    env = make("fixed")
    obs, info = env.reset()
    assert info == {"angle_error": pytest.approx(math.pi), "success": False}
    low, high = np.array([-1.0, 0.0, -2.0]), np.array([0.0, math.pi / 2, 0.0])
    upper_and_lower = (2 * (0.0 - low) / (high - low) - 1)[1:]
    hips = [0.1105 / 0.3895, -0.1105 / 0.3895, -0.1105 / 0.3895, 0.1105 / 0.3895]
    action = np.concatenate([[hip, *upper_and_lower] for hip in hips])
    for _ in range(20):
        obs, reward, *_ = env.step(action)
    np.testing.assert_allclose(obs[QPOS], 0.0, atol=0.02)
    assert reward == pytest.approx(7 - 4 * math.pi - 4 * np.linalg.norm(obs[ROOT_POS]), abs=1e-3)


def test_the_masses_are_those_of_the_source() -> None:
    model = make().unwrapped.model  # pyright: ignore
    inertias = {
        "torso": (0.72, 0.0, (7640, 2560, 10070)),
        "back_left_hip": (0.118, 0.07587, (70.73, 70.46, 24.48)),
        "back_left_upper": (0.118, 0.07583, (65.67, 72.85, 24.48)),
        "back_left_lower": (0.040, 0.0608, (30.94, 34.95, 7.77)),
    }
    for name, (mass, centre, inertia) in inertias.items():
        body = model.body(name)
        assert body.mass[0] == pytest.approx(mass)
        np.testing.assert_allclose(body.ipos, [0, 0, centre], atol=5e-6)
        np.testing.assert_allclose(sorted(1e6 * body.inertia), sorted(inertia), atol=6e-3)
    assert model.body_mass.sum() == pytest.approx(1.834)
    assert (model.nq, model.nu) == (18, 12)


@pytest.mark.filterwarnings("ignore:.*infinity.*")
@pytest.mark.parametrize("variant", ALL)
def test_it_passes_gymnasiums_checker(variant: str) -> None:
    env = make(variant)
    assert env.spec is not None
    assert env.spec.max_episode_steps == TASK.horizon == 80
    check_env(env.unwrapped, skip_render_check=True)


def test_known_functions_are_those_of_the_environment(episodes: list[Episode]) -> None:
    obs, action, next_obs, reward = arrays(episodes)
    assert len(obs) >= NUM_STEPS
    assert TASK.reward_fn is not None
    assert TASK.terminated_fn is not None
    # The reward of a fall is beyond -500, where float32 has steps of 3e-5.
    found = jax.vmap(TASK.reward_fn)(obs, action, next_obs)
    np.testing.assert_allclose(found, reward, atol=1e-5, rtol=2e-7)
    terminated = np.concatenate(
        [np.arange(len(e.obs)) == (len(e.obs) - 1 if e.terminated else -1) for e in episodes]
    )
    assert terminated.sum() > 50
    found = jax.vmap(TASK.terminated_fn)(obs, action, next_obs)
    np.testing.assert_array_equal(found, terminated)


def test_what_is_not_learned_is_completed(episodes: list[Episode]) -> None:
    obs, action, next_obs, _ = arrays(episodes)
    assert TASK.learned == tuple(range(36))
    assert TASK.compute_fn is not None
    predicted = next_obs.copy()
    predicted[:, list(TASK.computed)] = 7.0
    completed = np.asarray(jax.vmap(TASK.compute_fn)(obs, action, predicted))
    np.testing.assert_allclose(completed, next_obs, atol=2e-6, rtol=0)
    np.testing.assert_array_equal(completed[:, LAST_ACTION], action)


def test_the_target_stays_where_it_is_however_far_the_robot_walks() -> None:
    assert TASK.compute_fn is not None
    rng = np.random.default_rng(0)
    radius, heading, goal = rng.uniform((0, 0, 0), (0.8, 7, 7), (1_000, 3)).T
    places = np.stack((radius * np.cos(heading), radius * np.sin(heading)), axis=1)
    target = np.stack((np.cos(goal), np.sin(goal)), axis=1)
    obs = np.zeros((1_000, 53), np.float32)
    obs[:, :2] = places
    obs[:, DESIRED] = (target - places) / np.linalg.norm(target - places, axis=1, keepdims=True)
    centred = np.zeros_like(obs)
    completed = jax.vmap(TASK.compute_fn)(obs, np.zeros((1_000, 12), np.float32), centred)
    np.testing.assert_allclose(completed[:, DESIRED], target, atol=1e-5)


@pytest.mark.parametrize("robel_quirks", [True, False])
@pytest.mark.parametrize(
    ("error", "tilt", "bonus", "without_quirks"),
    [
        (0.08, 0.1, 15.0, 20.0),
        (0.2, 0.1, 5.0, 10.0),
        (0.3, 0.1, 5.0, 5.0),
        (0.08, 0.3, 5.0, 5.0),
        (0.3, 0.3, 0.0, 0.0),
        (0.08, 0.5, -495.0, -495.0),
    ],
)
def test_each_bonus_is_paid(
    robel_quirks: bool, error: float, tilt: float, bonus: float, without_quirks: float
) -> None:
    obs = np.zeros(53, np.float32)
    obs[ROOT_POS] = 0.3, -0.4, -1.2
    obs[UPRIGHT] = math.cos(tilt)
    obs[FACING] = 0.9 * np.array([math.cos(1 + error), math.sin(1 + error)])
    obs[DESIRED] = math.cos(1), math.sin(1)
    distance = 1.3 if robel_quirks else 0.5
    expected = 20 * (math.cos(tilt) - 0.9) - 4 * error - 4 * distance
    expected += bonus if robel_quirks else without_quirks
    found = orient_reward(robel_quirks)(jnp.zeros(53), jnp.zeros(12), jnp.asarray(obs))
    assert found == pytest.approx(expected, abs=5e-5)
    assert angle_error(obs) == pytest.approx(error, abs=1e-6)


def test_the_quirks_can_be_switched_off() -> None:
    task = orient_task(CATALOGUE["DKittyOrient"], robel_quirks=False)
    played = collect(task.make(None), task, memoryless(uniform(12)), 60, 0, 0).episodes
    obs, action, next_obs, reward = arrays(played)
    assert task.reward_fn is not None
    assert TASK.reward_fn is not None
    plain, quirky = (jax.vmap(f)(obs, action, next_obs) for f in (task.reward_fn, TASK.reward_fn))
    np.testing.assert_allclose(plain, reward, atol=1e-5, rtol=2e-7)
    assert np.abs(quirky - reward).max() > 0.01


def test_no_joint_is_asked_to_turn_faster_than_the_motors_can() -> None:
    env = make()
    env.reset(seed=0)
    ctrl = env.unwrapped.data.ctrl  # pyright: ignore
    obs, *_ = env.step(np.full(12, 3.0))
    hips = {0: 0.279, 3: math.pi / 10, 6: math.pi / 10, 9: 0.279}
    expected = [hips.get(i, (math.pi / 10) * (i % 3 == 1)) for i in range(12)]
    np.testing.assert_allclose(ctrl, expected, atol=1e-12)
    np.testing.assert_array_equal(obs[LAST_ACTION], np.ones(12))


def test_angles_are_drawn_in_every_episode_but_the_fixed_variants() -> None:
    env, fixed = make(), make("fixed")
    starts = np.array([env.reset(seed=seed)[0] for seed in range(50)])
    yaw = starts[:, 5]
    goal = np.arctan2(-starts[:, 51], starts[:, 52]) % (2 * math.pi)
    for drawn in (yaw, goal - math.pi):
        assert np.abs(drawn).max() <= math.pi / 3
        assert np.ptp(drawn) > 1.5
    for _ in range(2):
        obs, _ = fixed.reset()
        np.testing.assert_allclose(obs[48:], [1, 0, 1, 0, -1], atol=1e-12)


@pytest.mark.parametrize("variant", ALL)
def test_a_seed_fixes_the_episode_whatever_came_before(variant: str) -> None:
    def play(env: gym.Env) -> np.ndarray:
        obs, _ = env.reset(seed=7)
        rng = np.random.default_rng(0)
        return np.array([obs, *(env.step(rng.uniform(-1, 1, 12))[0] for _ in range(3))])

    used = make(variant)
    for seed in range(3):
        used.reset(seed=seed)
        used.step(used.action_space.sample())
    np.testing.assert_array_equal(play(used), play(make(variant)))


def test_random_dynamics_are_drawn_from_the_nominal_ones() -> None:
    env = make("random_dynamics")
    model, nominal = env.unwrapped.model, make().unwrapped.model  # pyright: ignore
    share = nominal.body_inertia[1:-1] / nominal.body_mass[1:-1, None].clip(1e-9)
    seen = []
    for seed in range(100):
        obs, _ = env.reset(seed=seed)
        legs, root = model.dof_damping[6:], model.dof_damping[:6]
        assert (legs == legs[0]).all()
        assert 0.1 <= legs[0] <= 0.2
        assert not root.any()
        assert ((model.dof_frictionloss[6:] >= 0.001) & (model.dof_frictionloss[6:] <= 0.005)).all()
        assert 2.8 <= model.actuator_gainprm[0, 0] <= 3.2
        assert (np.ptp(model.geom_friction, axis=0) == 0).all()
        assert 1.6 <= model.body_mass.sum() <= 2.0
        found = model.body_inertia[1:-1] / model.body_mass[1:-1, None].clip(1e-9)
        np.testing.assert_allclose(found, share)
        assert 0 <= model.hfield_data.min() < 0.001
        assert 0.049 < model.hfield_data.max() <= 0.05
        seen.append(np.abs(np.concatenate((obs[QPOS], obs[QVEL]))))
        np.testing.assert_array_equal(obs[:5], 0.0)
    limits = np.concatenate(([0.019475, 0.05 * math.pi / 4, 0.05] * 4, [0.05 * math.pi] * 12))
    worst = np.max(seen, axis=0)
    assert (worst <= limits).all()
    assert (worst >= 0.8 * limits).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"object_angle": 1.0}, r"unknown reset option \['object_angle'\]; there are 'initial_ang"),
        ({"initial_angle": -3.2}, r"initial_angle = -3.2, must be a number in ±3.14"),
        ({"target_angle": math.inf}, r"target_angle = inf, must be a number in ±6.28"),
        ({"initial_angle": None}, "initial_angle = None, must be"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    env = make()
    with pytest.raises(TaskError, match=f"DKittyOrient: {message}"):
        env.reset(options=options)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(TaskError, match="DKittyOrient: unknown variant 'Random'; there are"):
        make("Random")


def test_success_is_facing_the_target_upright_at_the_end(episodes: list[Episode]) -> None:
    assert TASK.success_fn is not None
    fallen = next(episode for episode in episodes if episode.terminated)
    whole = next(episode for episode in episodes if episode.truncated)
    cases = ((0.08, 0.97, True), (0.09, 0.97, False), (0.08, 0.95, False))
    for error, upright, success in cases:
        for episode, could_succeed in ((whole, True), (fallen, False)):
            last = episode.next_obs[-1].copy()
            episode.next_obs[-1, UPRIGHT] = upright
            episode.next_obs[-1, 49:] = math.cos(error), math.sin(error), 1.0, 0.0
            assert TASK.success_fn(episode) is (success and could_succeed)
            episode.next_obs[-1] = last


def test_the_variants_are_tasks_as_well() -> None:
    assert canonical_name("duopoly/DKittyOrient-v0") == "DKittyOrient"
    names = [row.name for row in CATALOGUE.values() if row.variant_of == "DKittyOrient"]
    assert names == ["DKittyOrient-fixed", "DKittyOrient-random-dynamics"]
    for name, variant in zip(names, ("fixed", "random_dynamics"), strict=True):
        task = get_task(name)
        assert task is get_task(name)
        assert (task.name, task.horizon, task.spec.obs_dim) == (name, 80, 53)
        seen = [env.reset(seed=1)[0] for env in (task.make(None), make(variant))]
        np.testing.assert_array_equal(*seen)
        np.testing.assert_array_equal(seen[0][ROOT_EULER][:2], 0.0)
