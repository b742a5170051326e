"""Frames and videos of a policy at work, on machines with and without OpenGL."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

import contextlib
import dataclasses
import functools
import importlib
import itertools
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import mujoco
import numpy as np
from jaxtyping import UInt8

from duopoly.render.raycast import RayCaster, sky_through
from duopoly.types import Controller, Decision
from duopoly.world.interaction import rollout
from duopoly.world.seeds import EpisodeSeed
from duopoly.world.task import Task

Frame = UInt8[np.ndarray, "H W 3"]

OPENGL_HINT = (
    "no OpenGL found, so a simple ray caster drew the frames; for full quality: "
    "apt-get install libegl1 libgl1 libgl1-mesa-dri (or libosmesa6)"
)
VIDEO_HINT = "videos need ffmpeg: pip install 'duopoly[video]'"

_MAX_FPS = 30.0
_PROBE_SECONDS = 60.0
_AMBIENT, _LAMP = 0.35, 0.6
"""Light from everywhere and from the camera, in a model that has no light of its own."""
_PIXELS_PER_SIDE = 2
"""Pixels drawn for one shown, along each side, where the sky is filled in."""
_BACKENDS = {"Linux": ("egl", "osmesa"), "Darwin": ("cgl",), "Windows": ("glfw",)}

# Makes an OpenGL context and draws with it. Run in a process of its own, since a failed attempt
# may leave a process unable to make the next one, or bring it down.
_PROBE = """
import importlib, sys, mujoco
context = importlib.import_module("mujoco." + sys.argv[1]).GLContext(32, 32)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
"""


class RenderError(RuntimeError):
    """No picture can be made; the message says what is missing."""


@runtime_checkable
class Drawer(Protocol):
    """Draws what a camera (``MjvCamera``) sees of a simulation (``MjData``)."""

    def draw(self, data: Any, camera: Any, /) -> Frame: ...

    def close(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Film:
    """Frames, made as they are asked for."""

    frames: Iterator[Frame]
    fps: float
    """Frames per second of simulated time."""
    hint: str | None
    """What to install for better pictures, if anything."""


def render_episodes(
    task: Task,
    controller: Controller,
    seed: int,
    *,
    num_episodes: int = 1,
    height: int = 360,
    width: int = 480,
) -> Film:
    """Films whole episodes of a policy, one after another, at no more than 30 frames a second.

    Raises:
        RenderError: the task is not simulated by MuJoCo.
    """
    env = task.build()
    fps = env.metadata.get("render_fps", _MAX_FPS) / task.action_repeat
    stride = math.ceil(fps / _MAX_FPS)
    model, data = _simulation(env, task)
    drawer = make_drawer(model, height, width)

    def frames() -> Iterator[Frame]:
        camera = _camera(model)
        try:
            for episode in range(num_episodes):
                address = EpisodeSeed(seed, "show", 0, episode)
                for index, _ in enumerate(
                    rollout(env, task, controller, address, deterministic=True)
                ):
                    if index % stride == 0:
                        yield drawer.draw(data, camera)
        finally:
            drawer.close()
            env.close()

    hint = OPENGL_HINT if isinstance(drawer, RayCaster) else None
    return Film(frames(), fps / stride, hint)


def render_moments(
    task: Task, controller: Controller, seed: int, num_moments: int, size: tuple[int, int]
) -> list[tuple[int, Frame]]:
    """Draws an episode at evenly spread moments, reset and end among them; one moment is reset.

    Args:
        task: simulated by MuJoCo.
        controller: acts in it, without the noise that explores.
        seed: of the episode.
        num_moments: at most that many are drawn, fewer of a shorter episode.
        size: height and width of a frame, in pixels.

    Returns:
        The number of actions taken by then, and the frame.

    Raises:
        RenderError: the task is not simulated by MuJoCo.
    """
    env, address = task.build(), EpisodeSeed(seed, "show", 0, 0)
    try:
        model, data = _simulation(env, task)
        play = functools.partial(rollout, env, task, seed=address, deterministic=True)
        last = sum(1 for _ in play(controller)) if num_moments > 1 else 0
        wanted = {round(float(moment)) for moment in np.linspace(0, last, num_moments)}
        drawer, camera = make_drawer(model, *size), _camera(model)
        frames: dict[int, Frame] = {}

        def watched(*seen: Any) -> Decision:
            if not frames:  # The world as it was reset: nobody has acted yet.
                frames[0] = drawer.draw(data, camera)
            return controller.act(*seen)

        try:
            for index, _ in enumerate(play(controller._replace(act=watched)), start=1):
                if index in wanted:
                    frames[index] = drawer.draw(data, camera)
                if index >= last:
                    break
        finally:
            drawer.close()
    finally:
        env.close()
    return sorted(frames.items())


def write_video(path: Path, frames: Iterable[Frame], fps: float) -> None:
    """Writes an mp4 file, which appears under its name only when it is complete.

    Raises:
        RenderError: ffmpeg is not installed or failed, or there is no frame.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise RenderError(f"{path}: there is no frame to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".video-") as folder:
        unfinished, log = Path(folder) / "video.mp4", Path(folder) / "log"
        command = _ffmpeg_command(first.shape[0], first.shape[1], fps, unfinished)
        with (
            log.open("wb") as errors,
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors) as ffmpeg,
            contextlib.suppress(BrokenPipeError),  # it gave up; its log says why
        ):
            assert ffmpeg.stdin is not None
            for frame in itertools.chain((first,), frames):
                ffmpeg.stdin.write(np.ascontiguousarray(frame).tobytes())
        if ffmpeg.returncode != 0:
            raise RenderError(f"{path}: ffmpeg failed: {log.read_text(errors='replace').strip()}")
        os.replace(unfinished, path)


