"""What is mistyped is told in one line, at once, and before JAX is loaded."""

import contextlib
import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from duopoly.cli import main as cli
from duopoly.cli.commands import COMMANDS
from duopoly.cli.parsing import parse
from duopoly.cli.train import Train
from duopoly.lab.curves import LOOKS
from duopoly.presets import preset
from duopoly.runs.errors import UsageError
from duopoly.schedule import SCHEDULES, AlgorithmName

LONG = "x" * 300
MISTAKES = {
    "trian": "duopoly: unknown command 'trian'; did you mean 'train'?",
    "--verison": "duopoly: unknown flag '--verison'; did you mean '--version'?",
    "train": "duopoly train: TASK is missing; see --help",
    "train Hoper-v5": (
        "duopoly train: unknown task 'Hoper-v5'; did you mean Hopper-v5 or Pusher-v5?"
    ),
    "train Pendulum-v0": (
        "duopoly train: unknown task 'Pendulum-v0'; "
        "did you mean Pendulum-v1 or InvertedPendulum-v5?"
    ),
    "train os:Pendulum-v1": (
        "duopoly train: unknown task 'os:Pendulum-v1'; no module is imported for a name: "
        "register the environment in a program of your own and play it from there"
    ),
    "train CartPole-v1": (
        "duopoly train: CartPole-v1: action space is Discrete(2), but only a flat Box can be acted "
        "in: wrap it with gymnasium.wrappers.TransformAction"
    ),
    "train Hopper-v5 again": "duopoly train: unexpected argument 'again'; see --help",
    "train Hopper-v5 --sed 1": "duopoly train: unknown flag --sed; did you mean '--seed'?",
    "train Hopper-v5 -x": "duopoly train: unknown flag -x",
    "train Hopper-v5 --seed": "duopoly train: --seed needs a value",
    "train Hopper-v5 --seed --resume": "duopoly train: --seed needs a value",
    "train Hopper-v5 --seed -1": "duopoly train: --seed -1: must be in [0, 2,147,483,647]",
    "train Hopper-v5 --seed 1.5": "duopoly train: --seed '1.5': must be a whole number",
    "train Hopper-v5 --steps 0": (
        "duopoly train: --steps 0: without real steps a run needs --data to learn from"
    ),
    "train Hopper-v5 --steps -1": "duopoly train: --steps -1: must be in [0, 1,000,000,000,000]",
    "train Ant-v5 --collection.action-repeat 3": (
        "duopoly train: Ant-v5: action_repeat = 3, must divide the 1000 steps of an episode: "
        "choose 1, 2, 4 or 5"
    ),
    "train Hopper-v5 --steps 3 --collection.action-repeat 4": (
        "duopoly train: --steps 3: one action of Hopper-v5 alone takes 4"
    ),
    "train Hopper-v5 --steps 1": "duopoly train: --steps 1: one action of Hopper-v5 alone takes 2",
    f"train Hopper-v5 --out {LONG}": (
        f"duopoly train: cannot write to {LONG}/Hopper-v5/pal/seed_0: File name too long"
    ),
    f"train Hopper-v5 --resume --out {LONG}": (
        f"duopoly train: cannot read {LONG}/Hopper-v5/pal/seed_0/settings.json: File name too long"
    ),
    f"evaluate {LONG}": f"duopoly evaluate: cannot read {LONG}/settings.json: File name too long",
    "train Hopper-v5 --steps 1e4": "duopoly train: --steps '1e4': must be a whole number",
    "train Hopper-v5 --resume=yes": "duopoly train: --resume takes no value, got 'yes'",
    "train Hopper-v5 --algorithm pall": (
        "duopoly train: --algorithm 'pall': must be one of pal, mal, gda, br, auto, pets, "
        "metrpo, slbo, svg, dhmbpo, mbpo, sac; did you mean 'pal'?"
    ),
    "train Hopper-v5 --model.batch-sise 3": (
        "duopoly train: unknown flag --model.batch-sise; did you mean '--model.batch-size'?"
    ),
    "train Hopper-v5 --model.batch-size 0": (
        "duopoly train: --model.batch-size 0: must be at least 1"
    ),
    "train Hopper-v5 --model.hidden 8 x": (
        "duopoly train: --model.hidden 'x': must be a whole number"
    ),
    "train Hopper-v5 --model.hidden 8 0": "duopoly train: --model.hidden 0: must be at least 1",
    "train Hopper-v5 --policy.discount 1.5": (
        "duopoly train: --policy.discount 1.5: must be in [0, 1]"
    ),
    "train Hopper-v5 --policy.discount nan": (
        "duopoly train: --policy.discount 'nan': must be a finite number"
    ),
    "train Hopper-v5 --model.activation silo": (
        "duopoly train: --model.activation 'silo': must be one of relu, silu, tanh; "
        "did you mean 'silu'?"
    ),
    "train Hopper-v5 --policy.improver cem": (
        "duopoly train: improver = cem: in pal the policy leads by small steps, and a planner has "
        "no parameters to move; planners play mal, pets and metrpo"
    ),
    "train Hopper-v5 --algorithm pets --policy.planner.num-elites 999": (
        "duopoly train: policy.planner.num_elites = 999: must be at most num_samples = 100"
    ),
    "evaluate": "duopoly evaluate: RUN is missing; see --help",
    "evaluate nowhere": "duopoly evaluate: nowhere is not a run: it has no settings.json",
    "evaluate nowhere --episodes 0": ("duopoly evaluate: --episodes 0: must be in [1, 1,000,000]"),
    "plot": "duopoly plot: RUN is missing; see --help",
    "report": "duopoly report: RUN is missing; see --help",
    "report nowhere": "duopoly report: nowhere is not a run: it has no settings.json",
    "plot nowhere": "duopoly plot: nowhere is not a run: it has no settings.json",
    "video nowhere": "duopoly video: nowhere is not a run: it has no settings.json",
    "theory --games 5": "duopoly theory: --games 5: must be in [10, 1,000,000]",
    "theory --games -1": "duopoly theory: --games -1: must be in [10, 1,000,000]",
    "theory --states 0": "duopoly theory: --states 0: must be in [3, 64]",
    "theory --seed -1": "duopoly theory: --seed -1: must be in [0, 2,147,483,643]",
    "theory --state 5": "duopoly theory: unknown flag --state; did you mean '--states'?",
    "train Reacher7DOF --perturb": "duopoly train: --perturb needs a value",
    "train Reacher7DOF --perturb goal": (
        "duopoly train: --perturb 'goal': must be NAME@STEPS, such as goal@8000"
    ),
    "train Reacher7DOF --perturb goal@0": (
        "duopoly train: --perturb goal@0: the world changes after at least 1 step"
    ),
    "train Reacher7DOF --perturb gaol@9": (
        "duopoly train: --perturb gaol@9: Reacher7DOF has no such perturbation; "
        "there are forearm, goal, elbow, payload, elbow-goal"
    ),
    "train Hopper-v5 --perturb goal@9": (
        "duopoly train: --perturb goal@9: Hopper-v5 has no such perturbation; it declares none"
    ),
    "train Reacher7DOF --perturb goal@9 forearm@9": (
        "duopoly train: --perturb goal@9 and forearm@9 happen at once: move one of them"
    ),
    "train Reacher7DOF --perturb goal@9 --steps 9": (
        "duopoly train: --perturb goal@9: the run ends after 9 steps, before the world changes; "
        "give more --steps"
    ),
    "picture": "duopoly picture: WHAT is missing; see --help",
    "picture .": "duopoly picture: . is not a run: it has no settings.json",
    "picture Hopper-v5 --moments 0": "duopoly picture: --moments 0: must be in [1, 20]",
    "picture Hopper-v5 --width 9": "duopoly picture: --width 9: must be in [16, 4,096]",
    "picture Hopper-v5 --out x.mp3": (
        "duopoly picture: x.mp3: must end in one of .png, .jpg, .jpeg, .webp, .svg or .pdf"
    ),
    "tasks all": "duopoly tasks: unexpected argument 'all'; see --help",
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items(), ids=MISTAKES.keys())
def test_mistake_is_told_in_one_line(line, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", message + "\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "train Hoper-v5",
        "train Hopper-v5 --policy.discount 1.5",
        "train Hopper-v5 --policy.improver mppi",
        "train Hopper-v5 --perturb goal@9",
        "picture Hoper-v5",
        "plot nowhere",
        "train Hopper-v5 --out full",
    ],
)
def test_refused_before_jax_and_mujoco_are_loaded(line, tmp_path):
    full = tmp_path / "full" / "Hopper-v5" / "pal" / "seed_0"
    full.mkdir(parents=True)
    (full / "notes.txt").write_text("mine")
    code = (
        "import sys\n"
        "from duopoly.cli.main import main\n"
        "try:\n"
        f"    main({line.split()!r})\n"
        "finally:\n"
        "    assert not {'jax', 'mujoco'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        close_fds=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr


BESIDE_COMMANDS = {"__init__", "main", "parsing", "commands", "flags", "task_file"}


def test_a_command_is_one_file():
    """A module of the command's name defines what is typed and what is done, and nobody else."""
    folder = Path(cli.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} == BESIDE_COMMANDS | set(COMMANDS)
    for name, (kind, act, complete) in COMMANDS.items():
        module = importlib.import_module(f"duopoly.cli.{name}")
        own = [value for value in vars(module).values() if is_record_of(value, module.__name__)]
        assert own == [kind], name
        assert kind.__name__.lower() == name
        assert act is module.act
        assert complete is getattr(module, "complete", None)


def is_record_of(value: object, module: str) -> bool:
    is_record = isinstance(value, type) and dataclasses.is_dataclass(value)
    return is_record and value.__module__ == module


def test_defaults_come_from_the_preset():
    command = parse(["train", "Reacher7DOF"])
    found = preset("Reacher7DOF", "pal")
    assert isinstance(command, Train)
    assert (command.settings, command.steps) == (found.settings, found.num_env_steps)


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ("--perturb forearm@10000", 20_000),
        ("--perturb goal@1000", preset("Reacher7DOF", "pal").num_env_steps),
        ("--perturb goal@1000 --steps 1001", 1_001),
    ],
)
def test_a_run_lasts_beyond_the_change_of_its_world(words, steps):
    command = parse(["train", "Reacher7DOF", *words.split()])
    assert isinstance(command, Train)
    assert (command.perturb, command.steps) == ((words.split()[1],), steps)


