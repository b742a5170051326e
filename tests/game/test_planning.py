"""A planner as the policy player: it acts in the real world, from the first fit on."""

import collections
import dataclasses

import numpy as np
import pytest
from probes import POINT, TINY

from duopoly.game.moves import controller_of
from duopoly.game.play import Round, play
from duopoly.game.state import Game, start
from duopoly.policy.gaussian import gaussian_controller, numpy_policy
from duopoly.policy.planner import plan
from duopoly.schedule import MAL, METRPO, PETS, Schedule
from duopoly.settings import Improver, PlannerSettings, Settings
from duopoly.types import Episode
from duopoly.world.interaction import collect, evaluate, memoryless, run_episode
from duopoly.world.seeds import EpisodeSeed

SEED = 3
ARENA = PlannerSettings(horizon=5, num_samples=24, num_iterations=2, num_elites=4)


def settings_of(improver: Improver, planner: PlannerSettings = ARENA) -> Settings:
    policy = dataclasses.replace(TINY.policy, improver=improver, planner=planner)
    return dataclasses.replace(TINY, policy=policy)


def play_rounds(settings: Settings, schedule: Schedule, num_env_steps: int) -> list[Round]:
    return list(play(POINT, settings, schedule, SEED, num_env_steps=num_env_steps))


@pytest.fixture(scope="module")
def rounds() -> list[Round]:
    return play_rounds(settings_of("cem"), PETS, 320)


def same(one: Episode, other: Episode) -> bool:
    return all(np.array_equal(getattr(one, a), getattr(other, a)) for a in ("obs", "action"))


def test_it_explores_by_the_initial_policy_until_there_is_a_model(rounds: list[Round]) -> None:
    gaussian = start(POINT, settings_of("cem"), SEED).players.policy.policy
    sample = gaussian_controller(gaussian)
    episodes = collect(POINT.make(None), POINT, sample, 200, SEED, 0).episodes
    expected = np.concatenate([episode.obs for episode in episodes])
    np.testing.assert_array_equal(rounds[0].state.buffer.obs[:200], expected)
    assert np.isnan(rounds[0].metrics["planner/return_mean"])
    later = collect(POINT.make(None), POINT, sample, 60, SEED, 1).episodes
    fresh = rounds[1].state.buffer.action[200:260]
    assert not np.array_equal(fresh, np.concatenate([episode.action for episode in later]))


def test_a_round_tells_what_was_planned_and_leaves_the_policy_alone(
    rounds: list[Round],
) -> None:
    metrics = rounds[-1].metrics
    assert metrics["planner/return_mean"] < 0.0 < metrics["time/plan_ms"]
    steps = [value for name, value in metrics.items() if name.startswith(("policy/", "imagined/"))]
    assert np.isnan(steps).all()
    assert metrics["game/leader_loss"] == metrics["game/model_objective"]
    first, last = (numpy_policy(r.state.players.policy.policy) for r in (rounds[0], rounds[-1]))
    np.testing.assert_array_equal(first.mean.weights[-1], last.mean.weights[-1])


def test_it_pushes_the_point_to_the_origin(rounds: list[Round]) -> None:
    controller = controller_of(Game(POINT, settings_of("cem"), SEED), rounds[-1].state.players)
    episodes = evaluate(POINT.make(None), POINT, controller, 10, SEED, 9).episodes
    # Pushing straight to the origin at full speed costs about 1.5 on average; random ones 20.
    assert np.mean([episode.return_ for episode in episodes]) > -4.0
    assert all(len(e.seen) == len(e.reward) and None not in e.seen for e in episodes)


def test_an_episode_is_the_same_whatever_was_planned_before(rounds: list[Round]) -> None:
    arena, players = Game(POINT, settings_of("cem"), SEED), rounds[-1].state.players
    controller = controller_of(arena, players)
    long = collect(POINT.make(None), POINT, controller, 60, SEED, 7).episodes
    again = controller_of(arena, players)
    alone = run_episode(POINT.make(None), POINT, again, EpisodeSeed(SEED, "collect", 7, 1))
    assert isinstance(alone, Episode)
    assert same(alone, long[1])
    # Within an episode a plan is carried on: one that begins anew at each step acts otherwise.
    forgetful = memoryless(lambda obs, rng: controller.act(obs, controller.memory, rng, False)[0])
    other = run_episode(POINT.make(None), POINT, forgetful, EpisodeSeed(SEED, "collect", 7, 1))
    assert isinstance(other, Episode)
    np.testing.assert_array_equal(alone.action[0], other.action[0])
    assert not same(alone, other)


def test_noise_explores_unless_deterministic(rounds: list[Round]) -> None:
    loud = settings_of("cem", dataclasses.replace(ARENA, exploration_std=0.5))
    obs, players = np.array([0.2, 0.1, 3.0]), rounds[-1].state.players

    def action(settings: Settings, *, deterministic: bool) -> np.ndarray:
        act, memory = controller_of(Game(POINT, settings, SEED), players)
        return act(obs, memory, np.random.default_rng(0), deterministic).action

    quiet = action(settings_of("cem"), deterministic=True)
    np.testing.assert_array_equal(action(loud, deterministic=True), quiet)
    rng = np.random.default_rng(0)
    rng.integers(2**31)  # the key of the plan comes first
    expected = quiet + 0.5 * rng.standard_normal(2)
    np.testing.assert_allclose(action(loud, deterministic=False), expected, rtol=1e-6)


def test_planning_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traces: collections.Counter[str] = collections.Counter()
    inner = plan.plan_returns

    def counted(*args: object) -> object:
        traces["plan_returns"] += 1  # runs while tracing only
        return inner(*args)  # pyright: ignore

    monkeypatch.setattr(plan, "plan_returns", counted)
    settings = settings_of("cem", dataclasses.replace(ARENA, num_samples=23))
    play_rounds(settings, PETS, 320)
    assert traces == {"plan_returns": 1}


@pytest.mark.parametrize(
    ("improver", "schedule"),
    [("cem", PETS), ("mppi", MAL), ("mppi", METRPO)],
)
def test_going_on_equals_never_stopping(improver: Improver, schedule: Schedule) -> None:
    settings = settings_of(improver)
    whole = play_rounds(settings, schedule, 320)
    half = play_rounds(settings, schedule, 260)[-1].state
    rest = list(play(POINT, settings, schedule, SEED, num_env_steps=320, state=half))
    assert len(rest) == 1
    for name, value in whole[-1].metrics.items():
        if not name.startswith("time/"):
            np.testing.assert_equal(rest[0].metrics[name], value, err_msg=name)
    np.testing.assert_array_equal(whole[-1].state.buffer.obs, rest[0].state.buffer.obs)
