"""Who should lead, decided by what drifts."""

import dataclasses
import math
import operator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import POINT, TINY

from duopoly.game import drift, play
from duopoly.game.drift import ruled
from duopoly.game.play import Round
from duopoly.game.referee import (
    LEVEL,
    MARGIN,
    MEMORY,
    MIN_STARTS,
    NUM_LED,
    NUM_PERMUTATIONS,
    Drift,
    Referee,
    energy_test,
    is_surprising,
    judge,
)
from duopoly.game.state import Game, start
from duopoly.game.views import all_data, remembered, start_states
from duopoly.model.fit import surprise_on
from duopoly.model.objective import inputs_and_targets
from duopoly.policy.catalogue import PLAYERS
from duopoly.policy.player import Spaces
from duopoly.runs.errors import DamageError
from duopoly.runs.snapshot import restore, snapshot
from duopoly.schedule import AUTO, MAL, PAL, Memory, check_players
from duopoly.settings import Improver, SettingsError, override


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def energy(new: np.ndarray, old: np.ndarray) -> float:
    """The energy distance, pair by pair."""

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([[np.linalg.norm(x - y) for y in b] for x in a]))

    return 2.0 * mean(new, old) - mean(new, new) - mean(old, old)


def test_the_energy_test_counts_permutations_that_are_as_far() -> None:
    new, old = rng(1).normal(0.7, 1.0, (3, 2)), rng(2).normal(size=(6, 2))
    both = np.concatenate([new, old])
    both = both / both.std(axis=0)
    order = rng().permuted(np.tile(np.arange(9), (NUM_PERMUTATIONS, 1)), axis=1)
    mixed = [energy(both[one[:3]], both[one[3:]]) for one in order]
    found = energy(both[:3], both[3:])
    expected = (1 + np.sum(np.array(mixed) >= found - 1e-9)) / (NUM_PERMUTATIONS + 1)
    assert energy_test(new, old, rng()) == pytest.approx(expected, abs=1e-12)


def test_starts_of_one_distribution_are_not_called_different() -> None:
    drawn = [rng(seed).normal(size=(60, 4)) for seed in range(200)]
    p_values = np.array([energy_test(one[:10], one[10:], rng()) for one in drawn])
    assert (p_values <= 0.05).mean() < 0.12
    assert 0.4 < p_values.mean() < 0.6


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e9])
def test_starts_that_have_moved_are(scale: float) -> None:
    new, old = rng(1).uniform(0.5, 1.0, (10, 3)), rng(2).uniform(0.0, 0.6, (100, 3))
    fixed = np.full((1, 2), 7.0)
    new, old = (np.hstack([scale * x, np.repeat(fixed, len(x), 0)]) for x in (new, old))
    assert energy_test(new, old, rng()) <= LEVEL


def test_equal_starts_tell_nothing() -> None:
    assert energy_test(np.ones((5, 3)), np.ones((20, 3)), rng()) == 1.0
    assert math.isnan(energy_test(np.ones((5, 3)), np.ones((4, 3)), rng()))
    assert math.isnan(energy_test(np.ones((0, 3)), np.ones((4, 3)), rng()))


def test_a_round_is_surprising_beside_the_latest() -> None:
    assert not is_surprising((0.0, 0.1), 9.0)  # too few
    assert not is_surprising((0.0, 1.0, 0.2), 1.0 + MARGIN)
    assert is_surprising((0.0, 1.0, 0.2), 1.01 + MARGIN)
    assert not is_surprising((0.0, 1.0, 0.2), math.nan)


def rounds_of(
    surprises: list[float], starts: list[np.ndarray], referee: Referee | None = None
) -> list[tuple[Referee, Drift]]:
    """Judges rounds of a hundred transitions each."""
    referee, told = referee or Referee(), []
    for number, surprise in enumerate(surprises):
        so_far = np.concatenate(starts[: number + 1])
        referee, drifted = judge(referee, surprise, so_far, 100, len(starts[number]), rng(number))
        told.append((referee, drifted))
    return told


