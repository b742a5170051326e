"""A process that plays episodes in a copy of the world of its own: its work, and its parent's end.

What is sent is numbers, and functions by name. A worker is deaf to the signals that stop a run: its
parent hears them, and when the parent ends, however it does, so does the worker.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_int64
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, final

from duopoly.types import Controller
from duopoly.world.changing import World
from duopoly.world.interaction import rollout
from duopoly.world.perturb import Change
from duopoly.world.played import DivergedError, Fault, Played, SimulatorError, played
from duopoly.world.seeds import EpisodeSeed
from duopoly.world.task import Task, TaskError
from duopoly.world.watch import watched
from duopoly.world.workers import Workers

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""They stop a run: a terminal and a batch system send them to all its processes."""

PATIENCE_SECONDS: Final = 5.0
"""How long a worker that is no longer needed may take to close its environment."""


class Setup(NamedTuple):
    """What a worker is told once."""

    task_name: str
    source: Callable[[], Task]
    action_repeat: int
    changes: Sequence[Change]


class Order(NamedTuple):
    """An episode to be played."""

    seed: EpisodeSeed
    env_steps: int
    """Those of the game after which it begins, which tell its world."""
    controller: Controller | None
    """None: as before."""
    deterministic: bool


class Ready(NamedTuple):
    """The worker has made its world."""


class Refusal(NamedTuple):
    """It could not."""

    reason: str


class Death(NamedTuple):
    """Its process is no more."""

    how: str


def setup_of(task: Task, changes: Sequence[Change], workers: Workers) -> Setup:
    """What workers are told of a game."""
    source = workers.source or _AsItIs(
        dataclasses.replace(
            task,
            reward_fn=None,
            terminated_fn=None,
            success_fn=None,
            constant=(),
            computed=(),
            compute_fn=None,
            hold_fn=None,
        )
    )
    return Setup(task.name, source, task.action_repeat, tuple(changes))


@dataclasses.dataclass(frozen=True)
class _AsItIs:
    """A task that is sent itself, as far as it is needed to play."""

    task: Task

    def __call__(self) -> Task:
        return self.task


@final
class Worker:
    """A worker as its parent has it."""

    def __init__(self, setup: Setup) -> None:
        """Begins it; whether it could make its world is the first that it tells.

        Raises:
            TaskError: the task cannot be sent to another process.
        """
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._limit = context.RawValue(c_int64, 0)
        self._process = context.Process(target=_serve, args=(theirs, self._limit))
        resource_tracker.ensure_running()  # which would lift the mask
        with _masked():
            self._process.start()
        theirs.close()
        try:
            with contextlib.suppress(OSError):  # seen as its death
                self.connection.send(setup)
        except Exception as error:  # whatever cannot be sent raises what it likes
            self.close()
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise TaskError(
                f"{setup.task_name} cannot be sent to workers: {reason}; what builds its "
                f"environment must stand at the top of a module and be no lambda, or leave "
                f"num_workers at 1"
            ) from error

    def order(self, order: Order, max_env_steps: int) -> bool:
        """Has an episode played, up to so many environment steps; False if the worker is dead."""
        self.limit(max_env_steps)
        try:
            self.connection.send(order)
        except OSError:
            return False
        return True

    def limit(self, max_env_steps: int) -> None:
        """Ends the episode that is played with the action after which it has made so many steps."""
        self._limit.value = max_env_steps

    def answer(self) -> Played | Ready | Refusal | Death:
        """Waits for what it tells next."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return Death(self.close())

    def dismiss(self) -> None:
        """Tells it to end, soon."""
        self.limit(0)
        self.connection.close()

    def close(self) -> str:
        """Sees to it that it has ended, and returns how it did."""
        self.dismiss()
        self._process.join(PATIENCE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@contextlib.contextmanager
def _masked() -> Iterator[None]:
    """Within this context a process begins deaf, until it can say for itself what it ignores."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, limit: Any) -> None:
    """The whole life of a worker."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # it is dismissed
        try:
            setup: Setup = connection.recv()
            task = setup.source().held(setup.action_repeat)
            world = World(task, setup.changes)
        except Exception as error:  # whatever the user's code raises
            connection.send(Refusal(" ".join(f"{type(error).__name__}: {error}".split())))
            return
        connection.send(Ready())
        with contextlib.closing(world), watched():
            _play_on(connection, limit, task, world)


def _play_on(connection: Connection, limit: Any, task: Task, world: World) -> None:
    """Plays what is ordered until an environment fails: none of it may be played in after that."""
    controller, is_sound = None, True
    while is_sound:
        order: Order = connection.recv()
        controller = order.controller or controller
        assert controller is not None
        done = _play(order, controller, limit, task, world)
        is_sound = done.fault is None or not done.fault.is_fatal
        connection.send(done)


def _play(order: Order, controller: Controller, limit: Any, task: Task, world: World) -> Played:
    env, steps, num_used, fault = world.after(order.env_steps), [], 0, None
    playing = rollout(env, task, controller, order.seed, deterministic=order.deterministic)
    try:
        for step in playing:
            steps.append(step)
            num_used += step.num_env_steps
            if num_used + task.action_repeat > limit.value:
                break
    except DivergedError as error:
        fault = Fault(error.reason, error.step, error.num_env_steps)
    except SimulatorError as error:
        fault = Fault(str(error), len(steps), num_used, is_fatal=True)
    return played(steps, fault)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
