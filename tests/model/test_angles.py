"""Angles of joints that turn freely are seen as sine and cosine: a full turn changes nothing."""

import dataclasses
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from probes import POINT, TINY

from duopoly.game.play import play
from duopoly.model.ensemble import init_ensemble, predict
from duopoly.model.fit import init_model, measure
from duopoly.networks import Normaliser
from duopoly.policy.gaussian import init_policy, numpy_policy
from duopoly.schedule import PAL
from duopoly.types import Transitions
from duopoly.world.task import Task, TaskError
from duopoly.world.tasks import get_task

KEY = jax.random.key(5)
TURN = 2.0 * np.pi
RNG = np.random.default_rng(0)


def test_an_angle_is_seen_as_sine_and_cosine() -> None:
    mean, std, x = RNG.normal(size=4), RNG.uniform(0.5, 2.0, 4), RNG.normal(size=4)
    seen = Normaliser(jnp.asarray(mean), jnp.asarray(std), (1, 3))(jnp.asarray(x))
    usual = (x - mean) / std
    expected = [usual[0], np.sin(x[1]), usual[2], np.sin(x[3]), np.cos(x[1]), np.cos(x[3])]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_without_angles_everything_is_as_ever() -> None:
    x = jnp.asarray(RNG.normal(size=(9, 3)), jnp.float32)
    normaliser = Normaliser.of(x, jnp.ones(9, bool))
    np.testing.assert_array_equal(normaliser(x[0]), (x[0] - normaliser.mean) / normaliser.std)
    plain = init_ensemble(KEY, 3, 2, (0, 1), TINY.model)
    assert plain.members.layers[0].weight.shape == (2, 5, 16)


def test_predictions_do_not_see_full_turns() -> None:
    ensemble = init_ensemble(KEY, 3, 2, (0, 1), TINY.model, angles=(1,))
    assert ensemble.members.layers[0].weight.shape == (2, 6, 16)
    obs = jnp.asarray(RNG.normal(size=(2, 5, 3)), jnp.float32)
    action = jnp.asarray(RNG.uniform(-1, 1, (2, 5, 2)), jnp.float32)
    turn = jnp.asarray([0.0, TURN, 0.0], jnp.float32)
    change = predict(ensemble, obs, action) - obs
    turned = predict(ensemble, obs + turn[None, None], action) - (obs + turn[None, None])
    np.testing.assert_allclose(turned, change, atol=2e-5)
    other = predict(ensemble, obs + 0.5 * turn[None, None], action) - (obs + 0.5 * turn[None, None])
    assert np.abs(np.asarray(other - change)).max() > 1e-2


def test_measuring_the_data_keeps_the_angles() -> None:
    ensemble = init_model(KEY, 3, 2, (0, 1), TINY.model, angles=(1,)).ensemble
    obs, no = jnp.asarray(RNG.normal(size=(9, 3)), jnp.float32), jnp.zeros(9, bool)
    data = Transitions(obs, obs[:, :2], obs[:, 0], obs + 1.0, no, no, jnp.asarray(9))
    measured = measure(ensemble, data, 2.0)
    assert measured.inputs.angles == (1,)
    # Units of errors stay those of the angle itself.
    np.testing.assert_allclose(measured.inputs.std[:3], obs.std(axis=0), rtol=1e-5)


def test_the_policy_on_the_host_sees_the_same() -> None:
    policy = init_policy(KEY, 3, 2, TINY.policy, (0, 2))
    weight = 100.0 * policy.network.layers[-1].weight
    inputs = Normaliser(jnp.asarray([0.5, 1.0, -1.0]), jnp.asarray([1.0, 2.0, 3.0]), (0, 2))
    policy = eqx.tree_at(
        lambda p: (p.network.layers[-1].weight, p.inputs), policy, (weight, inputs)
    )
    obs = RNG.normal(size=(4, 3))
    host = numpy_policy(policy)
    expected = [policy(jnp.asarray(row, jnp.float32))[0] for row in obs]
    np.testing.assert_allclose(host.mean(obs), expected, atol=1e-5)
    np.testing.assert_allclose(host.mean(obs[0]), expected[0], atol=1e-5)
    np.testing.assert_allclose(
        host.mean(obs + np.array([TURN, 0.0, -TURN])), host.mean(obs), atol=1e-12
    )
    assert np.abs(host.mean(obs + np.eye(3)[0]) - host.mean(obs)).max() > 1e-2


class Wheel(gym.Env):
    """A wheel spun by the action: its angle in rad, which only grows, and its speed."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.state = np.array([0.0, 1.0])
        return self.state, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        angle, speed = self.state
        speed = np.clip(speed + 0.1 * action[0], 0.5, 1.5)
        self.state = np.array([angle + speed, speed])
        return self.state, float(np.cos(angle + speed)), False, False, {}


WHEEL = Task(
    name="Wheel",
    summary="a wheel is to stand upright",
    make=lambda render_mode: Wheel(),  # noqa: ARG005
    horizon=20,
    reward_fn=lambda obs, action, next_obs: jnp.cos(next_obs[0]),  # noqa: ARG005
    terminated_fn=lambda obs, action, next_obs: jnp.zeros((), bool),  # noqa: ARG005
    angles=(0,),
)


def test_a_game_is_played_with_angles() -> None:
    players = list(play(WHEEL, TINY, PAL, 0, num_env_steps=260))[-1].state.players
    assert players.policy.policy.inputs.angles == (0,)
    assert players.policy.value.function.network.layers[0].weight.shape == (3, 8)
    policy = numpy_policy(players.policy.policy)
    obs = np.array([1.0, 0.7])
    np.testing.assert_allclose(
        policy.mean(obs), policy.mean(obs + 3 * TURN * np.eye(2)[0]), atol=1e-9
    )


def test_an_angle_given_twice_is_refused() -> None:
    with pytest.raises(TaskError, match=r"angles has \[0\] twice"):
        dataclasses.replace(POINT, angles=(0, 1, 0))


def test_an_angle_that_is_not_observed_is_refused() -> None:
    with pytest.raises(TaskError, match="observation component 3 does not exist"):
        _ = dataclasses.replace(POINT, angles=(3,)).spec


@pytest.mark.parametrize(("name", "num_hidden"), [("HalfCheetah-v5", 1), ("Swimmer-v5", 2)])
def test_declared_angles_are_the_hinges_without_limits(name: str, num_hidden: int) -> None:
    """By MuJoCo's model; the first components of qpos (places) are hidden from the observation."""
    task = get_task(name)
    model = task.make(None).unwrapped.model  # pyright: ignore
    is_free = (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE) & (model.jnt_limited == 0)
    assert task.angles == tuple(int(i) - num_hidden for i in model.jnt_qposadr[is_free])
