"""The schedules: who plays against whom, and on whose data."""

import dataclasses
import itertools
from typing import get_args

import jax
import numpy as np
import pytest
from probes import POINT, TINY

from duopoly.game import moves, observe
from duopoly.game.known import known_functions
from duopoly.game.play import Round, play
from duopoly.game.state import Game, GameState, Players, Purpose, key_of, new_model, start
from duopoly.game.views import fresh_data, recent_data, start_states
from duopoly.model.dynamics import LearnedWorld
from duopoly.model.fit import ModelState, fit_model
from duopoly.policy.gaussian import numpy_policy
from duopoly.policy.gradient.improve import PolicyState, renew_inputs
from duopoly.policy.gradient.player import NPG
from duopoly.policy.player import Opponent
from duopoly.schedule import (
    BR,
    GDA,
    MAL,
    METRPO,
    PAL,
    PETS,
    SCHEDULES,
    SLBO,
    AlgorithmName,
    Memory,
    Move,
    Schedule,
    check_players,
)
from duopoly.settings import Degree, Improver, RobustnessSettings, Settings, SettingsError, override
from duopoly.types import Transitions
from duopoly.world.interaction import collect, memoryless

SEED = 3


def play_rounds(schedule: Schedule, num_rounds: int) -> list[Round]:
    steps = 200 + 60 * (num_rounds - 1)
    return list(play(POINT, TINY, schedule, SEED, num_env_steps=steps))


def keys_of_round(index: int) -> tuple[jax.Array, jax.Array]:
    key = jax.random.fold_in(key_of(SEED, Purpose.ROUND), index)
    return tuple(jax.random.split(key))


def improved_against(
    model: ModelState, before: GameState, after: GameState, schedule: Schedule, index: int
) -> PolicyState:
    """Repeat a policy move by hand, against a model of our choice."""
    arena = Game(POINT, TINY, SEED)
    world = LearnedWorld(model.ensemble, known_functions(POINT))
    policy = renew_inputs(before.players.policy, recent_data(arena, after))
    opponent = Opponent(world, start_states(arena, after), lambda: fresh_data(arena, after))
    _, key = keys_of_round(index)
    return NPG.improve(key, policy, opponent, TINY.policy.steps.at(schedule.policy_effort), TINY)[0]


def fitted_on(data: Transitions, before: GameState, schedule: Schedule, index: int) -> ModelState:
    """Repeat a model move by hand, on data of our choice."""
    key, _ = keys_of_round(index)
    epochs = TINY.model.epochs.at(schedule.model_effort)
    return fit_model(key, before.players.model, data, TINY.model, epochs)[0]


def same(a: object, b: object) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves)


@pytest.mark.parametrize("schedule", [GDA, BR], ids=lambda s: s.name)
def test_at_once_means_the_policy_faces_the_old_model(schedule: Schedule) -> None:
    rounds = play_rounds(schedule, 2)
    old, new = rounds[0].state, rounds[1].state
    against_old = improved_against(old.players.model, old, new, schedule, 1)
    against_new = improved_against(new.players.model, old, new, schedule, 1)
    assert same(new.players.policy, against_old)
    assert not same(new.players.policy, against_new)


def test_pal_faces_the_freshly_fitted_model() -> None:
    rounds = play_rounds(PAL, 2)
    old, new = rounds[0].state, rounds[1].state
    assert same(new.players.policy, improved_against(new.players.model, old, new, PAL, 1))
    assert not same(new.players.policy, improved_against(old.players.model, old, new, PAL, 1))


