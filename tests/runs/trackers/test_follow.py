"""A run never depends on what follows it, and each round is told once."""

import dataclasses
import json
import math

import pytest
from tiny_runs import TASK, TINY, rows_of

from duopoly import PAL, TrackedRun, Tracker
from duopoly.runs.checkpoint import name_of
from duopoly.runs.errors import DamageError, UsageError
from duopoly.runs.launch import train_in
from duopoly.runs.metrics import ROUND, STEPS
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.trackers import record
from duopoly.runs.trackers.follow import Tracking, followed
from duopoly.runs.trackers.record import Entry


class Diary(Tracker):
    """Writes down what it is told; what it was told to fail at, it fails at."""

    def __init__(self, key=None, fails_at=()):
        self.told = []
        self.key, self.fails_at = key, fails_at

    def begin(self, run, key):
        self.run, self.begun_with = run, key
        self._write("begin")
        return self.key

    def log(self, metrics, env_steps):
        assert not any(math.isnan(value) for value in metrics.values())
        assert metrics[STEPS] == env_steps
        self._write("log", int(metrics[ROUND]))

    def picture(self, name, file, env_steps):
        self._write("picture", name, file.name, env_steps)

    def film(self, name, file, env_steps):
        self._write("film", name, file.name, env_steps)

    def end(self, ending):
        self._write("end", ending)

    def _write(self, *words):
        if words in self.fails_at or words[0] in self.fails_at:
            raise ConnectionError("the network\nis gone")
        self.told.append(words)


class Other(Diary):
    pass


def agent():
    return PAL(TASK, settings=TINY)


def rounds_of(diary):
    return [words[1] for words in diary.told if words[0] == "log"]


def rows(*numbers):
    return [{ROUND: number, STEPS: 100 * number, "unknown": math.nan} for number in numbers]


def test_a_run_is_told_from_its_beginning_to_its_end(tmp_path, config):
    diary = Diary()
    run = RunDirectory(tmp_path / "run")

    def draw(finished):
        assert len(rows_of(finished)) == 4
        return finished.path / "curve.png"

    train_in(run, config, resume=False, tracking=Tracking([diary], draw))
    rounds = [("log", number) for number in (1, 2, 3, 4)]
    curve = ("picture", "curve", "curve.png", 180)
    assert diary.told == [("begin",), *rounds, curve, ("end", "finished")]
    assert (diary.run.title, diary.run.path) == ("InvertedPendulum-v5 pal seed 0", run.path)
    settings = diary.run.settings
    assert (settings["algorithm"], settings["steps"], settings["perturb"]) == ("pal", 180, "")
    assert (settings["model.window"], settings["model.hidden"]) == (80, "8")
    assert not run.trackers.exists()


def test_one_that_fails_on_the_way_costs_the_run_nothing(tmp_path, config, finished_run, capsys):
    diary, other = Diary(fails_at=[("log", 2)]), Other()
    run = RunDirectory(tmp_path / "run")
    train_in(run, config, resume=False, tracking=Tracking([diary, other]))
    assert rows_of(run) == rows_of(finished_run)
    assert diary.told == [("begin",), ("log", 1)]
    assert rounds_of(other) == [1, 2, 3, 4]
    told = capsys.readouterr().err
    assert told == (
        "duopoly: Diary does not follow InvertedPendulum-v5 pal seed 0 from here on: "
        "ConnectionError: the network is gone\n"
    )


def test_one_that_cannot_begin_is_an_error_before_anything_is_trained(tmp_path, config):
    first, other = Diary(), Other(fails_at=["begin"])
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(UsageError, match="Other cannot follow the run: ConnectionError: the net"):
        train_in(run, config, resume=False, tracking=Tracking([first, other]))
    assert first.told == [("begin",), ("end", "failed")]
    assert json.loads(run.status.read_text())["state"] == "failed"
    assert rows_of_nothing(run)


def rows_of_nothing(run):
    return run.progress.read_bytes() == b""


def test_one_that_nobody_asked_for_need_not_begin(capsys):
    diary, other = Diary(fails_at=["begin"]), Other()
    with followed(TrackedRun("mine", {}), [other], unasked=[diary]) as followers:
        followers.log(rows(1)[0])
    assert diary.told == []
    assert other.told == [("begin",), ("log", 1), ("end", "finished")]
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "ending"), [(KeyboardInterrupt, "stopped"), (ValueError, "failed")]
)
def test_what_ends_a_run_is_told(error, ending):
    diary = Diary()
    with pytest.raises(error), followed(TrackedRun("mine", {}), [diary]):
        raise error
    assert diary.told == [("begin",), ("end", ending)]


def test_a_run_that_goes_on_does_so_in_the_same_record(tmp_path, config):
    run = RunDirectory(tmp_path / "run")
    first, second = Diary(key="a-1"), Diary(key="a-1")
    half = dataclasses.replace(config, steps=100)
    train_in(run, half, resume=False, tracking=Tracking([first]))
    assert record.read(run.trackers) == {"Diary": Entry("a-1", 2)}
    train_in(run, config, resume=True, tracking=Tracking([second]))
    assert (first.begun_with, second.begun_with) == (None, "a-1")
    assert (rounds_of(first), rounds_of(second)) == ([1, 2], [3, 4])
    assert second.run.env_steps == 100


