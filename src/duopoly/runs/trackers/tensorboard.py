"""TensorBoard: event files in the run directory."""

# pyright: reportAttributeAccessIssue=false
# (The protocol buffers' names are made at import time.)

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, final

from duopoly.runs.metrics import RETURN
from duopoly.runs.trackers.tracker import Ending, TrackedRun, Tracker

PATTERN: Final = "events.out.tfevents.*"
"""Names of event files."""

_FLUSH_SECONDS: Final = 1
"""How long a round may be on its way to the disk; a kill takes what is."""

_MAX_FRAMES: Final = 150
_MAX_FPS: Final = 10.0
_WIDTH: Final = 320
"""Of a film, in pixels: TensorBoard plays GIFs, which are large for what they show."""


@final
class TensorBoard(Tracker):
    """Writes an event file for each process that works on a run."""

    def __init__(self) -> None:
        self._writer: Any = None

    def begin(self, run: TrackedRun, key: str | None) -> None:  # noqa: ARG002
        """Opens a new file; TensorBoard hides what earlier files have after ``run.env_steps``."""
        assert run.path is not None
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        self._writer = SummaryWriter(
            str(run.path),
            purge_step=run.env_steps + 1,
            max_queue=0,  # of any length: where the disk is full, nobody waits for a place in it
            flush_secs=_FLUSH_SECONDS,
            filename_suffix=f".{os.getpid()}.{time.time_ns()}",
        )
        # `add_hparams` would write a file of its own, in a run of its own, and a return of its own.
        for summary in hparams(dict(run.settings), {RETURN: 0.0}):
            self._writer.file_writer.add_summary(summary)

    def log(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Adds the metrics."""
        for tag, value in metrics.items():
            self._writer.add_scalar(tag, value, env_steps)
        self._writer.flush()

    def picture(self, name: str, file: Path, env_steps: int) -> None:
        """Adds the picture."""
        import numpy as np
        from PIL import Image

        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image(name, pixels, env_steps, dataformats="HWC")

    def film(self, name: str, file: Path, env_steps: int) -> None:
        """Adds the film as a GIF of at most `_MAX_FRAMES` frames, at its own speed."""
        from tensorboardX.proto.summary_pb2 import Summary

        # `add_video` needs a further library to do the same.
        gif, (width, height) = _as_gif(file)
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer.file_writer.add_summary(summary, env_steps)

    def end(self, ending: Ending) -> None:  # noqa: ARG002
        """Closes the file."""
        self._writer.close()


def _as_gif(film: Path) -> tuple[bytes, tuple[int, int]]:
    """A film as a GIF, and its size.

    Raises:
        ImportError: there is no ffmpeg.
        CalledProcessError: the film cannot be read.
    """
    import imageio_ffmpeg
    from PIL import Image

    _, seconds = imageio_ffmpeg.count_frames_and_secs(str(film))
    fps = min(_MAX_FPS, _MAX_FRAMES / seconds) if seconds else _MAX_FPS
    palette = "split[all][some];[some]palettegen[palette];[all][palette]paletteuse"
    with tempfile.TemporaryDirectory() as folder:
        gif = Path(folder) / "film.gif"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(film)]
        command += ["-vf", f"fps={fps:.3f},scale={_WIDTH}:-2,{palette}", "-loop", "0", str(gif)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        with Image.open(gif) as image:
            return gif.read_bytes(), image.size
