"""Tasks made of environments of one's own."""

import functools

import gymnasium as gym
import numpy as np
import pytest
from probes import PointEnv, point_reward, point_terminated

from duopoly.world.custom import _read_env, make_task
from duopoly.world.environments import ENV_STEPS, RepeatAction
from duopoly.world.task import Task, TaskError


def make_point(render_mode: str | None) -> gym.Env:  # noqa: ARG001
    return PointEnv()


def test_a_task_of_the_registry() -> None:
    task = make_task("Pendulum-v1")
    assert (task.name, task.horizon, task.action_repeat) == ("Pendulum-v1", 200, 1)
    assert (task.spec.obs_dim, task.spec.action_dim) == (3, 1)
    env = task.make("rgb_array")
    assert env.render_mode == "rgb_array"
    env.close()
    assert make_task("Pendulum-v1", name="mine", horizon=7).horizon == 7


def test_a_task_of_a_factory() -> None:
    task = make_task(
        make_point,
        horizon=20,
        reward_fn=point_reward,
        terminated_fn=point_terminated,
        constant=range(2, 3),
    )
    assert (task.name, task.constant, task.learned) == ("make_point", (2,), (0, 1))
    assert (task.reward_fn, task.terminated_fn) == (point_reward, point_terminated)
    assert isinstance(task.make(None), PointEnv)


def test_repeated_actions_earn_the_sum_of_their_steps() -> None:
    task = make_task("Pendulum-v1", action_repeat=3)
    assert (task.horizon, task.action_repeat) == (66, 3)
    held, plain = task.make(None), gym.make("Pendulum-v1")
    np.testing.assert_array_equal(held.reset(seed=1)[0], plain.reset(seed=1)[0])
    rng = np.random.default_rng(0)
    for num_steps in [3] * 66 + [2]:
        action = rng.uniform(-2, 2, 1).astype(np.float32)
        obs, reward, terminated, truncated, info = held.step(action)
        steps = [plain.step(action) for _ in range(num_steps)]
        np.testing.assert_array_equal(obs, steps[-1][0])
        assert reward == pytest.approx(sum(float(step[1]) for step in steps), abs=1e-12)
        assert (terminated, truncated) == steps[-1][2:4]
        assert info[ENV_STEPS] == num_steps
    assert truncated


def test_actions_are_held_for_as_long_as_is_asked_for() -> None:
    plain = make_task("Pendulum-v1")
    held = plain.held(4)
    assert (held.horizon, held.action_repeat) == (50, 4)
    _, _, _, _, info = started(held).step(np.zeros(1, np.float32))
    assert info[ENV_STEPS] == 4
    assert held.held(0) is held.held(4) is held
    twice = held.held(2)
    assert (twice.horizon, twice.action_repeat) == (100, 2)
    assert started(twice).step(np.zeros(1, np.float32))[4][ENV_STEPS] == 2


def test_a_known_reward_is_not_paid_for_other_repeats() -> None:
    known = make_task(make_point, horizon=20, reward_fn=point_reward)
    longer = make_task("Pendulum-v1", action_repeat=3)
    assert known.held(1) is known
    for task in (known, longer):
        with pytest.raises(TaskError, match=f"^{task.name}: action_repeat = 2, .* leave it at 0"):
            task.held(2)


def started(task: Task) -> gym.Env:
    env = task.make(None)
    env.reset(seed=0)
    return env


def test_an_environment_that_changes_its_action_is_given_the_same_one_again() -> None:
    given = []

    class Doubling(PointEnv):
        def step(self, action: np.ndarray):
            given.append(action.copy())
            action *= 2.0
            return super().step(action)

    env = RepeatAction(Doubling(), 3)
    env.reset(seed=0)
    action = np.array([0.1, -0.1])
    env.step(action)
    np.testing.assert_array_equal(given, [[0.1, -0.1]] * 3)
    np.testing.assert_array_equal(action, [0.1, -0.1])


def test_a_fall_cuts_a_repeated_action_short() -> None:
    env = RepeatAction(PointEnv(), 4)
    env.reset(seed=0)
    infos = []
    terminated = False
    while not terminated:
        obs, _, terminated, _, info = env.step(np.array([2.0, 0.0]))
        infos.append(info[ENV_STEPS])
    assert abs(obs[0]) > 2.0
    assert abs(obs[0] - 0.4) <= 2.0
    assert infos[:-1] == [4] * (len(infos) - 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: make_task("Pendulun-v1"), "^Pendulun-v1: .*Pendulum"),
        (lambda: make_task("Pendulum-v77"), "^Pendulum-v77: "),
        (lambda: make_task("no_such_module:Thing-v0"), "^no_such_module:Thing-v0: "),
        (lambda: make_task(""), "^: "),
        (lambda: make_task(make_point), "^make_point: no time limit .* give horizon"),
        (lambda: make_task(lambda _: PointEnv(), horizon=5), "^name = None: "),
        (lambda: make_task(functools.partial(make_point), horizon=5), "^name = None: "),
        (lambda: make_task(PointEnv, horizon=5), "^PointEnv: .*render mode.*lambda"),
        (lambda: make_task("Pendulum-v1", horizon=0), "horizon = 0"),
        (lambda: make_task("Pendulum-v1", action_repeat=0), "action_repeat = 0"),
        (lambda: make_task("Pendulum-v1", action_repeat=300), "horizon = 0"),
        (lambda: make_task("Pendulum-v1", computed=(1,)), "computed and compute_fn"),
        (lambda: _read_env(PointEnv()), "^env = .*PointEnv.*or a function"),
        (lambda: _read_env(3), "^env = 3: "),
    ],
)
def test_what_makes_no_task_is_told(make, words: str) -> None:
    with pytest.raises(TaskError, match=words) as error:
        make()
    assert "\n" not in str(error.value)
