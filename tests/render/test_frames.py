"""Pictures on any machine."""

# ruff: noqa: ARG005
# (Fakes take what the interface hands them.)

import dataclasses
import sys
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from duopoly.render import frames as render
from duopoly.world.interaction import memoryless
from duopoly.world.task import Task
from duopoly.world.tasks import get_task


@pytest.fixture
def no_opengl(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUJOCO_GL", "off")
    render.opengl_backend.cache_clear()
    yield
    render.opengl_backend.cache_clear()


def film(name: str) -> tuple[Task, render.Film]:
    task = get_task(name)
    still = np.zeros(task.spec.action_dim)
    return task, render.render_episodes(
        task, memoryless(lambda obs, rng: still), 0, height=60, width=80
    )


@pytest.mark.usefixtures("no_opengl")
@pytest.mark.parametrize("name", ["Reacher7DOF", "Hopper-v5", "InvertedPendulum-v5"])
def test_without_opengl_the_ray_caster_draws(name: str) -> None:
    _, movie = film(name)
    assert movie.hint is not None
    assert "libegl1" in movie.hint
    frame = next(movie.frames)
    assert (frame.shape, frame.dtype) == ((60, 80, 3), np.uint8)
    assert frame.std() > 10


@pytest.mark.parametrize("name", ["InvertedPendulum-v5", "InvertedDoublePendulum-v5"])
def test_what_has_no_light_and_no_sky_of_its_own_is_lit(name: str) -> None:
    if render.opengl_backend() is None:
        pytest.skip("there is no OpenGL, and the ray caster brings its own light")
    env = get_task(name).make(None)
    env.reset(seed=0)
    model, data = env.unwrapped.model, env.unwrapped.data  # pyright: ignore
    drawer = render.make_drawer(model, 60, 80)
    frame = drawer.draw(data, render._camera(model))
    drawer.close()
    assert (frame.shape, frame.dtype) == ((60, 80, 3), np.uint8)
    assert np.median(frame) > 140
    assert frame.max(axis=2).min() > 50, "the edge of the robot is mixed with black"


@pytest.mark.parametrize(
    ("cameras", "chosen"),
    [
        (("", ""), None),
        (("<camera/>", ""), None),
        (("<camera/>", "<camera/>"), 1),
        (("<camera mode='trackcom'/>", "<camera/>"), 0),
        (("<camera/><camera mode='track'/>", ""), 1),
    ],
)
def test_the_scene_is_seen_from_without_and_not_by_the_robots_eyes(
    cameras: tuple[str, str], chosen: int | None
) -> None:
    on_robot, on_floor = cameras
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody><body><freejoint/><geom size='1'/>{on_robot}</body>"
        f"<body>{on_floor}</body></worldbody></mujoco>"
    )
    camera = render._camera(model)
    is_fixed = camera.type == int(mujoco.mjtCamera.mjCAMERA_FIXED)
    assert (camera.fixedcamid if is_fixed else None) == chosen


@pytest.mark.usefixtures("no_opengl")
@pytest.mark.parametrize(("fps", "shown"), [(25, 25), (30, 30), (40, 20), (125, 25)])
def test_a_film_never_exceeds_thirty_frames_a_second(fps: int, shown: int) -> None:
    task = get_task("InvertedPendulum-v5")

    def make(render_mode: str | None) -> gym.Env:
        env = task.make(render_mode)
        env.metadata = {**env.metadata, "render_fps": fps}
        return env

    fast = dataclasses.replace(task, make=make)
    movie = render.render_episodes(
        fast, memoryless(lambda obs, rng: np.zeros(1)), 0, height=6, width=8
    )
    assert movie.fps == shown


@pytest.mark.usefixtures("no_opengl")
def test_the_target_is_in_the_picture_where_it_was_put() -> None:
    task = get_task("Reacher7DOF")
    env = task.make(None)
    model, data = env.unwrapped.model, env.unwrapped.data  # pyright: ignore
    drawer = render.make_drawer(model, 60, 80)
    columns = []
    for x in (-0.3, 0.3):
        env.reset(seed=0, options={"target": [x, 0.0, 0.1]})
        frame = drawer.draw(data, render._camera(model)).astype(float)
        red = (frame[..., 0] > 100) & (frame[..., 1] < 80) & (frame[..., 2] < 100)
        assert red.sum() > 4
        columns.append(np.nonzero(red)[1].mean())
    assert abs(columns[0] - columns[1]) > 4


def test_a_video_appears_when_it_is_complete(tmp_path: Path) -> None:
    reader = pytest.importorskip("imageio_ffmpeg")
    frames = [np.full((64, 80, 3), 8 * index, np.uint8) for index in range(12)]
    path = tmp_path / "videos" / "arm.mp4"
    render.write_video(path, frames, fps=25.0)
    assert [entry.name for entry in path.parent.iterdir()] == ["arm.mp4"]
    num_frames, seconds = reader.count_frames_and_secs(str(path))
    assert num_frames == 12
    assert seconds == pytest.approx(12 / 25, abs=0.05)


def test_without_ffmpeg_the_way_to_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(render.RenderError, match=r"pip install 'duopoly\[video\]'"):
        render.write_video(tmp_path / "arm.mp4", [np.zeros((64, 80, 3), np.uint8)], fps=25.0)


def test_a_failing_ffmpeg_is_quoted(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(render.RenderError, match=r"ffmpeg failed: .+"):
        render.write_video(tmp_path / "arm.mp4", [np.zeros((0, 0, 3), np.uint8)] * 3, fps=25.0)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_film_leaves_nothing_behind(tmp_path: Path) -> None:
    def frames():
        yield np.zeros((64, 80, 3), np.uint8)
        raise RuntimeError("camera fell")

    with pytest.raises(RuntimeError, match="camera fell"):
        render.write_video(tmp_path / "arm.mp4", frames(), fps=25.0)
    assert list(tmp_path.iterdir()) == []


def test_a_world_without_mujoco_is_refused() -> None:
    task = Task("Bare", "", lambda _: gym.make("Pendulum-v1"), horizon=5)
    with pytest.raises(render.RenderError, match="Bare is not simulated by MuJoCo"):
        render.render_episodes(task, memoryless(lambda obs, rng: np.zeros(1)), 0)
