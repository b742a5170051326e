"""Games whose leader differentiates the best response: played, counted, refused."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import POINT, TINY

from duopoly.agent import Algorithm
from duopoly.cli.parsing import parse
from duopoly.game.leader import model_leader_term, on_policy_data
from duopoly.game.play import Round, play
from duopoly.game.state import Game, GameState, start
from duopoly.model.fit import fit_model, init_model
from duopoly.model.objective import LeaderPenalty
from duopoly.runs.snapshot import restore, snapshot
from duopoly.schedule import BR, GDA, MAL, PAL, Leader, Schedule
from duopoly.settings import Improver, LeaderSettings, Settings, SettingsError
from duopoly.types import Metrics, Transitions

LEADER = LeaderSettings(num_samples=100, num_rollouts=4, unrolled_steps=3)

HOPELESS = dataclasses.replace(LEADER, gradient="implicit", cg_iterations=1, max_residual=0.0)


def led(**changes: object) -> Settings:
    return dataclasses.replace(TINY, leader=dataclasses.replace(LEADER, **changes))


@functools.cache
def last_round(schedule: Schedule, leader: LeaderSettings) -> Round:
    """The first round in which the leader has a best response to differentiate."""
    settings = dataclasses.replace(TINY, leader=leader)
    num_env_steps = 200 if schedule is PAL else 260
    *_, last = play(POINT, settings, schedule, 3, num_env_steps=num_env_steps)
    return last


def parameters(state: GameState) -> np.ndarray:
    """What both players are; what a leader remembers of its terms is left out."""
    policy, model = state.players.policy, state.players.model
    return flat((policy.policy, policy.value, model))


def flat(tree: object) -> np.ndarray:
    arrays = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return np.concatenate([np.ravel(x) for x in arrays])


@pytest.mark.parametrize(
    ("schedule", "gradient"),
    [(PAL, "implicit"), (PAL, "unrolled"), (MAL, "implicit")],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_leader_that_differentiates_the_best_response_moves_elsewhere(
    schedule: Schedule, gradient: str
) -> None:
    plain = last_round(schedule, LEADER)
    led_round = last_round(schedule, dataclasses.replace(LEADER, gradient=gradient))
    assert np.isnan(plain.metrics["leader/implicit_share"])
    assert led_round.metrics["leader/failed_solves"] == 0
    assert 0.0 < led_round.metrics["leader/implicit_share"] < 10.0
    assert np.isnan(led_round.metrics["leader/cg_residual"]) == (gradient == "unrolled")
    assert not np.allclose(parameters(plain.state), parameters(led_round.state), rtol=1e-4)


def test_failed_solves_are_counted_and_leave_first_order_steps() -> None:
    plain, failed = last_round(PAL, LEADER), last_round(PAL, HOPELESS)
    assert failed.metrics["leader/failed_solves"] == 1
    assert failed.metrics["leader/cg_residual"] > 0.0
    assert failed.metrics["leader/implicit_share"] == 0.0
    np.testing.assert_allclose(
        parameters(failed.state), parameters(plain.state), rtol=1e-3, atol=1e-4
    )


IMPLICIT = dataclasses.replace(LEADER, gradient="implicit")


def test_a_round_tells_how_much_of_the_term_is_signal() -> None:
    metrics = last_round(PAL, IMPLICIT).metrics
    assert -1.0 <= metrics["leader/fold_cosine"] <= 1.0
    assert 0.0 < metrics["leader/effective_sample_size"] < 1.0
    for name in ("gradient_norm", "first_order_norm", "fisher_share"):
        assert metrics[f"leader/{name}"] > 0.0
    of_model = last_round(MAL, IMPLICIT).metrics
    assert -1.0 <= of_model["leader/fold_cosine"] <= 1.0
    assert of_model["leader/gradient_norm"] > 0.0
    assert of_model["leader/first_order_norm"] > 0.0
    assert np.isnan(of_model["leader/effective_sample_size"])
    assert np.isnan(of_model["leader/fisher_share"])
    plain = last_round(PAL, LEADER)
    assert all(np.isnan(v) for name, v in plain.metrics.items() if name.startswith("leader/"))
    assert plain.state.players.policy.foresight is None


def test_the_term_may_join_every_step() -> None:
    every = last_round(PAL, dataclasses.replace(HOPELESS, steps="all")).metrics
    assert every["leader/failed_solves"] == TINY.policy.steps.conservative > 1


def test_without_any_share_a_term_moves_nothing() -> None:
    plain = last_round(PAL, LEADER)
    none = last_round(PAL, dataclasses.replace(IMPLICIT, max_share=0.0))
    assert none.metrics["leader/gradient_norm"] > 0.0
    assert none.metrics["leader/implicit_share"] == 0.0
    np.testing.assert_allclose(
        parameters(none.state), parameters(plain.state), rtol=1e-3, atol=1e-4
    )


def test_the_share_counts_all_rows_of_the_policy_that_are_fitted() -> None:
    arena = Game(POINT, TINY, 3, Leader.POLICY)
    first, *_, last = play(POINT, TINY, PAL, 3, num_env_steps=320)
    # 200 rows collected, of which 150 are fitted and 60 looked at; then 60 of the 150.
    for played, share in ((first, 1.0), (last, 60 / 150)):
        on_policy = on_policy_data(arena, played.state.players, played.state)
        assert int(on_policy.data.num_valid) == 60
        np.testing.assert_allclose(on_policy.share, share, rtol=1e-6)


@pytest.mark.parametrize("improver", ["npg", "pg"])
def test_resuming_equals_not_stopping_with_what_is_remembered(improver: Improver) -> None:
    policy = dataclasses.replace(TINY.policy, improver=improver)
    settings = dataclasses.replace(led(gradient="implicit"), policy=policy)
    *_, third, whole = play(POINT, settings, PAL, 3, num_env_steps=320)
    template = start(POINT, settings, 3)
    resumed = restore(snapshot(third.state), template)
    (last,) = play(POINT, settings, PAL, 3, num_env_steps=320, state=resumed)
    assert float(last.state.players.policy.foresight.weight) > 0.0
    np.testing.assert_array_equal(flat(last.state.players), flat(whole.state.players))
    for name in ("leader/gradient_norm", "leader/implicit_share", "policy/kl"):
        assert last.metrics[name] == whole.metrics[name]


def test_a_leading_model_has_a_penalty_unless_its_term_failed() -> None:
    state = last_round(MAL, LEADER).state

    def penalty(leader: LeaderSettings) -> tuple[LeaderPenalty | None, Metrics]:
        settings = dataclasses.replace(TINY, leader=leader)
        arena = Game(POINT, settings, 3, Leader.MODEL)
        return model_leader_term(arena, state.players, state, state.buffer.latest(500))

    assert penalty(LEADER) == (None, {})
    unrolled, seen = penalty(dataclasses.replace(LEADER, gradient="unrolled"))
    assert seen["leader/failed_solves"] == 0
    assert seen["leader/implicit_share"] > 0.0
    assert unrolled is not None
    nothing, seen = penalty(HOPELESS)
    assert seen["leader/failed_solves"] == 1
    assert nothing is None


@pytest.mark.parametrize("schedule", [GDA, BR], ids=lambda s: s.name)
def test_where_nobody_leads_a_leaders_gradient_is_refused(schedule: Schedule) -> None:
    message = f"leader.gradient = 'implicit': nobody leads in {schedule.name}"
    with pytest.raises(SettingsError, match=message):
        next(play(POINT, led(gradient="implicit"), schedule, 0, num_env_steps=200))
    with pytest.raises(SettingsError, match=message):
        Algorithm(schedule)(POINT, settings=led(gradient="implicit"))
    words = ["train", "Reacher7DOF", "--algorithm", schedule.name]
    with pytest.raises(SettingsError, match=message):
        parse([*words, "--leader.gradient", "implicit"])
    assert parse(words).settings.leader.gradient == "first_order"


def test_a_fit_with_a_leader_penalty_moves_against_its_gradient_and_stays_near() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    state = init_model(keys[0], 2, 1, (0, 1), TINY.model)
    obs, action = jax.random.normal(keys[1], (100, 2)), jax.random.normal(keys[2], (100, 1))
    no = jnp.zeros(100, bool)
    data = Transitions(obs, action, obs[:, 0], obs + 0.1 * action, no, no, jnp.asarray(100))
    gradient = jax.tree.map(lambda x: 0.3 * jnp.cos(100.0 * x), state.ensemble.members)

    def fitted(penalty: LeaderPenalty | None) -> np.ndarray:
        return flat(fit_model(keys[0], state, data, TINY.model, 10, penalty)[0].ensemble.members)

    def flat(tree: object) -> np.ndarray:
        return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])

    begin, plain, way = flat(state.ensemble.members), fitted(None), flat(gradient)
    free, held = fitted(LeaderPenalty(gradient, 0.0)), fitted(LeaderPenalty(gradient, 100.0))
    assert (free - plain) @ way < -0.1 * np.linalg.norm(free - plain) * np.linalg.norm(way)
    assert np.linalg.norm(held - begin) < 0.2 * np.linalg.norm(free - begin)
