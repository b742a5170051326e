"""Training and using a policy from Python, with the habits of Stable-Baselines3.

    agent = PAL("Hopper-v5", seed=0).learn(50_000)
    action, _ = agent.predict(obs, deterministic=True)
    agent.save("hopper"); agent = PAL.load("hopper")

An algorithm is a value, not a class: `PAL` holds a schedule of the game and makes agents.
"""

import contextlib
import dataclasses
import math
import operator
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex, final

import gymnasium as gym
import numpy as np

from duopoly import schedule as schedules
from duopoly.game.moves import controller_of
from duopoly.game.play import PhaseFn, Round, play
from duopoly.game.state import Game, GameState, start
from duopoly.policy.player import PolicyPlayer
from duopoly.presets import preset
from duopoly.runs import checkpoint, saved, snapshot
from duopoly.runs.config import MAX_SEED, RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.keeper import clocked, logged, told_of
from duopoly.runs.logs import Source, load_log, save_log
from duopoly.runs.progress import Console, Live, live_progress
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.trackers import catalogue
from duopoly.runs.trackers.follow import Tracking
from duopoly.runs.trackers.tracker import Tracker
from duopoly.schedule import SCHEDULES, Schedule, check_players, check_workers
from duopoly.settings import Settings
from duopoly.types import Controller
from duopoly.world.changing import names_of, task_after
from duopoly.world.custom import task_of
from duopoly.world.perturb import Change, read_changes
from duopoly.world.task import Task
from duopoly.world.tasks import check_name, get_task
from duopoly.world.workers import Workers

Callback = Callable[[Round], bool | None]


