"""A policy taken elsewhere acts as it does here, in every format, and nothing else is exported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from duopoly import PAL, PETS
from duopoly.agent import Agent
from duopoly.cli.main import main
from duopoly.export import FORMATS, reader
from duopoly.export.folder import TOLERANCE, compare, load, write
from duopoly.export.policy import read_policy
from duopoly.game.state import with_policy
from duopoly.runs.errors import DamageError, FailureError, UsageError
from duopoly.runs.rundir import RunDirectory
from duopoly.settings import override
from duopoly.world.custom import make_task
from duopoly.world.tasks.catalogue import CATALOGUE
from tests.tiny_runs import TINY


def restless(agent: Agent, scale: float = 0.3) -> Agent:
    """An agent whose numbers are all moved, so that none of them can be left out unnoticed."""
    state = agent.state
    numbers, rest = eqx.partition(state.players.policy, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(numbers)
    rng = np.random.default_rng(0)
    moved = [leaf + scale * np.abs(rng.standard_normal(leaf.shape)) for leaf in leaves]
    moved = [jax.numpy.asarray(leaf, jax.numpy.float32) for leaf in moved]
    policy = eqx.combine(jax.tree.unflatten(structure, moved), rest)
    agent.state = with_policy(state, policy)
    return agent


def saved(task, tmp_path, improver="npg") -> Agent:
    """An agent with moved numbers, and saved."""
    settings = override(TINY, {"policy.improver": improver, "policy.actor_critic.hidden": (4,)})
    agent = restless(PAL(task, settings=settings))
    agent.save(tmp_path / "agent")
    return agent


@pytest.mark.parametrize("name", [row.name for row in CATALOGUE.values()])
@pytest.mark.parametrize("improver", ["npg", "svg"])
def test_every_format_acts_as_predict_on_every_task(name, improver, tmp_path):
    agent = saved(name, tmp_path, improver)
    policy = read_policy(RunDirectory(tmp_path / "agent"))
    write(policy, tuple(FORMATS), tmp_path / "out")
    obs = np.random.default_rng(1).standard_normal((64, agent.task.spec.obs_dim))
    expected = agent.predict(obs, deterministic=True)[0]
    half = (agent.task.spec.action_high - agent.task.spec.action_low) / 2
    assert np.std(expected / half) > 0.02, "a policy that does nothing proves nothing"
    for format_ in FORMATS:
        action = load(format_, tmp_path / "out")(obs.astype(np.float32))
        assert np.max(np.abs(action - expected) / half) <= TOLERANCE, format_
        assert action.dtype == expected.dtype


@pytest.mark.parametrize("format_", FORMATS)
def test_any_number_of_observations(format_, tmp_path):
    saved("Pendulum-v1", tmp_path)
    policy = read_policy(RunDirectory(tmp_path / "agent"))
    write(policy, (format_,), tmp_path / "out")
    act = load(format_, tmp_path / "out")
    obs = np.zeros((5, 3), np.float32)
    assert act(obs).shape == (5, 1)
    np.testing.assert_allclose(act(obs[:1]), act(obs)[:1], rtol=1e-6)


def test_the_reader_is_short_and_needs_numpy_alone(tmp_path):
    agent = saved("Pendulum-v1", tmp_path)
    main(["export", str(tmp_path / "agent"), "--formats", "numpy"])
    folder = tmp_path / "agent" / "export"
    assert {path.name for path in folder.iterdir()} == {"policy.py", "policy.json", "policy.npz"}
    program = (
        "import sys, policy; action = policy.load()([0.1, 0.2, 0.3])\n"
        "assert not {'jax', 'duopoly', 'scipy'} & set(sys.modules)\n"
        "print(repr(action.tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, check=True, capture_output=True, text=True
    )
    expected, _ = agent.predict(np.array([0.1, 0.2, 0.3]), deterministic=True)
    assert json.loads(done.stdout) == expected.tolist()
    code = [line for line in Path(reader.__file__).read_text().splitlines() if line.strip()]
    assert len(code) <= 40


def test_ones_own_task_is_not_needed(tmp_path, capsys):
    task = make_task("Pendulum-v1", name="my swing")
    saved(task, tmp_path)
    main(["export", str(tmp_path / "agent"), "--out", str(tmp_path / "out")])
    assert json.loads((tmp_path / "out" / "policy.json").read_text())["task"] == "my swing"
    assert "policy.onnx" in capsys.readouterr().out


def test_a_finished_run_is_exported(finished_run, tmp_path):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run.path, run.path)
    main(["export", str(run.path)])
    main(["export", str(run.path)])  # and again, in its place
    policy = read_policy(run)
    assert policy.env_steps > 0
    assert all(one.difference <= TOLERANCE for one in compare(policy, tuple(FORMATS), run.export))


def test_a_planner_has_nothing_to_export(tmp_path, capsys):
    settings = override(TINY, {"policy.improver": "cem"})
    PETS("Pendulum-v1", settings=settings).save(tmp_path / "agent")
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(tmp_path / "agent")])
    assert stopped.value.code == 2
    assert "plans its actions (cem)" in capsys.readouterr().err


def test_what_acts_otherwise_is_told(tmp_path):
    saved("Pendulum-v1", tmp_path)
    policy = read_policy(RunDirectory(tmp_path / "agent"))
    write(policy, ("numpy",), tmp_path / "out")
    with np.load(tmp_path / "out" / "policy.npz") as file:
        numbers = dict(file)
    numbers["bias_0"] = numbers["bias_0"] + 0.1
    np.savez(tmp_path / "out" / "policy.npz", **numbers)
    with pytest.raises(FailureError, match="acts otherwise than the policy"):
        compare(policy, ("numpy",), tmp_path / "out")


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    saved("Pendulum-v1", tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path / "agent"), "--out", str(tmp_path / "out")])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"obs_dim": 0}, "those of no task"),
        ({"obs_dim": 4, "obs_names": []}, "expected float32"),
        ({"obs_names": ["a"]}, "obs_names must be a text"),
        ({"action_low": [3.0]}, "those of no task"),
        ({"action_low": ["a"]}, "must be finite numbers"),
        ({"action_dtype": "object"}, "must be float16, float32"),
        ({"angles": [7]}, "must be components"),
        ({"more": 1}, "unknown or missing: more"),
    ],
)
def test_damaged_spaces_are_refused(tmp_path, change, reason):
    saved("Pendulum-v1", tmp_path)
    run = RunDirectory(tmp_path / "agent")
    record = json.loads(run.spaces.read_text()) | change
    run.spaces.write_text(json.dumps(record))
    with pytest.raises(DamageError, match=reason):
        read_policy(run)


def test_runs_of_earlier_versions_ask_the_task(tmp_path):
    saved("Pendulum-v1", tmp_path)
    run = RunDirectory(tmp_path / "agent")
    run.spaces.unlink()
    assert read_policy(run).spec.obs_dim == 3
    saved(make_task("Pendulum-v1", name="my swing"), tmp_path)
    run.spaces.unlink()
    with pytest.raises(UsageError, match="go on with it by `duopoly train --resume`"):
        read_policy(run)


@pytest.mark.parametrize(("format_", "package"), [("onnx", "onnx"), ("stablehlo", "flatbuffers")])
def test_a_missing_package_is_told(tmp_path, monkeypatch, format_, package):
    saved("Pendulum-v1", tmp_path)
    policy = read_policy(RunDirectory(tmp_path / "agent"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=rf"{format_} needs {package}.*duopoly\[export\]"):
        write(policy, (format_,), tmp_path / "out")
    assert not (tmp_path / "out").exists()
