"""The gaps and distances of the game against loops, closed forms and worlds that are known."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from probes import POINT, TINY, PerfectPoint

from duopoly.equilibrium.gaps import imagine_policy, mean_return, policy_gap
from duopoly.equilibrium.open_loop import open_loop_error, segment_starts
from duopoly.equilibrium.visitation import maximum_mean_discrepancy, visitation_distance
from duopoly.game import observe
from duopoly.game.play import play
from duopoly.model.imagine import Starts
from duopoly.networks import Normaliser
from duopoly.policy.gaussian import GaussianPolicy, act_by, gaussian_controller
from duopoly.policy.gradient.improve import PolicyState
from duopoly.policy.gradient.player import NPG
from duopoly.policy.player import Opponent, Spaces
from duopoly.schedule import PAL
from duopoly.types import Prediction, Transitions
from duopoly.world.buffer import Buffer
from duopoly.world.interaction import collect

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def data() -> Transitions:
    env = POINT.make(None)
    player = NPG.init(KEY, Spaces(3, 2), TINY)
    episodes = collect(env, POINT, gaussian_controller(player.policy), 200, 0, 0).episodes
    return Buffer.empty(3, 2, 1_000).add(episodes).latest(256)


@pytest.fixture
def player() -> PolicyState:
    return NPG.init(jax.random.key(1), Spaces(3, 2), TINY)


def starts_of(data: Transitions) -> Starts:
    return Starts(data.obs[:1], jnp.asarray(1), data)


class Drifting(PerfectPoint):
    """The point's world, but for a shift of its first component by 0.01 at every step."""

    def __call__(self, key: Array, obs: Array, action: Array) -> Prediction:
        right = super().__call__(key, obs, action)
        return right._replace(next_obs=right.next_obs.at[:, :, 0].add(0.01))


def test_segments_never_cross_the_end_of_an_episode() -> None:
    first = jnp.array([True, False, False, True, False, True, False, False, False, False])
    zeros = jnp.zeros(10)
    rows = Transitions(
        zeros[:, None], zeros[:, None], zeros, zeros[:, None], first, first, jnp.asarray(8)
    )
    np.testing.assert_array_equal(np.flatnonzero(segment_starts(rows, 2)), [0, 1, 3, 5, 6])
    np.testing.assert_array_equal(np.flatnonzero(segment_starts(rows, 3)), [0, 5])
    assert not segment_starts(rows, 4).any()


def test_a_perfect_model_has_no_open_loop_error(data: Transitions) -> None:
    error = open_loop_error(KEY, PerfectPoint(2), data, jnp.array([1.0, 1.0, 0.0]), (50, 5))
    np.testing.assert_allclose(error, np.zeros(5), atol=1e-5)


def test_open_loop_error_grows_as_the_drift_does(data: Transitions) -> None:
    scale = jnp.array([0.5, 1.0, 0.0])
    error = open_loop_error(KEY, Drifting(2), data, scale, (50, 5))
    steps = np.arange(1, 6)
    # One of two counted components is off by 0.01 per step, in units of 0.5.
    np.testing.assert_allclose(error, 0.01 * steps / 0.5 / np.sqrt(2.0), rtol=1e-3)


def test_open_loop_error_is_unknown_where_no_episode_is_long_enough(data: Transitions) -> None:
    error = open_loop_error(KEY, PerfectPoint(2), data, jnp.ones(3), (50, 21))
    assert np.isnan(np.asarray(error)).all()


def mmd_by_loops(x: np.ndarray, y: np.ndarray) -> float:
    both = np.concatenate([x, y])
    squared = [((a - b) ** 2).sum() for a in both for b in both]
    middle = np.sort(squared)[(len(squared) - 1) // 2]

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / middle))

    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
    total = sum(
        kernel(x[i], x[j]) + kernel(y[i], y[j]) - 2.0 * kernel(x[i], y[j]) for i, j in pairs
    )
    return float(np.sqrt(max(total / len(pairs), 0.0)))


