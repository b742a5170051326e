"""Planning in worlds whose best plan is known."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Key
from probes import LIMIT, TINY, PerfectPoint

from duopoly.model.imagine import Dynamics
from duopoly.policy.planner.plan import (
    Search,
    UpdateFn,
    cem_update,
    draw_plans,
    empty_plan,
    mppi_update,
    plan,
    plan_returns,
)
from duopoly.settings import PlannerSettings, Settings
from duopoly.types import Prediction

KEY = jax.random.key(7)
PLANNER = PlannerSettings(horizon=6, num_samples=200, num_iterations=6, num_elites=15)
DISCOUNT = TINY.policy.discount


def settings_of(planner: PlannerSettings, alpha: float = 1.0) -> Settings:
    policy = dataclasses.replace(TINY.policy, planner=planner)
    robustness = dataclasses.replace(TINY.robustness, cvar_alpha=alpha)
    return dataclasses.replace(TINY, policy=policy, robustness=robustness)


class Strange(eqx.Module):
    """A world of one number; what it pays and where it stops is told by a table over time."""

    reward: Float[Array, "E T"]
    terminated_at: int
    truncated_at: int
    noise: float

    @property
    def num_members(self) -> int:
        return self.reward.shape[0]

    def __call__(
        self, key: Key[Array, ""], obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
    ) -> Prediction:
        time = obs[0, 0, 0].astype(int)
        shape = obs.shape[:2]
        paid = self.reward[:, time][:, None] * action[:, :, 0]
        paid = paid + self.noise * jax.random.normal(key, shape)
        return Prediction(
            obs + 1.0,
            paid,
            jnp.full(shape, time == self.terminated_at),
            jnp.full(shape, time == self.truncated_at),
        )


def strange(reward: np.ndarray, end: int = -1, cut: int = -1, noise: float = 0.0) -> Strange:
    return Strange(jnp.asarray(reward, jnp.float32), end, cut, noise)


def known_returns(x: np.ndarray, horizon: int) -> tuple[float, float]:
    """Return what the point earns at full speed to the origin, axis by axis, and at rest."""
    best = idle = 0.0
    start = x
    for time in range(horizon):
        x = np.sign(x) * np.maximum(np.abs(x) - 0.4, 0.0)
        best -= DISCOUNT**time * float(x @ x)
        idle -= DISCOUNT**time * float(start @ start)
    return best, idle


@pytest.mark.parametrize(("update_fn", "tolerance"), [(cem_update, 0.02), (mppi_update, 0.04)])
def test_the_point_goes_to_the_origin_at_full_speed(update_fn: UpdateFn, tolerance: float) -> None:
    settings = settings_of(PLANNER)
    world = PerfectPoint(2)
    obs = jnp.array([1.0, -0.9, 3.0])
    ahead = empty_plan(2, PLANNER)
    action, _, info = plan(KEY, world, obs, ahead, settings, update_fn)
    np.testing.assert_allclose(action, [-1.0, 1.0], atol=0.15)
    best, idle = known_returns(np.array([1.0, -0.9]), PLANNER.horizon)
    assert best - tolerance * (best - idle) < float(info.return_) <= best + 1e-4
    earned = 0.0
    for time, key in enumerate(jax.random.split(KEY, 8)):
        action, ahead, _ = plan(key, world, obs, ahead, settings, update_fn)
        told = world(key, *(jnp.broadcast_to(x, (2, 1, len(x))) for x in (obs, action)))
        obs, earned = told.next_obs[0, 0], earned + DISCOUNT**time * float(told.reward[0, 0])
    best, idle = known_returns(np.array([1.0, -0.9]), 8)
    assert best - tolerance * (best - idle) < earned <= best + 1e-4


def test_the_cliff_is_not_walked_over_unless_that_pays() -> None:
    # At the edge the world ends; beyond it nothing is earned, and here each step costs.
    start = jnp.array([1.9, 0.0, 3.0])
    settings = settings_of(PLANNER)
    plans = jnp.zeros((2, PLANNER.horizon, 2)).at[1, :, 0].set(1.0)
    stay, jump = plan_returns(KEY, PerfectPoint(1), start, plans, settings)
    np.testing.assert_allclose(jump, -((LIMIT + 0.3) ** 2), rtol=1e-5)
    weights = DISCOUNT ** np.arange(PLANNER.horizon)
    np.testing.assert_allclose(stay, -(1.9**2) * weights.sum(), rtol=1e-5)


@pytest.mark.parametrize(("end", "cut"), [(-1, -1), (2, -1), (-1, 2), (2, 2), (4, 2), (2, 4)])
@pytest.mark.parametrize("alpha", [1.0, 0.7, 0.5, 0.1])
def test_returns_are_those_of_a_loop(end: int, cut: int, alpha: float) -> None:
    rng = np.random.default_rng(0)
    reward = rng.normal(size=(3, 6))
    plans = rng.uniform(-1, 1, size=(5, 6, 1))
    expected = np.zeros((3, 5))
    for member, row in enumerate(reward):
        for index, actions in enumerate(plans):
            held = None
            for time in range(6):
                paid = row[time] * actions[time, 0] if held is None else held
                expected[member, index] += DISCOUNT**time * paid
                if held is None and time == end:
                    break
                if held is None and time == cut:
                    held = paid
    tail = max(alpha * 3, 1.0)
    shares = [min(1.0, max(0.0, tail - rank)) / tail for rank in range(3)]
    expected = np.tensordot(shares, np.sort(expected, axis=0), 1)
    found = plan_returns(
        KEY,
        strange(reward, end, cut),
        jnp.zeros(1),
        jnp.asarray(plans, jnp.float32),
        settings_of(PLANNER, alpha),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("update_fn", [cem_update, mppi_update])
def test_the_bad_member_is_avoided_where_the_worst_case_counts(update_fn: UpdateFn) -> None:
    # One member pays 3 for a push, the other takes 1: the mean says push, the worst case do not.
    world = strange(np.stack([np.full(6, 3.0), np.full(6, -1.0)]))
    pushes = {
        alpha: float(
            plan(
                KEY, world, jnp.zeros(1), empty_plan(1, PLANNER),
                settings_of(PLANNER, alpha), update_fn,
            )[0][0]
        )
        for alpha in (1.0, 0.5)
    }  # fmt: skip
    assert pushes[1.0] > 0.8
    assert abs(pushes[0.5]) < 0.15


@pytest.mark.parametrize("update_fn", [cem_update, mppi_update])
def test_the_rest_of_a_plan_starts_the_next_one(update_fn: UpdateFn) -> None:
    narrow = dataclasses.replace(PLANNER, initial_std=1e-3)
    settings = settings_of(narrow)
    previous = jnp.asarray(np.linspace(-0.9, 0.9, 12).reshape(6, 2), jnp.float32)
    obs = jnp.array([0.5, 0.5, 3.0])
    action, rest, _ = plan(KEY, PerfectPoint(2), obs, previous, settings, update_fn)
    np.testing.assert_allclose(action, previous[0], atol=2e-2)
    np.testing.assert_allclose(rest[:-1], previous[1:], atol=2e-2)
    np.testing.assert_array_equal(rest[-1], 0.0)


def test_the_key_decides_everything() -> None:
    settings = settings_of(PLANNER)
    obs, ahead = jnp.array([1.0, -0.9, 3.0]), empty_plan(2, PLANNER)
    one, same, other = (
        plan(key, PerfectPoint(2), obs, ahead, settings, cem_update)[1]
        for key in (KEY, KEY, jax.random.key(1))
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.6])
def test_plans_are_drawn_around_the_mean_with_correlated_noise(smoothing: float) -> None:
    settings = dataclasses.replace(PLANNER, num_samples=20_000, smoothing=smoothing)
    mean = jnp.full((6, 1), 0.1)
    plans = np.asarray(draw_plans(KEY, Search(mean, jnp.full((6, 1), 0.2)), settings))[:, :, 0]
    np.testing.assert_allclose(plans[0], 0.1, rtol=1e-6)
    np.testing.assert_allclose(plans.mean(axis=0), 0.1, atol=0.01)
    np.testing.assert_allclose(plans.std(axis=0), 0.2, rtol=0.03)
    lags = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    np.testing.assert_allclose(np.corrcoef(plans.T), smoothing**lags, atol=0.03)
    wide = Search(mean, jnp.full((6, 1), 2.0))
    assert np.abs(draw_plans(KEY, wide, settings)).max() == 1.0


@pytest.mark.parametrize("broken", [0, 7])
def test_updates_are_those_worked_by_hand(broken: int) -> None:
    settings = dataclasses.replace(PLANNER, num_elites=4, temperature=0.5)
    rng = np.random.default_rng(1)
    plans, score = rng.uniform(-1, 1, (20, 6, 2)), rng.normal(size=20)
    score[:broken] = [np.nan, np.inf, -np.inf, np.nan, np.nan, np.inf, np.nan][:broken]
    search = Search(jnp.zeros((6, 2)), jnp.full((6, 2), 0.3))
    given = (jnp.asarray(plans, jnp.float32), jnp.asarray(score, jnp.float32), settings)
    good = np.arange(broken, 20)

    best = good[np.argsort(score[good])[-4:]]
    elites = cem_update(search, *given)
    np.testing.assert_allclose(elites.mean, plans[best].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(elites.std, plans[best].std(axis=0), atol=1e-5)

    weight = np.exp(score[good] / (0.5 * score[good].std()))
    weight /= weight.sum()
    softmax = mppi_update(search, *given)
    expected = np.tensordot(weight, plans[good], 1)
    np.testing.assert_allclose(softmax.mean, expected, atol=1e-5)
    np.testing.assert_array_equal(softmax.std, search.std)


@pytest.mark.parametrize("update_fn", [cem_update, mppi_update])
def test_a_world_without_finite_returns_gives_no_action(update_fn: UpdateFn) -> None:
    world = strange(np.full((2, 6), np.nan))
    action, _, _ = plan(
        KEY, world, jnp.zeros(1), empty_plan(1, PLANNER), settings_of(PLANNER), update_fn
    )
    assert np.isnan(action).all()


def test_particles_average_over_a_random_world() -> None:
    world = strange(np.zeros((1, 6)), noise=1.0)
    plans = jnp.zeros((500, 6, 1))
    spread = [
        float(
            jnp.std(
                plan_returns(
                    KEY, world, jnp.zeros(1), plans,
                    settings_of(dataclasses.replace(PLANNER, num_particles=particles)),
                )
            )
        )
        for particles in (1, 16)
    ]  # fmt: skip
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.15)


def test_worlds_without_error_are_dynamics() -> None:
    assert isinstance(strange(np.zeros((1, 6))), Dynamics)
