"""What the policy player makes of an ensemble whose members disagree (Eq. 17)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from probes import POINT, TINY, PerfectPoint

from duopoly.game.known import known_functions
from duopoly.model.dynamics import LearnedWorld, _halted, robust_world
from duopoly.model.ensemble import (
    Ensemble,
    difference_from_others,
    disagreement,
    init_ensemble,
    predict,
)
from duopoly.model.imagine import Starts, imagine
from duopoly.policy.gaussian import sample
from duopoly.policy.gradient.improve import sample_weights
from duopoly.policy.gradient.player import NPG
from duopoly.policy.player import Opponent, Spaces
from duopoly.settings import ModelSettings, RobustnessSettings, Settings, SettingsError, override
from duopoly.types import Prediction, Transitions

KEY = jax.random.key(0)


@pytest.fixture
def ensemble() -> Ensemble:
    drawn = init_ensemble(KEY, 3, 2, (0, 1), ModelSettings(num_members=3, hidden=(8,)))
    return eqx.tree_at(lambda e: e.targets.std, drawn, jnp.array([0.5, 2.0]))


@pytest.fixture
def places() -> tuple[Array, Array]:
    keys = jax.random.split(jax.random.key(1))
    return jax.random.normal(keys[0], (3, 4, 3)), jax.random.normal(keys[1], (3, 4, 2))


def test_disagreement_is_the_spread_of_all_members_at_every_place(
    ensemble: Ensemble, places: tuple[Array, Array]
) -> None:
    obs, action = places
    expected = np.zeros((3, 4))
    for e in range(3):
        for b in range(4):
            same = [jnp.broadcast_to(x[e, b], (3, 1, x.shape[2])) for x in places]
            predictions = np.asarray(predict(ensemble, *same))[:, 0, :2]
            expected[e, b] = np.mean(predictions.std(axis=0) / np.array([0.5, 2.0]))
    np.testing.assert_allclose(disagreement(ensemble, obs, action), expected, rtol=1e-4)


def test_members_are_compared_with_as_many_others_as_is_asked_for(
    ensemble: Ensemble, places: tuple[Array, Array]
) -> None:
    obs, action = places
    num = ensemble.num_members
    over_all = difference_from_others(ensemble, obs, action, num - 1)
    np.testing.assert_allclose(over_all, disagreement(ensemble, obs, action), rtol=1e-4)
    pairs = difference_from_others(ensemble, obs, action, 1)
    for e in range(num):
        same = [jnp.broadcast_to(x[e], (num, *x.shape[1:])) for x in places]
        predictions = np.asarray(predict(ensemble, *same))[[e, (e + 1) % num], :, :2]
        expected = np.mean(predictions.std(axis=0) / np.array([0.5, 2.0]), axis=-1)
        np.testing.assert_allclose(pairs[e], expected, rtol=1e-3)


@pytest.mark.parametrize("bonus", [-3.0, 2.0])
def test_disagreement_is_paid_or_fined(
    ensemble: Ensemble, places: tuple[Array, Array], bonus: float
) -> None:
    plain = LearnedWorld(ensemble, known_functions(POINT))
    robust = robust_world(plain, RobustnessSettings(disagreement_bonus=bonus))
    extra = robust(KEY, *places).pay - plain(KEY, *places).reward
    np.testing.assert_array_equal(robust(KEY, *places).reward, plain(KEY, *places).reward)
    np.testing.assert_allclose(extra, bonus * disagreement(ensemble, *places), rtol=1e-3)
    np.testing.assert_array_equal(robust(KEY, *places).next_obs, plain(KEY, *places).next_obs)


@pytest.mark.parametrize("num_compared", [0, 1])
def test_the_bonus_has_a_gradient_also_where_the_members_agree(
    ensemble: Ensemble, places: tuple[Array, Array], num_compared: int
) -> None:
    """As they do where the data's range cuts what they predict."""
    narrow = eqx.tree_at(lambda e: (e.low, e.high), ensemble, (jnp.full(2, 0.5), jnp.full(2, 0.5)))
    settings = RobustnessSettings(disagreement_bonus=2.0, num_compared=num_compared)
    world = robust_world(LearnedWorld(narrow, known_functions(POINT)), settings)
    assert not world(KEY, *places).bonus.any()
    gradient = jax.grad(lambda action: jnp.sum(world(KEY, places[0], action).bonus))(places[1])
    np.testing.assert_array_equal(gradient, 0.0)


def test_imagination_stops_where_the_members_disagree_too_much(
    ensemble: Ensemble, places: tuple[Array, Array]
) -> None:
    limit = float(jnp.median(disagreement(ensemble, *places)))
    plain = LearnedWorld(ensemble, known_functions(POINT))
    world = robust_world(plain, RobustnessSettings(max_disagreement=limit))
    assert not plain(KEY, *places).truncated.any()
    np.testing.assert_array_equal(
        world(KEY, *places).truncated, disagreement(ensemble, *places) > limit
    )
    policy = NPG.init(KEY, Spaces(3, 2), TINY).policy
    rollouts = imagine(KEY, lambda k, o: sample(k, policy, o), world, places[0], 6)
    ended = np.cumsum(rollouts.truncated | rollouts.terminated, axis=2) > 0
    assert 0 < ended[:, :, -2].sum() < ended[:, :, -2].size
    # What follows an end is padding; the step that ended is not.
    np.testing.assert_array_equal(rollouts.valid[:, :, 1:], ~ended[:, :, :-1])


