"""Worlds that change: which, when, and that nobody is told."""

import dataclasses
import math
from typing import Any

import gymnasium as gym
import jax
import mujoco
import numpy as np
import pytest
from gymnasium.spaces import Box
from probes import POINT, TINY, PointEnv
from transitions import Rhythm, disagreement
from transitions import play as play_rhythm

from duopoly.game.play import play
from duopoly.game.state import GameState
from duopoly.schedule import PAL
from duopoly.settings import override
from duopoly.world.changing import World, task_after
from duopoly.world.perturb import (
    Change,
    EnvFactory,
    Perturbation,
    PerturbationError,
    in_force,
    read_changes,
)
from duopoly.world.task import TaskError
from duopoly.world.tasks import get_task
from duopoly.world.tasks.reacher7dof import MODEL_FILE, PERTURBED, TARGET

KNOWN = ("forearm", "goal")


class FlaggedPoint(PointEnv):
    """The point, whose constant component tells which world it is in; it notes every reset."""

    def __init__(self, flag: float, resets: list[float]) -> None:
        super().__init__()
        self.flag, self.resets, self.is_closed = flag, resets, False

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.resets.append(self.flag)
        return super().reset(**kwargs)

    def close(self) -> None:
        self.is_closed = True

    def _observe(self) -> np.ndarray:
        return np.append(self._x, self.flag)


RESETS: list[float] = []


def flagged(flag: float) -> EnvFactory:
    return lambda _: FlaggedPoint(flag, RESETS)


# One task for all games: what is compiled for it is compiled once.
FLAGGED = dataclasses.replace(
    POINT,
    make=flagged(3.0),
    perturbations=(
        Perturbation("same", "", flagged(3.0)),
        Perturbation("seven", "", flagged(7.0)),
        Perturbation("eight", "", flagged(8.0)),
    ),
)
FEW = override(TINY, {"evaluation.gap_steps": 0})


def played(num_env_steps: int, *changes: Change, state: GameState | None = None):
    """The rounds of a game of PAL in a world that changes."""
    return play(FLAGGED, FEW, PAL, 3, num_env_steps=num_env_steps, state=state, changes=changes)


def same(a: object, b: object) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves)


def test_changes_are_read_in_the_order_of_time() -> None:
    changes = read_changes(["goal@12000", Change("forearm", 10_000)], KNOWN, "Arm")
    assert [str(change) for change in changes] == ["forearm@10000", "goal@12000"]
    assert read_changes("goal@1", KNOWN, "Arm") == (Change("goal", 1),)
    assert read_changes([], (), "Arm") == ()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (["goal"], "'goal': must be NAME@STEPS, such as goal@8000"),
        (["goal@"], "'goal@': must be NAME@STEPS"),
        (["goal@-5"], "'goal@-5': must be NAME@STEPS"),
        (["goal@1e4"], "'goal@1e4': must be NAME@STEPS"),
        (["goal@1\n"], "must be NAME@STEPS"),
        (["goal@0"], "goal@0: the world changes after at least 1 step"),
        (["gaol@5"], "gaol@5: Arm has no such perturbation; there are forearm, goal"),
        (["goal@5", "forearm@5"], "goal@5 and forearm@5 happen at once"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(written: list[str], message: str) -> None:
    with pytest.raises(PerturbationError, match=message):
        read_changes(written, KNOWN, "Arm")


def test_a_task_without_perturbations_says_so() -> None:
    with pytest.raises(PerturbationError, match="Arm has no such perturbation; it declares none"):
        read_changes(["goal@5"], (), "Arm")


def test_the_last_change_that_has_happened_counts() -> None:
    changes = read_changes(["forearm@10", "goal@20"], KNOWN, "Arm")
    assert [len(in_force(changes, steps)) for steps in (0, 9, 10, 19, 20, 99)] == [0, 0, 1, 1, 2, 2]


def test_episodes_meet_the_world_of_their_beginning() -> None:
    """Changes inside a collection and inside an episode, against a count by hand."""
    marks, seen = [], []
    for round_ in played(260, Change("seven", 105), Change("eight", 215)):
        marks.append(len(RESETS))
        seen.append(round_.metrics["world/num_changes"])
        state = round_.state
    flags, first = state.buffer.obs[:, 2], state.buffer.first
    begins = np.flatnonzero(first)
    expected = [3.0 if begin < 105 else 7.0 if begin < 215 else 8.0 for begin in begins]
    np.testing.assert_array_equal(flags[begins], expected)
    # No episode changes its world on the way, and 105 and 215 fall inside one.
    np.testing.assert_array_equal(flags, np.repeat(expected, np.diff([*begins, len(first)])))
    assert not first[[105, 215]].any()
    assert set(expected) == {3.0, 7.0, 8.0}
    # The two evaluation episodes of each round are played in the world of the round's end.
    assert [RESETS[mark - 2 : mark] for mark in marks] == [[7.0, 7.0], [8.0, 8.0]]
    assert seen == [1, 2]


@pytest.mark.parametrize("stop", [200, 260])
def test_a_game_resumed_across_a_change_equals_one_that_never_stopped(stop: int) -> None:
    change = Change("seven", 230)
    whole = list(played(320, change))
    half = list(played(stop, change))[-1].state
    rest = list(played(320, change, state=half))
    assert same(whole[-1].state.players, rest[-1].state.players)
    arrays = whole[-1].state.buffer.arrays(), rest[-1].state.buffer.arrays()
    assert set(arrays[0]["obs"][:, 2]) == {3.0, 7.0}
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][name])


