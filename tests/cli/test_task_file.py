"""A task from the user's own file: on every command that plays, and every way to get it wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from duopoly.agent import PAL
from duopoly.cli import main as cli
from duopoly.cli import task_file
from duopoly.cli.task_file import imported, load
from duopoly.runs.rundir import RunDirectory

MINE = """
import duopoly
from probes import PointEnv, point_reward, point_terminated

TASK = duopoly.make_task(
    lambda render_mode: PointEnv(), name="MyPoint", horizon=20, constant=(2,),
    reward_fn=point_reward, terminated_fn=point_terminated,
)
"""


@pytest.fixture
def mine(tmp_path) -> Path:
    path = tmp_path / "my_task.py"
    path.write_text(MINE)
    return path


def refused(capsys, *words: object) -> tuple[object, str]:
    """The exit code and the one line that a command answers with."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    told = capsys.readouterr().err
    assert told.count("\n") == 1, told
    return stop.value.code, told.removesuffix("\n")


def test_train_evaluate_and_film(mine, tmp_path, tiny_flags, monkeypatch, capsys):
    """One run: begun by the file alone, resumed with the name beside it, evaluated, refused."""
    monkeypatch.chdir(tmp_path)
    train = ["train", "--task-file", "my_task.py", *tiny_flags]
    cli.main([*train, "--steps", "60"])
    run = RunDirectory(tmp_path / "runs" / "MyPoint" / "pal" / "seed_0")
    assert run.read_config().task == "MyPoint"
    cli.main(["train", "MyPoint", *train[1:], "--steps", "100", "--resume"])
    assert json.loads(run.status.read_text())["env_steps"] == 100
    cli.main(["evaluate", str(run.path), "--episodes", "2", "--task-file", "my_task.py"])
    assert json.loads(run.evaluation.read_text())["task"] == "MyPoint"
    agent = PAL.load(run.path, task=load(mine))
    assert agent.state.env_steps == 100
    assert run.curve.exists()
    capsys.readouterr()

    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    path = run.path.relative_to(tmp_path)
    wanted = "is a run of 'MyPoint', a task of your own: give the file that defines it by --task-fi"
    for words in (["evaluate", path], ["video", path], ["train", "MyPoint", "--resume"]):
        code, told = refused(capsys, *words)
        assert (code, f"duopoly {words[0]}: {path} {wanted}" in told) == (2, True), told
    code, told = refused(capsys, "video", path, "--task-file", "my_task.py")
    assert (code, "MuJoCo" in told) == (1, True), told  # a point has nothing to film

    (tmp_path / "other.py").write_text(MINE.replace("MyPoint", "Other"))
    for words in (["evaluate", path], ["train", "MyPoint"]):
        code, told = refused(capsys, *words, "--task-file", "other.py")
        wanted = f"duopoly {words[0]}: other.py defines the task 'Other', not 'MyPoint'"
        assert (code, told) == (2, wanted)


def test_check(mine, capsys):
    cli.main(["check", "--task-file", str(mine), "--steps", "150"])
    assert capsys.readouterr().out.startswith("MyPoint: 150 actions")
    wrong = mine.with_name("wrong.py")
    wrong.write_text(MINE.replace("=point_reward", "=lambda o, a, n: -point_reward(o, a, n)"))
    with pytest.raises(SystemExit) as stop:
        cli.main(["check", "MyPoint", "--task-file", str(wrong), "--steps", "150"])
    shown, told = capsys.readouterr()
    assert stop.value.code == 1
    assert "reward_fn: DIFFERS at 1" in shown
    assert told == "duopoly check: MyPoint differs from its environment: reward_fn\n"


def test_check_of_a_built_in_task(capsys):
    cli.main(["check", "InvertedPendulum-v5", "--steps", "150"])
    assert "DIFFERS" not in capsys.readouterr().out


def test_check_on_the_actions_of_a_trained_policy(finished_run, capsys):
    path = str(finished_run.path)
    cli.main(["check", "InvertedPendulum-v5", "--steps", "150", "--policy", path])
    lone = capsys.readouterr().out
    assert "150 actions" in lone
    assert "DIFFERS" not in lone
    cli.main(["check", "InvertedPendulum-v5", "--steps", "150"])
    assert capsys.readouterr().out != lone  # random actions go elsewhere
    code, told = refused(capsys, "check", "Hopper-v5", "--policy", path)
    wanted = f"--policy {path}: was trained on InvertedPendulum-v5, not on Hopper-v5"
    assert (code, told) == (2, f"duopoly check: {wanted}")


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_broken_function_is_one_line(command, mine, tmp_path, capsys):
    """Training finds it before anything is written."""
    broken = mine.with_name("broken.py")
    broken.write_text(MINE.replace("=point_reward", "=lambda o, a, n: n"))
    words = ["--out", tmp_path / "runs"] if command == "train" else []
    code, told = refused(capsys, command, "--task-file", broken, *words)
    assert code == 1
    assert told.startswith(f"duopoly {command}: MyPoint: reward_fn returns shape (3,)")
    assert not (tmp_path / "runs").exists()