def _ffmpeg_command(height: int, width: int, fps: float, path: Path) -> list[str]:
    try:
        import imageio_ffmpeg

        executable = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise RenderError(VIDEO_HINT) from error
    frames_in = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps}"]
    even_sides = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]  # H.264 takes no odd ones
    codec = ["-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    quiet = ["-y", "-loglevel", "error"]
    return [executable, *quiet, *frames_in, "-i", "-", *even_sides, *codec, str(path)]


def make_drawer(model: Any, height: int, width: int) -> Drawer:
    """OpenGL where there is one, else the ray caster."""
    backend = opengl_backend()
    if backend is None:
        return RayCaster(model, height, width)
    return OpenGLDrawer(model, height, width, backend)


@functools.cache
def opengl_backend() -> str | None:
    """The first OpenGL backend of MuJoCo that works here without a display; None: none does.

    ``MUJOCO_GL`` in the environment is tried alone; "off" there asks for none.
    """
    wanted = os.environ.get("MUJOCO_GL", "").lower().strip()
    if wanted in ("disable", "disabled", "off", "false", "0"):
        return None
    known = _BACKENDS.get(platform.system(), ())
    for backend in (wanted,) if wanted in known else known:
        if _works(backend):
            return backend
    return None


def _works(backend: str) -> bool:
    environment = {**os.environ, "MUJOCO_GL": "off", "PYOPENGL_PLATFORM": backend}
    if backend not in ("egl", "osmesa"):
        del environment["PYOPENGL_PLATFORM"]
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE, backend],
            env=environment,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0


class OpenGLDrawer:
    """Draws with MuJoCo's own renderer, off screen.

    A model without a light of its own is lit from the camera; one without a sky, before which
    MuJoCo leaves all black, gets the ray caster's.
    """

    def __init__(self, model: Any, height: int, width: int, backend: str) -> None:
        if backend in ("egl", "osmesa"):
            os.environ.setdefault("PYOPENGL_PLATFORM", backend)
        self._is_dark = model.nlight == 0
        self._has_sky = (model.tex_type == int(mujoco.mjtTexture.mjTEXTURE_SKYBOX)).any()
        # Where a sky is filled in, pixels are either of it or not: so several make one of ours,
        # in place of OpenGL's own samples, which would mix the edges with black.
        self._scale = 1 if self._has_sky else _PIXELS_PER_SIDE
        height, width = self._scale * height, self._scale * width
        self._gl = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
        self._gl.make_current()
        canvas = model.vis.global_
        canvas.offwidth = max(canvas.offwidth, width)
        canvas.offheight = max(canvas.offheight, height)
        if not self._has_sky:
            model.vis.quality.offsamples = 0
        self._model = model
        self._scene = mujoco.MjvScene(model, maxgeom=10_000)
        self._context = mujoco.MjrContext(model, int(mujoco.mjtFontScale.mjFONTSCALE_100))
        mujoco.mjr_setBuffer(int(mujoco.mjtFramebuffer.mjFB_OFFSCREEN), self._context)
        self._frame = mujoco.MjrRect(0, 0, width, height)

    def draw(self, data: Any, camera: Any) -> Frame:
        """The picture that the camera sees."""
        mujoco.mjv_updateScene(
            self._model, data, mujoco.MjvOption(), None, camera, mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )  # fmt: skip
        if self._is_dark:
            self._light_up()
        shape = self._frame.height, self._frame.width
        pixels, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)
        self._gl.make_current()
        mujoco.mjr_render(self._frame, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, depth, self._frame, self._context)
        pixels, depth = pixels[::-1], depth[::-1]  # OpenGL counts rows from below
        if self._has_sky:
            return pixels
        rows, columns = np.nonzero(depth == 1.0)
        sky = sky_through(self._scene, shape, rows, columns)
        pixels[rows, columns] = (255.0 * sky + 0.5).astype(np.uint8)
        return _shrunk(pixels, self._scale)

    def close(self) -> None:
        """Frees the OpenGL context."""
        self._context.free()
        self._gl.free()

    def _light_up(self) -> None:
        for light in self._scene.lights[: self._scene.nlight]:
            if light.headlight:
                light.ambient[:], light.diffuse[:] = _AMBIENT, _LAMP


def _shrunk(pixels: UInt8[np.ndarray, "rows columns 3"], scale: int) -> Frame:
    """Each pixel the mean of a square of so many a side."""
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    squares = pixels.reshape(height, scale, width, scale, 3)
    return (squares.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


def _simulation(env: Any, task: Task) -> tuple[Any, Any]:
    model, data = (getattr(env.unwrapped, name, None) for name in ("model", "data"))
    if physics := getattr(env.unwrapped, "physics", None):  # of dm_control
        model, data = (getattr(getattr(physics, n, None), "ptr", None) for n in ("model", "data"))
    if not (isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData)):
        raise RenderError(f"{task.name} is not simulated by MuJoCo, so there is nothing to draw")
    return model, data


def _camera(model: Any) -> Any:
    """The model's own first camera, or one that overlooks the scene.

    One that is fixed to what moves, such as in a robot's head or hand, does not show the robot.
    """
    camera = mujoco.MjvCamera()
    is_eye = model.cam_mode == int(mujoco.mjtCamLight.mjCAMLIGHT_FIXED)
    is_eye &= model.body_weldid[model.cam_bodyid] > 0
    if is_eye.all():
        mujoco.mjv_defaultFreeCamera(model, camera)
    else:
        camera.type = int(mujoco.mjtCamera.mjCAMERA_FIXED)
        camera.fixedcamid = int(np.argmin(is_eye))
    return camera
