"""Who plays the episodes of a game: this process, or workers that play them ahead.

An episode comes out the same wherever and whenever it is played, for all its randomness is in its
seed. So workers play the next episodes before it is known how many there will be, and they are
dealt out in their order: each is cut where the steps end that those before it have left, and what
was played beyond that is thrown away. The data are those of one process, bit by bit.
"""

import atexit
import collections
import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Final, NamedTuple, final

from duopoly.types import Controller
from duopoly.world.changing import World
from duopoly.world.interaction import Begun, PlayFn, Turn, alone
from duopoly.world.perturb import Change
from duopoly.world.played import Fault, Outcome, Played, SimulatorError, cut, played
from duopoly.world.seeds import EpisodeSeed
from duopoly.world.task import Task
from duopoly.world.worker import Death, Order, Ready, Refusal, Setup, Worker, setup_of
from duopoly.world.workers import ALONE, Workers

MAX_AHEAD: Final = 16
"""Episodes per worker that are played before the one that is due has ended."""

MAX_DEATHS: Final = 2
"""Workers that die of an episode before it is given up."""


@final
class Crew:
    """The world of a game, and who plays in it."""

    def __init__(
        self, task: Task, changes: Sequence[Change] = (), workers: Workers = ALONE
    ) -> None:
        """Makes the world, and that of each worker where there are any.

        Raises:
            PerturbationError: as for `World`.
            TaskError: the task cannot be sent to workers.
            SimulatorError: a worker cannot make its world.
        """
        self.world = World(task, changes)
        self._task = task
        self._team: _Team | None = None
        if workers.number > 1:
            try:
                setup = setup_of(task, changes, workers)
                self._team = _Team(setup, workers.number)
            except BaseException:
                self.world.close()
                raise

    @contextlib.contextmanager
    def playing(
        self,
        controller: Controller,
        env_steps: int,
        *,
        deterministic: bool = False,
        begun: Begun | None = None,
    ) -> Iterator[PlayFn]:
        """What plays the episodes of one collection or evaluation, within this context.

        Args:
            controller: acts in them. Workers must be able to take it: no closure.
            env_steps: of the game before them, which tell their world.
            deterministic: leave out the noise that explores.
            begun: the episode that goes on first, in this process.
        """
        here = alone(
            lambda num_before: self.world.after(env_steps + num_before),
            self._task,
            controller,
            deterministic=deterministic,
            begun=begun,
        )
        if self._team is None:
            yield here
            return
        how = _How(controller, env_steps, deterministic)
        try:
            yield _Ahead(self._team, self.world, self._task, how, here if begun else None).play
        finally:
            self._team.cancel()

    def close(self) -> None:
        """Ends the workers and closes all environments."""
        if self._team is not None:
            self._team.close()
        self.world.close()


class _How(NamedTuple):
    """How the episodes of a collection are played."""

    controller: Controller
    env_steps: int
    deterministic: bool


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    """An episode that a worker plays."""

    seed: EpisodeSeed
    world: int
    """How often the world is taken to have changed before it."""
    of: "_Ahead"


@dataclasses.dataclass(eq=False)
class _Seat:
    """A worker, and what it does."""

    worker: Worker
    is_ready: bool = False
    job: _Job | None = None
    told: "_Ahead | None" = None
    """Whose controller it has."""

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.job is None


