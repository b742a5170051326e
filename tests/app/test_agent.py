"""The Python API: learn, predict, save, load."""

import dataclasses

import numpy as np
import pytest

import duopoly
from duopoly.app.agent import MAL, PAL, Agent
from duopoly.app.errors import DamageError, UsageError


@pytest.fixture(scope="module")
def agent(finished_run) -> Agent:
    return PAL.load(finished_run.path)


@pytest.fixture(scope="module")
def saved(agent, tmp_path_factory):
    path = tmp_path_factory.mktemp("agents") / "agent"
    agent.save(path)
    return path


def weights(agent: Agent) -> list[np.ndarray]:
    return [*agent.policy.weights, *agent.policy.biases, agent.policy.std]


def test_a_run_directory_is_loaded_with_its_progress(agent, identity):
    assert agent.state.env_steps == identity.steps
    assert agent.settings == identity.settings
    assert (agent.task.name, agent.seed) == (identity.task, identity.seed)


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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(agent, bad):
    obs = np.zeros((3, 4))
    obs[1, 2] = bad
    with pytest.raises(ValueError, match=r"not finite: component \(1, 2\) is (nan|inf|-inf)"):
        agent.predict(obs)


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


def test_counting_anew_keeps_what_was_learned(saved):
    rounds = []
    agent = PAL.load(saved)
    before = agent.state.env_steps
    assert agent.learn(40, callback=rounds.append) is agent
    assert (agent.num_timesteps, agent.state.env_steps) == (40, before + 40)
    assert [round_.metrics["time/total_timesteps"] for round_ in rounds] == [before + 40]


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
    (tmp_path / "file").touch()
    for name in ("thesis", "file"):
        with pytest.raises(UsageError, match="holds something else"):
            agent.save(tmp_path / name)


def test_settings_that_do_not_fit_the_numbers_are_refused(saved, tmp_path):
    import shutil

    shutil.copytree(saved, tmp_path / "agent")
    path = tmp_path / "agent" / "settings.json"
    path.write_text(path.read_text().replace('"discount": 0.999', '"discount": 0.9'))
    with pytest.raises(DamageError, match="no sound checkpoint"):
        PAL.load(tmp_path / "agent")


def test_public_names_are_all_there():
    for name in duopoly.__all__:
        assert getattr(duopoly, name) is not None
    assert set(duopoly.__all__) <= set(dir(duopoly))
    with pytest.raises(AttributeError, match="no attribute 'Pal'"):
        _ = duopoly.Pal  # pyright: ignore[reportAttributeAccessIssue]
