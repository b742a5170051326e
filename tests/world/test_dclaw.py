"""D'Claw against ROBEL's numbers, and its task against its environment."""

import math

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from transitions import arrays, collect_twice

from duopoly.types import Episode
from duopoly.world.task import TaskError
from duopoly.world.tasks import canonical_name, get_task
from duopoly.world.tasks.catalogue import CATALOGUE
from duopoly.world.tasks.dclaw_turn import LAST_ACTION, POSE, QPOS, QVEL, TARGET_ERROR

TASK = get_task("DClawTurn")
NUM_STEPS = 5_000
ALL = ["fixed", "random", "random_dynamics"]


def make(variant: str = "random") -> gym.Env:
    return gym.make("duopoly/DClawTurn-v0", variant=variant, disable_env_checker=True)


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return collect_twice(TASK, NUM_STEPS // 2)


# Action: first six joint angles, angle and velocity of the valve, reward.
ROWS = {
    1: (0.116146, -0.825489, 0.857563, -0.185082, -0.824513, 1.236673, 0.3, 0.0, -14.989000),
    5: (0.103430, -0.114499, 0.619647, -0.092151, -0.299893, 0.470125, 0.360150, 0.113175,
        -15.966732),
    10: (-0.003277, -0.036958, 0.411731, 0.008707, -0.059393, 0.481667, -0.005470, -0.285031,
         -17.072455),
    20: (0.195278, -0.025955, -0.192714, 0.303004, -0.257463, 0.545922, 0.207610, 0.895453,
         -17.358963),
    40: (0.026550, 0.131906, 0.043750, -0.149906, -0.343690, -0.069242, 0.288764, -0.426935,
         -16.493067),
}  # fmt: skip


def test_the_rows_measured_with_robel_are_reproduced() -> None:
    env = make()
    obs, _ = env.reset(options={"object_angle": 0.3, "target_angle": math.pi - 0.4})
    np.testing.assert_allclose(obs[QPOS], POSE, atol=1e-12)
    np.testing.assert_allclose(obs[TARGET_ERROR], math.pi - 0.7, atol=1e-12)
    rng = np.random.default_rng(0)
    for count in range(1, 41):
        obs, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, 9))
        assert not terminated
        assert truncated == (count == 40)
        assert info["target_error"] == obs[TARGET_ERROR]
        if count in ROWS:
            row = (*obs[:6], math.atan2(obs[19], obs[18]), obs[20], reward)
            np.testing.assert_allclose(row, ROWS[count], atol=1e-6, rtol=0)


def test_holding_the_pose_settles_where_robel_does() -> None:
    env = make("fixed")
    env.reset()
    for _ in range(40):
        obs, reward, *_ = env.step(np.array([0, -1, 2 / 3] * 3, np.float32))
    np.testing.assert_allclose(obs[QPOS], [0, -1.0154, 1.0470] * 3, atol=2e-4)
    assert reward == pytest.approx(-15.76, abs=0.01)


def test_the_masses_are_those_of_the_source() -> None:
    model = make().unwrapped.model  # pyright: ignore
    inertias = {
        "1": (0.105, 0.05241, (39.015, 40.067, 19.775)),
        "2": (0.105, 0.05241, (37.273, 41.809, 19.775)),
        "3": (0.032, 0.04044, (13.503, 16.188, 5.266)),
    }
    for link, (mass, centre, inertia) in inertias.items():
        body = model.body(f"thumb_{link}")
        assert body.mass[0] == pytest.approx(mass)
        np.testing.assert_allclose(body.ipos, [0, 0, centre], atol=5e-6)
        np.testing.assert_allclose(sorted(1e6 * body.inertia), sorted(inertia), atol=1e-3)
    assert model.body("valve").mass[0] == pytest.approx(0.47644, abs=1e-5)
    assert model.body("valve").inertia[0] == pytest.approx(1e-3, abs=1e-7)
    assert (model.nq, model.nu) == (10, 9)