@final
class _Team:
    """The workers; one that has died is replaced."""

    def __init__(self, setup: Setup, number: int) -> None:
        self._setup = setup
        self._deaths = collections.Counter[EpisodeSeed]()
        self.seats: list[_Seat] = []
        atexit.register(self.close)  # before multiprocessing waits for those that are left
        try:
            for _ in range(number):
                self.seats.append(_Seat(Worker(setup)))
            while not all(seat.is_ready for seat in self.seats):
                self.hear()
        except BaseException:
            self.close()
            raise

    def order(self, seat: _Seat, job: _Job, how: _How, max_env_steps: int) -> None:
        """Has an idle worker play an episode up to so many environment steps."""
        controller = None if seat.told is job.of else how.controller
        order = Order(job.seed, how.env_steps, controller, how.deterministic)
        if seat.worker.order(order, max_env_steps):
            seat.job, seat.told = job, job.of
        else:
            self._tell(f"a worker has died ({self._replace(seat)}) and is replaced")

    def hear(self) -> list[tuple[_Job, Played]]:
        """Waits until a worker that has something to do tells something; returns what it played."""
        busy = {seat.worker.connection: seat for seat in self.seats if not seat.is_idle}
        done = [self._heard(busy[one]) for one in wait(list(busy))]  # pyright: ignore
        return [one for one in done if one is not None]

    def cancel(self) -> None:
        """Has every worker stop after the action that it is at."""
        for seat in self.seats:
            seat.worker.limit(0)

    def close(self) -> None:
        """Ends all workers."""
        atexit.unregister(self.close)
        for seat in self.seats:
            seat.worker.dismiss()
        while self.seats:
            self.seats.pop().worker.close()

    def _heard(self, seat: _Seat) -> tuple[_Job, Played] | None:
        answer, job = seat.worker.answer(), seat.job
        match answer:
            case Ready():
                seat.is_ready = True
            case Refusal(reason):
                raise SimulatorError(f"{self._setup.task_name}: a worker cannot begin: {reason}")
            case Death(how) if job is None:
                raise SimulatorError(
                    f"{self._setup.task_name}: a worker died ({how}) before it began; a program "
                    f"must play below `if __name__ == '__main__':`, for its workers import it"
                )
            case Death() if job is not None:
                return self._died(seat, job)
            case Played() if job is not None:
                seat.job = None
                if answer.fault and answer.fault.is_fatal:  # in its environment nobody plays on
                    self._replace(seat)
                return job, answer
        return None

    def _died(self, seat: _Seat, job: _Job) -> tuple[_Job, Played] | None:
        how = self._replace(seat)
        self._deaths[job.seed] += 1
        if self._deaths[job.seed] < MAX_DEATHS:
            self._tell(f"a worker died ({how}) in {job.seed}; another plays it again")
            return None
        reason = (
            f"{self._setup.task_name}: {MAX_DEATHS} workers died in {job.seed}, the last of {how}"
        )
        return job, played([], Fault(reason, is_fatal=True))

    def _replace(self, seat: _Seat) -> str:
        """Puts a new worker in the place of one that has ended, and returns how that did."""
        how = seat.worker.close()
        seat.worker, seat.is_ready, seat.job, seat.told = Worker(self._setup), False, None, None
        return how

    def _tell(self, text: str) -> None:
        print(f"duopoly: {self._setup.task_name}: {text}", file=sys.stderr)


@final
class _Ahead:
    """The episodes of one collection, which workers play before they are due."""

    def __init__(
        self, team: _Team, world: World, task: Task, how: _How, begun: PlayFn | None
    ) -> None:
        self._team, self._world, self._task, self._how = team, world, task, how
        self._begun = begun
        self._kept: dict[int, tuple[_Job, Played]] = {}
        """What is played and not yet due, by the number of its episode."""

    def play(self, turn: Turn) -> Outcome:
        """Returns the episode that is due, once it is played.

        Raises:
            SimulatorError: the environment raised in it, or workers died of it.
        """
        number = turn.seed.episode
        if self._begun is not None and number == 0:
            self._fill(turn)
            return self._begun(turn)
        while True:
            if number in self._kept:
                job, whole = self._kept.pop(number)
                if job.world == self._world_at(turn.num_before):
                    return cut(whole, turn.seed, turn.max_env_steps, self._task.action_repeat)
            self._fill(turn)
            for job, whole in self._team.hear():
                if job.of is self:
                    self._kept[job.seed.episode] = job, whole

    def _fill(self, turn: Turn) -> None:
        """Gives the idle something to do, and lets the others play no further than is needed."""
        world, due = self._world_at(turn.num_before), turn.seed.episode
        if is_settled := self._is_settled(turn):
            self._kept = {k: one for k, one in self._kept.items() if one[0].world == world}
        how = self._how._replace(env_steps=self._how.env_steps + turn.num_before)
        busy = [(seat, seat.job) for seat in self._team.seats if seat.job is not None]
        playing = {job.seed.episode: (seat, job) for seat, job in busy if job.of is self}
        idle = [seat for seat in self._team.seats if seat.is_idle]
        for number, steps in self._budgets(turn, is_settled):
            if number in self._kept or (number == 0 and self._begun is not None):
                continue
            if number in playing:
                seat, job = playing[number]
                is_astray = job.world != world and (is_settled or number == due)
                seat.worker.limit(0 if is_astray else steps)
            elif idle and steps >= self._task.action_repeat:
                job = _Job(turn.seed._replace(episode=number), world, self)
                self._team.order(idle.pop(), job, how, steps)

    def _budgets(self, turn: Turn, is_settled: bool) -> Iterator[tuple[int, int]]:
        """The episodes from the one that is due on, each with the most steps that it may have."""
        num_ahead, steps = MAX_AHEAD * len(self._team.seats), turn.max_env_steps
        if turn.num_ahead is not None:
            num_ahead = min(num_ahead, turn.num_ahead)
        for number in range(turn.seed.episode, turn.seed.episode + num_ahead + 1):
            yield number, steps
            if turn.num_ahead is None and is_settled and number in self._kept:
                steps -= self._kept[number][1].total_env_steps

    def _is_settled(self, turn: Turn) -> bool:
        """Whether the world stays as it is, so that what is played ahead is what will be."""
        if turn.num_ahead is not None:
            return True
        ends_in = self._world_at(turn.num_before + turn.max_env_steps)
        return ends_in == self._world_at(turn.num_before)

    def _world_at(self, num_before: int) -> int:
        return self._world.num_changes(self._how.env_steps + num_before)
