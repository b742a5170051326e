"""A sweep's file: what it says is what is played, and a mistake is told with its line and key."""

from pathlib import Path

import pytest

from duopoly.cli.main import main
from duopoly.cli.parsing import parse
from duopoly.runs.errors import UsageError
from duopoly.sweep.grid import read_grid
from duopoly.sweep.study import SEEDS, Study

WHOLE = """\
tasks = ["Hopper-v5", "Reacher7DOF"]
algorithms = ["pal", "mal"]
improvers = ["npg", "svg"]
seeds = "0-2,7"
steps = 9_000

[settings]
model.window = 20_000
"model.hidden" = [8, 9]

[settings.evaluation]
gap_steps = 0

[variants.short]  # how far ahead
imagination.horizon = 50

[variants."with-noise"]
model.bootstrap = true
policy.initial_log_std = -1.5
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def test_every_combination_is_a_study(tmp_path):
    studies = read_grid(written(tmp_path, WHOLE)).studies
    assert len({study.name for study in studies}) == len(studies) == 2 * 2 * 2 * 2
    assert studies[0].name == "Hopper-v5/pal-npg-short"
    assert studies[0].seeds == (0, 1, 2, 7)
    assert studies[-1] == Study(
        "Reacher7DOF",
        "mal-svg-with-noise",
        "mal",
        9_000,
        {
            "policy.improver": "svg",
            "model.window": 20_000,
            "model.hidden": [8, 9],
            "evaluation.gap_steps": 0,
            "model.bootstrap": True,
            "policy.initial_log_std": -1.5,
        },
        (),
        (0, 1, 2, 7),
    )


def test_what_a_study_changes_reaches_the_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = parse(read_grid(written(tmp_path, WHOLE)).studies[-1].words(Path("runs"), 7))
    assert (command.task, command.seed, command.steps) == ("Reacher7DOF", 7, 9_000)
    settings = command.settings
    assert (settings.model.hidden, settings.model.bootstrap) == ((8, 9), True)
    assert (settings.policy.improver, settings.policy.initial_log_std) == ("svg", -1.5)


def test_a_task_alone_is_enough(tmp_path):
    [study] = read_grid(written(tmp_path, 'tasks = "duopoly/Reacher7DOF-v0"')).studies
    assert study.name == "duopoly_Reacher7DOF-v0/pal"
    assert (study.num_env_steps, study.changes, study.seeds) == (None, {}, SEEDS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "sweep.toml, tasks: is missing"),
        ("tasks = 'A'\nalgorithm = 'pal'", "line 2, algorithm: no key of a sweep; did you mean"),
        ("tasks = 'A'\nalgorithms = ['pla']", "line 2, algorithms: 'pla': must be one of pal, mal"),
        ("tasks = ['A', 'B', 'A']", "line 1, tasks: 'A' stands there twice"),
        ("tasks = []", "line 1, tasks: is empty"),
        ("tasks = 3", "line 1, tasks: 3 is no list of texts"),
        ("tasks = 'A'\nsteps = 0", "line 2, steps: 0 is no whole number"),
        (
            "tasks = 'A'\ndata = 'a.npz'\nsteps = -1",
            "line 3, steps: -1 is no whole number of at le",
        ),
        ("tasks = 'A'\ndata = ['a.npz', 'a.npz']", "line 2, data: 'a.npz' stands there twice"),
        ("tasks = 'A'\nsteps = true", "line 2, steps: True is no whole number"),
        ("tasks = 'A'\n\nseeds = '3-1'", "line 3, seeds: seeds 3-1: '3-1' is no seed"),
        ("tasks = 'A'\nsettings = 3", "line 2, settings: is no table"),
        ("tasks = 'A'\n[settings]\nx = 2020-01-01", "line 3, settings.x: "),
        ("tasks = 'A'\n[variants.'a/b']\nx = 1", "line 2, variants.a/b: a variant's name"),
        ("tasks = 'A'\n[variants.b]\nx.y = {z = 1979-05-27}", "variants.b.x.y.z: "),
        ("tasks = ['A'", "sweep.toml: "),
    ],
)
def test_a_mistake_is_told_with_its_line_and_key(text, told, tmp_path):
    with pytest.raises(UsageError) as error:
        read_grid(written(tmp_path, text))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tasks = ['Reacher7DOF',\n 'Hoper-v5']", "line 1, tasks: unknown task 'Hoper-v5'"),
        ("tasks = 'Reacher7DOF'\n[settings]\nmodel.windw = 1", "line 3, settings.model.windw: "),
        (
            "tasks = 'Reacher7DOF'\n[variants.a]\nmodel.window = 'x'",
            "line 3, variants.a.model.window: --model.window 'x': must be a whole number",
        ),
        (
            "tasks = 'Reacher7DOF'\nsteps = 0\ndata = ['nowhere.npz']",
            "line 3, data: nowhere.npz: nowhere.npz is missing",
        ),
        (
            "tasks = 'Reacher7DOF'\ndata = 'sweep.toml'",
            "line 2, data: sweep.toml: is damaged or no .npz file of numbers",
        ),
        ("tasks = 'Reacher7DOF'\nperturb = ['gaol@5']", "line 2, perturb: --perturb "),
        (
            "tasks = 'Reacher7DOF'\nimprovers = 'svg'\n[settings]\npolicy.actor_critic.horizon=0",
            "line 4, settings.policy.actor_critic.horizon: ",
        ),
    ],
)
def test_what_a_command_line_would_refuse_is_refused_before_anything_starts(
    text, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, text)
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "sweep.toml"])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]


def test_a_run_that_stands_twice_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "tasks = 'Reacher7DOF'\nsteps = 8000")
    with pytest.raises(SystemExit):
        main(["sweep", "Reacher7DOF/pal", "sweep.toml"])
    told = "Reacher7DOF/pal, seed 0, stands twice: the command line, sweep.toml"
    assert told in capsys.readouterr().err
