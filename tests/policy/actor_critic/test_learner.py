"""Updates: fixed points that are known, what each moves, and what they leave alone."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from actor_critic_worlds import KEY, Clock, Integrator

from duopoly.model.imagine import Dynamics, Starts
from duopoly.policy.actor_critic import player, sac, svg
from duopoly.policy.actor_critic.actor import act_by, draw
from duopoly.policy.actor_critic.critics import Bounds, Critics
from duopoly.policy.actor_critic.learner import (
    ActorCriticState,
    Experience,
    init_state,
    renew_inputs,
    update,
)
from duopoly.policy.actor_critic.player import SAC, SVG
from duopoly.policy.actor_critic.pool import fill, sample
from duopoly.policy.player import Opponent, PlayerError, PolicyPlayer, Spaces
from duopoly.settings import Settings, override
from duopoly.types import Prediction, Transitions

SETTINGS = override(
    Settings(),
    {
        "collection.initial_steps": 100,
        "collection.steps_per_round": 100,
        "policy.hidden": (32,),
        "policy.discount": 0.9,
        "policy.learning_rate": 3e-3,
        "policy.actor_critic.hidden": (32,),
        "policy.actor_critic.batch_size": 32,
        "policy.actor_critic.horizon": 2,
        "policy.actor_critic.target_rate": 0.2,
        "policy.actor_critic.pool_horizon": 4,
        "policy.actor_critic.pool_slots": 3,
        "policy.actor_critic.critic_share": 0.0,
    },
)
OBS = jax.random.normal(KEY, (50, 1))
NO = jnp.zeros(50, bool)
DATA = Transitions(OBS, jnp.tanh(OBS), jnp.ones(50), OBS + 0.1, NO, NO, jnp.asarray(50))


QUIET = override(
    SETTINGS,
    {
        "policy.actor_critic.initial_temperature": 0.0,
        "policy.actor_critic.target_entropy": 0.0,
        "policy.actor_critic.num_lowest": 1,
        "policy.actor_critic.bounds_rate": 0.0,
    },
)
"""Without entropy and without caution, so that Q is the return."""


def opponent_in(world: Dynamics) -> Opponent:
    return Opponent(world, Starts(OBS, jnp.asarray(50), DATA), lambda: DATA)


def with_options(settings: Settings = SETTINGS, **options: float) -> Settings:
    return override(settings, {f"policy.actor_critic.{k}": v for k, v in options.items()})


def improved(
    one: PolicyPlayer, world: Dynamics, num_steps: int, settings: Settings
) -> tuple[ActorCriticState, player.Improvement]:
    state = one.init(KEY, Spaces(1, 1), settings)
    return one.improve(KEY, state, opponent_in(world), num_steps, settings)


def values(state: ActorCriticState, obs: jax.Array, action: jax.Array) -> jax.Array:
    return Critics(state.critics, state.bounds, state.actor.inputs)(obs, action)


def widely_bounded(state: ActorCriticState) -> ActorCriticState:
    """Where Q may be all that pays one: the bounds that are measured cut targets on one side."""
    wide = Bounds(jnp.asarray(-20.0), jnp.asarray(20.0))
    return eqx.tree_at(lambda s: (s.bounds, s.num_updates), state, (wide, jnp.asarray(1)))


@pytest.mark.parametrize("one", [SVG, SAC], ids=["svg", "sac"])
def test_in_a_world_that_pays_one_for_ever_q_is_one_over_one_minus_gamma(one: PolicyPlayer):
    begun = widely_bounded(one.init(KEY, Spaces(1, 1), QUIET))
    state, info = one.improve(KEY, begun, opponent_in(Clock(tick=0.0)), 600, QUIET)
    seen = player.report(info)
    assert abs(seen["critic/bias"]) < 0.3
    action = draw(KEY, state.actor, OBS).action
    np.testing.assert_allclose(values(state, OBS, action).mean(), 10.0, rtol=0.03)


def test_bounds_are_measured_at_first_and_then_follow() -> None:
    following = with_options(QUIET, bounds_rate=0.1)
    state, info = improved(SVG, Clock(), 5, following)
    assert player.report(info)["critic/high"] == pytest.approx(10.0)
    richer = opponent_in(Clock(pay=3.0))
    _, info = SVG.improve(KEY, state, richer, 5, following)
    assert player.report(info)["critic/high"] == pytest.approx(30.0 - 20.0 * 0.9**5, rel=1e-3)


@pytest.mark.parametrize("teach_fn", [svg.teach, sac.teach], ids=["svg", "sac"])
def test_only_the_actor_gets_the_actors_gradient(teach_fn: Callable) -> None:
    state = init_state(KEY, Spaces(1, 1), SETTINGS)
    pool = fill(KEY, act_by(state.actor), Integrator(), DATA, SETTINGS.policy.actor_critic)
    experience = Experience(Integrator(), pool, DATA)
    moved, still = (
        update(KEY, state, experience, jnp.asarray(moves), SETTINGS, teach_fn)[0]
        for moves in (True, False)
    )
    for one, other in zip(
        jax.tree.leaves(moved.critics), jax.tree.leaves(still.critics), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    for one, other in zip(jax.tree.leaves(still.actor), jax.tree.leaves(state.actor), strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(still.temperature) == float(state.temperature)
    weights = (x.actor.network.layers[0].weight for x in (moved, state))
    assert not np.array_equal(*weights)
    assert int(moved.num_updates) == int(still.num_updates) == 1


@pytest.mark.parametrize("teach_fn", [svg.teach, sac.teach], ids=["svg", "sac"])
def test_players_side_by_side_learn_what_each_learns_alone(teach_fn: Callable) -> None:
    def learn(key: jax.Array) -> ActorCriticState:
        state = init_state(key, Spaces(1, 1), SETTINGS)
        pool = fill(key, act_by(state.actor), Integrator(), DATA, SETTINGS.policy.actor_critic)
        experience = Experience(Integrator(), pool, DATA)
        for one in jax.random.split(key, 3):
            state, _ = update(one, state, experience, jnp.asarray(True), SETTINGS, teach_fn)
        return state

    keys = jax.random.split(KEY, 3)
    together = eqx.filter_jit(eqx.filter_vmap(learn))(keys)
    alone = [eqx.filter_jit(learn)(key) for key in keys]
    for number, one in enumerate(alone):
        for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(a[number], b, rtol=1e-3, atol=1e-5)
    assert not np.allclose(alone[0].actor.network.layers[0].weight,
                           alone[1].actor.network.layers[0].weight)  # fmt: skip


@pytest.mark.parametrize("one", [SVG, SAC], ids=["svg", "sac"])
def test_the_temperature_falls_above_the_target_entropy_and_rises_below(one: PolicyPlayer) -> None:
    state = one.init(KEY, Spaces(1, 1), SETTINGS)
    for raw, falls in ((0.5, True), (-4.0, False)):  # standard deviations of 1 and of 0.1
        bias = state.actor.network.layers[-1].bias.at[1].set(raw)
        begun = eqx.tree_at(lambda s: s.actor.network.layers[-1].bias, state, bias)
        after, _ = one.improve(KEY, begun, opponent_in(Integrator()), 5, SETTINGS)
        assert (float(after.temperature) < 0.1) is falls


@pytest.mark.parametrize("one", [SVG, SAC], ids=["svg", "sac"])
def test_it_learns_where_the_best_action_is_known(one: PolicyPlayer) -> None:
    """Far from the origin, full force towards it."""
    state, _ = improved(one, Integrator(), 1_000, QUIET)
    act = jax.vmap(lambda o: jnp.tanh(state.actor(o)[0][0]))
    left, right = act(jnp.asarray([[-1.5], [1.5]]))
    assert left > 0.9
    assert right < -0.9


def test_the_actor_stops_at_its_divergence_and_the_critics_go_on() -> None:
    free, told = improved(SVG, Integrator(), 200, SETTINGS)
    held, told_held = improved(SVG, Integrator(), 200, with_options(max_kl=0.05))
    seen, seen_held = player.report(told), player.report(told_held)
    assert seen["policy/moving_share"] == 1.0
    assert 0.0 < seen_held["policy/moving_share"] < 1.0
    assert 0.05 <= seen_held["policy/round_kl"] < seen["policy/round_kl"]
    assert int(held.num_updates) == int(free.num_updates) == 200


@pytest.mark.parametrize("one", [SVG, SAC], ids=["svg", "sac"])
def test_what_the_actor_may_gain_by_leaving_the_rounds_first_costs_divergence(
    one: PolicyPlayer,
) -> None:
    settings = with_options(proximal=0.0, critic_share=0.0)
    begun, _ = improved(one, Integrator(), 50, settings)
    seen = []
    for proximal in (0.0, 3.0, 30.0):
        held = with_options(proximal=proximal, critic_share=0.0)
        _, told = one.improve(KEY, begun, opponent_in(Integrator()), 200, held)
        seen.append(player.report(told)["policy/round_kl"])
    assert seen[0] > 1.5 * seen[1] > 2.0 * seen[2] > 0.0
    # What has not learned yet is nothing to stay near to.
    free, _ = improved(one, Integrator(), 20, settings)
    held, _ = improved(one, Integrator(), 20, with_options(proximal=30.0, critic_share=0.0))
    weights = (s.actor.network.layers[0].weight for s in (free, held))
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("teach_fn", [svg.teach, sac.teach], ids=["svg", "sac"])
def test_the_step_size_is_half_after_so_many_updates_and_falls_on(teach_fn: Callable) -> None:
    begun = init_state(KEY, Spaces(1, 1), SETTINGS)
    pool = fill(KEY, act_by(begun.actor), Integrator(), DATA, SETTINGS.policy.actor_critic)
    experience = Experience(Integrator(), pool, DATA)

    def step(num_updates: int, **options: int) -> np.ndarray:
        state = eqx.tree_at(lambda s: s.num_updates, begun, jnp.asarray(num_updates))
        settings = with_options(**options)
        new, _ = update(KEY, state, experience, jnp.asarray(True), settings, teach_fn)
        return np.asarray(new.actor.network.layers[0].weight - state.actor.network.layers[0].weight)

    whole = step(100)
    for num_updates, share in ((100, 1 / 2), (300, 1 / 4), (900, 1 / 10)):
        np.testing.assert_allclose(
            step(num_updates, halving_updates=100), share * whole, rtol=1e-2, atol=1e-7
        )


@pytest.mark.parametrize("interval", [1, 3])
def test_the_actor_moves_in_every_so_many_updates(interval: int) -> None:
    """Counted over the parts of a round, of which each renews a part of the pool."""
    settings = with_options(critic_share=0.0, actor_interval=interval)
    _, told = improved(SVG, Integrator(), 60, settings)
    assert player.report(told)["policy/moving_share"] == pytest.approx(1.0 / interval)


class Loyal(eqx.Module):
    """Every member leads to its own place, and pays one where it finds a rollout there."""

    num_members: int = eqx.field(static=True, default=4)

    def __call__(self, key: jax.Array, obs: jax.Array, action: jax.Array) -> Prediction:
        del key, action
        place = jnp.broadcast_to(10.0 * jnp.arange(1.0, 5.0)[:, None], obs.shape[:2])
        no = jnp.zeros(place.shape, bool)
        return Prediction(place[..., None], 1.0 * (obs[..., 0] == place), no, no)


def test_rollouts_go_through_all_members_or_keep_their_own() -> None:
    """Of the two steps of a target, the second pays one, or a quarter of it on average.

    The first begins at any state of the pool and pays a quarter in both.
    """
    for keep_member, second in ((False, 0.25), (True, 1.0)):
        settings = with_options(QUIET, keep_member=keep_member)
        begun = widely_bounded(SVG.init(KEY, Spaces(1, 1), settings))
        learned, _ = SVG.improve(KEY, begun, opponent_in(Loyal()), 800, settings)
        _, info = SVG.improve(KEY, learned, opponent_in(Loyal()), 200, settings)
        expected = (0.25 + 0.9 * second) / (1.0 - 0.9**2)
        assert player.report(info)["critic/value"] == pytest.approx(expected, rel=0.25)


def test_the_policy_that_acts_is_an_average_over_the_latest_updates() -> None:
    begun = SVG.init(KEY, Spaces(1, 1), SETTINGS)
    at_once, _ = improved(SVG, Integrator(), 40, SETTINGS)
    slowly, _ = improved(SVG, Integrator(), 40, with_options(acting_rate=0.05))
    learned = at_once.actor.network.layers[0].weight
    np.testing.assert_allclose(slowly.actor.network.layers[0].weight, learned, rtol=1e-5)
    np.testing.assert_array_equal(at_once.acting.layers[0].weight, learned)
    way = (np.asarray(s.acting.layers[0].weight - begun.acting.layers[0].weight) for s in
           (slowly, at_once))  # fmt: skip
    lagging, whole = map(np.linalg.norm, way)
    assert 0.2 * whole < lagging < 0.9 * whole
    assert SVG.act_fn is not None
    acted = [SVG.act_fn(s, True)(KEY, OBS[None]) for s in (at_once, slowly)]
    assert not np.allclose(*acted, atol=1e-3)
    by_copy = SVG.controller(slowly, None, SETTINGS).act(
        np.asarray(OBS), None, np.random.default_rng(0), True
    )[0]
    np.testing.assert_allclose(by_copy, acted[1][0], atol=1e-5)


def test_critics_learn_alone_at_first() -> None:
    _, info = improved(SVG, Integrator(), 100, with_options(critic_share=0.3))
    assert player.report(info)["policy/moving_share"] == pytest.approx(0.7)


def test_updates_end_early_where_they_gain_no_more() -> None:
    settings = with_options(QUIET, tolerance=0.01)
    _, info = improved(SVG, Clock(), 5_000, settings)
    assert info.num_updates < 5_000


def test_the_first_round_of_all_makes_as_many_more_updates_as_it_brought_more_data() -> None:
    settings = override(SETTINGS, {"collection.initial_steps": 300})
    state, info = improved(SVG, Clock(), 20, settings)
    assert info.num_updates == 60
    _, info = SVG.improve(KEY, state, opponent_in(Clock()), 20, settings)
    assert info.num_updates == 20


def test_renewed_inputs_leave_actor_and_critics_the_same_functions() -> None:
    state, _ = improved(SVG, Integrator(), 40, SETTINGS)
    after = renew_inputs(state, DATA._replace(obs=3.0 * OBS + 5.0))
    assert not np.allclose(after.actor.inputs.mean, state.actor.inputs.mean)
    np.testing.assert_allclose(values(after, OBS, OBS), values(state, OBS, OBS), rtol=1e-4)
    for one, other in zip(jax.vmap(after.actor)(OBS), jax.vmap(state.actor)(OBS), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


SCALE, SHIFT = 64.0, 256.0


class OtherUnits(eqx.Module):
    """The integrator, its observations in other units: powers of two, so rounding is the same."""

    num_members: int = eqx.field(static=True, default=2)

    def __call__(self, key: jax.Array, obs: jax.Array, action: jax.Array) -> Prediction:
        seen = Integrator()(key, (obs - SHIFT) / SCALE, action)
        return seen._replace(next_obs=SCALE * seen.next_obs + SHIFT)


def test_the_units_of_observations_change_nothing() -> None:
    def learned(world: Dynamics, scale: float, shift: float) -> tuple[jax.Array, jax.Array]:
        moved = {"obs": scale * DATA.obs + shift, "next_obs": scale * DATA.next_obs + shift}
        data = DATA._replace(**moved)
        opponent = Opponent(world, Starts(data.obs, jnp.asarray(50), data), lambda: data)
        state = SVG.adapt(SVG.init(KEY, Spaces(1, 1), SETTINGS), data, True)
        state, _ = SVG.improve(KEY, state, opponent, 20, SETTINGS)
        mean, std = jax.vmap(state.actor)(data.obs)
        return mean, std

    plain = learned(Integrator(), 1.0, 0.0)
    other = learned(OtherUnits(), SCALE, SHIFT)
    start = SVG.init(KEY, Spaces(1, 1), SETTINGS).actor
    assert not np.allclose(plain[0], jax.vmap(start)(OBS)[0], atol=1e-2)  # something was learned
    for one_way, the_other in zip(plain, other, strict=True):
        np.testing.assert_allclose(one_way, the_other, atol=2e-3)


@pytest.mark.parametrize("one", [SVG, SAC], ids=["svg", "sac"])
def test_updates_that_are_not_finite_are_refused(one: PolicyPlayer) -> None:
    with pytest.raises(PlayerError, match="no update"):
        improved(one, Clock(pay=float("nan")), 20, SETTINGS)


def test_with_real_steps_alone_no_world_is_needed() -> None:
    class Unasked(eqx.Module):
        num_members: int = eqx.field(static=True, default=2)

        def __call__(self, *_: object):
            raise AssertionError("the model was asked")

    # The actor stays: on data that are never added to, it would find what the critics overrate.
    settings = with_options(QUIET, real_share=1.0, critic_share=1.0)
    begun = widely_bounded(SAC.init(KEY, Spaces(1, 1), settings))
    # Away from the origin, where few inputs and layer norm make a function of a direction alone.
    obs = 3.0 + 0.5 * jax.random.normal(KEY, (500, 1))
    action = jax.random.uniform(KEY, (500, 1), minval=-1.0, maxval=1.0)
    no = jnp.zeros(500, bool)
    data = Transitions(obs, action, jnp.ones(500), obs, no, no, jnp.asarray(500))
    opponent = opponent_in(Unasked())._replace(data_fn=lambda: data)
    state, info = SAC.improve(KEY, begun, opponent, 600, settings)
    np.testing.assert_allclose(values(state, obs, action).mean(), 10.0, rtol=0.05)
    assert np.isnan(player.report(info)["critic/bias"])  # there is no world to compare with


def test_real_steps_take_their_share_of_the_critics_batch() -> None:
    state = init_state(KEY, Spaces(1, 1), SETTINGS)
    world = Clock(pay=-1.0)
    pool = fill(KEY, act_by(state.actor), world, DATA, SETTINGS.policy.actor_critic)
    assert sample(KEY, pool, (3,)).obs.shape == (3, 1)
    for teach_fn in (svg.teach, sac.teach):
        settings = with_options(real_share=0.25)
        lesson = teach_fn(KEY, state, Experience(world, pool, DATA), jnp.asarray(True), settings)
        assert lesson.target.shape == (32,)
        assert int(jnp.sum(lesson.target > 0.5)) == 8  # a real step earns 1


def test_settings_that_make_no_sense_are_refused() -> None:
    for options, words in (
        ({"num_lowest": 4}, "num_lowest = 4"),
        ({"initial_temperature": 0.0}, "target_entropy = -0.5"),
        ({"num_critics": 0}, "num_critics = 0"),
    ):
        with pytest.raises(ValueError, match=words):
            with_options(**options)
