"""Imagination: a perfect model imagines what really happens."""

import jax
import jax.numpy as jnp
import numpy as np
from probes import HORIZON, LIMIT, POINT, PerfectPoint

from duopoly.game.known import known_functions
from duopoly.model.dynamics import LearnedWorld
from duopoly.model.ensemble import init_ensemble
from duopoly.model.imagine import Starts, draw_starts, imagine
from duopoly.policy.gaussian import init_policy, numpy_policy, sample
from duopoly.settings import ModelSettings, PolicySettings
from duopoly.types import Transitions
from duopoly.world.interaction import collect, memoryless

KEY = jax.random.key(5)


def test_imagined_return_equals_real_return() -> None:
    policy = init_policy(jax.random.key(0), 3, 2, PolicySettings(hidden=(8,)))
    host = numpy_policy(policy)
    env = POINT.make(None)
    episodes = collect(env, POINT, memoryless(host.sample), 400, 0, 0).episodes
    complete = [episode for episode in episodes if episode.complete]
    assert any(episode.terminated for episode in complete)
    assert any(episode.truncated for episode in complete)
    for episode in complete:
        actions = jnp.zeros((HORIZON, 2)).at[: len(episode.action)].set(episode.action)
        replay = iter_actions(actions)
        starts = jnp.asarray(episode.obs[:1])[None]
        rollouts = imagine(jax.random.key(1), replay, PerfectPoint(1), starts, HORIZON)
        imagined = jnp.sum(jnp.where(rollouts.valid, rollouts.reward, 0.0))
        np.testing.assert_allclose(imagined, episode.return_, rtol=1e-4)
        assert int(rollouts.valid.sum()) == len(episode.reward)
        assert bool((rollouts.terminated & rollouts.valid).any()) == episode.terminated


def iter_actions(actions: jax.Array):
    """Return a policy that replays actions: the step is found from the key, which counts."""
    keys = jax.random.split(jax.random.key(1), 2 * len(actions))[: len(actions)]

    def act(key: jax.Array, obs: jax.Array) -> jax.Array:
        step = jnp.argmax(jnp.all(jax.random.key_data(keys) == jax.random.key_data(key)[None], 1))
        return jnp.broadcast_to(actions[step], (*obs.shape[:2], 2))

    return act


def test_nothing_is_valid_after_a_terminal_step() -> None:
    policy = init_policy(jax.random.key(0), 3, 2, PolicySettings(hidden=(8,)))
    starts = jnp.zeros((2, 30, 3)).at[:, :, 0].set(1.5)
    rollouts = imagine(
        jax.random.key(0), lambda k, o: sample(k, policy, o), PerfectPoint(2), starts, HORIZON
    )
    assert bool(rollouts.terminated.any())
    for terminated, valid, next_obs in zip(
        rollouts.terminated.reshape(-1, HORIZON),
        rollouts.valid.reshape(-1, HORIZON),
        rollouts.next_obs.reshape(-1, HORIZON, 3),
        strict=True,
    ):
        end = int(jnp.argmax(terminated)) if terminated.any() else HORIZON - 1
        np.testing.assert_array_equal(valid, np.arange(HORIZON) <= end)
        if terminated.any():
            assert abs(float(next_obs[end, 0])) > LIMIT  # the terminal observation is stored


def test_members_live_in_worlds_of_their_own() -> None:
    settings = ModelSettings(num_members=3, hidden=(8,))
    ensemble = init_ensemble(jax.random.key(0), 3, 2, (0, 1), settings)
    world = LearnedWorld(ensemble, known_functions(POINT))
    obs = jnp.broadcast_to(jnp.array([0.1, 0.2, 3.0]), (3, 1, 3))
    told = world(KEY, obs, jnp.full((3, 1, 2), 0.5))
    next_obs, reward, terminated = told.next_obs, told.reward, told.terminated
    assert next_obs.shape == (3, 1, 3)
    assert reward.shape == terminated.shape == (3, 1)
    assert len(np.unique(np.asarray(next_obs[:, 0, 0]))) == 3
    np.testing.assert_array_equal(next_obs[:, :, 2], 3.0)
    np.testing.assert_allclose(reward, -jnp.sum(next_obs[:, :, :2] ** 2, axis=-1), rtol=1e-5)


def test_actions_beyond_the_bounds_act_as_the_bounds() -> None:
    settings = ModelSettings(num_members=2, hidden=(8,))
    ensemble = init_ensemble(jax.random.key(0), 3, 2, (0, 1), settings)
    world = LearnedWorld(ensemble, known_functions(POINT))
    obs = jnp.zeros((2, 1, 3))
    for at_bound, beyond in [(1.0, 7.0), (-1.0, -3.0)]:
        for a, b in zip(
            world(KEY, obs, jnp.full((2, 1, 2), at_bound)),
            world(KEY, obs, jnp.full((2, 1, 2), beyond)),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_starts_come_from_the_asked_for_mixture() -> None:
    initial = jnp.zeros((10, 1)).at[4:].set(-1.0)  # the rows from 4 on are padding
    recent = jnp.ones((20, 1)).at[7:].set(-1.0)
    rows = jnp.zeros(20)
    no = jnp.zeros(20, bool)
    data = Transitions(recent, recent, rows, recent, no, no, jnp.asarray(7))
    starts = Starts(initial, jnp.asarray(4), data)
    drawn = np.asarray(draw_starts(jax.random.key(0), starts, (3, 40), 0.25))[:, :, 0]
    np.testing.assert_array_equal(drawn.sum(axis=1), [10.0, 10.0, 10.0])
    assert drawn.min() == 0.0
