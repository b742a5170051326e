"""The moves of a round: collect in the real world, fit the model, improve the policy.

Each takes the players as they were ``before`` its stage and the state so far, and returns the state
with its own part updated, and metrics.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from duopoly.equilibrium.gaps import imagine_policy, mean_return
from duopoly.game import report
from duopoly.game.leader import model_leader_term, policy_leader
from duopoly.game.state import (
    Game,
    GameError,
    GameState,
    Players,
    Purpose,
    is_offline,
    key_of,
    new_model,
    with_policy,
)
from duopoly.game.views import learned_world, opponent_of, practice_world, recent_data
from duopoly.model.fit import ModelState, fit_model
from duopoly.model.imagine import Starts
from duopoly.policy.player import OBJECTIVE, PlayerError
from duopoly.settings import Degree
from duopoly.types import Controller, Metrics, Transitions
from duopoly.world.changing import World
from duopoly.world.crew import Crew
from duopoly.world.interaction import Begun, collect_by
from duopoly.world.unfinished import take_up, unfinished


def collect(
    game: Game, crew: Crew, before: Players, state: GameState, num_env_steps: int
) -> tuple[GameState, Metrics]:
    """Lets the policy act in the real world, and adds the episodes to the buffer.

    Rounds end at fixed counts of steps: steps that are too few for an action's repeats are left to
    the next round. The first collection sets how the policy player normalises its inputs.
    """
    planned, end_of_round = _plan(game, state)
    # Up to the round's end, or the game's: more than planned where the last round left some over.
    # At least one action, for a round must bring data; at most what the buffers are padded to.
    budget = min(end_of_round, num_env_steps) - state.env_steps
    at_least, at_most = game.task.action_repeat, planned + game.task.action_repeat - 1
    budget = min(max(budget, at_least), at_most)
    begun = _cut_short(game, crew.world, state)
    with crew.playing(controller_of(game, before), state.env_steps, begun=begun) as play:
        result = collect_by(play, game.task, budget, game.seed, state.round)
    if not result.episodes:
        raise GameError(f"round {state.round}: every episode was dropped; {result.drops[-1]}")
    env_steps = state.env_steps + result.num_env_steps
    state = dataclasses.replace(
        state, env_steps=env_steps, buffer=state.buffer.add(result.episodes)
    )
    if state.round == 0 and state.log is None:
        adapted = game.player.adapt(before.policy, recent_data(game, state), True)
        state = with_policy(state, adapted)
    decisions = [one for episode in result.episodes for one in episode.seen]
    seen = report.of_collection(result, game.task, env_steps)
    return state, seen | game.player.report_actions(decisions)


def _plan(game: Game, state: GameState) -> tuple[int, int]:
    """Returns the environment steps of this round, and after how many of the game it ends."""
    collection = game.settings.collection
    if state.log is not None:
        number = state.round - collection.offline_rounds + 1
        return collection.steps_per_round, number * collection.steps_per_round
    planned = collection.steps_per_round if state.round else collection.initial_steps
    return planned, collection.initial_steps + state.round * collection.steps_per_round


def _cut_short(game: Game, world: World, state: GameState) -> Begun | None:
    """Returns the episode that the end of the last round cut short, in the world it began in.

    None where rounds do not go on with it, or where it was logged elsewhere.
    """
    if not game.settings.collection.episodes_go_on or state.env_steps == 0:
        return None
    cut = unfinished(state.buffer, state.round, game.task)
    if cut is None:
        return None
    num_made = len(cut.played.obs) * game.task.action_repeat
    return take_up(world.after(state.env_steps - num_made), game.task, cut, game.seed)


def fit(
    key: Key[Array, ""],
    game: Game,
    before: Players,
    state: GameState,
    data: Transitions,
    degree: Degree,
) -> tuple[GameState, Metrics]:
    """Lets the model player fit the data."""
    settings = game.settings.model
    num_epochs, max_steps = settings.epochs.at(degree), None
    if settings.steps_per_env_step > 0.0:
        max_steps = math.ceil(settings.steps_per_env_step * _num_new(game, state))
    penalty, of_term = model_leader_term(game, before, state, data)
    model, info = fit_model(
        key, _begun(game, before, state), data, settings, num_epochs, penalty, max_steps
    )
    if bool(jnp.all(info.is_refused)):
        raise GameError(
            f"round {state.round}: the fit of every ensemble member turned non-finite; "
            f"try a smaller model learning rate than {settings.learning_rate:g}"
        )
    players = Players(state.players.policy, model)
    return dataclasses.replace(state, players=players), report.of_fit(info) | of_term


def _begun(game: Game, before: Players, state: GameState) -> ModelState:
    """Returns the model that a fit begins with."""
    if game.settings.model.warm_start:
        return before.model
    key = jax.random.fold_in(key_of(game.seed, Purpose.NEW_MODEL), state.round)
    model = new_model(key, game.task, game.settings)
    return dataclasses.replace(model, num_fits=before.model.num_fits)


def _num_new(game: Game, state: GameState) -> int:
    """Returns the environment steps behind the round's data; logged ones count in their rounds."""
    if state.log is not None and is_offline(game.settings, state):
        return state.log.transitions * game.task.action_repeat
    return _plan(game, state)[0]


