"""Episodes that workers play: the data of one process, and processes that come to grief."""

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worker_worlds as worlds
from worker_worlds import DIE, DIVERGE, END, GO_ON, RAISE, TASK, controller

from duopoly.types import Controller, Episode
from duopoly.world.crew import Crew
from duopoly.world.environments import repeating
from duopoly.world.interaction import (
    Begun,
    CollectResult,
    SimulatorError,
    collect_by,
    evaluate_by,
    reset,
)
from duopoly.world.perturb import Change
from duopoly.world.played import Fault, Played, cut
from duopoly.world.seeds import EpisodeSeed
from duopoly.world.task import Task, TaskError
from duopoly.world.workers import Workers

SEED = 3
CHANGES = (Change("changed", 500),)
HELD = dataclasses.replace(TASK, make=repeating(TASK.make, 3), horizon=9, action_repeat=3)


def crews(task: Task, numbers: Sequence[int], changes: Sequence[Change] = ()) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(Crew(task, changes, Workers(number))))
            for number in numbers
        ]


@pytest.fixture(scope="module")
def obedient() -> Iterator[list[Crew]]:
    """Of 1, 2 and 3 processes, whose world changes after 500 steps."""
    yield from crews(TASK, (1, 2, 3), CHANGES)


@pytest.fixture(scope="module")
def held() -> Iterator[list[Crew]]:
    """Of 1 and 2 processes, where each action is held for three steps."""
    yield from crews(HELD, (1, 2))


def gathered(
    crew: Crew, how: Controller, budget: int, *, round_index: int = 0, begun: Any = None, **at: int
) -> CollectResult:
    env_steps = at.get("env_steps", 0)
    with crew.playing(how, env_steps, begun=begun and begun(crew)) as play:
        return collect_by(play, at_task(crew), budget, SEED, round_index)


def judged(crew: Crew, how: Controller, number: int, env_steps: int = 0) -> CollectResult:
    with crew.playing(how, env_steps, deterministic=True) as play:
        return evaluate_by(play, at_task(crew), number, SEED)


def at_task(crew: Crew) -> Task:
    return crew._task


def plain(result: CollectResult) -> Any:
    """All that is told of what was played, so that two can be compared."""
    episodes = [
        {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in vars(episode).items()}
        for episode in result.episodes
    ]
    return episodes, result.drops


def all_alike(results: Sequence[CollectResult]) -> CollectResult:
    for result in results[1:]:
        assert plain(result) == plain(results[0])
    return results[0]


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("ends", [(END,), (END, DIVERGE), (END, GO_ON, DIVERGE, END, END)])
def test_workers_bring_what_one_process_does(
    obedient: list[Crew], ends: tuple[float, ...], slow: bool
) -> None:
    """Early ends, episodes that are dropped, and some that only the budget ends."""
    how, num_drops, is_cut = controller(ends=ends, slow=slow), 0, False
    for index, budget in enumerate((1, 7, 60, 200)):
        found = all_alike([gathered(c, how, budget, round_index=index) for c in obedient])
        assert found.num_env_steps == budget
        num_drops += len(found.drops)
        is_cut |= not found.episodes[-1].complete
        assert found.episodes[-1].seen[-1] is not None
    assert is_cut
    assert (num_drops > 0) == (DIVERGE in ends)
    if GO_ON not in ends:
        found = all_alike([judged(crew, how, 9) for crew in obedient])
        assert len(found.episodes) == 9
        assert all(noise == 0.0 for one in found.episodes for _, noise in one.seen)


def test_actions_may_be_held(held: list[Crew]) -> None:
    """Ends cut actions short, and a budget that lacks an action's steps leaves some over."""
    how = controller(ends=(END, DIVERGE), longest=20)
    for budget in (3, 20, 100, 101, 102):
        found = all_alike([gathered(crew, how, budget) for crew in held])
        assert budget - 2 <= found.num_env_steps <= budget
    assert any(len(one.obs) * 3 > one.num_env_steps for one in found.episodes)  # pyright: ignore
    all_alike([judged(crew, how, 7) for crew in held])


