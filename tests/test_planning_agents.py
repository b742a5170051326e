"""Agents that plan: the plan travels in ``state``; runs of planners are evaluated and filmed."""

import dataclasses
import json

import numpy as np
import pytest

from duopoly.agent import PAL, PETS, Agent
from duopoly.cli import main as cli
from duopoly.policy.gaussian import numpy_policy
from duopoly.runs.launch import train_in
from duopoly.runs.rundir import RunDirectory, run_directory
from duopoly.settings import SettingsError, override
from duopoly.types import Controller

PLANNER = {
    "policy.improver": "cem",
    "policy.planner.horizon": 3,
    "policy.planner.num_samples": 8,
    "policy.planner.num_iterations": 2,
    "policy.planner.num_elites": 2,
}
EMPTY = np.zeros((3, 1), np.float32)
OBS = np.random.default_rng(0).normal(size=(4, 4)) * 0.1


@pytest.fixture(scope="module")
def run(config, tmp_path_factory) -> RunDirectory:
    """A run of PETS on the pendulum, for two rounds."""
    settings = override(config.settings, PLANNER)
    run = run_directory(tmp_path_factory.mktemp("runs"), config.task, "pets", 0)
    of_pets = dataclasses.replace(config, algorithm="pets", steps=100, settings=settings)
    train_in(run, of_pets, resume=False)
    return run


@pytest.fixture
def agent(run) -> Agent:
    return PETS.load(run.path)


def test_a_plan_is_carried_on_in_the_state(agent):
    action, state = agent.predict(OBS[0], deterministic=True)
    assert (action.shape, state.shape) == ((1,), EMPTY.shape)
    assert state.any()
    env = agent.task.make(None)
    assert env.action_space.contains(action)
    env.close()
    # From the same noise on: a plan carried on leads elsewhere than one begun anew.
    following = [
        anew(agent).predict(OBS[1], given, start, deterministic=True)[0]
        for given, start in ((state, None), (state, np.array([True])), (None, None))
    ]
    assert not np.array_equal(following[0], following[1])
    np.testing.assert_array_equal(following[1], following[2])


def anew(agent: Agent) -> Agent:
    """Return the agent as it was made, with its noise from the start."""
    return Agent(agent.task, agent.schedule, agent.settings, agent.seed, agent.state)


def test_a_batch_is_planned_row_by_row(agent):
    actions, states = agent.predict(OBS, deterministic=True)
    assert (actions.shape, states.shape) == ((4, 1), (4, *EMPTY.shape))
    other = anew(agent)
    for row, action, state in zip(OBS, actions, states, strict=True):
        one, rest = other.predict(row, deterministic=True)
        np.testing.assert_allclose(one, action, rtol=1e-6)
        np.testing.assert_array_equal(rest, state)


def test_only_the_rows_where_an_episode_begins_are_emptied():
    plans = np.arange(12, dtype=np.float32).reshape(4, 3, 1) + 1.0
    controller = Controller(lambda *_: None, EMPTY)
    read = controller.recall(plans, np.array([False, True, False, True]), (4,))
    assert read is not None
    np.testing.assert_array_equal(read[[0, 2]], plans[[0, 2]])
    assert not read[[1, 3]].any()


@pytest.mark.parametrize(
    ("state", "episode_start", "message"),
    [
        (np.zeros((2, 3, 1)), None, r"state has shape \(2, 3, 1\), expected \(4, 3, 1\)"),
        (np.zeros((4, 3, 1)), np.zeros(3), r"episode_start has shape \(3,\), expected \(4,\)"),
    ],
)
def test_other_shapes_are_refused(agent, state, episode_start, message):
    with pytest.raises(ValueError, match=message):
        agent.predict(OBS, state, episode_start)


def test_before_the_first_fit_it_acts_by_its_initial_policy(agent, config):
    fresh = PETS(config.task, seed=0, settings=agent.settings)
    action, state = fresh.predict(OBS[0], "kept", deterministic=True)
    assert state == "kept"
    mean = numpy_policy(fresh.state.players.policy.policy).mean(OBS[0])
    np.testing.assert_allclose(action, agent.task.spec.to_env_units(mean))


def test_an_agent_of_a_senseless_combination_is_refused(agent, config):
    with pytest.raises(SettingsError, match="improver = cem: in pal the policy leads"):
        PAL(config.task, settings=agent.settings)


def test_a_run_is_evaluated_with_its_plans(run, capsys):
    cli.main(["evaluate", str(run.path), "--episodes", "2", "--seed", "5"])
    found = json.loads(run.evaluation.read_text())
    assert (found["algorithm"], found["num_episodes"]) == ("pets", 2)
    cli.main(["evaluate", str(run.path), "--episodes", "2", "--seed", "5"])
    assert json.loads(run.evaluation.read_text()) == found
    assert "pets" in capsys.readouterr().out