def test_a_halt_is_an_end_that_costs(ensemble: Ensemble, places: tuple[Array, Array]) -> None:
    limit = float(jnp.median(disagreement(ensemble, *places)))
    plain = LearnedWorld(ensemble, known_functions(POINT))
    settings = RobustnessSettings(disagreement_bonus=-2.0, max_disagreement=limit, halt_penalty=7.0)
    halting, before = robust_world(plain, settings)(KEY, *places), plain(KEY, *places)
    spread = disagreement(ensemble, *places)
    unknown = spread > limit
    assert 0 < unknown.sum() < unknown.size
    assert not halting.truncated.any()
    np.testing.assert_array_equal(halting.terminated, before.terminated | unknown)
    np.testing.assert_array_equal(halting.reward, before.reward)
    np.testing.assert_allclose(halting.bonus, -2.0 * spread - 7.0 * unknown, rtol=1e-4)
    alone = robust_world(plain, RobustnessSettings(max_disagreement=limit, halt_penalty=7.0))
    np.testing.assert_allclose(alone(KEY, *places).bonus, -7.0 * unknown)


def test_a_halt_is_certain_where_ends_are_survived_by_chance() -> None:
    said = Prediction(
        jnp.zeros((1, 2, 3)), jnp.ones((1, 2)), jnp.zeros((1, 2), bool), jnp.zeros((1, 2), bool),
        end_probability=jnp.full((1, 2), 0.3),
    )  # fmt: skip
    halted = _halted(said, jnp.array([[True, False]]), 5.0)
    np.testing.assert_allclose(halted.end_probability, [[1.0, 0.3]])
    np.testing.assert_allclose(halted.pay, [[-4.0, 1.0]])


def test_nothing_halts_without_a_limit() -> None:
    with pytest.raises(SettingsError, match=r"halt_penalty = 5.0: nothing halts without a limit; "):
        RobustnessSettings(halt_penalty=5.0)


class Slopes(PerfectPoint):
    """Worlds that pay for the first action component: their slopes are 3 and −1."""

    def __call__(self, key: Array, obs: Array, action: Array) -> Prediction:
        right = super().__call__(key, obs, action)
        slope = jnp.array([3.0, -1.0])[:, None]
        reward = slope * action[:, :, 0] - jnp.array([0.0, 3.0])[:, None]
        return right._replace(reward=reward, terminated=jnp.zeros_like(right.terminated))


def with_alpha(alpha: float) -> Settings:
    return override(TINY, {"policy.target_kl": 0.01, "robustness.cvar_alpha": alpha})


def test_the_worst_world_alone_moves_the_policy_in_the_worst_case() -> None:
    player = NPG.init(KEY, Spaces(3, 2), TINY)
    obs = jnp.zeros((5, 3))
    rows, no = jnp.zeros(5), jnp.zeros(5, bool)
    data = Transitions(obs, jnp.zeros((5, 2)), rows, obs, no, no, jnp.asarray(5))
    starts = Starts(obs, jnp.asarray(5), data)

    def first_action_after(alpha: float) -> float:
        """Of few rollouts each gradient is noisy: the mean over eight seeds."""
        opponent, settings = Opponent(Slopes(2), starts, lambda: None), with_alpha(alpha)
        moved = [
            NPG.improve(key, player, opponent, 5, settings)[0] for key in jax.random.split(KEY, 8)
        ]
        return float(np.mean([one.policy(obs[0])[0][0] for one in moved]))

    # The mean gains by more of it; the second world, always the poorer, by less.
    assert first_action_after(1.0) > 0.1
    assert first_action_after(0.0) < -0.2
    assert first_action_after(0.0) == first_action_after(0.5)


def test_weights_follow_the_discounted_return_of_the_valid_steps() -> None:
    policy = NPG.init(KEY, Spaces(3, 2), TINY).policy
    rollouts = imagine(
        KEY, lambda k, o: sample(k, policy, o), PerfectPoint(2), jnp.zeros((2, 1, 3)), 3
    )
    reward = jnp.array([[[1.0, 0.0, 100.0]], [[0.0, 1.05, 0.0]]])
    valid = jnp.array([[[True, True, False]], [[True, True, True]]])
    rollouts = rollouts._replace(reward=reward, valid=valid)
    # Discounted by 0.95 the second world earns 0.9975, the first 1.
    weights = sample_weights(rollouts, with_alpha(0.5))
    np.testing.assert_array_equal(weights[:, 0], [[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    np.testing.assert_array_equal(sample_weights(rollouts, with_alpha(1.0)), valid)