def test_a_world_changes_where_it_would_for_one_process(obedient: list[Crew]) -> None:
    how = controller(ends=(END, DIVERGE))
    for env_steps in (400, 499, 500):
        found = all_alike([gathered(crew, how, 300, env_steps=env_steps) for crew in obedient])
        flags = [episode.obs[0, 2] for episode in found.episodes]
        assert set(flags) == ({1.0} if env_steps == 500 else {0.0, 1.0})
        found = all_alike([judged(crew, how, 3, env_steps) for crew in obedient])
        assert {one.obs[0, 2] for one in found.episodes} == {float(env_steps == 500)}


def test_an_episode_that_has_begun_goes_on_first(obedient: list[Crew]) -> None:
    def begun(crew: Crew) -> Begun:
        env = crew.world.after(0)
        obs = reset(env, TASK, EpisodeSeed(SEED, "collect", 8, 0), 5)
        known = Episode(*[np.ones((2, n), np.float32) for n in (3, 2)], *HALF, False, False, 2)
        return Begun(env, obs, known)

    HALF = np.ones(2, np.float32), np.ones((2, 3), np.float32)
    for budget in (5, 80):
        results = [gathered(crew, controller(), budget, begun=begun) for crew in obedient]
        found = all_alike(results)
        assert found.num_env_steps == budget
        assert [one.num_known for one in found.episodes[:2]] == [2, 0][: len(found.episodes)]


def test_an_error_counts_where_it_would_for_one_process(obedient: list[Crew]) -> None:
    """Which is told alike; one beyond the budget is not, and a fresh world is played in after."""
    how = controller(ends=(END, END, END, RAISE))
    told = []
    for crew in obedient:
        with pytest.raises(SimulatorError) as failure:
            gathered(crew, how, 10_000)
        told.append(str(failure.value))
    assert told[0].startswith("Obedient: step failed at action")
    assert told == told[:1] * 3
    before = next(n for n in range(1, 10_000) if not _goes_well(obedient[0], how, n)) - 1
    assert before > 20
    all_alike([gathered(crew, how, before) for crew in obedient])


def _goes_well(crew: Crew, how: Controller, budget: int) -> bool:
    try:
        gathered(crew, how, budget)
    except SimulatorError:
        return False
    return True


def test_too_many_dropped_episodes_are_told_alike(obedient: list[Crew]) -> None:
    told = []
    for crew in obedient:
        with pytest.raises(SimulatorError, match="10 episodes in a row were dropped") as failure:
            judged(crew, controller(ends=(DIVERGE,)), 3)
        told.append(str(failure.value))
    assert told == told[:1] * 3