def test_changes_are_put_in_the_order_of_time():
    command = parse(["train", "Reacher7DOF", "--perturb", "goal@20", "forearm@10", "--seed", "1"])
    assert isinstance(command, Train)
    assert command.perturb == ("forearm@10", "goal@20")


def test_a_run_without_evaluations_ends_without_a_picture(tmp_path, monkeypatch, capsys):
    def record(run, config, tracking, **_):
        run.path.mkdir(parents=True)
        run.settings.write_text(json.dumps(config.to_dict()))
        assert tracking.draw(run) is None

    monkeypatch.setattr("duopoly.cli.train.train_in", record)
    cli.main(["train", "Hopper-v5", "--out", str(tmp_path)])
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "no picture of the curve" in told


def test_the_algorithms_are_the_same_everywhere():
    assert set(get_args(AlgorithmName)) == set(SCHEDULES) == set(LOOKS)


def test_every_kind_of_flag_is_understood():
    words = "train duopoly/Reacher7DOF-v0 --algorithm=mal --model.hidden 8 9 --policy.discount 0.5"
    command = parse([*words.split(), "--policy.initial-log-std", "-1.5", "--seed", "3", "--resume"])
    assert isinstance(command, Train)
    assert (command.task, command.algorithm, command.seed) == ("Reacher7DOF", "mal", 3)
    assert (command.settings.model.hidden, command.settings.policy.discount) == ((8, 9), 0.5)
    assert (command.settings.policy.initial_log_std, command.resume) == (-1.5, True)


