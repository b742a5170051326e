"""The moves of a round: collect in the real world, fit the model, improve the policy.

Each takes the players as they were ``before`` its stage and the state so far, and returns the state
with its own part renewed, and what was seen.
"""

import dataclasses
import enum
import functools
from typing import Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from duopoly import report
from duopoly.model.dynamics import Knowledge, LearnedWorld
from duopoly.model.fit import ModelState, fit_model, init_model
from duopoly.model.imagine import Starts
from duopoly.networks import Normaliser
from duopoly.policy.gaussian import numpy_policy
from duopoly.policy.improve import PolicyState, improve_policy, init_policy_player
from duopoly.report import Metrics
from duopoly.settings import Degree, Settings
from duopoly.types import Transitions
from duopoly.world.buffer import Buffer
from duopoly.world.changing import World
from duopoly.world.interaction import collect_changing
from duopoly.world.task import Task, TaskError

MAX_STARTS: Final = 1_000
"""Most recent episodes whose first observations imagination starts from."""


class GameError(RuntimeError):
    """A player broke down; the message says which, how, and what to try."""


class Purpose(enum.IntEnum):
    """What a random key is for; no key serves two purposes."""

    START = 0
    ROUND = 1


def key_of(seed: int, purpose: Purpose) -> Key[Array, ""]:
    """Returns the key from which all randomness of one purpose comes."""
    return jax.random.fold_in(jax.random.key(seed), purpose)


class Players(eqx.Module):
    """The two players, as arrays."""

    policy: PolicyState
    model: ModelState


@dataclasses.dataclass(frozen=True)
class GameState:
    """All that a game carries from round to round."""

    round: int
    """Rounds played."""
    env_steps: int
    """Steps the real environment made, those of dropped episodes included."""
    players: Players
    buffer: Buffer


@dataclasses.dataclass(frozen=True)
class Game:
    """What is played, and stays as it is from round to round."""

    task: Task
    settings: Settings
    seed: int


def start(task: Task, settings: Settings, seed: int) -> GameState:
    """Returns the state of the game before its first round.

    Raises:
        TaskError: the task's spaces cannot be played, or its reward or termination is unknown.
    """
    knowledge_of(task)
    spec = task.spec
    key_policy, key_model = jax.random.split(key_of(seed, Purpose.START))
    policy = init_policy_player(
        key_policy, spec.obs_dim, spec.action_dim, settings.policy, task.angles
    )
    model = init_model(
        key_model, spec.obs_dim, spec.action_dim, task.learned, settings.model, task.angles
    )
    buffer = Buffer.empty(spec.obs_dim, spec.action_dim, settings.model.capacity)
    return GameState(0, 0, Players(policy, model), buffer)


def collect(
    game: Game, world: World, before: Players, state: GameState, num_env_steps: int
) -> tuple[GameState, Metrics]:
    """Lets the policy act in the real world, and remembers what happened.

    Rounds end at fixed counts of steps: what one could not use of an action's repeats, the next one
    gets. The first collection also fixes how the policy normalises its observations.
    """
    collection = game.settings.collection
    planned = collection.steps_per_round if state.round else collection.initial_steps
    end_of_round = collection.initial_steps + state.round * collection.steps_per_round
    budget = min(end_of_round, num_env_steps) - state.env_steps
    at_least, at_most = game.task.action_repeat, planned + game.task.action_repeat - 1
    gathered = collect_changing(
        lambda num_made: world.after(state.env_steps + num_made),
        game.task,
        numpy_policy(before.policy.policy).sample,
        min(max(budget, at_least), at_most),
        game.seed,
        state.round,
    )
    if not gathered.episodes:
        raise GameError(f"round {state.round}: every episode was dropped; {gathered.drops[-1]}")
    env_steps = state.env_steps + gathered.num_env_steps
    state = dataclasses.replace(
        state, env_steps=env_steps, buffer=state.buffer.add(gathered.episodes)
    )
    if state.round == 0:
        state = with_policy(state, normalise_inputs(before.policy, fresh_data(game, state)))
    return state, report.of_collection(gathered, game.task, env_steps)


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
    num_epochs = settings.epochs.at(degree)
    model, info = fit_model(key, before.model, data, settings, num_epochs)
    if bool(jnp.all(info.is_refused)):
        raise GameError(
            f"round {state.round}: the fit of every ensemble member turned non-finite; "
            f"try a smaller model learning rate than {settings.learning_rate:g}"
        )
    players = Players(state.players.policy, model)
    return dataclasses.replace(state, players=players), report.of_fit(info)


def improve(
    key: Key[Array, ""], game: Game, before: Players, state: GameState, degree: Degree
) -> tuple[GameState, Metrics]:
    """Lets the policy player take its steps in the model."""
    world = learned_world(game, before)
    starts = start_states(game, state)
    policy = before.policy
    infos = []
    for key_step in jax.random.split(key, game.settings.policy.steps.at(degree)):
        policy, info = improve_policy(key_step, policy, world, starts, game.settings)
        infos.append(info)
    if not any(bool(jnp.isfinite(info.npg.curvature)) for info in infos):
        raise GameError(
            f"round {state.round}: no policy gradient is finite, and the imagined return is "
            f"{float(jnp.mean(infos[-1].imagined_return)):g}; check the reward_fn of "
            f"{game.task.name}"
        )
    return with_policy(state, policy), report.of_improvement(infos, policy.policy)


def learned_world(game: Game, players: Players) -> LearnedWorld:
    """Returns the simulator that the policy player plays in."""
    return LearnedWorld(players.model.ensemble, knowledge_of(game.task), game.settings.robustness)


@functools.cache
def knowledge_of(task: Task) -> Knowledge:
    """Returns what the task knows about its world without learning.

    Raises:
        TaskError: the task gives no reward or no termination function.
    """
    if task.reward_fn is None or task.terminated_fn is None:
        missing = "reward_fn" if task.reward_fn is None else "terminated_fn"
        raise TaskError(f"{task.name}: {missing} is None, but the game needs it known: give one")
    return Knowledge(
        reward_fn=task.reward_fn,
        terminated_fn=task.terminated_fn,
        compute_fn=task.compute_fn,
        to_env_units=task.spec.to_env_units,
    )


def fresh_data(game: Game, state: GameState) -> Transitions:
    """Returns D_k, the latest collection, padded to the length of the longest one."""
    collection = game.settings.collection
    longest = max(collection.initial_steps, collection.steps_per_round)
    return state.buffer.latest_round(longest + game.task.action_repeat - 1)


def start_states(game: Game, state: GameState) -> Starts:
    """Returns where imagination may start."""
    initial = state.buffer.starts[-MAX_STARTS:]
    padded = np.zeros((MAX_STARTS, initial.shape[1]), np.float32)
    padded[: len(initial)] = initial
    return Starts(
        jnp.asarray(padded),
        jnp.asarray(len(initial)),
        state.buffer.latest(game.settings.model.window),
    )


def with_policy(state: GameState, policy: PolicyState) -> GameState:
    """Returns the state with its policy player renewed."""
    return dataclasses.replace(state, players=Players(policy, state.players.model))


def normalise_inputs(player: PolicyState, data: Transitions) -> PolicyState:
    """Fixes the policy's normaliser to the statistics of the data."""
    inputs = Normaliser.of(jnp.asarray(data.obs), data.valid, player.policy.inputs.angles)
    return eqx.tree_at(lambda p: p.policy.inputs, player, inputs)
