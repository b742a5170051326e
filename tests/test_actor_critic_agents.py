"""Agents with an actor and critics: all schedules play them; runs are resumed, saved, evaluated."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest
from tiny_runs import rows_of

from duopoly.agent import DHMBPO, PAL, Agent
from duopoly.cli import main as cli
from duopoly.presets import ACTOR_CRITIC_METHODS, SCHEDULED, preset
from duopoly.runs.config import RunConfig
from duopoly.runs.launch import train_in
from duopoly.runs.rundir import RunDirectory, run_directory
from duopoly.schedule import SCHEDULES, AlgorithmName, check_players
from duopoly.settings import Improver, Settings, SettingsError, override
from duopoly.world.tasks import TASK_NAMES

SMALL = {
    "collection.episodes_go_on": True,
    "policy.improver": "svg",
    "policy.steps.step": 3,
    "policy.steps.conservative": 25,
    "policy.steps.convergence": 30,
    "policy.actor_critic.hidden": (8,),
    "policy.actor_critic.horizon": 2,
    "policy.actor_critic.batch_size": 8,
    "policy.actor_critic.pool_horizon": 3,
    "policy.actor_critic.pool_slots": 2,
    "policy.actor_critic.proximal": 1.0,
    "policy.actor_critic.halving_updates": 40,
    "policy.actor_critic.actor_interval": 2,
}


def config_of(config: RunConfig, algorithm: AlgorithmName) -> RunConfig:
    settings = override(config.settings, SMALL)
    return dataclasses.replace(config, algorithm=algorithm, settings=settings)


@pytest.fixture(scope="module")
def run(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run = run_directory(tmp_path_factory.mktemp("runs"), config.task, "pal", 0)
    train_in(run, config_of(config, "pal"), resume=False)
    return run


def numbers(row: dict[str, str], group: str) -> list[float]:
    return [float(cell) for name, cell in row.items() if name.startswith(group) and cell]


@pytest.mark.parametrize("algorithm", ["mal", "gda", "br"])
def test_every_schedule_plays_them(
    config: RunConfig, algorithm: AlgorithmName, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = run_directory(tmp_path_factory.mktemp("runs"), config.task, algorithm, 0)
    train_in(run, config_of(config, algorithm), resume=False)
    last = rows_of(run)[-1]
    effort = {"mal": 30, "gda": 3, "br": 30}[algorithm]
    assert float(last["policy/num_steps"]) == effort
    assert np.isfinite(numbers(last, "critic/")).all()


def test_a_round_tells_what_the_actor_and_the_critics_came_to(run: RunDirectory) -> None:
    last = rows_of(run)[-1]
    for name in ("critic/bias", "critic/loss", "policy/temperature", "policy/round_kl"):
        assert math.isfinite(float(last[name])), name
    assert 0.0 <= float(last["imagined/clipped_share"]) <= 1.0
    assert float(last["critic/low"]) <= float(last["critic/value"]) <= float(last["critic/high"])


def test_a_run_that_is_resumed_is_the_one_that_never_stopped(
    config: RunConfig, run: RunDirectory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = config_of(config, "pal")
    part = run_directory(tmp_path_factory.mktemp("runs"), config.task, "pal", 0)
    train_in(part, dataclasses.replace(whole, steps=100), resume=False)
    train_in(part, whole, resume=True)
    assert rows_of(part) == rows_of(run)
    one, other = (PAL.load(each.path).state.players for each in (part, run))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_saved_agent_acts_as_it_did(run: RunDirectory, tmp_path_factory) -> None:
    agent: Agent = PAL.load(run.path)
    path = tmp_path_factory.mktemp("agents") / "saved"
    agent.save(path)
    obs = np.random.default_rng(0).normal(size=(5, 4)) * 0.1
    before, after = (each.predict(obs, deterministic=True)[0] for each in (agent, PAL.load(path)))
    np.testing.assert_array_equal(before, after)
    assert (np.abs(before) <= 3.0).all()  # inside the action space


def test_a_run_is_evaluated(run: RunDirectory) -> None:
    cli.main(["evaluate", str(run.path), "--episodes", "2"])
    assert json.loads((run.path / "evaluation.json").read_text())["num_episodes"] == 2


@pytest.mark.parametrize("improver", ["svg", "sac"])
@pytest.mark.parametrize("task", [*TASK_NAMES, "one's own"])
def test_there_are_settings_for_every_task_and_schedule(task: str, improver: Improver) -> None:
    for algorithm in ("pal", "mal", "gda", "br", "auto"):
        found = preset(task, algorithm, improver)
        assert found.settings.policy.improver == improver
        assert found.num_env_steps == preset(task, "pal").num_env_steps
        check_players(SCHEDULES[algorithm], found.settings)
    for algorithm in ACTOR_CRITIC_METHODS:
        check_players(SCHEDULES[algorithm], preset(task, algorithm).settings)
    assert set(SCHEDULED) <= {"pal", "mal", "gda", "br", "auto"}


def test_methods_are_what_they_are_known_for() -> None:
    sac, mbpo, svg, dhmbpo = (
        preset("Hopper-v5", name).settings.policy for name in ("sac", "mbpo", "svg", "dhmbpo")
    )
    assert (sac.improver, sac.actor_critic.real_share) == ("sac", 1.0)
    assert (mbpo.improver, mbpo.actor_critic.real_share) == ("sac", 0.05)
    assert (svg.improver, svg.actor_critic.real_share) == ("svg", 1.0)
    assert (dhmbpo.improver, dhmbpo.actor_critic.horizon) == ("svg", 5)
    assert DHMBPO.schedule is SCHEDULES["dhmbpo"]
    for name, bonus, proximal in (("pal", 3.0, 1.0), ("mal", 3.0, 0.0), ("dhmbpo", 0.0, 0.0)):
        found = preset("Hopper-v5-unclipped", name, "svg").settings
        assert found.robustness.disagreement_bonus == bonus
        assert found.policy.actor_critic.proximal == proximal
        assert found.collection.action_repeat == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy.actor_critic.horizon": 9}, "horizon = 9: must be at most imagination.horizon"),
        ({"policy.actor_critic.soft_survival": True}, "set model.learn_termination too"),
        (
            {"policy.improver": "sac", "policy.actor_critic.soft_survival": True},
            "soft_survival: sac looks a single step ahead",
        ),
        ({"leader.gradient": "implicit"}, "not implemented for improver = svg"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict, words: str) -> None:
    base = override(Settings(), {"policy.improver": "svg", "imagination.horizon": 8})
    check_players(SCHEDULES["pal"], base)
    with pytest.raises(SettingsError, match=words):
        check_players(SCHEDULES["pal"], override(base, changes))
