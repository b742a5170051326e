"""Views of the game's state: the data, the starts of imagination, and the learned world."""

import functools

import jax.numpy as jnp
import numpy as np

from duopoly.game.known import known_functions
from duopoly.game.state import Game, GameState, Players
from duopoly.model.dynamics import LearnedWorld, RobustWorld, robust_world
from duopoly.model.imagine import Starts
from duopoly.policy.player import Opponent
from duopoly.schedule import Memory
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
    """Returns all transitions that are kept, and hold in the world of now as far as is known."""
    return state.buffer.latest(game.settings.model.capacity, _num_consistent(state))


def remembered(memory: Memory, game: Game, state: GameState) -> Transitions:
    """Returns the data the model player fits, padded to a length that never changes."""
    model = game.settings.model
    match memory:
        case Memory.FRESH:
            return fresh_data(game, state)
        case Memory.WINDOW if state.referee is None:
            return state.buffer.latest(model.window)
        case Memory.WINDOW:  # as long as all of it, which a referee may ask for in any round
            return state.buffer.latest(model.capacity, min(model.window, _num_consistent(state)))
        case Memory.EVERYTHING:
            return all_data(game, state)


def _num_consistent(state: GameState) -> int:
    return len(state.buffer) if state.referee is None else state.referee.num_consistent


def opponent_of(game: Game, players: Players, state: GameState) -> Opponent:
    """Returns what the policy player sees of the other side, were it not to lead."""
    world, starts = practice_world(game, players), start_states(game, state)
    return Opponent(world, starts, functools.partial(all_data, game, state))


def start_states(game: Game, state: GameState) -> Starts:
    """Returns where imagination may start."""
    imagination = game.settings.imagination
    num_starts = imagination.num_starts
    if state.referee is not None:
        num_starts = min(num_starts, state.referee.num_starts)
    initial = state.buffer.starts[-num_starts:]
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