def test_rounds_that_are_played_again_are_not_told_again(tmp_path, config, finished_run):
    run = RunDirectory(tmp_path / "run")
    train_in(run, config, resume=False, tracking=Tracking([Diary(key="a")]))
    checkpoints = run.checkpoints
    for number in (3, 4):
        (checkpoints / name_of(number) / "manifest.json").write_text("damaged")
    again = Diary(key="a")
    longer = dataclasses.replace(config, steps=220)
    train_in(run, longer, resume=True, tracking=Tracking([again]))
    assert rows_of(run)[:4] == rows_of(finished_run)
    assert rounds_of(again) == [5]


def test_rounds_that_were_missed_are_told_when_it_follows_again(tmp_path, config):
    run = RunDirectory(tmp_path / "run")
    failing = Diary(key="a", fails_at=[("log", 2)])
    train_in(
        run, dataclasses.replace(config, steps=100), resume=False, tracking=Tracking([failing])
    )
    train_in(run, dataclasses.replace(config, steps=140), resume=True)
    again = Diary(key="a")
    train_in(run, config, resume=True, tracking=Tracking([again]))
    assert (rounds_of(failing), rounds_of(again)) == ([1], [2, 3, 4])


def test_another_record_is_told_everything(tmp_path):
    run = RunDirectory(tmp_path)
    for key in ("a", "b"):
        diary = Diary(key=key)
        with followed(TrackedRun("mine", {}, path=tmp_path), [diary], rows=rows(1, 2)):
            pass
        assert rounds_of(diary) == [1, 2]
    assert record.read(run.trackers) == {"Diary": Entry("b", 2)}


def test_rows_that_cannot_be_read_are_left_out(tmp_path):
    damaged = [{ROUND: 1.0}, {STEPS: 3.0}, {ROUND: 2.0, STEPS: math.nan}, {ROUND: -math.inf}]
    diary = Diary(key="a")
    with followed(TrackedRun("mine", {}, path=tmp_path), [diary], rows=[*damaged, *rows(3)]):
        pass
    assert rounds_of(diary) == [3]


def test_one_without_a_record_is_told_what_is_played():
    diary = Diary()
    with followed(TrackedRun("mine", {}), [diary], rows=rows(1, 2)) as followers:
        for row in rows(2, 3):
            followers.log(row)
    assert rounds_of(diary) == [2, 3]


def test_two_of_one_name_and_keys_that_are_none_are_refused():
    with pytest.raises(UsageError, match="two trackers are called Diary"):
        followed(TrackedRun("mine", {}), [Diary(), Diary()]).__enter__()
    with pytest.raises(UsageError, match=r"'\.\./run', which is no key"):
        followed(TrackedRun("mine", {}), [Diary(key="../run")]).__enter__()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds no record"),
        ('{"WandB": 3}', "'WandB' is no tracker's entry"),
        ('{"a b": {"key": "x", "rounds": 1}}', "'a b' is no tracker's entry"),
        ('{"WandB": {"key": "x", "rounds": 1, "url": "y"}}', "'WandB' is no tracker's entry"),
        ('{"WandB": {"key": "../x", "rounds": 1}}', "WandB.key = '../x': is no key"),
        ('{"WandB": {"key": "x", "rounds": -1}}', "WandB.rounds = -1: is no number"),
        ('{"WandB": {"key": "x", "rounds": true}}', "WandB.rounds = True: is no number"),
    ],
)
def test_a_damaged_record_refuses_a_resume_that_changes_nothing(
    tmp_path, config, text, fault, monkeypatch
):
    run = RunDirectory(tmp_path / "run")
    monkeypatch.setattr("duopoly.runs.train.resume_state", lambda *_: None)
    run.path.mkdir()
    run.write_config(config)
    run.trackers.write_text(text)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(DamageError, match=rf"trackers.json: .*{fault}.*; move it away"):
        train_in(run, config, resume=True)
    after = {path.name: path.read_bytes() for path in run.path.iterdir() if path != run.lock}
    assert after == before


def test_learning_is_followed_with_a_run_directory_and_without(tmp_path):
    learner, first, second = agent(), Diary(key="a"), Diary(key="a")
    learner.learn(100, log_dir=tmp_path / "run", track=first)
    learner.learn(80, log_dir=tmp_path / "run", track=[second], callback=lambda _: False)
    assert rounds_of(first) == [1, 2]
    assert first.told[-1] == ("end", "finished")
    assert second.told == [("begin",), ("log", 3), ("end", "stopped")]
    alone = Diary(key="b")
    learner.learn(40, track=(alone,))
    assert (alone.run.path, alone.run.env_steps, alone.begun_with) == (None, 140, None)
    assert alone.told == [("begin",), ("log", 4), ("end", "finished")]
    assert record.read(RunDirectory(tmp_path / "run").trackers) == {"Diary": Entry("a", 3)}
