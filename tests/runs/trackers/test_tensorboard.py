"""What TensorBoard is given is what TensorBoard reads."""

import io
import re
import sys

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from duopoly.render.frames import write_video
from duopoly.runs.metrics import ROUND, STEPS
from duopoly.runs.rundir import RunDirectory, locked
from duopoly.runs.trackers import record
from duopoly.runs.trackers.follow import followed
from duopoly.runs.trackers.record import Entry
from duopoly.runs.trackers.show import show
from duopoly.runs.trackers.tensorboard import PATTERN, TensorBoard
from duopoly.runs.trackers.tracker import TrackedRun

SETTINGS = {"task": "T", "model.window": 3, "model.layer_norm": True, "policy.discount": 0.5}


def following(path, env_steps=0):
    return followed(TrackedRun("mine", SETTINGS, env_steps, path), (), [TensorBoard()])


def row(number, **metrics):
    return {ROUND: number, STEPS: 100 * number, **metrics}


def read(path):
    accumulator = EventAccumulator(str(path))
    accumulator.Reload()
    return accumulator


def scalars_of(path, tag):
    return [(event.step, event.value) for event in read(path).Scalars(tag)]


def test_metrics_that_are_known_are_read_back(tmp_path):
    with following(tmp_path) as followers:
        for number, value in ((1, 1 / 3), (2, float("nan")), (3, -2.0)):
            followers.log(row(number, a=value))
    assert scalars_of(tmp_path, "a") == [(100, pytest.approx(1 / 3)), (300, -2.0)]
    assert scalars_of(tmp_path, ROUND) == [(100, 1.0), (200, 2.0), (300, 3.0)]


def test_what_a_resumed_run_repeats_is_hidden(tmp_path):
    with following(tmp_path) as followers:
        followers.log(row(1, a=1.0))
        followers.log(row(2, a=2.0))
    with following(tmp_path, env_steps=100) as followers:
        followers.log(row(2, a=3.0))
    assert scalars_of(tmp_path, "a") == [(100, 1.0), (200, 3.0)]


def test_settings_are_hyperparameters_of_the_run_itself(tmp_path):
    with following(tmp_path) as followers:
        followers.log(row(1))
    assert len(list(tmp_path.iterdir())) == 1
    content = read(tmp_path).PluginTagToContent("hparams")
    started = HParamsPluginData.FromString(content["_hparams_/session_start_info"])
    found = started.session_start_info.hparams
    assert (found["task"].string_value, found["model.window"].number_value) == ("T", 3.0)
    assert (found["model.layer_norm"].bool_value, found["policy.discount"].number_value) == (1, 0.5)
    told = HParamsPluginData.FromString(content["_hparams_/experiment"])
    assert [info.name.tag for info in told.experiment.metric_infos] == ["eval/mean_reward"]


def test_a_picture_is_read_back(tmp_path):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    Image.fromarray(pixels).save(tmp_path / "curve.png")
    with following(tmp_path) as followers:
        followers.show("curve", tmp_path / "curve.png", 100)
    (event,) = read(tmp_path).Images("curve")
    shown = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    assert (event.step, shown.tolist()) == (100, pixels.tolist())


def test_a_film_is_read_back_as_a_small_gif_at_its_own_speed(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    shades = np.linspace(0, 255, 30, dtype=np.uint8)
    write_video(tmp_path / "v.mp4", (np.full((48, 64, 3), shade) for shade in shades), fps=30.0)
    with following(tmp_path) as followers:
        followers.show("video", tmp_path / "v.mp4", 100)
    (event,) = read(tmp_path).Images("video")
    with Image.open(io.BytesIO(event.encoded_image_string)) as film:
        assert (film.format, film.size) == ("GIF", (320, 240))
        assert film.n_frames == 10
        assert film.info["duration"] == 100
        film.seek(9)
        assert np.asarray(film.convert("RGB")).mean() > 200


def test_one_that_fails_is_told_once(tmp_path, capsys, monkeypatch):
    tracker = TensorBoard()

    def full():
        raise OSError(28, "No space left on device")

    with followed(TrackedRun("mine", {}, 0, tmp_path), (), [tracker]) as followers:
        with monkeypatch.context() as patch:
            patch.setattr(tracker._writer, "flush", full)
            for number in (1, 2, 3):
                followers.log(row(number))
        tracker._writer.close()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "No space left on device" in told


def test_without_tensorboardx_there_are_no_events(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with following(tmp_path) as followers:
        followers.log(row(1))
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "tensorboardX" in told
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_made_stops_nothing(tmp_path, capsys):
    (tmp_path / "file").touch()
    with following(tmp_path / "file") as followers:
        followers.log(row(1))
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def begun(tmp_path, config):
    """A run directory as it is after a round, which TensorBoard has followed."""
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.write_config(config)
    run.progress.write_text(f"{ROUND},{STEPS}\n1,100\n")
    with following(run.path) as followers:
        followers.log(row(1))
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(run.path / "a.png")
    return run


def test_a_picture_joins_a_run_at_its_last_step(begun, tmp_path):
    (tmp_path / "b.svg").touch()
    show(begun, {"a": begun.path / "a.png", "b": tmp_path / "b.svg"})
    found = read(begun.path)
    assert found.Tags()["images"] == ["a"]
    assert [event.step for event in found.Images("a")] == [100]
    assert scalars_of(begun.path, ROUND) == [(100, 1.0)]


def test_a_picture_of_a_run_without_real_steps_hides_no_round(begun):
    """Its rounds stand at their numbers, and so does what is shown of the last."""
    begun.progress.write_text(f"{ROUND},{STEPS}\n1,0\n2,0\n")
    for path in begun.path.glob(PATTERN):
        path.unlink()
    with following(begun.path) as followers:
        for number in (1, 2):
            followers.log({ROUND: number, STEPS: 0, "a": float(number)})
    show(begun, {"a": begun.path / "a.png"})
    assert scalars_of(begun.path, "a") == [(1, 1.0), (2, 2.0)]
    assert [event.step for event in read(begun.path).Images("a")] == [2]


def test_what_cannot_be_shown_is_one_line(begun, capsys, monkeypatch):
    with locked(begun):
        show(begun, {"a": begun.path / "a.png"})
    assert re.fullmatch(
        r"duopoly: a: not shown with the metrics: .* is in use by .*\n", capsys.readouterr().err
    )
    show(begun, {"a": begun.path / "missing.png"})
    told = capsys.readouterr().err
    assert told.startswith("duopoly: TensorBoard does not follow")
    assert told.count("\n") == 1
    monkeypatch.setitem(sys.modules, "wandb", None)
    record.write(begun.trackers, {"WandB": Entry("x")})
    show(begun, {"a": begun.path / "a.png"})
    assert "WandB is not installed" in capsys.readouterr().err
    assert read(begun.path).Tags()["images"] == ["a"]


def test_what_nothing_follows_is_left_as_it_is(begun, capsys):
    for file in begun.path.glob(PATTERN):
        file.unlink()
    show(begun, {"a": begun.path / "a.png"})
    begun.progress.unlink()
    show(begun, {"a": begun.path / "a.png"})
    assert not list(begun.path.glob(PATTERN))
    assert capsys.readouterr().err == ""