def is_settled(game: Game, state: GameState, degree: Degree) -> bool:
    """Tells whether a fit would change nothing of note: the model has answered to these data.

    On logged data alone nothing new comes, and a fit to convergence is a best response to them.
    """
    is_fitted = int(state.players.model.num_fits) > 0
    return is_fitted and degree is Degree.CONVERGENCE and is_offline(game.settings, state)


def improve(
    key: Key[Array, ""], game: Game, before: Players, state: GameState, degree: Degree
) -> tuple[GameState, Metrics]:
    """Lets the policy player improve in the model.

    Before that its inputs are normalised by the latest data; it stays the same function.
    """
    player, settings = game.player, game.settings
    opponent = opponent_of(game, before, state)
    policy = player.adapt(before.policy, recent_data(game, state), False)
    leader = policy_leader(game, before, state, opponent.starts)
    if leader is not None:
        opponent = opponent._replace(leader_fn=leader.term_fn)
    num_steps = settings.policy.steps.at(degree)
    try:
        policy, info = player.improve(key, policy, opponent, num_steps, settings)
    except PlayerError as error:
        raise GameError(
            f"round {state.round}: {error}; check the reward_fn of {game.task.name}"
        ) from error
    metrics = dict(player.report(info))
    if player.act_fn is not None:  # a planner plans no whole episodes
        metrics["imagined/horizon_share"] = settings.imagination.horizon / game.task.horizon
    metrics |= objective_elsewhere(game, before, state, opponent.starts, metrics)
    if leader is not None:
        metrics |= leader.report(info.leader, policy.policy)
    return with_policy(state, policy), metrics


def objective_elsewhere(
    game: Game, before: Players, state: GameState, starts: Starts, told: Metrics
) -> Metrics:
    """Returns J(π, M̂) where the policy player has not told it from rollouts of its own.

    Nor can it where they start at any recent observation, or end where the members disagree.
    """
    settings, act_fn = game.settings, game.player.act_fn
    is_told = (
        OBJECTIVE.keys() <= told.keys()
        and settings.imagination.start_from_data == 0.0
        and settings.robustness.max_disagreement == 0.0
    )
    if is_told or act_fn is None:
        return {}
    key = jax.random.fold_in(key_of(game.seed, Purpose.OBJECTIVE), state.round)
    world = learned_world(game, before)
    rollouts = imagine_policy(key, act_fn(before.policy, False), world, starts, settings)
    return {"game/policy_objective": float(mean_return(rollouts))}


def controller_of(game: Game, players: Players) -> Controller:
    """Returns how the policy player acts in the real world."""
    world = practice_world(game, players) if int(players.model.num_fits) > 0 else None
    return game.player.controller(players.policy, world, game.settings)