def test_discrepancy_matches_loops_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(0.7, 2.0, size=(12, 3))
    got = maximum_mean_discrepancy(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    assert float(got) == pytest.approx(mmd_by_loops(x, y), rel=1e-4)


def test_discrepancy_orders_distributions_by_their_distance() -> None:
    x = jax.random.normal(jax.random.key(0), (300, 4))
    distances = [
        float(maximum_mean_discrepancy(x, shift + jax.random.normal(jax.random.key(1), (300, 4))))
        for shift in (0.0, 0.5, 1.0, 3.0)
    ]
    assert distances == sorted(distances)
    assert distances[0] < 0.1 < distances[2]


def test_visitation_in_the_real_world_itself_is_near_and_another_policy_far(
    data: Transitions,
) -> None:
    policy = NPG.init(KEY, Spaces(3, 2), TINY).policy
    starts = Starts(data.obs, jnp.sum(data.first), data)
    initial = data.obs[jnp.argsort(~data.first)]
    starts = starts._replace(initial=initial)
    inputs = Normaliser.of(jnp.concatenate([data.obs, data.action], axis=1), data.valid)

    def distance(policy: GaussianPolicy) -> float:
        rollouts = imagine_policy(KEY, act_by(policy), PerfectPoint(2), starts, TINY)
        return float(visitation_distance(KEY, data, rollouts, inputs, 200))

    far = dataclasses.replace(policy, log_std=policy.log_std - 3.0)
    assert distance(policy) < 0.5 * distance(far)


def test_the_policy_gap_is_what_the_steps_gain(player: PolicyState, data: Transitions) -> None:
    world = PerfectPoint(2)
    opponent = Opponent(world, starts_of(data), lambda: data)
    none = dataclasses.replace(TINY, evaluation=dataclasses.replace(TINY.evaluation, gap_steps=0))
    many = dataclasses.replace(TINY, evaluation=dataclasses.replace(TINY.evaluation, gap_steps=15))
    assert float(policy_gap(KEY, NPG, player, world, opponent, none)) == 0.0
    assert float(policy_gap(KEY, NPG, player, world, opponent, many)) > 1.0


def test_real_return_counts_whole_episodes_to_the_horizon_of_imagination(
    data: Transitions,
) -> None:
    num = int(data.num_valid)
    bounds = [*np.flatnonzero(data.first[:num]), num]
    expected = []
    for begin, end in itertools.pairwise(bounds):
        if end - begin >= 7 or bool(data.terminated[end - 1]):
            expected.append(float(sum(data.reward[begin : min(end, begin + 7)])))
    got = observe.mean_return_of(data, num_actions=7, horizon=POINT.horizon)
    assert got == pytest.approx(np.mean(expected), rel=1e-4)


def test_every_round_after_the_first_tells_the_gaps() -> None:
    rounds = list(play(POINT, TINY, PAL, 0, num_env_steps=320))
    for name in ("game/return_gap", "game/visitation_distance", "model/open_loop_error"):
        assert np.isnan(rounds[0].metrics[name])
        assert all(np.isfinite(r.metrics[name]) for r in rounds[1:])
    assert all(np.isfinite(r.metrics["game/policy_gap"]) for r in rounds)


def test_measuring_changes_nothing() -> None:
    silent = dataclasses.replace(
        TINY, evaluation=dataclasses.replace(TINY.evaluation, gap_steps=0, open_loop_steps=3)
    )
    one, other = (
        list(play(POINT, settings, PAL, 0, num_env_steps=260))[-1].state.players
        for settings in (TINY, silent)
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mean_return_leaves_padding_out(data: Transitions, player: PolicyState) -> None:
    starts = starts_of(data)
    rollouts = imagine_policy(KEY, act_by(player.policy), PerfectPoint(2), starts, TINY)
    poisoned = rollouts._replace(reward=jnp.where(rollouts.valid, rollouts.reward, jnp.nan))
    assert float(mean_return(poisoned)) == float(mean_return(rollouts))