@pytest.mark.filterwarnings("ignore:.*infinity.*")
@pytest.mark.parametrize("variant", ALL)
def test_it_passes_gymnasiums_checker(variant: str) -> None:
    env = make(variant)
    assert env.spec is not None
    assert env.spec.max_episode_steps == TASK.horizon == 40
    check_env(env.unwrapped, skip_render_check=True)


def test_known_functions_are_those_of_the_environment(episodes: list[Episode]) -> None:
    obs, action, next_obs, reward = arrays(episodes)
    assert len(obs) >= NUM_STEPS
    assert TASK.reward_fn is not None
    assert TASK.terminated_fn is not None
    found = jax.vmap(TASK.reward_fn)(obs, action, next_obs)
    np.testing.assert_allclose(found, reward, atol=1e-5, rtol=0)
    assert not np.asarray(jax.vmap(TASK.terminated_fn)(obs, action, next_obs)).any()
    assert not any(episode.terminated for episode in episodes)


def test_what_is_not_learned_is_completed(episodes: list[Episode]) -> None:
    obs, action, next_obs, _ = arrays(episodes)
    assert TASK.learned == tuple(range(21))
    predicted = next_obs.copy()
    predicted[:, list(TASK.computed)] = 7.0
    predicted[:, 18:20] *= np.linspace(0.5, 2.0, len(obs), dtype=np.float32)[:, None]
    assert TASK.compute_fn is not None
    completed = np.asarray(jax.vmap(TASK.compute_fn)(obs, action, predicted))
    error = completed - next_obs
    error[:, TARGET_ERROR] = np.angle(np.exp(1j * error[:, TARGET_ERROR]))  # -π is π
    np.testing.assert_allclose(error, 0.0, atol=2e-6)
    np.testing.assert_array_equal(completed[:, LAST_ACTION], action)


@pytest.mark.parametrize(("error", "bonus"), [(0.05, 60.0), (0.2, 10.0), (-0.2, 10.0), (0.3, 0.0)])
def test_coming_close_is_paid(error: float, bonus: float) -> None:
    env = make()
    obs, info = env.reset(options={"object_angle": 0.0, "target_angle": error})
    assert info == {"target_error": pytest.approx(error), "success": abs(error) < 0.1}
    next_obs, reward, _, _, info = env.step(np.zeros(9, np.float32))
    fast = next_obs[QVEL][np.abs(next_obs[QVEL]) >= 0.5]
    away = np.linalg.norm(next_obs[QPOS] - POSE)
    expected = bonus - 5 * abs(error) - away - np.linalg.norm(fast)
    assert reward == pytest.approx(expected, abs=1e-9)
    assert 0 < len(fast) < 9
    assert TASK.reward_fn is not None
    found = TASK.reward_fn(*(jnp.asarray(x, float) for x in (obs, np.zeros(9), next_obs)))
    assert found == pytest.approx(expected, abs=1e-5)


def test_no_joint_is_asked_to_turn_faster_than_the_motors_can() -> None:
    env = make()
    env.reset(seed=0)
    ctrl = env.unwrapped.data.ctrl  # pyright: ignore
    obs, *_ = env.step(np.full(9, 3.0))
    np.testing.assert_allclose(ctrl - POSE, math.pi / 15, atol=1e-12)
    np.testing.assert_array_equal(obs[LAST_ACTION], np.ones(9))
    before = obs[QPOS]
    env.step(np.zeros(9, np.float32))
    np.testing.assert_allclose(ctrl, before - before.clip(-math.pi / 15, math.pi / 15), atol=1e-12)


def test_angles_are_drawn_in_every_episode_but_the_fixed_variants() -> None:
    env, fixed = make(), make("fixed")
    starts = [env.reset(seed=seed)[0] for seed in range(50)]
    angles = np.array([math.atan2(obs[19], obs[18]) for obs in starts])
    targets = np.array([angle + obs[-1] for angle, obs in zip(angles, starts, strict=True)])
    targets = targets % (2 * math.pi)
    for drawn in (angles, targets - math.pi):
        assert np.abs(drawn).max() <= math.pi / 3
        assert np.ptp(drawn) > 1.5
    for _ in range(2):
        obs, _ = fixed.reset()
        np.testing.assert_allclose(obs[18:20], [1, 0], atol=1e-12)
        assert abs(obs[-1]) == pytest.approx(math.pi)