@final
class Agent:
    """A game in progress, and the policy that it has come to."""

    def __init__(
        self,
        task: Task,
        schedule: Schedule,
        settings: Settings,
        seed: int,
        state: GameState,
        perturb: Sequence[str | Change] = (),
    ) -> None:
        """Takes its seat.

        Raises:
            SettingsError: the settings' policy player cannot play by the schedule.
            TaskError: the task's actions cannot be held for as long as the settings say, or its
                name is that of another task.
        """
        check_players(schedule, settings)
        check_name(task)
        self.task = task.held(settings.collection.action_repeat)
        self.schedule = schedule
        self.settings = settings
        self.seed = seed
        self.state = state
        self.perturb = read_changes(perturb, names_of(task), task.name)
        self._counted_from = 0
        self._prepared = state, controller_of(self._game, state.players)
        self._rng = np.random.default_rng(seed)

    @property
    def num_timesteps(self) -> int:
        """Real environment steps since the count last began."""
        return self.state.env_steps - self._counted_from

    @property
    def observation_space(self) -> gym.Space[Any]:
        """What the environment observes, as it observes it."""
        return self.task.spec.obs_space or gym.spaces.Box(
            -np.inf, np.inf, (self.task.spec.obs_dim,)
        )

    @property
    def action_space(self) -> gym.spaces.Box:
        """What `predict` answers with."""
        spec = self.task.spec
        return gym.spaces.Box(spec.action_low, spec.action_high, dtype=spec.action_dtype)

    def get_parameters(self) -> dict[str, np.ndarray]:
        """Copies of the arrays of both players, by the names that checkpoints have for them."""
        return dict(snapshot.snapshot(self.state).groups["players"])

    def __repr__(self) -> str:
        name, steps = self.schedule.name.upper(), self.state.env_steps
        return f"{name}({self.task.name!r}, seed={self.seed}): {steps:,} environment steps"

    @property
    def task_now(self) -> Task:
        """The task in the world that is in force after the steps made so far."""
        return task_after(self.task, self.perturb, self.state.env_steps)

    @property
    def player(self) -> PolicyPlayer:
        """The policy player: how it improves and acts."""
        return self._game.player

    @property
    def controller(self) -> Controller:
        """How the policy acts, in an episode as in `predict`; made once per state."""
        state, controller = self._prepared
        if state is not self.state:
            controller = controller_of(self._game, self.state.players)
            self._prepared = self.state, controller
        return controller

    @property
    def _game(self) -> Game:
        return Game(self.task, self.settings, self.seed, self.schedule.leader)

    def learn(
        self,
        total_timesteps: float,
        callback: Callback | None = None,
        progress_bar: bool = False,
        reset_num_timesteps: bool = True,
        log_dir: str | os.PathLike[str] | None = None,
        track: str | Tracker | Sequence[str | Tracker] = (),
        num_workers: int = 1,
    ) -> "Agent":
        """Plays on from where the game stands, for so many more real environment steps.

        An agent that began with data first plays the rounds on them alone that are left.

        Args:
            total_timesteps: real environment steps to add, each action repeat included.
            callback: told each finished round; returning False stops.
            progress_bar: show progress in the terminal.
            reset_num_timesteps: whether `num_timesteps` begins again at zero. What was learned
                is kept in either case.
            log_dir: run directory to leave, as ``duopoly train`` does: metrics, TensorBoard events,
                checkpoints, the best agent. A later call with the same one goes on in it.
            track: what else follows the run: ``"wandb"``, ``"mlflow"``, or a `Tracker` of your
                own. With a ``log_dir`` a later call goes on in the same record of theirs, and adds
                what they have missed; without one each call is a record of its own.
            num_workers: processes that play the episodes, each in a copy of the environment of its
                own; the numbers are the same. Where a step is slow, it takes less time. The program
                must then begin below ``if __name__ == "__main__":``.

        Raises:
            ValueError: no such number of steps can be made, or of workers be had.
            SettingsError: there are workers, and the policy plans.
            TaskError: there are workers, and the task cannot be sent to another process.
            UsageError: the directory is not free, or stands at another round than the agent; or a
                tracker is not installed or cannot begin.
            DamageError: the disk takes no more.
        """
        if not 0 <= total_timesteps < math.inf:
            raise ValueError(f"total_timesteps = {total_timesteps}: must be a number of steps ≥ 0")
        workers = Workers(num_workers)
        check_workers(self.settings, num_workers)
        if reset_num_timesteps:
            self._counted_from = self.state.env_steps
        begin, first_step = time.monotonic(), self.state.env_steps
        goal = first_step + int(total_timesteps)
        with (
            self._logged(log_dir, goal, Tracking(catalogue.make(track))) as keep,
            self._progress(goal, shown=progress_bar) as live,
        ):
            for round_ in self._play(goal, live.phase, workers):
                self.state = round_.state
                keep(round_)
                elapsed = time.monotonic() - begin
                live.tell(clocked(round_, elapsed, self.state.env_steps - first_step))
                if callback is not None and callback(round_) is False:
                    break
        return self

    def predict(
        self,
        obs: np.ndarray | Mapping[str, Any] | tuple[Any, ...],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """The action for one observation ``[obs]``, or for each of a batch ``[N, obs]``.

        Args:
            obs: in the environment's units; any real dtype. One observation may be a Dict or a
                Tuple, as the environment gives it.
            state: what the last call returned; None at first. A planner's is the rest of its
                plan, ``[T, act]`` or ``[N, T, act]``; any other policy has no memory, and returns
                it as it came.
            episode_start: where True (one, or ``[N]``), an episode begins and its plan is empty.
            deterministic: the mean action instead of a sample.

        Returns:
            Actions inside the action space, in the environment's units, and the next ``state``.

        Raises:
            ValueError: another shape, an observation beyond belief (see `MAX_SIZE`), or a policy
                that answers with an action that is not finite.
        """
        spec = self.task.spec
        array = spec.read_obs(obs, self.task.name)
        controller = self.controller
        memory = controller.recall(state, episode_start, array.shape[:-1])
        action, memory, _ = controller.act(array, memory, self._rng, deterministic)
        if not np.isfinite(action).all():
            raise ValueError(f"the policy's action is not finite: {action}")
        return (
            spec.for_env(action.astype(np.float32)),
            state if controller.memory is None else memory,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the agent as a directory: settings, and one checkpoint with all it has learned.

        An agent saved there before is replaced.

        Raises:
            UsageError: the path holds something else, or cannot be written.
        """
        target = RunDirectory(Path(path))
        saved.check_replaceable(target)
        config = self._config(self.state.env_steps)
        saved.save(target, snapshot.snapshot(self.state), config, self.task)

    def save_transitions(self, path: str | os.PathLike[str]) -> None:
        """Writes its real data, those that are kept, as an ``.npz`` file that ``data`` reads.

        Raises:
            UsageError: there are none yet.
            DamageError: the file cannot be written.
        """
        save_log(path, self.state.buffer, self.task)

    def _config(self, num_env_steps: int) -> RunConfig:
        who = self.task.name, self.schedule.name, self.seed
        return RunConfig(*who, num_env_steps, self.settings, self.perturb, self.state.log)

    def _logged(self, log_dir: str | os.PathLike[str] | None, goal: int, tracking: Tracking):
        config = self._config(goal)
        if log_dir is None:
            return told_of(config, self.task, self.state, tracking)
        return logged(RunDirectory(Path(log_dir)), config, self.task, self.state, tracking)

    def _play(self, num_env_steps: int, on_phase: PhaseFn, workers: Workers):
        return play(
            self.task,
            self.settings,
            self.schedule,
            self.seed,
            num_env_steps=num_env_steps,
            state=self.state,
            changes=self.perturb,
            on_phase=on_phase,
            workers=workers,
        )

    def _progress(self, goal: int, *, shown: bool):
        if not shown:
            return contextlib.nullcontext(Live(lambda _metrics: None, lambda _name: None))
        title = f"{self.schedule.name} {self.task.name} seed {self.seed}"
        return live_progress(title, self.state.env_steps, goal, Console())


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """Makes agents that play by one schedule, and loads those that did."""

    schedule: Schedule

    def __call__(
        self,
        task: str | Task | gym.Env[Any, Any],
        *,
        seed: SupportsIndex = 0,
        settings: Settings | None = None,
        perturb: Sequence[str | Change] = (),
        data: Source | Sequence[Source] | None = None,
    ) -> Agent:
        """A new agent.

        Args:
            task: or the name of one, or an environment from `gymnasium.make`, of which then
                nothing is known.
            seed: of everything random.
            settings: by default the preset of the task and this algorithm.
            perturb: how the world changes on the way, such as ``["forearm@10000"]``: from the
                first episode that begins after so many steps on. The players are not told.
            data: logged transitions that it begins with: an ``.npz`` file, ``minari:ID``, arrays by
                name (`duopoly.world.logged` lists them), or several of those. `learn` first plays
                ``collection.offline_rounds`` rounds on them alone; ``learn(0)`` nothing else.

        Raises:
            UnknownTaskError: no task has that name.
            PerturbationError: the task's world cannot change like that.
            TaskError: the task's spaces cannot be played, or its actions not be held for as long
                as the settings say.
            SettingsError: a leader's gradient is asked for where nobody leads.
            UsageError: the data are none of the task, or more than the settings have room for.
            TypeError: ``task`` is something else.
            ValueError: the seed is out of bounds.
        """
        task, seed = _read_task(task), _read_seed(seed)
        if settings is None:
            length = task.horizon, task.action_repeat
            settings = preset(task.name, self.schedule.name, None, *length).settings
        log = None if data is None else load_log(data, task, settings, self.schedule)
        state = start(task, settings, seed, log)
        return Agent(task, self.schedule, settings, seed, state, perturb)

    def load(
        self, path: str | os.PathLike[str], task: Task | gym.Env[Any, Any] | None = None
    ) -> Agent:
        """The agent of a saved directory, or of a run directory at its newest sound checkpoint.

        Args:
            path: what `Agent.save` or ``duopoly train`` wrote. Only numbers are read from it.
            task: needed where the task is your own, or came as an environment: a task is code and
                never loaded from a file.

        Raises:
            UsageError: nothing of the kind is there, or another algorithm's.
            DamageError: it is not as it was written.
        """
        run = RunDirectory(Path(path))
        config = run.read_config()
        if config.algorithm != self.schedule.name:
            raise UsageError(
                f"{path} holds an agent of {config.algorithm}, not of {self.schedule.name}"
            )
        found = checkpoint.load_newest(run.checkpoints, config)
        if found is None:
            raise UsageError(f"{path} has no finished round yet")
        task = get_task(config.task) if task is None else _read_task(task)
        if task.name != config.task:
            raise UsageError(f"{path} holds an agent for {config.task}, not for {task.name}")
        fresh = start(task, config.settings, config.seed)
        state = snapshot.restore(found, dataclasses.replace(fresh, log=config.data))
        return Agent(task, self.schedule, config.settings, config.seed, state, config.perturb)


def load_agent(path: str | os.PathLike[str], task: Task | None = None) -> Agent:
    """The agent at ``path``, whichever of the algorithms made it; see `Algorithm.load`."""
    name = RunDirectory(Path(path)).read_config().algorithm
    if name not in SCHEDULES:
        raise UsageError(f"{path} holds an agent of an unknown algorithm, {name}")
    return Algorithm(SCHEDULES[name]).load(path, task)


PAL = Algorithm(schedules.PAL)
MAL = Algorithm(schedules.MAL)
GDA = Algorithm(schedules.GDA)
BR = Algorithm(schedules.BR)
AUTO = Algorithm(schedules.AUTO)
PETS = Algorithm(schedules.PETS)
METRPO = Algorithm(schedules.METRPO)
SLBO = Algorithm(schedules.SLBO)
SVG = Algorithm(schedules.SVG)
DHMBPO = Algorithm(schedules.DHMBPO)
MBPO = Algorithm(schedules.MBPO)
SAC = Algorithm(schedules.SAC)


def _read_task(task: object) -> Task:
    if isinstance(task, str):
        return get_task(task)
    if isinstance(task, gym.Env):
        return task_of(task)
    if isinstance(task, Task):
        return task
    raise TypeError(
        f"task = {task}: must be a task's name, a duopoly.Task, whose `make` builds the "
        f"environment and whose functions tell its reward and termination, or an environment that "
        f"gymnasium.make has made"
    )


def _read_seed(seed: SupportsIndex) -> int:
    number = int(operator.index(seed))
    if not 0 <= number <= MAX_SEED:
        raise ValueError(f"seed = {number}: must be in [0, {MAX_SEED}]")
    return number