def test_a_worker_that_dies_is_replaced(
    obedient: list[Crew], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    alone, two, _ = obedient
    (tmp_path / "there").touch()
    whole = gathered(alone, controller(ends=(END, DIE), once=tmp_path / "there"), 200)
    capfd.readouterr()
    found = gathered(two, controller(ends=(END, DIE), once=tmp_path / "not yet"), 200)
    assert plain(found) == plain(whole)
    told = capfd.readouterr().err
    assert "Obedient: a worker died (SIGKILL) in episode" in told
    assert set(told.splitlines()) == {
        line for line in told.splitlines() if line.endswith("another plays it again")
    }


def test_an_episode_that_kills_every_worker_is_told(obedient: list[Crew]) -> None:
    _, two, _ = obedient
    match = r"Obedient: 2 workers died in episode \d+ \(collect, round 0, seed 3\), .* SIGKILL"
    with pytest.raises(SimulatorError, match=match):
        gathered(two, controller(ends=(END, DIE)), 10_000)
    assert gathered(two, controller(), 50).num_env_steps == 50


def test_an_idle_worker_that_dies_is_replaced(
    obedient: list[Crew], capfd: pytest.CaptureFixture
) -> None:
    alone, two, _ = obedient
    assert two._team is not None
    while not all(seat.is_idle for seat in two._team.seats):  # an earlier test's replacements
        two._team.hear()
    process = two._team.seats[0].worker._process
    os.kill(process.pid, 9)
    process.join()
    capfd.readouterr()
    all_alike([gathered(crew, controller(), 90) for crew in (alone, two)])
    assert capfd.readouterr().err.count("Obedient: a worker has died (SIGKILL) and is repl") == 1


def test_nothing_is_played_that_no_one_waits_for(obedient: list[Crew]) -> None:
    """An episode without an end ahead of the last that counts is stopped at once."""
    _, two, _ = obedient
    how = controller(ends=(END, GO_ON), slow=True)
    begin = time.monotonic()
    for index in range(4):
        gathered(two, how, 40, round_index=index)
    judged(two, controller(), 2)
    assert time.monotonic() - begin < worlds.HORIZON * 1e-3  # a hundredth of such an episode each


def test_a_task_that_cannot_be_sent_is_refused() -> None:
    task = dataclasses.replace(TASK, make=lambda _: worlds.Obedient())
    with pytest.raises(TaskError, match=r"Obedient cannot be sent to workers: .*no lambda, or lea"):
        Crew(task, (), Workers(2))


def test_a_worker_that_cannot_make_its_world_is_told() -> None:
    task = dataclasses.replace(TASK, make=worlds.make_here_alone)
    with pytest.raises(SimulatorError, match="a worker cannot begin: OSError: the robot is taken"):
        Crew(task, (), Workers(2))


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_of_workers_that_cannot_be(number: Any) -> None:
    with pytest.raises(ValueError, match=f"num_workers = {number}: must be a whole number"):
        Workers(number)


def test_what_is_cut_is_what_a_budget_allows() -> None:
    """By hand: actions of 3, 3 and 2 steps, each begun while 3 are left; then a fault after 10."""
    columns = np.arange(3, dtype=np.float32)
    rows = np.stack([columns, columns], axis=1)
    steps = np.array([3, 3, 2])
    whole = Played(rows, rows, columns, rows, steps, True, False, (7, 8, 9), None)
    seed = EpisodeSeed(0, "collect", 0, 0)
    lengths = {3: 1, 5: 1, 6: 2, 8: 2, 9: 3, 99: 3}
    for budget, length in lengths.items():
        found = cut(whole, seed, budget, 3)
        assert isinstance(found, Episode)
        assert found.seen == (7, 8, 9)[:length]
        assert (found.num_env_steps, found.terminated) == (int(steps[:length].sum()), length == 3)
        assert found.obs.tolist() == rows[:length].tolist()
    broken = whole._replace(terminated=False, fault=Fault("odd", 3, 10))
    assert isinstance(cut(broken, seed, 10, 3), Episode)
    drop = cut(broken, seed, 11, 3)
    assert str(drop).endswith("dropped: odd at action 3")
    assert drop.num_env_steps == 10
    fatal = whole._replace(fault=Fault("dead", 3, 8, is_fatal=True))
    assert isinstance(cut(fatal, seed, 10, 3), Episode)
    with pytest.raises(SimulatorError, match="dead"):
        cut(fatal, seed, 11, 3)


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from worker_worlds import TASK, controller
from duopoly.world.crew import Crew
from duopoly.world.workers import Workers

{guard}
    crew = Crew(TASK, (), Workers(2))
    print("began", flush=True)
    play = crew.playing(controller(), 0)
    play.__enter__()
"""


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_program_ends_though_it_ends_no_worker(tmp_path: Path, is_guarded: bool) -> None:
    """And one that begins anew in each worker is told how not to."""
    guard = "if __name__ == '__main__':" if is_guarded else "if True:"
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(tests=str(Path(worlds.__file__).parent), guard=guard))
    ended = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=300
    )
    if is_guarded:
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "began\n", "")
    else:
        assert ended.returncode == 1
        last = ended.stderr.splitlines()[-1]
        assert "a worker died (exit code 1) before it began; a program must play below" in last
