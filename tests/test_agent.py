"""The Python API: learn, predict, save, load."""

import dataclasses
import math
import re

import gymnasium as gym
import numpy as np
import pytest
from tiny_runs import TINY

import duopoly
from duopoly import make_task
from duopoly.agent import MAL, PAL, Agent, Algorithm, _read_task, load_agent
from duopoly.policy.gaussian import numpy_policy
from duopoly.runs import atomic, keeper
from duopoly.runs.errors import DamageError, UsageError
from duopoly.settings import override
from duopoly.world.interaction import memoryless
from duopoly.world.task import TaskError


@pytest.fixture(scope="module")
def agent(finished_run) -> Agent:
    return PAL.load(finished_run.path)


@pytest.fixture(scope="module")
def saved(agent, tmp_path_factory):
    path = tmp_path_factory.mktemp("agents") / "agent"
    agent.save(path)
    return path


def weights(agent: Agent) -> list[np.ndarray]:
    policy = numpy_policy(agent.state.players.policy.policy)
    return [*policy.mean.weights, *policy.mean.biases, policy.std]


def test_a_run_directory_is_loaded_with_its_progress(agent, config):
    assert agent.state.env_steps == config.steps
    assert agent.settings == config.settings
    assert (agent.task.name, agent.seed) == (config.task, config.seed)


def test_one_observation_and_a_batch(agent):
    obs = np.random.default_rng(0).normal(size=(6, 4))
    batch, state = agent.predict(obs, deterministic=True)
    assert batch.shape == (6, 1)
    assert state is None
    for row, action in zip(obs, batch, strict=True):
        np.testing.assert_allclose(agent.predict(row, deterministic=True)[0], action, rtol=1e-6)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3, 1e6])
def test_actions_are_inside_the_action_space(agent, deterministic, scale):
    env = agent.task.make(None)
    obs = scale * np.random.default_rng(1).normal(size=(100, 4))
    actions, _ = agent.predict(obs, deterministic=deterministic)
    assert all(env.action_space.contains(action) for action in actions)
    env.close()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.int64])
def test_any_real_dtype_and_layout(agent, dtype):
    obs = np.asfortranarray(np.arange(8).reshape(2, 4), dtype)
    action, _ = agent.predict(obs, deterministic=True)
    expected, _ = agent.predict(np.arange(8.0).reshape(2, 4), deterministic=True)
    np.testing.assert_array_equal(action, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308, -1e11])
def test_what_is_not_finite_is_refused(agent, bad):
    obs = np.zeros((3, 4))
    obs[1, 2] = bad
    with pytest.raises(ValueError, match=rf"obs\[2\] of row 1 is {re.escape(str(bad))}"):
        agent.predict(obs)


def test_an_action_that_is_not_finite_is_never_returned(agent):
    broken = Agent(agent.task, agent.schedule, agent.settings, agent.seed, agent.state)
    broken._prepared = broken.state, memoryless(lambda *_: np.full(1, np.nan))
    with pytest.raises(ValueError, match=r"action is not finite: \[nan\]"):
        broken.predict(np.zeros(4))


@pytest.mark.parametrize(
    "obs",
    [
        np.zeros(3),
        np.zeros((4, 3)),
        np.zeros((1, 1, 4)),
        np.zeros(()),
        np.zeros(4, bool),
        np.zeros(4, complex),
        np.array(["a"] * 4),
        np.array([None] * 4),
    ],
    ids=lambda obs: f"{obs.dtype}{obs.shape}",
)
def test_other_shapes_and_types_are_refused(agent, obs):
    with pytest.raises(ValueError, match=r"takes numbers of shape \(4,\) or \(N, 4\)"):
        agent.predict(obs)