def test_what_a_preset_turns_on_can_be_turned_off(capsys: pytest.CaptureFixture[str]):
    words = ["train", "Hopper-v5", "--policy.improver", "svg"]
    off = "--collection.no-episodes-go-on"
    plain, without = parse(words), parse([*words, off])
    assert isinstance(plain, Train)
    assert isinstance(without, Train)
    assert plain.settings.collection.episodes_go_on
    assert not without.settings.collection.episodes_go_on
    with pytest.raises(SystemExit):
        cli.main([*words, "--help"])
    assert off in capsys.readouterr().out
    for wrong in ("--collection.no-initial-steps", f"{off}=1", "--no-collection.episodes-go-on"):
        with pytest.raises(UsageError, match="unknown flag --"):
            parse([*words, wrong])


def test_tiny_flags_give_the_tiny_settings(tiny_flags, config):
    command = parse(["train", config.task, *tiny_flags])
    assert isinstance(command, Train)
    assert command.settings == config.settings


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("--help", "evaluate"),
        ("--version", "duopoly "),
        ("train --help", "--model.batch-size"),
        ("train Reacher7DOF --help", f"(default: {preset('Reacher7DOF', 'pal').num_env_steps})"),
        ("plot --help", "RUN"),
        ("report --help", "--out"),
        ("evaluate --episodes 5 --help", "RUN"),
        ("train --seed 3 -h", "--model.batch-size"),
        ("theory --help", "--states"),
        ("tasks", "Reacher7DOF"),
    ],
)
def test_help(line, part, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with contextlib.suppress(SystemExit):
        cli.main(line.split())
    assert part in capsys.readouterr().out
