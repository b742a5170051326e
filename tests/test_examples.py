"""The examples run, with less to learn."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from probes import TINY

from duopoly import check_task
from duopoly.agent import PAL, Agent
from duopoly.cli.main import main
from duopoly.cli.task_file import load
from duopoly.presets import Preset
from duopoly.render.frames import render_moments
from duopoly.settings import override
from duopoly.world.interaction import memoryless
from duopoly.world.tasks import get_task

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_quickstart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learn = Agent.learn
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("duopoly.agent.preset", lambda *_: Preset(TINY, 1))
    monkeypatch.setattr(Agent, "learn", lambda agent, steps, **_: learn(agent, steps / 40))
    names = runpy.run_path(str(EXAMPLES / "quickstart.py"))
    assert "final distance" in capsys.readouterr().out
    assert names["same_agent"].num_timesteps == names["agent"].num_timesteps == 200


def test_custom_task(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = EXAMPLES / "custom_task.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40
    learn = Agent.learn
    monkeypatch.setattr("duopoly.Settings", lambda *_: TINY, raising=False)
    monkeypatch.setattr(
        Agent, "learn", lambda agent, steps, **words: learn(agent, steps / 10, **words)
    )
    names = runpy.run_path(str(path), run_name="__main__")
    told = capsys.readouterr().out
    assert told.startswith("Cart: 2,000 actions")
    assert "DIFFERS" not in told
    assert names["agent"].num_timesteps == 200
    assert np.isfinite(float(told.splitlines()[-1]))


@pytest.mark.parametrize(
    ("file", "extra", "packages"),
    [
        ("fetch_reach.py", "robotics", ["gymnasium_robotics"]),
        ("dm_control_cartpole.py", "dm-control", ["dm_control", "shimmy"]),
    ],
)
def test_robots_of_other_packages(
    file: str, extra: str, packages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "off")  # dm_control looks for a display otherwise, and warns
    for package in packages:
        pytest.importorskip(package, reason=f"the example needs duopoly[{extra}]")
    task = load(EXAMPLES / file)
    assert "DIFFERS" not in str(check_task(task, 150))
    agent = PAL(task, settings=override(TINY, {"evaluation.num_episodes": 1}))
    returns = []
    agent.learn(260, callback=lambda round_: returns.append(round_.metrics["eval/mean_reward"]))
    assert agent.num_timesteps == 260
    assert len(returns) == 2
    assert np.isfinite(returns).all()


def test_a_task_of_the_control_suite_needs_no_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "off")
    for package in ("dm_control", "shimmy"):
        pytest.importorskip(package, reason="it needs duopoly[dm-control]")
    main(["check", "dm_control/reacher-easy-v0", "--import", "shimmy", "--steps", "100"])
    assert "dm_control/reacher-easy-v0: 100 actions in" in capsys.readouterr().out
    task = get_task("dm_control/reacher-easy-v0")
    still = memoryless(lambda obs, rng: np.zeros(2))  # noqa: ARG005
    ((_, frame),) = render_moments(task, still, 0, 1, (12, 16))
    assert frame.std() > 10


def test_a_log_of_numpy_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.npz"
    monkeypatch.setattr("sys.argv", ["log_transitions.py", str(path), "80"])
    runpy.run_path(str(EXAMPLES / "log_transitions.py"))
    agent = PAL("InvertedPendulum-v5", settings=TINY, data=path)
    assert agent.state.log is not None
    assert agent.state.log.transitions == 80