def test_while_nothing_drifts_all_is_remembered() -> None:
    starts = [rng(number).normal(size=(10, 3)) for number in range(12)]
    told = rounds_of([math.nan, *rng(5).uniform(0.2, 0.6, 11).tolist()], starts)
    assert not any(drifted.is_of_dynamics or drifted.is_of_goals for _, drifted in told)
    last = told[-1][0]
    assert (last.num_consistent, last.num_starts, last.num_led) == (1_200, 120, 0)
    assert len(last.surprises) == MEMORY


def test_other_dynamics_cut_the_data_and_other_goals_the_starts() -> None:
    starts = [rng(number).normal(size=(10, 3)) for number in range(10)]
    told = rounds_of([0.5] * 6 + [2.0, 1.9, 1.8, 1.7], starts)
    assert [drifted.is_of_dynamics for _, drifted in told] == [False] * 6 + [True] + [False] * 3
    assert told[-1][0].num_consistent == 400
    assert told[-1][0].num_starts == 100
    assert told[-1][0].num_led == 0

    moved = [*starts[:6], *(x + 3.0 for x in starts[6:])]
    told = rounds_of([0.5] * 10, moved)
    assert [drifted.is_of_goals for _, drifted in told] == [False] * 6 + [True] + [False] * 3
    assert told[-1][0].num_starts == 40
    assert told[-1][0].num_consistent == 1_000
    assert told[-1][0].num_led == NUM_LED - 3


def test_few_episodes_are_pooled_until_they_tell() -> None:
    starts = [rng(number).normal(size=(1, 3)) for number in range(60)]
    moved = [*starts[:40], *(x + 5.0 for x in starts[40:])]
    told = rounds_of([0.5] * 60, moved)
    found = [number for number, (_, drifted) in enumerate(told) if drifted.is_of_goals]
    assert found
    assert 40 < found[0] <= 40 + MIN_STARTS


def test_surprise_is_error_over_disagreement() -> None:
    state = start(POINT, TINY, 0)
    rounds = list(play.play(POINT, TINY, PAL, 0, num_env_steps=260))
    ensemble = rounds[-1].state.players.model.ensemble
    data = rounds[-1].state.buffer.latest(200)
    x, y = (np.asarray(one) for one in inputs_and_targets(ensemble, data))
    members = [
        jax.tree.map(operator.itemgetter(number), ensemble.members)
        for number in range(ensemble.num_members)
    ]
    expected = []
    for row, target in zip(x, y, strict=True):
        means = np.stack([np.asarray(one(jnp.asarray(row))) for one in members])[:, : y.shape[1]]
        error = np.mean((means.mean(axis=0) - target) ** 2)
        expected.append(np.log(error) - np.log(means.var(axis=0).mean()))
    np.testing.assert_allclose(surprise_on(ensemble, data), expected, rtol=2e-2, atol=2e-2)
    assert state.referee is None


def auto_rounds(monkeypatch: pytest.MonkeyPatch, *drifts: Drift) -> list[Round]:
    """Plays AUTO with a referee whose verdicts are given."""
    verdicts = iter(drifts)

    def told(referee: Referee, surprise: float, starts: np.ndarray, num: int, *_: object):
        verdict = next(verdicts)
        return dataclasses.replace(
            judge(referee, surprise, starts, num, 0, rng())[0],
            num_consistent=num if verdict.is_of_dynamics else referee.num_consistent + num,
            num_starts=1 if verdict.is_of_goals else len(starts),
            num_led=NUM_LED if verdict.is_of_goals else 0,
        ), verdict

    monkeypatch.setattr(drift, "judge", told)
    steps = 200 + 60 * (len(drifts) - 1)
    return list(play.play(POINT, TINY, AUTO, 3, num_env_steps=steps))


NOTHING = Drift(0.0, 0.5, is_of_dynamics=False, is_of_goals=False)
DYNAMICS = dataclasses.replace(NOTHING, is_of_dynamics=True)
GOALS = dataclasses.replace(NOTHING, is_of_goals=True)


def test_after_other_dynamics_the_data_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    state = auto_rounds(monkeypatch, NOTHING, DYNAMICS, NOTHING)[-1].state
    game = Game(POINT, TINY, 3)
    assert int(all_data(game, state).num_valid) == 120
    assert int(remembered(Memory.WINDOW, game, state).num_valid) == 120
    assert remembered(Memory.WINDOW, game, state).obs.shape[0] == TINY.model.capacity
    assert ruled(AUTO, state) == AUTO


