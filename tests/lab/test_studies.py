"""The studies: what they play is what their table says."""

from pathlib import Path

import pytest

from duopoly.cli.parsing import parse
from duopoly.lab.studies import STUDIES
from duopoly.presets import preset
from duopoly.settings import override


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_plays_what_its_row_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = STUDIES[name]
    assert study.name == name
    command = parse(study.words(Path("runs/studies"), 7))
    assert (command.task, command.algorithm, command.seed) == (study.task, study.algorithm, 7)
    assert (command.steps, command.perturb) == (study.num_env_steps, study.perturb)
    assert (command.out, command.resume) == (Path("runs/studies") / study.variant, True)
    found = preset(study.task, command.algorithm, study.changes.get("policy.improver"))
    assert command.settings == override(found.settings, study.changes)
    assert command.settings.evaluation.gap_steps == 0
