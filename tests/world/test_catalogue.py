"""What the catalogue says of each task against the task that its maker makes."""

import subprocess
import sys

import numpy as np
import pytest

from duopoly.world.environments import ENV_STEPS
from duopoly.world.tasks import TASK_NAMES, get_task
from duopoly.world.tasks.catalogue import CATALOGUE, LISTED


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_row_says_what_its_task_is(name: str) -> None:
    row, task = CATALOGUE[name], get_task(name)
    assert (task.name, task.summary) == (row.name, row.summary) == (name, row.summary)
    assert (task.horizon, task.action_repeat) == (row.horizon, row.action_repeat)
    assert {p.name: p.summary for p in task.perturbations} == row.perturbations
    assert "\n" not in row.summary
    for make in (task.make, *(p.make for p in task.perturbations)):
        env = make(None)
        assert env.spec is not None
        assert env.spec.id == (row.env_id if row.environment else row.listed_name)
        assert env.spec.max_episode_steps == row.env_steps
        env.reset(seed=0)
        info = env.step(np.zeros(task.spec.action_dim, np.float32))[-1]
        assert info.get(ENV_STEPS, 1) == row.action_repeat
        env.close()


@pytest.mark.parametrize("name", [name for name, row in CATALOGUE.items() if row.variant])
def test_a_variant_differs_only_in_what_is_drawn_or_seen(name: str) -> None:
    row, task = CATALOGUE[name], get_task(name)
    listed = get_task(row.listed_name)
    assert row.listed_name != name
    assert name not in TASK_NAMES
    for known in ("summary", "horizon", "terminated_fn", "success_fn", "constant", "computed"):
        assert getattr(task, known) == getattr(listed, known)
    if row.environment is None:
        return
    options, plain = (t.make(None).unwrapped.spec.kwargs for t in (task, listed))  # pyright: ignore
    assert options == plain | {"variant": row.variant}
    assert plain["variant"] == "random"


def test_no_name_is_given_twice() -> None:
    assert len(CATALOGUE) == sum(len(row.rows()) for row in LISTED)
    assert tuple(row.name for row in LISTED) == TASK_NAMES


def test_the_summary_tells_how_long_an_episode_is() -> None:
    hopper, arm = CATALOGUE["Hopper-v5"], CATALOGUE["Reacher7DOF"]
    assert hopper.summary == (
        "a one-legged robot hops forward, each action held for 2 steps (500 actions)"
    )
    assert arm.summary == "a 7-joint arm brings its fingertip to a random target (50 actions)"


def test_names_are_checked_without_loading_a_simulator() -> None:
    code = (
        "import sys, duopoly.world.tasks as t\n"
        "from duopoly.world.tasks.catalogue import CATALOGUE\n"
        "t.canonical_name('Hopper-v5'); [row.summary for row in CATALOGUE.values()]\n"
        "print([m for m in ('jax', 'mujoco', 'gymnasium_robotics') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