def test_after_other_goals_the_policy_moves_far_from_starts_of_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds = auto_rounds(monkeypatch, NOTHING, GOALS)
    state = rounds[-1].state
    game = Game(POINT, TINY, 3)
    assert int(start_states(game, state).num_initial) == 1
    in_force = ruled(AUTO, state)
    assert (in_force.policy_effort, in_force.memory) == (MAL.policy_effort, MAL.memory)
    assert rounds[-1].metrics["policy/num_steps"] == TINY.policy.steps.at(MAL.policy_effort)
    assert rounds[0].metrics["policy/num_steps"] == TINY.policy.steps.at(PAL.policy_effort)
    assert int(all_data(game, state).num_valid) == 260


@pytest.mark.parametrize("verdict", [DYNAMICS, GOALS], ids=["dynamics", "goals"])
def test_after_a_drift_the_policy_explores_as_at_the_start(
    verdict: Drift, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    rule = drift.rule

    def spy(game, before, state):
        quiet = jax.tree.map(lambda x: x - 1.0, state.players.policy.policy.log_std)
        policy = dataclasses.replace(state.players.policy.policy, log_std=quiet)
        players = dataclasses.replace(
            state.players, policy=dataclasses.replace(state.players.policy, policy=policy)
        )
        after = rule(game, before, dataclasses.replace(state, players=players))
        seen.append(np.asarray(after[0].players.policy.policy.log_std))
        return after

    monkeypatch.setattr(play, "rule", spy)
    auto_rounds(monkeypatch, NOTHING, verdict)
    assert (seen[0] < TINY.policy.initial_log_std).all()
    assert (seen[1] == TINY.policy.initial_log_std).all()


def test_what_a_referee_remembers_comes_back_and_what_it_cannot_is_refused() -> None:
    state = start(POINT, TINY, 0)
    known = Referee((0.5, -0.25), 400, 7, 3)
    kept = snapshot(dataclasses.replace(state, referee=known))
    assert restore(kept, state).referee == known
    assert restore(snapshot(state), state).referee is None
    for name, array in (
        ("surprises", np.array([np.nan])),
        ("surprises", np.zeros(MEMORY + 1)),
        ("counts", np.array([1, -1, 0])),
        ("counts", np.zeros(3)),
        ("hat", np.zeros(1)),
    ):
        groups = {**kept.groups, "players": {**kept.groups["players"], f".referee.{name}": array}}
        with pytest.raises(DamageError, match="does not fit: the referee's arrays"):
            restore(dataclasses.replace(kept, groups=groups), state)


def test_a_referee_needs_a_second_opinion() -> None:
    with pytest.raises(SettingsError, match=r"num_members = 1: in auto .* use at least 2"):
        check_players(AUTO, override(TINY, {"model.num_members": 1}))
    leading = override(TINY, {"leader.gradient": "implicit"})
    with pytest.raises(SettingsError, match="who leads is decided round by round"):
        check_players(AUTO, leading)


@pytest.mark.parametrize("improver", ["npg", "pg", "svg", "sac", "cem"])
def test_whoever_plays_can_explore_again(improver: Improver) -> None:
    settings = override(TINY, {"policy.improver": improver})
    player = PLAYERS[improver].load()
    begun = player.init(jax.random.key(0), Spaces(2, 1), settings)
    arrays, rest = eqx.partition(begun, eqx.is_inexact_array)
    calmer = eqx.combine(jax.tree.map(lambda x: x - 1e-2, arrays), rest)
    wider = player.explore(calmer, settings)
    assert jax.tree.structure(wider) == jax.tree.structure(begun)
    if improver in ("svg", "sac"):
        assert calmer.temperature < begun.temperature == wider.temperature
        assert wider.temperature.weak_type is False
    elif improver == "cem":
        assert wider is calmer
    else:
        np.testing.assert_array_equal(wider.policy.log_std, begun.policy.log_std)
    twice = player.explore(wider, settings)
    for one, other in zip(jax.tree.leaves(wider), jax.tree.leaves(twice), strict=True):
        np.testing.assert_array_equal(one, other)