def test_the_players_are_not_told() -> None:
    """A change to a world that is the same leaves every number as it was."""
    plain = list(played(260))[-1].state
    told = list(played(260, Change("same", 50)))[-1].state
    assert same(plain.players, told.players)


def test_all_worlds_are_made_at_once_and_closed() -> None:
    world = World(FLAGGED, (Change("seven", 10), Change("eight", 20)))
    envs = [world.after(steps).unwrapped for steps in (0, 10, 20)]
    assert [env.flag for env in envs] == [3.0, 7.0, 8.0]  # pyright: ignore
    world.close()
    assert all(env.is_closed for env in envs)  # pyright: ignore


def test_a_world_with_other_spaces_is_refused_and_closed() -> None:
    class Wide(FlaggedPoint):
        def __init__(self) -> None:
            super().__init__(9.0, [])
            self.action_space = Box(-9.0, 9.0, (2,), np.float32)
            made.append(self)

    made: list[Wide] = []
    task = dataclasses.replace(POINT, perturbations=(Perturbation("wide", "", lambda _: Wide()),))
    with pytest.raises(PerturbationError, match=r"Point, wide: the action space is Box\(-9"):
        World(task, (Change("wide", 5),))
    assert made[0].is_closed
    with pytest.raises(PerturbationError, match="no such perturbation; there are wide"):
        World(task, (Change("narrow", 5),))


def test_a_task_is_told_by_its_steps() -> None:
    changes = (Change("seven", 10),)
    assert task_after(FLAGGED, changes, 9) is FLAGGED
    changed = task_after(FLAGGED, changes, 10)
    assert changed.make(None).flag == 7.0  # pyright: ignore
    assert changed.reward_fn is FLAGGED.reward_fn