@pytest.mark.parametrize(
    ("schedule", "collects_with_new"),
    [(GDA, False), (BR, False), (PAL, False), (MAL, True)],
    ids=lambda x: getattr(x, "name", None),
)
def test_whose_data_the_model_gets(schedule: Schedule, collects_with_new: bool) -> None:
    rounds = play_rounds(schedule, 2)
    old, new = rounds[0].state, rounds[1].state
    collector = new if collects_with_new else old
    policy = numpy_policy(collector.players.policy.policy)
    env = POINT.make(None)
    episodes = collect(env, POINT, memoryless(policy.sample), 60, SEED, 1).episodes
    expected = np.concatenate([episode.obs for episode in episodes])
    fresh = new.buffer.obs[-new.buffer.num_fresh :]
    np.testing.assert_array_equal(fresh, expected)
    assert not same(old.players.policy, new.players.policy)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda s: s.name)
def test_the_model_fits_what_the_schedule_remembers(schedule: Schedule) -> None:
    rounds = play_rounds(schedule, 2)
    old, new = rounds[0].state, rounds[1].state
    memories = {
        Memory.FRESH: fresh_data(Game(POINT, TINY, SEED), new),
        Memory.WINDOW: new.buffer.latest(
            TINY.model.capacity if schedule.has_referee else TINY.model.window, TINY.model.window
        ),
        Memory.EVERYTHING: new.buffer.latest(TINY.model.capacity),
    }
    for memory, data in memories.items():
        model = fitted_on(data, old, schedule, 1)
        assert same(new.players.model, model) == (memory is schedule.memory)
    assert int(memories[Memory.EVERYTHING].num_valid) == 260


def test_a_fit_that_is_not_warm_begins_with_new_networks() -> None:
    cold = override(TINY, {"model.warm_start": False})
    rounds = list(play(POINT, cold, BR, SEED, num_env_steps=260))
    new = rounds[1].state
    key_model = jax.random.fold_in(key_of(SEED, Purpose.NEW_MODEL), 1)
    begun = dataclasses.replace(
        rounds[0].state,
        players=Players(rounds[0].state.players.policy, new_model(key_model, POINT, cold)),
    )
    expected = fitted_on(fresh_data(Game(POINT, cold, SEED), new), begun, BR, 1)
    assert same(new.players.model.ensemble, expected.ensemble)
    assert int(new.players.model.num_fits) == 2
    with pytest.raises(
        SettingsError, match=r"proximal = 0\.1: a fit that begins with new networks"
    ):
        override(cold, {"model.proximal": 0.1})
    leading = override(cold, {"leader.gradient": "implicit"})
    with pytest.raises(SettingsError, match=r"moves from where it is; keep model\.warm_start"):
        check_players(MAL, leading)


def test_mal_optimises_then_collects_then_fits() -> None:
    rounds = play_rounds(MAL, 2)
    old, new = rounds[0].state, rounds[1].state
    # The policy moves before the collection of its round: it starts from the old data only.
    assert same(new.players.policy, improved_against(old.players.model, old, old, MAL, 1))


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda s: s.name)
def test_no_policy_moves_against_a_model_that_saw_no_data(schedule: Schedule) -> None:
    first = play_rounds(schedule, 1)[0]
    untouched = start(POINT, TINY, SEED).players.policy.policy.network
    fits_first = any(
        Move.FIT in early
        for early, late in itertools.combinations(schedule.stages, 2)
        if Move.IMPROVE in late
    )
    assert same(first.state.players.policy.policy.network, untouched) != fits_first


def test_efforts_and_leaders_are_those_of_the_paper() -> None:
    paper = (GDA, BR, PAL, MAL)
    table = {s.name: (s.policy_effort, s.model_effort, s.leader.value) for s in paper}
    assert table == {
        "gda": (Degree.STEP, Degree.STEP, "nobody"),
        "br": (Degree.CONVERGENCE, Degree.CONVERGENCE, "nobody"),
        "pal": (Degree.CONSERVATIVE, Degree.CONVERGENCE, "policy"),
        "mal": (Degree.CONVERGENCE, Degree.CONSERVATIVE, "model"),
    }
    assert set(get_args(AlgorithmName)) == set(SCHEDULES)