@pytest.mark.parametrize("variant", ALL)
def test_a_seed_fixes_the_episode_whatever_came_before(variant: str) -> None:
    def play(env: gym.Env) -> np.ndarray:
        obs, _ = env.reset(seed=7)
        rng = np.random.default_rng(0)
        return np.array([obs, *(env.step(rng.uniform(-1, 1, 9))[0] for _ in range(3))])

    used = make(variant)
    for seed in range(3):
        used.reset(seed=seed)
        used.step(used.action_space.sample())
    np.testing.assert_array_equal(play(used), play(make(variant)))


def test_random_dynamics_are_drawn_from_the_nominal_ones() -> None:
    env = make("random_dynamics")
    model, nominal = env.unwrapped.model, make().unwrapped.model  # pyright: ignore
    seen = []
    for seed in range(100):
        obs, _ = env.reset(seed=seed)
        assert ((model.dof_damping >= 0.005) & (model.dof_damping <= 0.1)).all()
        assert ((model.dof_frictionloss >= 0.001) & (model.dof_frictionloss <= 0.005)).all()
        assert 1 <= model.actuator_gainprm[0, 0] <= 3
        np.testing.assert_array_equal(model.actuator_biasprm[:, 1], -model.actuator_gainprm[:, 0])
        assert (np.ptp(model.geom_friction, axis=0) == 0).all()
        assert 0.8 <= model.geom_friction[0, 0] <= 1.2
        shift = model.body_pos - nominal.body_pos
        assert np.abs(shift).max() <= 0.01
        assert (shift.any(axis=1) == (np.arange(model.nbody) == model.body("mount").id)).all()
        seen.append(np.abs(obs[:18] - [*POSE, *np.zeros(9)]))
    limits = np.repeat([[0.024, math.pi / 60, math.pi / 40], [math.pi / 30] * 3], 3, axis=0)
    worst, limits = np.max(seen, axis=0), limits.ravel()
    assert (worst <= limits).all()
    assert (worst >= 0.8 * limits).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goal": 1.0}, r"unknown reset option \['goal'\]; there are 'object_angle' and"),
        ({"object_angle": 7.0}, r"object_angle = 7.0, must be a number in ±6.28"),
        ({"object_angle": 0.0, "target_angle": math.nan}, "target_angle = nan, must be"),
        ({"target_angle": "left"}, "target_angle = 'left', must be"),
        ({"target_angle": [1.0, 2.0]}, r"target_angle = \[1.0, 2.0\], must be"),
        ({"target_angle": 10**400}, "target_angle = 10"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    env = make()
    with pytest.raises(TaskError, match=f"DClawTurn: {message}"):
        env.reset(options=options)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(TaskError, match="unknown variant 'random-dynamics'; there are 'fixed'"):
        make("random-dynamics")


def test_success_is_a_small_error_at_the_end(episodes: list[Episode]) -> None:
    assert TASK.success_fn is not None
    episode = episodes[0]
    kept = episode.next_obs[-1, TARGET_ERROR]
    for error, success in ((0.099, True), (-0.099, True), (0.101, False), (-3.0, False)):
        episode.next_obs[-1, TARGET_ERROR] = error
        assert TASK.success_fn(episode) is success
    episode.next_obs[-1, TARGET_ERROR] = kept


def test_the_variants_are_tasks_as_well() -> None:
    assert canonical_name("duopoly/DClawTurn-v0") == "DClawTurn"
    names = [row.name for row in CATALOGUE.values() if row.variant_of == "DClawTurn"]
    assert names == ["DClawTurn-fixed", "DClawTurn-random-dynamics"]
    for name, variant in zip(names, ("fixed", "random_dynamics"), strict=True):
        task = get_task(name)
        assert task is get_task(name)
        assert (task.name, task.horizon, task.spec.obs_dim) == (name, 40, 31)
        seen = [env.reset(seed=1)[0] for env in (task.make(None), make(variant))]
        np.testing.assert_array_equal(*seen)