@pytest.mark.parametrize("name", ["", "a@b", "two words", "-x"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(PerturbationError, match="a name has letters, digits"):
        Perturbation(name, "", POINT.make)


def test_a_perturbation_declared_twice_is_refused() -> None:
    twice = (Perturbation("wind", "", POINT.make),) * 2
    with pytest.raises(TaskError, match=r"perturbations has \['wind'\] twice"):
        dataclasses.replace(POINT, perturbations=twice)


# The 7-joint arm of Fig. 4.


def make_reacher(**options: Any) -> gym.Env:
    return gym.make("duopoly/Reacher7DOF-v0", disable_env_checker=True, **options)


def test_a_longer_forearm_is_longer_and_heavier() -> None:
    env = make_reacher(forearm=0.421)
    obs, _ = env.reset(seed=0)
    np.testing.assert_allclose(obs[14:17], [0.921, -0.6, 0.0], atol=1e-9)
    model = env.unwrapped.model  # pyright: ignore
    capsule = 1000.0 * math.pi * 0.05**2 * (0.391 + 4.0 / 3.0 * 0.05)
    assert model.body("forearm").mass[0] == pytest.approx(capsule)
    usual = make_reacher().unwrapped.model  # pyright: ignore
    differing = {
        model.body(i).name for i in range(model.nbody) if model.body_mass[i] != usual.body_mass[i]
    }
    assert differing == {"forearm"}


def test_a_payload_is_in_the_hand_alone() -> None:
    loaded, usual = (make_reacher(**kind).unwrapped.model for kind in ({"payload": 5.0}, {}))  # pyright: ignore
    heavier = loaded.body_mass - usual.body_mass
    assert loaded.body("wrist_roll").mass[0] - usual.body("wrist_roll").mass[0] == pytest.approx(5)
    assert np.count_nonzero(heavier) == 1
    np.testing.assert_array_equal(loaded.body_pos, usual.body_pos)


def test_a_reversed_elbow_turns_the_other_way_and_the_start_does_not_show_it() -> None:
    action = np.eye(7)[3]
    usual, reversed_ = make_reacher(), make_reacher(elbow_gear=-10.0)
    starts = [env.reset(seed=3)[0] for env in (usual, reversed_)]
    np.testing.assert_array_equal(*starts)
    there = [env.step(sign * action)[0] for env, sign in ((usual, -1.0), (reversed_, 1.0))]
    np.testing.assert_allclose(*there, atol=1e-12)
    assert there[0][3] < 0.0


def test_the_usual_forearm_is_that_of_the_file() -> None:
    model = mujoco.MjModel.from_xml_path(str(MODEL_FILE))
    spec = mujoco.MjSpec.from_file(str(MODEL_FILE)).compile()
    ours = make_reacher().unwrapped.model  # pyright: ignore
    for name in ("body_pos", "body_mass", "body_inertia", "geom_size", "geom_pos"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(model, name))
        np.testing.assert_array_equal(getattr(spec, name), getattr(model, name))


def test_targets_come_from_the_box() -> None:
    task = task_after(get_task("Reacher7DOF"), (Change("goal", 1),), 1)
    env = task.make(None)
    targets = np.array([env.reset(seed=seed)[0][TARGET] for seed in range(200)])
    low, high = np.array([-0.1, -1.3, -0.25]), np.array([0.5, -0.9, 0.25])
    assert ((targets >= low) & (targets <= high)).all()
    np.testing.assert_allclose(targets.mean(axis=0), (low + high) / 2, atol=0.05)


@pytest.mark.parametrize("name", PERTURBED)
def test_known_functions_hold_in_the_changed_world(name: str) -> None:
    task = task_after(get_task("Reacher7DOF"), (Change(name, 1),), 1)
    reward_error, num_mismatches = disagreement(task, play_rhythm(task, Rhythm(7), 1_000))
    assert reward_error <= 5e-6
    assert num_mismatches == 0
    assert task.spec.obs_dim == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forearm": 0.0}, r"forearm = 0.0, must be a number in \[0.1, 1\]"),
        ({"forearm": math.nan}, "forearm = nan"),
        ({"forearm": 10**400}, "forearm = 1000"),
        ({"elbow_gear": 101.0}, r"elbow_gear = 101.0, must be a number in \[-100, 100\] \(N·m\)"),
        ({"payload": -1.0}, r"payload = -1.0, must be a number in \[0, 100\] \(kg\)"),
        ({"target_box": [[0, 0, 0]]}, "target_box = .* must be a lowest and a highest corner"),
        ({"target_box": [[0, 0, 1], [1, 1, 0]]}, "target_box"),
        ({"target_box": [[0, 0, 0], [1, 1, math.inf]]}, "target_box"),
        ({"target_box": np.zeros((9, 9))}, "target_box"),
        ({"target_box": "far"}, "target_box = 'far'"),
        ({"target_box": None}, "target_box = None"),
    ],
)
def test_an_arm_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message) as refused:
        make_reacher(**options)
    assert "\n" not in str(refused.value)