FAULTS = {
    "import duopoly\nTASK = duopoly.mk_task()\n": "{}, line 2: AttributeError: module 'duopoly'",
    "def f():\n    raise ValueError('no')\n\nf()\n": "{}, line 2: ValueError: no",
    "import duopoly\nTASK = duopoly.make_task('No-v0')": "{}, line 2: TaskError: No-v0: ",
    "x = 1\nTASK = = 3\n": "{}, line 2: SyntaxError: invalid syntax",
    "import sys\nsys.exit(3)\n": "{}, line 2: SystemExit: 3",
    "import no_such_thing\n": "{}, line 1: ModuleNotFoundError: No module named 'no_such_thing'",
    "Task = 3\n": "{} defines no TASK; give it one, TASK = duopoly.make_task(…); did you mean",
    "TASK = lambda: 3\n": "{}: TASK is of type function, must be a duopoly.Task",
    MINE.replace("MyPoint", "Reacher7DOF"): "{}: TASK is named 'Reacher7DOF', like a task that is ",
    MINE.replace("MyPoint", "Pendulum-v1"): "{}: TASK is named 'Pendulum-v1', like a task that is ",
    "\x00": "{}: ",
}


@pytest.mark.parametrize(("text", "message"), FAULTS.items(), ids=range(len(FAULTS)))
def test_a_faulty_file_is_told_in_one_line(text, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_task.py").write_text(text)
    code, told = refused(capsys, "train", "--task-file", "my_task.py")
    assert code == 2
    assert told.startswith(f"duopoly train: {message.format('my_task.py')}"), told
    assert [path.name for path in tmp_path.iterdir()] == ["my_task.py"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --task-file gone.py", "train: --task-file gone.py: there is no such file"),
        ("train --task-file folder.py", "train: --task-file folder.py: is not a file"),
        ("train --task-file my.txt", "train: --task-file my.txt: must be a Python file"),
        ("train --task-file", "train: --task-file needs a value"),
        ("check", "check: TASK is missing; see --help"),
        (
            "check Hoper-v5",
            "check: unknown task 'Hoper-v5'; did you mean Hopper-v5 or Pusher-v5?",
        ),
        ("check Hopper-v5 --steps 1", "check: --steps 1: must be in [100, 10,000,000]"),
        ("train One Two --task-file my.txt", "train: unexpected argument 'Two'; see --help"),
        ("train --task-file fatal.py --sed 1", "train: unknown flag --sed; did you mean '--seed'?"),
        ("evaluate --task-file fatal.py", "evaluate: RUN is missing; see --help"),
        ("evaluate gone --task-file fatal.py", "evaluate: gone is not a run: it has no settings"),
    ],
)
def test_what_is_mistyped_is_told_before_the_file_is_run(
    line, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "my.txt").touch()
    (tmp_path / "fatal.py").write_text("raise SystemExit('the file was run')")
    code, told = refused(capsys, *line.split())
    assert code == 2
    assert told.startswith(f"duopoly {message}"), told


def test_a_mistyped_flag_is_refused_before_jax_is_loaded(mine):
    code = (
        "import sys\n"
        "from duopoly.cli.main import main\n"
        "try:\n"
        f"    main(['train', '--task-file', {str(mine)!r}, '--seed', 'x'])\n"
        "finally:\n"
        "    assert not {'jax', 'mujoco'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, close_fds=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_a_file_is_run_once_and_may_import_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_my_task.py").write_text("RUNS = []\n")
    path = tmp_path / "my_task.py"
    path.write_text(MINE + "\nimport neighbour_of_my_task\nneighbour_of_my_task.RUNS.append(1)\n")
    assert load(path) is load(path)
    assert sys.modules["neighbour_of_my_task"].RUNS == [1]
    sys.path.remove(str(tmp_path))


def test_an_environment_registered_by_the_file_may_lend_its_name(mine):
    mine.write_text(
        "import gymnasium\nfrom probes import PointEnv\n"
        "gymnasium.register('MyPoint-v0', lambda render_mode: PointEnv(), max_episode_steps=20)\n"
        "import duopoly\nTASK = duopoly.make_task('MyPoint-v0')\n"
    )
    assert load(mine, "MyPoint-v0").horizon == 20


PACKAGE = """
import gymnasium as gym
from gymnasium.envs.classic_control.pendulum import PendulumEnv

gym.register("{name}-v0", PendulumEnv, max_episode_steps=7)
"""


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """A package that registers an environment."""
    monkeypatch.setattr(task_file, "_imported", {})
    name = f"robots_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(PACKAGE.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_package_is_imported_where_it_is_typed(package, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["check", f"{package}-v0", "--steps", "100"])
    assert stop.value.code == 2
    assert f"unknown task '{package}-v0'" in capsys.readouterr().err
    cli.main(["check", f"{package}-v0", f"--import={package}", "--steps", "100"])
    assert "100 actions in 15 episodes" in capsys.readouterr().out
    assert ["--import", package] == imported()[-2:]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--import"], "--import needs the name of a package"),
        (["--import", "--steps"], "--import needs the name of a package"),
        (["--import", "no_such_robots"], "there is no module 'no_such_robots' here; install it"),
        (["--import=broken_robots"], "--import broken_robots: RuntimeError: out of order"),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_line(words, told, tmp_path, monkeypatch, capsys):
    (tmp_path / "broken_robots.py").write_text("raise RuntimeError('out of order')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(["check", "Pendulum-v1", *words])
    assert stop.value.code == 2
    found = capsys.readouterr().err
    assert told in found
    assert found.count("\n") == 1


def test_a_task_of_ones_own_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "off")
    path = tmp_path / "my_arm.py"
    path.write_text(
        "import gymnasium as gym, duopoly\n"
        "TASK = duopoly.make_task("
        "lambda render_mode: gym.make('Reacher-v5'), name='MyArm', horizon=5)\n"
    )
    for words in ([], ["MyArm", "Reacher-v5"]):
        out = tmp_path / "arm.png"
        cli.main(["picture", *words, "--task-file", str(path), "--out", str(out), "--width", "32"])
        assert out.read_bytes().startswith(b"\x89PNG")
