"""Model-based reinforcement learning as a game between two players (Eq. 4).

    policy player:  max_π J(π, M̂)          model player:  min_M̂ ℓ(M̂, µ^π_M)

Its algorithms are one game played in different orders, so each of them is a value: a `Schedule`.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import jax

from duopoly.game.drift import rule, ruled
from duopoly.game.metrics import unknown_metrics
from duopoly.game.moves import collect, fit, improve, is_settled
from duopoly.game.observe import (
    ActionFn,
    evaluate_policy,
    leader_loss,
    measure_disagreement,
    measure_model_error,
    measure_policy_gap,
)
from duopoly.game.state import (
    Game,
    GameState,
    Purpose,
    goes_on,
    is_offline,
    key_of,
    start,
)
from duopoly.game.views import remembered
from duopoly.schedule import Move, Schedule, check_offline, check_players, check_workers
from duopoly.settings import Settings
from duopoly.types import Metrics
from duopoly.world.crew import Crew
from duopoly.world.perturb import Change
from duopoly.world.task import Task
from duopoly.world.workers import ALONE, Workers

PhaseFn = Callable[[str], None]

_PHASES: Final = {
    Move.COLLECT: "collecting",
    Move.FIT: "fitting the model",
    Move.IMPROVE: "improving",
}


@dataclasses.dataclass(frozen=True)
class Round:
    """One round of the game, after it was played."""

    state: GameState
    metrics: Metrics
    """NaN for what is not known; the evaluation's are unknown until the round is judged."""


JudgeFn = Callable[[Round, ActionFn], Round]
"""Evaluates the policy that a round came to; the function that it is given is told before each
action, and an exception that this raises ends it."""


def play(
    task: Task,
    settings: Settings,
    schedule: Schedule,
    seed: int,
    *,
    num_env_steps: int,
    state: GameState | None = None,
    changes: Sequence[Change] = (),
    on_phase: PhaseFn = lambda _: None,
    workers: Workers = ALONE,
    judged: bool = True,
) -> Iterator[Round]:
    """Plays round after round until the real world was stepped ``num_env_steps`` times.

    A game whose ``state`` began with a log (see `start`) first plays its rounds on that alone.

    The world ``changes`` on the way, of which the players are not told: an episode is played in
    the world of the moment it begins, and a round is judged in that of its end.

    Everything random comes from (seed, round), so a game that goes on from a ``state`` is equal,
    bit by bit, to one that never stopped. ``on_phase`` is told what is done next within a round.
    ``workers`` play its episodes, which are the same however many there are. Rounds that are not
    ``judged`` lack their evaluation; `judging` makes up for it at any time.

    Raises:
        SettingsError: the settings' policy player cannot play by the schedule, or its leader not
            without real steps; or there are workers, and it plans.
        TaskError: the task's spaces cannot be played, its actions not be held for as long as the
            settings say, or workers not be told of it.
        PerturbationError: the task's world cannot change like that.
        SimulatorError: the environment failed beyond dropping an episode.
        GameError: a player broke down.
    """
    check_players(schedule, settings)
    check_workers(settings, workers.number)
    task = task.held(settings.collection.action_repeat)
    game = Game(task, settings, seed, schedule.leader)
    state = start(task, settings, seed) if state is None else state
    if state.log is not None and num_env_steps == 0:
        check_offline(settings)
    with contextlib.closing(Crew(task, changes, workers)) as crew:
        while goes_on(task, settings, state, num_env_steps):
            round_ = play_round(game, schedule, crew, state, num_env_steps, on_phase)
            state = round_.state
            if judged:
                on_phase("evaluating")
                round_ = judge(game, crew, round_)
            yield round_


@contextlib.contextmanager
def judging(
    task: Task, settings: Settings, seed: int, changes: Sequence[Change] = ()
) -> Iterator[JudgeFn]:
    """Yields what judges the rounds of a game that were played without it, in any thread.

    It has environments of its own, so the game may go on meanwhile. Where the policy plans, its
    actions are computed as the game's are.

    Raises:
        PerturbationError: the task's world cannot change like that.
        SimulatorError: by what is yielded: an environment failed beyond dropping an episode.
    """
    game = Game(task.held(settings.collection.action_repeat), settings, seed)
    with contextlib.closing(Crew(game.task, changes)) as crew:
        yield functools.partial(judge, game, crew)


def judge(game: Game, crew: Crew, round_: Round, on_action: ActionFn | None = None) -> Round:
    """Evaluates the policy that a round came to, in the world of the round's end."""
    found = evaluate_policy(game, crew, round_.state, on_action)
    return Round(round_.state, round_.metrics | found)


def play_round(
    game: Game,
    schedule: Schedule,
    crew: Crew,
    state: GameState,
    num_env_steps: int,
    on_phase: PhaseFn,
) -> Round:
    """Plays one round; an improvement waits until there is a fitted model to play against.

    What it comes to is not judged yet.
    """
    key = jax.random.fold_in(key_of(game.seed, Purpose.ROUND), state.round)
    key_fit, key_improve, key_error, key_gap = jax.random.split(key, 4)
    metrics = unknown_metrics() | {"time/total_timesteps": state.env_steps}
    offline = is_offline(game.settings, state)
    for stage in schedule.stages:
        before = state.players
        for move in stage:
            begin = time.perf_counter()
            on_phase(_PHASES[move])
            match move:
                case Move.COLLECT if offline:
                    continue
                case Move.COLLECT:
                    state, seen = collect(game, crew, before, state, num_env_steps)
                case Move.FIT if is_settled(game, state, schedule.model_effort):
                    continue
                case Move.FIT:
                    data = remembered(schedule.memory, game, state)
                    state, seen = fit(key_fit, game, before, state, data, schedule.model_effort)
                case Move.IMPROVE if before.model.num_fits > 0:
                    state, seen = improve(key_improve, game, before, state, schedule.policy_effort)
                case Move.IMPROVE:
                    continue
            metrics |= seen | {f"time/{move.value}_s": time.perf_counter() - begin}
            if move is Move.COLLECT:
                metrics |= measure_model_error(key_error, game, before, state)
                if schedule.has_referee:
                    state, found = rule(game, before, state)
                    schedule, metrics = ruled(schedule, state), metrics | found
            elif move is Move.FIT and offline:
                metrics |= measure_disagreement(game, state)
    on_phase("measuring")
    metrics |= measure_policy_gap(key_gap, game, state)
    metrics |= {
        "game/leader_loss": leader_loss(schedule, metrics),
        "world/num_changes": crew.world.num_changes(state.env_steps),
    }
    return Round(dataclasses.replace(state, round=state.round + 1), metrics)
