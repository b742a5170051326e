"""How well a trained policy does, on episodes it has never met."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from duopoly.agent import Agent, load_agent
from duopoly.game.report import success_rate
from duopoly.lab.statistics import interquartile_mean
from duopoly.runs import atomic
from duopoly.runs.logs import save_log
from duopoly.types import Episode
from duopoly.world.buffer import Buffer
from duopoly.world.crew import Crew
from duopoly.world.interaction import CollectResult, evaluate_by
from duopoly.world.task import Task
from duopoly.world.workers import ALONE, Workers


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was found; returns are undiscounted, in the environment's own rewards."""

    task: str
    algorithm: str
    seed: int
    """Seed of the episodes."""
    env_steps: int
    """Real environment steps the policy was trained for."""
    num_episodes: int
    mean_return: float
    std_return: float
    iqm_return: float
    min_return: float
    max_return: float
    mean_length: float
    """In actions."""
    success_rate: float | None
    """None where the task has no such measure."""
    num_dropped: int
    """Episodes played again because the simulation diverged."""


def evaluate_run(
    path: Path,
    num_episodes: int,
    seed: int,
    task: Task | None = None,
    on_episode: Callable[[int], None] = lambda _: None,
    transitions: Path | None = None,
    workers: Workers = ALONE,
) -> Evaluation:
    """Plays the mean action of a run's newest policy, in the world as it was in the end.

    A ``task`` of one's own must be given. ``on_episode`` is told after each episode how many are
    complete. What was played is written to ``transitions``, an ``.npz`` file, if it is named.
    ``workers`` play the episodes, of a policy that does not plan.

    Raises:
        UsageError: there is nothing to evaluate.
        DamageError: the transitions cannot be written.
        SimulatorError: the environment failed.
    """
    agent = load_agent(path, task)
    result = _play(agent, num_episodes, seed, on_episode, workers)
    if transitions is not None:
        spec, episodes = agent.task.spec, result.episodes
        num_rows = sum(len(episode.obs) for episode in episodes)
        played = Buffer.empty(spec.obs_dim, spec.action_dim, num_rows).add(episodes)
        save_log(transitions, played, agent.task)
    return _summed_up(agent, result, num_episodes, seed)


def keep(evaluation: Evaluation, out: Path) -> None:
    """Writes the result as JSON.

    Raises:
        DamageError: it cannot be written.
    """
    atomic.write_file(out, atomic.dump_json(dataclasses.asdict(evaluation)))


def as_table(evaluation: Evaluation) -> Table:
    """The result for people."""
    result = evaluation
    title = f"{result.task}, {result.algorithm}, {result.env_steps:,} environment steps"
    table = Table("measure", "value", title=escape(title))
    table.columns[1].justify = "right"
    for name, value in _lines(result):
        table.add_row(name, value)
    return table


def _lines(result: Evaluation) -> list[tuple[str, str]]:
    lines = [
        ("episodes", f"{result.num_episodes}"),
        ("return, mean ± std", f"{result.mean_return:.1f} ± {result.std_return:.1f}"),
        ("return, interquartile mean", f"{result.iqm_return:.1f}"),
        ("return, lowest and highest", f"{result.min_return:.1f}, {result.max_return:.1f}"),
        ("length, mean", f"{result.mean_length:.1f} actions"),
    ]
    if result.success_rate is not None:
        lines.append(("success", f"{result.success_rate:.1%}"))
    if result.num_dropped:
        lines.append(("dropped, simulation diverged", f"{result.num_dropped}"))
    return lines


def _play(
    agent: Agent,
    num_episodes: int,
    seed: int,
    on_episode: Callable[[int], None],
    workers: Workers,
) -> CollectResult:
    task, env_steps = agent.task, agent.state.env_steps
    with (
        contextlib.closing(Crew(task, agent.perturb, workers)) as crew,
        crew.playing(agent.controller, env_steps, deterministic=True) as play,
    ):
        return evaluate_by(play, task, num_episodes, seed, stream="final", on_episode=on_episode)


def _summed_up(agent: Agent, result: CollectResult, num_episodes: int, seed: int) -> Evaluation:
    task = agent.task
    succeeded = success_rate(result.episodes, task)
    return Evaluation(
        task=task.name,
        algorithm=agent.schedule.name,
        seed=seed,
        env_steps=agent.state.env_steps,
        num_episodes=num_episodes,
        num_dropped=len(result.drops),
        success_rate=None if math.isnan(succeeded) else succeeded,
        **_of_returns(result.episodes),
    )


def _of_returns(episodes: list[Episode]) -> dict[str, Any]:
    returns = np.array([episode.return_ for episode in episodes])
    return {
        "mean_return": float(returns.mean()),
        "std_return": float(returns.std()),
        "iqm_return": float(interquartile_mean(returns)),
        "min_return": float(returns.min()),
        "max_return": float(returns.max()),
        "mean_length": float(np.mean([len(episode.reward) for episode in episodes])),
    }
