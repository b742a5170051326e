"""Views of the game's state: the data, the starts of imagination, and the learned world."""

import functools

import jax.numpy as jnp
import numpy as np

from duopoly.game.known import known_functions
from duopoly.game.state import Game, GameState, Players
from duopoly.model.dynamics import LearnedWorld, RobustWorld, robust_world
from duopoly.model.imagine import Starts
from duopoly.policy.player import Opponent
from duopoly.types import Transitions


def fresh_data(game: Game, state: GameState) -> Transitions:
    """Returns D_k, the latest collection, padded to the length of the longest one."""
    return latest_collections(game, state, 1)


def latest_collections(game: Game, state: GameState, num_rounds: int) -> Transitions:
    """Returns what the latest rounds collected, padded to the most that so many can bring."""
    collection = game.settings.collection
    first = collection.initial_steps if state.log is None else state.log.transitions
    longest = max(first, collection.steps_per_round)
    num_rows = longest + (num_rounds - 1) * collection.steps_per_round + game.task.action_repeat - 1
    return state.buffer.latest_rounds(num_rounds, num_rows)


def recent_data(game: Game, state: GameState) -> Transitions:
    """Returns the newest transitions, as many as the model's window holds."""
    return state.buffer.latest(game.settings.model.window)


def all_data(game: Game, state: GameState) -> Transitions:
    """Returns all transitions that are kept."""
    return state.buffer.latest(game.settings.model.capacity)


def opponent_of(game: Game, players: Players, state: GameState) -> Opponent:
    """Returns what the policy player sees of the other side, were it not to lead."""
    world, starts = practice_world(game, players), start_states(game, state)
    return Opponent(world, starts, functools.partial(all_data, game, state))


def start_states(game: Game, state: GameState) -> Starts:
    """Returns where imagination may start."""
    imagination = game.settings.imagination
    initial = state.buffer.starts[-imagination.num_starts :]
    padded = np.zeros((imagination.num_starts, initial.shape[1]), np.float32)
    padded[: len(initial)] = initial
    recent = latest_collections(game, state, imagination.start_rounds)
    return Starts(jnp.asarray(padded), jnp.asarray(len(initial)), recent)


def learned_world(game: Game, players: Players) -> LearnedWorld:
    """Returns the model player's world, without what a policy player adds to it."""
    known = known_functions(game.task, game.settings.model)
    return LearnedWorld(players.model.ensemble, known)


def practice_world(game: Game, players: Players) -> LearnedWorld | RobustWorld:
    """Returns the learned world with what the policy player adds to it for its own improvement."""
    return robust_world(learned_world(game, players), game.settings.robustness)
