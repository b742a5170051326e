"""Robots at reset and policies at work, drawn side by side."""

import shutil

import matplotlib.image
import numpy as np
import pytest
from tiny_runs import tags_of_images

from duopoly.cli.main import main
from duopoly.render import frames as render
from duopoly.render import picture
from duopoly.world.interaction import memoryless
from duopoly.world.task import Task
from duopoly.world.tasks import get_task


@pytest.fixture(autouse=True)
def no_opengl(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUJOCO_GL", "off")
    render.opengl_backend.cache_clear()
    yield
    render.opengl_backend.cache_clear()


def push(obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del obs, rng
    return np.ones(7)


def frame_after(task: Task, num_actions: int) -> np.ndarray:
    """The frame after so many pushes, by a loop of its own."""
    env = task.make(None)
    seed, _ = render.EpisodeSeed(0, "show", 0, 0).spawn()
    env.reset(seed=seed)
    for _ in range(num_actions):
        env.step(np.ones(7, np.float32))
    model, data = env.unwrapped.model, env.unwrapped.data  # pyright: ignore
    return render.make_drawer(model, 12, 16).draw(data, render._camera(model))


def test_moments_are_spread_from_reset_to_end():
    task = get_task("Reacher7DOF")
    moments = render.render_moments(task, memoryless(push), 0, 3, (12, 16))
    assert [num_actions for num_actions, _ in moments] == [0, 25, 50]
    for num_actions, frame in moments:
        np.testing.assert_array_equal(frame, frame_after(task, num_actions))


def test_one_moment_is_reset():
    task = get_task("Reacher7DOF")
    ((num_actions, frame),) = render.render_moments(task, memoryless(push), 0, 1, (12, 16))
    assert num_actions == 0
    np.testing.assert_array_equal(frame, frame_after(task, 0))


def test_drawings_keep_their_pixels_and_places(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (12, 16, 3), dtype=np.uint8) for _ in range(3)]
    shots = [picture.Shot(frame, "") for frame in frames]
    picture.write(picture.Drawing(shots, "hand"), 2, tmp_path / "x.png")
    drawn = matplotlib.image.imread(tmp_path / "x.png")[..., :3]
    assert drawn.shape[:2] == (2 * (12 + 26), 2 * 16 + 4)
    for frame, (top, left) in zip(frames, [(26, 0), (26, 20), (64, 0)], strict=True):
        there = np.round(drawn[top : top + 12, left : left + 16] * 255)
        np.testing.assert_array_equal(there, frame)


def test_the_command_draws_tasks_and_runs(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run.path, tmp_path / "run")
    out = tmp_path / "deep" / "x.png"
    words = ["--moments", "2", "--width", "16", "--out", str(out)]
    main(["picture", "Reacher7DOF", str(run), *words])
    assert tags_of_images(run) == {"picture"}
    assert out.read_bytes().startswith(b"\x89PNG")
    assert matplotlib.image.imread(out).shape[:2] == (12 + 26, 3 * 16 + 2 * 4)
    assert "drawn with our ray caster" in capsys.readouterr().out
