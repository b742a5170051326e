"""A game that begins with logged transitions: on them alone first, then with steps of its own."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import pytest
from logs import point_log
from probes import POINT, TINY, PointEnv

from duopoly.game.play import Round, play
from duopoly.game.state import Game, goes_on, start
from duopoly.game.views import fresh_data, start_states
from duopoly.policy.gaussian import numpy_policy
from duopoly.schedule import MAL, PAL, PETS, SCHEDULES, Schedule
from duopoly.settings import Settings, SettingsError, override
from duopoly.world.interaction import collect, memoryless
from duopoly.world.logged import Log, read_log
from duopoly.world.task import Task

OFFLINE = override(
    TINY,
    {
        "collection.offline_rounds": 3,
        "evaluation.num_episodes": 0,
        "policy.planner.num_samples": 10,
        "policy.planner.horizon": 2,
        "policy.actor_critic.hidden": (8,),
        "policy.actor_critic.batch_size": 8,
        "policy.actor_critic.horizon": 2,
        "policy.actor_critic.pool_horizon": 2,
        "policy.actor_critic.pool_slots": 2,
    },
)
SEED = 5


class Counted(PointEnv):
    """Counts what is done in the real world, and where an action came from."""

    num_resets = num_steps = 0

    def reset(self, **words: Any) -> tuple[np.ndarray, dict[str, Any]]:
        Counted.num_resets += 1
        return super().reset(**words)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        Counted.num_steps += 1
        return super().step(action)


@pytest.fixture
def task() -> Task:
    Counted.num_resets = Counted.num_steps = 0
    return dataclasses.replace(POINT, make=lambda _: Counted())


@pytest.fixture(scope="module")
def log() -> Log:
    return read_log(point_log(), POINT, "log")


def played(
    log: Log, schedule: Schedule, num_env_steps: int = 0, settings: Settings = OFFLINE, task=POINT
) -> list[Round]:
    state = start(task, settings, SEED, log)
    return list(play(task, settings, schedule, SEED, num_env_steps=num_env_steps, state=state))


def same(a: object, b: object) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y, equal_nan=True) for x, y in leaves)


def test_it_begins_with_the_log_and_is_normalised_by_it(log: Log) -> None:
    state = start(POINT, OFFLINE, SEED, log)
    assert (state.round, state.env_steps, state.log) == (0, 0, log.record)
    np.testing.assert_array_equal(state.buffer.action, log.action)
    mean = state.players.policy.policy.inputs.mean
    np.testing.assert_allclose(mean, log.obs.mean(axis=0), atol=1e-5)
    game = Game(POINT, OFFLINE, SEED)
    assert int(fresh_data(game, state).num_valid) == 90
    starts = start_states(game, state)
    np.testing.assert_array_equal(starts.initial[: int(starts.num_initial)], log.obs[log.first])


@pytest.mark.parametrize("name", ["pal", "mal", "gda", "br", "metrpo", "pets", "mbpo"])
def test_no_schedule_touches_the_real_world(name: str, log: Log, task: Task) -> None:
    changes = {"pets": "cem", "mbpo": "sac", "metrpo": "trpo"}
    settings = override(OFFLINE, {"policy.improver": changes.get(name, "npg")})
    rounds = played(log, SCHEDULES[name], settings=settings, task=task)
    assert len(rounds) == 3
    assert (Counted.num_resets, Counted.num_steps) == (0, 0)
    assert [r.state.env_steps for r in rounds] == [0, 0, 0]
    assert all(r.metrics["time/total_timesteps"] == 0.0 for r in rounds)
    assert rounds[-1].state.buffer is rounds[0].state.buffer
    if name != "pets":  # a planner has no parameters
        assert not same(rounds[0].state.players.policy, rounds[-1].state.players.policy)


def test_a_model_fitted_to_convergence_is_fitted_once_and_another_goes_on(log: Log) -> None:
    assert [r.state.players.model.num_fits for r in played(log, PAL)] == [1, 1, 1]
    rounds = played(log, MAL)
    assert [r.state.players.model.num_fits for r in rounds] == [1, 2, 3]


def test_the_members_disagreement_on_the_log_is_told(log: Log) -> None:
    first, second, _ = (r.metrics for r in played(log, PAL))
    assert 0.0 < first["model/disagreement"] < first["model/disagreement_99"]
    assert math.isnan(second["model/disagreement"])


def test_then_it_goes_on_with_steps_of_its_own(log: Log, task: Task) -> None:
    rounds = played(log, PAL, 150, task=task)
    assert [r.state.env_steps for r in rounds] == [0, 0, 0, 60, 120, 150]
    assert Counted.num_steps == 150
    offline, own = rounds[2].state, rounds[3].state
    np.testing.assert_array_equal(own.buffer.obs[:90], log.obs)
    assert list(rounds[-1].state.buffer.sizes) == [90, 60, 60, 30]
    # What acts there is the policy that has learned from the log.
    policy = numpy_policy(offline.players.policy.policy)
    expected = collect(task.build(), task, memoryless(policy.sample), 60, SEED, 3).episodes
    np.testing.assert_array_equal(
        own.buffer.action[90:], np.concatenate([episode.action for episode in expected])
    )
    assert [r.state.players.model.num_fits for r in rounds] == [1, 1, 1, 2, 3, 4]
    assert not goes_on(POINT, OFFLINE, rounds[-1].state, 150)
    assert goes_on(POINT, OFFLINE, offline, 150)
    assert not goes_on(POINT, OFFLINE, offline, 0)


def test_an_episode_of_the_log_is_not_gone_on_with(log: Log, task: Task) -> None:
    settings = override(OFFLINE, {"collection.episodes_go_on": True})
    rounds = played(log, PAL, 60, settings, task)
    assert rounds[-1].state.buffer.first[90]
    own = int(rounds[-1].state.buffer.first[90:].sum())
    assert Counted.num_resets == own


def test_a_game_that_goes_on_from_a_state_is_the_one_that_never_stopped(log: Log) -> None:
    whole = played(log, PAL, 120)
    for number in (1, 3, 4):
        state = whole[number - 1].state
        rest = list(play(POINT, OFFLINE, PAL, SEED, num_env_steps=120, state=state))
        assert len(rest) == len(whole) - number
        assert same(rest[-1].state.players, whole[-1].state.players)


def test_a_leader_differentiates_on_its_own_actions_alone(log: Log) -> None:
    """Nobody knows the density of those that were logged."""
    settings = override(
        OFFLINE, {"leader.gradient": "implicit", "leader.num_samples": 20, "leader.num_rollouts": 2}
    )
    with pytest.raises(SettingsError, match="on logged data alone there are none"):
        played(log, PAL, 0, settings)
    rounds = played(log, PAL, 60, settings)
    terms = [r.metrics["leader/cg_residual"] for r in rounds]
    assert np.isnan(terms[:3]).all()
    assert math.isfinite(terms[3])
    # Until then it is of first order, number for number.
    plain = played(log, PAL, 60)
    assert same(rounds[2].state.players.policy.policy, plain[2].state.players.policy.policy)


def test_a_budget_of_gradient_steps_counts_the_log(log: Log) -> None:
    settings = override(OFFLINE, {"model.steps_per_env_step": 0.1, "model.batch_size": 8})
    rounds = played(log, MAL, 60, settings)
    assert [r.metrics["model/num_steps"] for r in rounds] == [9, 9, 9, 6]


def test_a_planner_acts_by_a_model_of_the_log(log: Log) -> None:
    settings = override(OFFLINE, {"policy.improver": "cem"})
    rounds = played(log, PETS, 60, settings)
    assert rounds[-1].state.env_steps == 60
    assert rounds[2].state.players.model.num_fits == 3
