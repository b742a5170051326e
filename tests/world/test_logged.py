"""What a log must be to be the first content of a game's data."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from logs import point_log
from probes import HORIZON, POINT

from duopoly.types import Episode
from duopoly.world.buffer import Buffer
from duopoly.world.checking.log_check import check_log
from duopoly.world.logged import Log, LogError, arrays_of, joined, read_log

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return point_log()


def fields(log: Log) -> dict[str, np.ndarray]:
    return {field.name: getattr(log, field.name) for field in dataclasses.fields(log)}


def assert_same(one: Log, other: Log) -> None:
    for name, array in fields(one).items():
        np.testing.assert_array_equal(array, fields(other)[name], err_msg=name)


def test_rows_are_transitions_in_policy_units(arrays: Arrays) -> None:
    log = read_log(arrays, POINT, "log")
    np.testing.assert_array_equal(log.obs, arrays["observations"].astype(np.float32))
    np.testing.assert_allclose(2.0 * log.action, arrays["actions"], rtol=1e-6)
    ended = arrays["terminations"] | arrays["truncations"]
    assert 0 < arrays["terminations"].sum() < ended.sum()
    np.testing.assert_array_equal(log.first, np.append(True, ended[:-1]))
    assert log.record[1:] == (90, 1 + ended[:-1].sum())


def test_the_buffer_begins_with_them(arrays: Arrays) -> None:
    log = read_log(arrays, POINT, "log")
    buffer = Buffer.empty(3, 2, 100).begun_with(log)
    assert (len(buffer), buffer.num_fresh) == (90, 90)
    np.testing.assert_array_equal(buffer.starts, log.obs[log.first])
    assert len(Buffer.from_arrays(buffer.arrays())) == 90


def test_d4rl_names_and_its_other_arrays(arrays: Arrays) -> None:
    renamed = {"terminations": "terminals", "truncations": "timeouts"}
    d4rl = {renamed.get(name, name): array for name, array in arrays.items()}
    d4rl |= {"infos/qpos": np.zeros((90, 5)), "metadata/algorithm": np.array("SAC")}
    d4rl["terminals"] = d4rl["terminals"].astype(np.uint8)
    assert_same(read_log(d4rl, POINT, "log"), read_log(arrays, POINT, "log"))


def test_without_what_came_next_it_is_the_next_row(arrays: Arrays) -> None:
    whole = read_log(arrays, POINT, "log")
    rest = {name: array for name, array in arrays.items() if name != "next_observations"}
    log = read_log(rest, POINT, "log")
    ends = np.append(np.flatnonzero(whole.first)[1:] - 1, 89)
    kept = np.setdiff1d(np.arange(90), ends)
    for name, array in fields(log).items():
        np.testing.assert_array_equal(array, fields(whole)[name][kept], err_msg=name)
    assert not log.terminated.any()


def test_starts_say_where_episodes_begin_that_ended_unmarked(arrays: Arrays) -> None:
    rest = {name: array for name, array in arrays.items() if name != "truncations"}
    starts = np.arange(90) % 7 == 3
    log = read_log({**rest, "episode_starts": starts}, POINT, "log")
    after_fall = np.append(False, arrays["terminations"][:-1])
    np.testing.assert_array_equal(log.first, starts | after_fall)
    # Rows 0 to 2 are of an episode whose beginning is not there.
    assert not log.first[0]
    assert log.record.episodes == 1 + log.first.sum()


def test_what_was_collected_is_read_back() -> None:
    rng = np.random.default_rng(1)
    obs = rng.normal(size=(9, 3)).astype(np.float32)
    drawn = rng.normal(size=(8, 2)).astype(np.float32)
    rows = [obs[:-1], drawn, rng.normal(size=8).astype(np.float32), obs[1:]]
    first = Episode(*(row[:3] for row in rows), True, False, 3)
    second = Episode(*(row[3:] for row in rows), False, False, 5)
    buffer = Buffer.empty(3, 2, 100).add([first, second])
    log = read_log(arrays_of(buffer.as_log, POINT), POINT, "log")
    assert np.abs(drawn).max() > 1.0
    np.testing.assert_allclose(log.action, drawn.clip(-1.0, 1.0), atol=1e-6)
    for name in ("obs", "reward", "next_obs", "terminated", "first"):
        np.testing.assert_array_equal(getattr(log, name), getattr(buffer, name), err_msg=name)


def test_a_log_is_known_by_its_numbers_and_not_by_their_type(arrays: Arrays) -> None:
    record = read_log(arrays, POINT, "log").record
    single = {n: a.astype(np.float32) if a.dtype == float else a for n, a in arrays.items()}
    # Rewards and observations are kept in single precision anyway; actions are rounded twice.
    assert read_log({**single, "actions": arrays["actions"]}, POINT, "other").record == record
    for name in ("observations", "rewards", "actions", "next_observations"):
        changed = {**arrays, name: arrays[name] * 0.999}
        assert read_log(changed, POINT, "log").record.sha256 != record.sha256, name


def test_several_logs_are_one() -> None:
    one, other = (read_log(point_log(40, seed), POINT, "log") for seed in (1, 2))
    both = joined([one, other])
    assert both.record.transitions == 80
    assert both.record.episodes == one.record.episodes + other.record.episodes
    np.testing.assert_array_equal(both.obs[40:], other.obs)


def at(name: str, place: object, value: float) -> Callable[[Arrays], Arrays]:
    """Puts a number somewhere into an array."""

    def change(arrays: Arrays) -> Arrays:
        array = arrays[name].astype(float)
        array[place] = value
        return {**arrays, name: array}

    return change


def without(*names: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {n: a for n, a in arrays.items() if n not in names}


def instead(name: str, make: Callable[[Arrays], np.ndarray]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, name: make(arrays)}


REFUSED: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "no actions": (without("actions"), "log: has no actions; a log has observations, actions, "),
    "no ends": (without("truncations"), r"no truncations \(or timeouts\) and no episode_starts"),
    "unknown": (
        instead("next_observation", lambda a: a["rewards"]),
        "log: next_observation is no array of a log; did you mean next_observations?",
    ),
    "foreign": (
        instead("clock", lambda a: a["rewards"]),
        "log: clock is no array of a log; leave it out, or name it infos/…",
    ),
    "twice": (instead("timeouts", lambda a: a["truncations"]), "truncations is there under two"),
    "empty": (lambda a: {n: x[:0] for n, x in a.items()}, "observations has no row"),
    "scalar": (instead("observations", lambda _: np.array(1.0)), "must have rows"),
    "flat": (
        instead("observations", lambda a: a["observations"][:, 0]),
        r"log: observations is float64 \(90,\), must be numbers of shape \(90, 3\)",
    ),
    "short": (
        instead("rewards", lambda a: a["rewards"][:-1]),
        r"log: rewards is float64 \(89,\), must be numbers of shape \(90,\)",
    ),
    "words": (
        instead("rewards", lambda _: np.full(90, "much")),
        r"log: rewards is <U4 \(90,\), must be numbers",
    ),
    "complex": (
        instead("actions", lambda a: a["actions"] + 0j),
        r"log: actions is complex128 \(90, 2\), must be numbers",
    ),
    "wide": (
        instead("observations", lambda a: np.tile(a["observations"], 2)),
        "log: observations has 6 components, Point observes 3: one of another task",
    ),
    "narrow": (
        instead("observations", lambda a: a["observations"][:, :1]),
        r"observations has 1 components, Point observes 3: obs\[1\], obs\[2\] would be missing, "
        r"and cannot be filled in: log what the task itself observes",
    ),
    "nan": (
        at("observations", (7, 1), np.nan),
        r"log: observations\[7, 1\] is nan, of row 7: not finite or beyond belief; leave its ",
    ),
    "inf": (at("rewards", 5, -np.inf), r"log: rewards\[5\] is -inf, of row 5"),
    "huge": (at("next_observations", (89, 0), 1e10), r"next_observations\[89, 0\] is 1"),
    "outside": (
        at("actions", (3, 1), -2.1),
        r"log: actions\[3, 1\] is -2.1, outside the bounds \[-2, 2\] of Point: give what the ",
    ),
    "half": (at("terminations", 4, 0.5), r"log: terminations\[4\] is 0.5, must be 0 or 1"),
    "flags": (
        instead("truncations", lambda a: a["truncations"][:, None]),
        r"log: truncations is bool \(90, 1\), must be true or false of shape \(90,\)",
    ),
    "repeat": (
        instead("action_repeat", lambda _: np.array(2)),
        "action_repeat is 2, but each action of Point is held for 1 here: set collection.action_r",
    ),
    "repeats": (instead("action_repeat", lambda _: np.ones(3)), "must be one whole number"),
    "single rows": (
        lambda a: without("next_observations")({n: x[:1] for n, x in a.items()}),
        "the last row of each episode is left out, and no other is there",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_line_names_the_first_fault(case: str, arrays: Arrays) -> None:
    change, message = REFUSED[case]
    with pytest.raises(LogError, match=message) as caught:
        read_log(change(arrays), POINT, "log")
    assert "\n" not in str(caught.value)


def test_rounding_at_the_bounds_is_none_of_the_users_doing(arrays: Arrays) -> None:
    log = read_log(at("actions", (0, 0), np.nextafter(np.float32(2.0), 3))(arrays), POINT, "log")
    assert log.action[0, 0] == 1.0


def test_rows_of_single_steps_are_too_many_for_held_actions(arrays: Arrays) -> None:
    held = dataclasses.replace(POINT, action_repeat=2, horizon=HORIZON // 2)
    with pytest.raises(LogError, match=r"has \d+ rows, but at most 10 actions of 2 environment"):
        read_log(arrays, held, "log")
    # Where an action is one step, an episode may be longer than those that are played here.
    read_log(arrays, dataclasses.replace(POINT, horizon=5), "log")


def test_what_the_task_knows_is_compared(arrays: Arrays) -> None:
    log = read_log(arrays, POINT, "log")
    check_log(log, POINT, "log", reward=True, termination=True)
    other = dataclasses.replace(log, reward=2.0 * log.reward)
    with pytest.raises(LogError, match=r"log: the reward of transition 0 is -\S+, but Point knows"):
        check_log(other, POINT, "log", reward=True, termination=True)
    check_log(other, POINT, "log", reward=False, termination=True)
    row = int(np.argmax(log.terminated))
    other = dataclasses.replace(log, terminated=np.zeros(90, bool))
    with pytest.raises(
        LogError, match=f"log: terminated of transition {row} is False, but Point knows it to be "
        f"True, and so in .* model.learn_termination"
    ):  # fmt: skip
        check_log(other, POINT, "log", reward=True, termination=True)
    check_log(other, POINT, "log", reward=True, termination=False)
