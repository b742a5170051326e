"""The studies: what they play is what their table says, and what they keep is found again."""

import json
import subprocess
from pathlib import Path

import pytest

from duopoly.cli.parsing import parse
from duopoly.lab import studies
from duopoly.lab.studies import KEPT, STUDIES, Study, algorithm_of, train_words
from duopoly.presets import preset
from duopoly.settings import override


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_plays_what_its_row_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, (task, variant) = STUDIES[name], name.split("/")
    command = parse(train_words(name, 7))
    assert (command.task, command.algorithm, command.seed) == (task, algorithm_of(name), 7)
    assert (command.steps, command.perturb) == (study.num_env_steps, study.perturb)
    assert (command.out, command.resume) == (Path("runs/studies") / variant, True)
    changes = {**study.changes, "evaluation.gap_steps": 0}
    found = preset(task, command.algorithm, study.changes.get("policy.improver"))
    assert command.settings == override(found.settings, changes)


def test_every_kind_of_change_becomes_words(monkeypatch):
    changes = {"model.hidden": (8, 9), "model.bootstrap": True, "policy.initial_log_std": -1.5}
    monkeypatch.setitem(STUDIES, "Hopper-v5/pal-new", Study(100, changes))
    settings = parse(train_words("Hopper-v5/pal-new", 0)).settings
    assert (settings.model.hidden, settings.model.bootstrap) == ((8, 9), True)
    assert settings.policy.initial_log_std == -1.5


def fake_duopoly(command: list[str], **_: object) -> None:
    """Leaves the files that training and evaluating would leave; seed 1 fails."""
    _, _, _, verb, *words = command
    if verb == "evaluate":
        found = {"env_steps": 9, "num_episodes": 5, "mean_return": 2.5, "success_rate": None}
        path = Path(words[0])
        if "--best" in words:
            path, found = path / "best", {**found, "env_steps": 7_000, "mean_return": 8.25}
        (path / "evaluation.json").write_text(json.dumps(found))
        return
    seed, out = (words[words.index(flag) + 1] for flag in ("--seed", "--out"))
    if seed == "1":
        raise subprocess.CalledProcessError(1, command)
    path = Path(out) / words[0] / "pal" / f"seed_{seed}"
    (path / "best").mkdir(parents=True)
    names = "time/iterations,time/total_timesteps,time/time_elapsed,eval/mean_reward"
    table = f"{names}\n1,5000,9,0\n2,7000,20.1,9\n3,10000,60.4,2\n"
    for file in KEPT:
        (path / file).write_text(table if file.endswith("csv") else "{}")


def test_results_are_kept_and_tabulated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(studies.subprocess, "run", fake_duopoly)
    with pytest.raises(SystemExit) as stop:
        studies.main(["Hopper-v5/pal", "--seeds", "0", "1", "2"])
    assert stop.value.code == 1
    told = capsys.readouterr().out
    assert "Hopper-v5/pal, seed 1: failed, see its log in runs/studies" in told
    assert "Hopper-v5/pal, seed 2: done" in told
    kept = tmp_path / "results" / "Hopper-v5" / "pal"
    assert {path.name for path in kept.iterdir()} == {"seed_0", "seed_2"}
    assert {path.name for path in (kept / "seed_0").iterdir()} == set(KEPT.values())
    studies.main(["Hopper-v5/pal", "Hopper-v5/mal", "--table", "--levels", "1", "3"])
    assert capsys.readouterr().out.splitlines() == [
        "Hopper-v5/pal, 9 environment steps, 5 episodes",
        "| mean_return | 2.5 | 2.5 | 2.5 (2.5 to 2.5) |",
        "| best policy's return | 8.25 at 7,000 | 8.25 at 7,000 | 8.25 (8.25 to 8.25) |",
        "| steps to 1 | 7,500 | 7,500 | 7,500 (7,500 to 7,500) |",  # of 5 000 and 10 000 alone
        "| steps to 3 | never | never | never (never to never) |",
        "| seconds | 60 | 60 | |",
        "Hopper-v5/mal: no results yet",
    ]


def test_without_a_name_the_studies_are_listed(capsys):
    studies.main([])
    assert capsys.readouterr().out.split() == list(STUDIES)


@pytest.mark.parametrize("words", [["Hopper-v5/pals"], ["Hopper-v5/pal", "--jobs", "0"]])
def test_what_is_mistyped_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        studies.main(words)
    assert stop.value.code == 2
    assert "error: " in capsys.readouterr().err
