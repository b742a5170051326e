"""The tutorial "Your own robot" is run as it stands, and `check` says what it says of it."""

# ruff: noqa: ARG001, ARG005
# (The functions of a task take what they are handed.)

import csv
import dataclasses
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duopoly
from duopoly.cli.main import main
from duopoly.cli.task_file import load

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "your_own_robot.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    """A fenced block: its language, the file that it is part of, and what stands in it."""

    language: str
    file: str
    code: str


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", TEXT, re.M | re.S)]
FILES = {
    name: "\n\n".join(block.code for block in BLOCKS if block.file == name)
    for name in dict.fromkeys(block.file for block in BLOCKS if block.file)
}
EXAMPLES = ROOT / "examples"


def test_it_is_sixty_lines() -> None:
    code = [block.code for block in BLOCKS if block.language != "text"]
    assert sum(len(part.splitlines()) for part in code) <= 60


def test_the_examples_are_what_it_makes() -> None:
    assert (EXAMPLES / "dict_robot.xml").read_text("utf-8") == FILES["dict_robot.xml"]
    head, opening, body = (EXAMPLES / "dict_robot.py").read_text("utf-8").partition("from pathlib")
    assert opening + body == FILES["dict_robot.py"]
    assert len(head.splitlines()) == 3


def run(line: str) -> None:
    """Runs a line of the shell: commands of duopoly in this process, as their own tests do."""
    program, *words = shlex.split(line)
    if program == "duopoly":
        main(words)
        return
    if program == "pip":
        # Asked whether the checkout can be installed: what it needs is there, and it itself, too.
        offline = "--dry-run --no-deps --no-index --no-build-isolation --disable-pip-version-check"
        words = ["-m", "pip", *words, *offline.split()]
    python = [sys.executable, *words]
    done = subprocess.run(python, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)


def test_from_nothing_to_an_exported_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "duopoly").symlink_to(ROOT)
    told = ""
    for block in BLOCKS:
        if block.file:
            Path(block.file).write_text(FILES[block.file], encoding="utf-8")
        elif block.language == "text":
            assert not set(shapes(block.code)) - set(shapes(told))
        else:
            assert block.language == "sh"
            for line in block.code.splitlines():
                run(line)
            told = capsys.readouterr().out

    run_ = Path("runs/Puck/pal/seed_0")
    with (run_ / "progress.csv").open() as file:
        returns = [float(row["eval/mean_reward"]) for row in csv.DictReader(file)]
    assert returns[-1] > returns[0] / 2, returns
    # Towards the goal, which lies up and to the right; those are the last words of the tutorial.
    x, y = map(float, told.strip(" []\n").split())
    assert x > 0
    assert y > 0
    agent = duopoly.PAL.load(run_, load(Path("dict_robot.py")))
    obs = {"achieved_goal": [0.1, -0.2], "desired_goal": [0.3, 0.3], "velocity": [0.0, 0.0]}
    action, _ = agent.predict({name: np.array(x) for name, x in obs.items()}, deterministic=True)
    np.testing.assert_allclose([x, y], action, atol=1e-4)
    others = {"duopoly", "jax", "equinox", "gymnasium", "mujoco", "scipy"}
    tail = f"import sys; assert not {others} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", FILES["act.py"] + tail], check=True, capture_output=True)


def shapes(text: str) -> list[str]:
    """Lines without the numbers in them, and without what space stands between."""
    return [" ".join(re.sub(r"-?\d[\d.,:e+-]*", "#", line).split()) for line in text.splitlines()]


def puck() -> duopoly.Task:
    return load(EXAMPLES / "dict_robot.py")


CALLS: list[int] = []


def appends(obs, action, next_obs):
    CALLS.append(1)
    return next_obs[0]


def leaks(obs, action, next_obs):
    leaks.last = obs
    return next_obs[0]


def prints(obs, action, next_obs):
    print("called")
    return next_obs[0]


def branches(obs, action, next_obs):
    return 1.0 if next_obs[0] > 0 else 0.0


def looks(obs, action, next_obs):
    return next_obs[0] * (2.0 if isinstance(obs, jax.core.Tracer) else 1.0)


def pay(fn) -> dict[str, object]:
    return {"reward_fn": fn}


def end(fn) -> dict[str, object]:
    return {"terminated_fn": fn}


def compute(value, *computed: int) -> dict[str, object]:
    return {"compute_fn": lambda o, a, n: n.at[4].set(value), "computed": computed}


def robot(**attributes) -> dict[str, object]:
    """Another class of environment, with these attributes and methods of its own."""
    return {"make": lambda _: type("Other", (type(puck().make(None)),), attributes)()}


def watching(fn) -> dict[str, object]:
    """A robot of which one component of the velocity is something else."""

    def observe(self):
        place, velocity = self.data.qpos.copy(), self.data.qvel.copy()
        velocity[0] = fn(self)
        return {"achieved_goal": place, "desired_goal": self.goal.copy(), "velocity": velocity}

    return robot(_observe=observe)


def timed(self, action):
    self.data.ctrl[:] = action
    self.data.time += 1.0
    return self._observe(), 0.0, self.data.time >= 5.0, False, {}


# By what the tutorial says that `check` says: what to change of the puck for `check` to say so.
CASES: dict[str, dict[str, object]] = {
    "reward_fn: DIFFERS at …": pay(lambda o, a, n: -jnp.linalg.norm(o[:2] - o[2:4])),
    "terminated_fn where the world goes on: DIFFERS at …": end(lambda o, a, n: n[0] > 0.0),
    "terminated_fn where the world ends: DIFFERS at …": robot(step=timed),
    "constant component …: DIFFERS at …": {"constant": (0,)},
    "compute_fn, component …: DIFFERS at …": compute(0.0, 4),
    "compute_fn, component … (not in computed): DIFFERS at …": compute(0.0, 5),
    "returns shape …, must be …": pay(lambda o, a, n: -(n[:2] ** 2)),
    "returns nothing, must be one array": pay(lambda o, a, n: None),
    "returns float32, must be bool": end(lambda o, a, n: n[0]),
    "decides in Python …": pay(branches),
    "hands a value that is only known when it runs to NumPy": pay(lambda o, a, n: np.square(n[0])),
    "makes a Python number of a value …": pay(lambda o, a, n: float(n[0])),
    "uses a value that is only known when it runs as a Python index or count": pay(
        lambda o, a, n: [1.0, 2.0][n[0].astype(int)]
    ),
    "selects by a mask": pay(lambda o, a, n: n[n > 0].sum()),
    "changes …, which lies outside it": pay(appends),
    "computes something else each time it is traced": pay(lambda o, a, n: n[0] + time.time() % 1),
    "prints …": pay(prints),
    "keeps a value of its computation outside itself": pay(leaks),
    "says … when compiled and … when not": pay(looks),
    "returns nan in episode …": pay(lambda o, a, n: jnp.sqrt(n[0])),
    "raises …": pay(lambda o, a, n: n["place"]),
    "success_fn returns a …, must be True or False": {"success_fn": lambda episode: 1.0},
    "action space is …, but only a flat Box can be acted in": robot(
        action_space=gym.spaces.Discrete(3)
    ),
    "has bounds …, but the policy spans finite ones": robot(
        action_space=gym.spaces.Box(-np.inf, np.inf, (2,))
    ),
    "observation component … does not exist": {"constant": (6,)},
    "reward_fn is None: the reward is not known": pay(None),
    "terminated_fn is None: where the world ends is not known": end(None),
    "the world ended no episode, so terminated_fn was not seen to find an end": {},
    "the ends that terminated_fn misses all come after … actions": robot(step=timed),
    "… never changed within an episode": {"constant": ()},
    "… follows from others": watching(lambda env: 2.0 * env.data.qpos[0]),
    "Gymnasium's checker: …": watching(lambda env: np.random.normal()),  # noqa: NPY002
}


def test_every_line_of_check_is_explained_and_is_said() -> None:
    section = TEXT.split("## What `check` says")[1]
    rows = [re.split(r"(?<!\\)\|", row)[1] for row in re.findall(r"^\|.*", section, re.M)]
    told = [row.strip(" `") for row in rows if "`" in row]
    assert told == list(CASES)


@pytest.mark.parametrize(("says", "changes"), CASES.items(), ids=CASES.keys())
@pytest.mark.filterwarnings("ignore:.*A Box observation space:UserWarning")
def test_check_says(says: str, changes: dict[str, object]) -> None:
    pattern = ".*".join(map(re.escape, says.split("…")))
    try:
        task = dataclasses.replace(puck(), **changes)  # pyright: ignore[reportArgumentType]
        report = str(duopoly.check_task(task, 120))
    except duopoly.TaskError as error:
        report = str(error)
    assert re.search(pattern, report), report


def test_check_ends_with_what_a_script_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 if everything agrees and 1 if something does not, as the tutorial says."""
    monkeypatch.chdir(tmp_path)
    for name in ("dict_robot.xml", "dict_robot.py"):
        Path(name).write_text(FILES[name].replace(": -jnp", ": jnp"), encoding="utf-8")
    with pytest.raises(SystemExit) as end_:
        main(["check", "--task-file", "dict_robot.py", "--steps", "100"])
    assert end_.value.code == 1