def test_earlier_methods_are_points_of_the_same_space() -> None:
    # Chua et al. (2018): plan anew in the ensemble, aggregate, fit: MAL by another name.
    assert dataclasses.replace(PETS, name="mal") == MAL
    # Kurutach et al. (2018), Luo et al. (2019): collect, fit all, improve; far, or a little each.
    assert dataclasses.replace(METRPO, name="slbo", policy_effort=SLBO.policy_effort,
                               model_effort=SLBO.model_effort) == SLBO  # fmt: skip
    assert METRPO.stages == PAL.stages
    assert (METRPO.policy_effort, METRPO.model_effort) == (Degree.CONVERGENCE, Degree.CONVERGENCE)
    assert (SLBO.policy_effort, SLBO.model_effort) == (Degree.CONSERVATIVE, Degree.CONSERVATIVE)
    assert {s.memory for s in (PETS, METRPO, SLBO)} == {Memory.EVERYTHING}


@pytest.mark.parametrize("improver", ["cem", "mppi"])
@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        (PAL, "the policy leads by small steps"),
        (GDA, "the policy moves in small steps"),
        (SLBO, "the policy moves in small steps"),
        (BR, "the policy faces the model's previous iterate"),
        (MAL, None),
        (PETS, None),
        (METRPO, None),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_a_planner_plays_where_it_can(
    schedule: Schedule, reason: str | None, improver: Improver
) -> None:
    policy = dataclasses.replace(TINY.policy, improver=improver)
    settings = dataclasses.replace(TINY, policy=policy)
    if reason is None:
        check_players(schedule, settings)
        return
    with pytest.raises(SettingsError, match=f"improver = {improver}: in {schedule.name} {reason}"):
        next(play(POINT, settings, schedule, SEED, num_env_steps=200))


def test_leader_loss_is_the_leaders_objective() -> None:
    pal, mal, gda = (play_rounds(s, 2)[1].metrics for s in (PAL, MAL, GDA))
    assert pal["game/leader_loss"] == -pal["game/policy_objective"]
    assert mal["game/leader_loss"] == mal["game/model_objective"]
    assert np.isnan(gda["game/leader_loss"])


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda s: s.name)
def test_going_on_equals_never_stopping(schedule: Schedule) -> None:
    whole = play_rounds(schedule, 3)
    half = play_rounds(schedule, 2)[-1].state
    rest = list(play(POINT, TINY, schedule, SEED, num_env_steps=320, state=half))
    assert len(rest) == 1
    assert same(whole[-1].state.players, rest[0].state.players)
    for name, value in whole[-1].metrics.items():
        if not name.startswith("time/") or name == "time/total_timesteps":
            np.testing.assert_equal(rest[0].metrics[name], value, err_msg=name)


def test_the_seed_decides_everything() -> None:
    one, two = (play_rounds(PAL, 2)[-1].state for _ in range(2))
    assert same(one.players, two.players)
    other = list(play(POINT, TINY, PAL, SEED + 1, num_env_steps=260))[-1].state
    assert not same(one.players, other.players)


def test_budget_counts_every_step_and_evaluation_stays_out() -> None:
    rounds = play_rounds(PAL, 3)
    assert [r.state.env_steps for r in rounds] == [200, 260, 320]
    assert len(rounds[-1].state.buffer) == 320
    more = dataclasses.replace(TINY.evaluation, num_episodes=7)
    settings = dataclasses.replace(TINY, evaluation=more)
    judged = list(play(POINT, settings, PAL, SEED, num_env_steps=320))
    assert same(judged[-1].state.players, rounds[-1].state.players)


