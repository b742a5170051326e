"""The examples run, with less to learn."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from probes import TINY

from duopoly.agent import PAL, Agent
from duopoly.presets import Preset

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


def test_a_log_of_numpy_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.npz"
    monkeypatch.setattr("sys.argv", ["log_transitions.py", str(path), "80"])
    runpy.run_path(str(EXAMPLES / "log_transitions.py"))
    agent = PAL("InvertedPendulum-v5", settings=TINY, data=path)
    assert agent.state.log is not None
    assert agent.state.log.transitions == 80