def test_saved_and_loaded_is_the_same(agent, saved):
    loaded = PAL.load(saved)
    for one, other in zip(weights(agent), weights(loaded), strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.state.env_steps == agent.state.env_steps


def test_loaded_learns_on_as_if_it_had_stayed(agent, saved):
    """A copy in memory and one from the disk, each for one more round: the same, bit by bit."""
    stayed = Agent(agent.task, agent.schedule, agent.settings, agent.seed, agent.state)
    loaded = PAL.load(saved)
    for one in (stayed, loaded):
        one.learn(40, reset_num_timesteps=False)
    for a, b in zip(weights(stayed), weights(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert stayed.num_timesteps == loaded.num_timesteps == agent.state.env_steps + 40


def test_counting_anew_keeps_what_was_learned(saved, monkeypatch):
    rounds, timed = [], []

    def clocked(round_, elapsed, num_env_steps):
        timed.append(num_env_steps)
        return keeper.clocked(round_, elapsed, num_env_steps)

    monkeypatch.setattr("duopoly.agent.clocked", clocked)
    agent = PAL.load(saved)
    before = agent.state.env_steps
    assert agent.learn(40, callback=rounds.append) is agent
    assert (agent.num_timesteps, agent.state.env_steps) == (40, before + 40)
    assert [round_.metrics["time/total_timesteps"] for round_ in rounds] == [before + 40]
    assert timed == [40]


@pytest.mark.parametrize("steps", [-5, math.nan, math.inf])
def test_a_number_of_steps_that_makes_no_sense_is_refused(agent, steps):
    with pytest.raises(ValueError, match=f"total_timesteps = {steps}"):
        agent.learn(steps)


def test_an_environment_that_cannot_be_made_anew_is_no_task():
    with pytest.raises(TaskError, match=r"was not made by gymnasium\.make.*make_task"):
        _read_task(gym.Env())
    with pytest.raises(TypeError, match=r"3: must be a task's name, a duopoly\.Task"):
        _read_task(3)


def test_an_environment_from_the_registry_is_taken_as_it_is(tmp_path):
    assert _read_task(gym.make("Pendulum-v1")).name == "Pendulum-v1"
    env = gym.make("Hopper-v5", healthy_reward=3.0, render_mode="rgb_array")
    env = gym.wrappers.TimeAwareObservation(env)
    agent = PAL(env, settings=TINY)
    assert agent.task.name == "Hopper-v5-as-given"
    assert agent.task.reward_fn is None
    assert agent.observation_space == env.observation_space
    assert agent.action_space == env.action_space
    obs, _ = env.reset(seed=0)
    action, _ = agent.predict(obs)
    assert env.action_space.contains(action)
    agent.learn(60)
    agent.save(tmp_path / "agent")
    env.close()
    again = gym.wrappers.TimeAwareObservation(gym.make("Hopper-v5", healthy_reward=3.0))
    loaded = PAL.load(tmp_path / "agent", again)
    assert loaded.state.env_steps == agent.state.env_steps
    assert (
        repr(loaded)
        == f"PAL('Hopper-v5-as-given', seed=0): {agent.state.env_steps} environment steps"
    )
    for name, array in agent.get_parameters().items():
        np.testing.assert_array_equal(loaded.get_parameters()[name], array)


def test_a_seed_of_any_whole_type_is_saved(config, tmp_path):
    agent = PAL(config.task, seed=np.int64(3), settings=config.settings)
    agent.save(tmp_path / "agent")
    assert PAL.load(tmp_path / "agent").seed == 3


def test_actions_are_held_for_as_long_as_the_settings_say(config, tmp_path):
    settings = override(config.settings, {"collection.action_repeat": 4})
    agent = PAL("Pendulum-v1", settings=settings).learn(3)
    assert (agent.task.action_repeat, agent.task.horizon) == (4, 50)
    assert agent.num_timesteps == 0  # not one action
    agent.learn(400)
    assert len(agent.state.buffer) == 100
    agent.save(tmp_path / "held")
    assert PAL.load(tmp_path / "held").task.action_repeat == 4
    with pytest.raises(TaskError, match="Reacher7DOF: action_repeat = 4"):
        PAL("Reacher7DOF", settings=settings)


def test_a_changing_world_is_saved(config, tmp_path):
    agent = PAL("Reacher7DOF", settings=config.settings, perturb=("goal@20", "forearm@10"))
    assert [str(change) for change in agent.perturb] == ["forearm@10", "goal@20"]
    agent.save(tmp_path / "agent")
    loaded = PAL.load(tmp_path / "agent")
    assert loaded.perturb == agent.perturb
    assert loaded.task_now is loaded.task
    loaded.state = dataclasses.replace(loaded.state, env_steps=10)
    assert loaded.task_now.make(None).reset()[0][14] == pytest.approx(0.921)


def test_a_change_that_no_task_declares_is_refused(config):
    with pytest.raises(duopoly.PerturbationError, match="wind@5: InvertedPendulum-v5 has no"):
        PAL(config.task, settings=config.settings, perturb=["wind@5"])


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_bounds_is_refused(config, seed):
    with pytest.raises(ValueError, match=f"seed = {seed}"):
        PAL(config.task, seed=seed, settings=config.settings)


def test_a_schedule_of_ones_own_is_loaded_by_its_algorithm(agent, tmp_path):
    schedule = dataclasses.replace(agent.schedule, name="mine")
    Agent(agent.task, schedule, agent.settings, agent.seed, agent.state).save(tmp_path / "agent")
    assert Algorithm(schedule).load(tmp_path / "agent").schedule is schedule
    with pytest.raises(UsageError, match="holds an agent of mine, not of pal"):
        PAL.load(tmp_path / "agent")
    with pytest.raises(UsageError, match="unknown algorithm, mine"):
        load_agent(tmp_path / "agent")


def test_an_agent_that_a_dying_process_left_aside_is_found(agent, tmp_path):
    agent.save(tmp_path / "agent")
    (tmp_path / "agent").rename(tmp_path / f"{atomic.TEMPORARY_PREFIX}old-agent")
    assert PAL.load(tmp_path / "agent").state.round == agent.state.round
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]


def test_a_callback_may_stop(saved):
    agent = PAL.load(saved)
    agent.learn(1_000, callback=lambda round_: False)  # noqa: ARG005
    assert agent.num_timesteps == 40


def test_another_algorithms_agent_is_refused(saved):
    with pytest.raises(UsageError, match="holds an agent of pal, not of mal"):
        MAL.load(saved)


def test_another_task_is_refused(agent, saved):
    task = dataclasses.replace(agent.task, name="Mine")
    with pytest.raises(UsageError, match="for InvertedPendulum-v5, not for Mine"):
        PAL.load(saved, task=task)


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a run"):
        PAL.load(tmp_path / "nowhere")


def test_a_saved_agent_is_replaced_but_nothing_else(agent, finished_run, tmp_path):
    agent.save(tmp_path / "agent")
    agent.save(tmp_path / "agent")
    assert PAL.load(tmp_path / "agent").state.round == agent.state.round
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]
    with pytest.raises(UsageError, match="is a run directory"):
        agent.save(finished_run.path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").touch()
    (tmp_path / ".vscode").mkdir()
    (tmp_path / ".vscode" / "settings.json").write_text("{}")
    (tmp_path / "agent" / "notes.txt").touch()
    (tmp_path / "file").touch()
    for name in ("thesis", ".vscode", "agent", "file"):
        with pytest.raises(UsageError, match="holds something else"):
            agent.save(tmp_path / name)


def test_settings_that_do_not_fit_the_numbers_are_refused(saved, tmp_path):
    import shutil

    shutil.copytree(saved, tmp_path / "agent")
    path = tmp_path / "agent" / "settings.json"
    path.write_text(path.read_text().replace('"discount": 0.999', '"discount": 0.9'))
    with pytest.raises(
        DamageError, match=r"differs from all .*discount is 0\.999 there, 0\.9 here"
    ):
        PAL.load(tmp_path / "agent")


def test_public_names_are_all_there():
    for name in duopoly.__all__:
        assert getattr(duopoly, name) is not None
    assert set(duopoly.__all__) <= set(dir(duopoly))
    with pytest.raises(AttributeError, match="no attribute 'Pal'"):
        _ = duopoly.Pal  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"reward_fn": lambda *step: step[0][0]}, "reward_fn"),
        ({"horizon": 50}, "horizon"),
        ({"action_repeat": 2}, "make|horizon"),
    ],
)
def test_a_task_of_ones_own_has_a_name_of_its_own(changes, what):
    """It would be loaded as the registry's."""
    with pytest.raises(TaskError, match=f"another ({what}); give yours .* name='my-Pendulum-v1'"):
        PAL(make_task("Pendulum-v1", **changes), settings=TINY)
    PAL(make_task("Pendulum-v1", name="my-Pendulum-v1", **changes), settings=TINY)
    PAL(make_task("Pendulum-v1"), settings=TINY)