@pytest.mark.parametrize("schedule", [PAL, MAL])
def test_real_actions_are_what_the_policy_drew(schedule: Schedule) -> None:
    """z = (a − mean) / std of the policy that collected is standard normal, clipped or not."""
    settings = dataclasses.replace(
        TINY, collection=dataclasses.replace(TINY.collection, steps_per_round=600)
    )
    arena = Game(POINT, settings, SEED)
    played = play(POINT, settings, schedule, SEED, num_env_steps=200 + 2 * 600)
    rounds = list(itertools.islice(played, 3))
    # PAL's policy of one round collects in the next; MAL's collects in the round that found it.
    policy = rounds[1 if schedule is PAL else 2].state.players.policy.policy
    fresh = fresh_data(arena, rounds[2].state)
    obs, action = (np.asarray(x)[: int(fresh.num_valid)] for x in (fresh.obs, fresh.action))
    drawn = numpy_policy(policy)
    z = (action - drawn.mean(obs.astype(np.float64))) / drawn.std
    assert np.mean(np.abs(action) > 1.0) > 0.2
    np.testing.assert_allclose(np.mean(z**2), 1.0, atol=0.2)
    np.testing.assert_allclose(np.mean(z), 0.0, atol=0.15)


def test_what_a_policy_player_adds_to_the_world_is_hidden_from_those_who_observe_it() -> None:
    """A bonus or a limit changes how a policy learns, and nothing that is measured of it."""
    state = play_rounds(PAL, 2)[-1].state

    def observed(**robustness: float) -> dict[str, float]:
        settings = dataclasses.replace(TINY, robustness=RobustnessSettings(**robustness))
        arena = Game(POINT, settings, SEED)
        measured = observe.measure_model_error(jax.random.key(0), arena, state.players, state)
        _, seen = moves.improve(jax.random.key(1), arena, state.players, state, Degree.CONSERVATIVE)
        return measured | {"game/policy_objective": seen["game/policy_objective"]}

    plain = observed()
    assert observed(disagreement_bonus=50.0) == pytest.approx(plain, rel=1e-5)
    limited = observed(max_disagreement=1e-6)
    # Measured on rollouts of its own, from the same first observations.
    assert limited.pop("game/policy_objective") == pytest.approx(
        plain.pop("game/policy_objective"), rel=0.5
    )
    assert limited == plain


@pytest.mark.parametrize("robustness", [{"disagreement_bonus": 50.0}, {"max_disagreement": 1e-6}])
def test_a_policy_player_learns_from_what_it_adds(robustness: dict[str, float]) -> None:
    state = play_rounds(PAL, 2)[-1].state

    def improved(settings: Settings) -> PolicyState:
        arena = Game(POINT, settings, SEED)
        key = jax.random.key(1)
        after, _ = moves.improve(key, arena, state.players, state, Degree.STEP)
        return after.players.policy

    robust = dataclasses.replace(TINY, robustness=RobustnessSettings(**robustness))
    assert not same(improved(TINY), improved(robust))


def test_recent_starts_are_of_the_latest_collections() -> None:
    state = play_rounds(PAL, 3)[-1].state
    obs = state.buffer.obs
    assert len(state.buffer) > 2 * 60  # the model's window reaches further back
    for num_rounds in (1, 2):
        imagination = dataclasses.replace(TINY.imagination, start_rounds=num_rounds)
        settings = dataclasses.replace(TINY, imagination=imagination)
        recent = start_states(Game(POINT, settings, SEED), state).recent
        assert int(recent.num_valid) == 60 * num_rounds
        np.testing.assert_array_equal(recent.obs[: 60 * num_rounds], obs[-60 * num_rounds :])


@pytest.mark.parametrize("judged", [True, False])
def test_what_is_done_next_is_told(judged):
    phases = []
    told = {"on_phase": phases.append, "judged": judged}
    num_rounds = len(list(play(POINT, TINY, PAL, SEED, num_env_steps=260, **told)))
    of_a_round = ["collecting", "fitting the model", "improving", "measuring"]
    assert phases == (of_a_round + ["evaluating"] * judged) * num_rounds
    assert num_rounds > 1
