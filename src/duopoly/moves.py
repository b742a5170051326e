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
from duopoly.acting import Actor, gaussian_actor, planning_actor
from duopoly.equilibrium.credit import Evidence, effective_sample_size
from duopoly.equilibrium.gaps import imagine_policy, mean_return
from duopoly.equilibrium.model_leader import model_term, norms_of_gradient
from duopoly.equilibrium.policy_leader import policy_term
from duopoly.model.dynamics import Knowledge, LearnedWorld, RobustWorld, robust_world
from duopoly.model.fit import ModelState, fit_model, init_model, measure
from duopoly.model.imagine import Starts
from duopoly.model.objective import Tilt
from duopoly.model.outcomes import Unknown
from duopoly.policy.gaussian import numpy_policy
from duopoly.policy.improve import (
    PolicyState,
    fix_inputs,
    improve_policy,
    init_policy_player,
    renew_inputs,
    with_foresight,
)
from duopoly.report import Metrics
from duopoly.schedule import Leader
from duopoly.settings import Degree, ModelSettings, Settings
from duopoly.types import Transitions
from duopoly.world.buffer import Buffer
from duopoly.world.changing import World
from duopoly.world.interaction import collect_changing
from duopoly.world.task import Task

MAX_STARTS: Final = 1_000
"""Most recent episodes whose first observations imagination starts from."""


class GameError(RuntimeError):
    """A player broke down; the message says which, how, and what to try."""


class Purpose(enum.IntEnum):
    """What a random key is for; no key serves two purposes."""

    START = 0
    ROUND = 1
    LEADER = 2
    OBJECTIVE = 3


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
    leader: Leader = Leader.NOBODY


def start(task: Task, settings: Settings, seed: int) -> GameState:
    """Returns the state of the game before its first round.

    Raises:
        TaskError: the task's spaces cannot be played.
    """
    spec = task.spec
    key_policy, key_model = jax.random.split(key_of(seed, Purpose.START))
    policy = init_policy_player(
        key_policy, spec.obs_dim, spec.action_dim, settings.policy, task.angles
    )
    if settings.leader.gradient != "first_order":
        policy = with_foresight(policy)
    model = init_model(
        key_model,
        spec.obs_dim,
        spec.action_dim,
        task.learned,
        settings.model,
        unknown_of(task, settings.model),
        task.angles,
    )
    buffer = Buffer.empty(spec.obs_dim, spec.action_dim, settings.model.capacity)
    return GameState(0, 0, Players(policy, model), buffer)


def collect(
    game: Game, world: World, before: Players, state: GameState, num_env_steps: int
) -> tuple[GameState, Metrics]:
    """Lets the policy act in the real world, and remembers what happened.

    Rounds end at fixed counts of steps: what one could not use of an action's repeats, the next one
    gets. The first collection tells the policy player in which units to see the world.
    """
    collection = game.settings.collection
    planned = collection.steps_per_round if state.round else collection.initial_steps
    end_of_round = collection.initial_steps + state.round * collection.steps_per_round
    budget = min(end_of_round, num_env_steps) - state.env_steps
    at_least, at_most = game.task.action_repeat, planned + game.task.action_repeat - 1
    acting = actor(game, before, deterministic=False)
    gathered = collect_changing(
        lambda num_made: world.after(state.env_steps + num_made),
        game.task,
        acting.new_policy,
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
        state = with_policy(state, fix_inputs(before.policy, recent_data(game, state)))
    seen = report.of_collection(gathered, game.task, env_steps)
    return state, seen | report.of_planning(acting.planned)


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
    tilt, foreseen = foresee_as_model(game, before, state, data)
    model, info = fit_model(key, before.model, data, settings, num_epochs, tilt)
    if bool(jnp.all(info.is_refused)):
        raise GameError(
            f"round {state.round}: the fit of every ensemble member turned non-finite; "
            f"try a smaller model learning rate than {settings.learning_rate:g}"
        )
    players = Players(state.players.policy, model)
    return dataclasses.replace(state, players=players), report.of_fit(info) | foreseen


def improve(
    key: Key[Array, ""], game: Game, before: Players, state: GameState, degree: Degree
) -> tuple[GameState, Metrics]:
    """Lets the policy player take its steps in the model; a planner has none to take.

    Before the first it renews how it normalises its observations, and stays the same function.
    """
    if game.settings.policy.plans:
        return state, {}
    world = practice_world(game, before)
    starts = start_states(game, state)
    policy = renew_inputs(before.policy, recent_data(game, state))
    evidence = evidence_of(game, before, state) if leads(game, Leader.POLICY) else None
    infos, foreseen = [], []
    for step, key_step in enumerate(jax.random.split(key, game.settings.policy.steps.at(degree))):
        implicit = None
        if evidence is not None and (step == 0 or game.settings.leader.steps == "all"):
            key_term = jax.random.fold_in(key_of_term(game, state), step)
            implicit, seen = policy_term(key_term, policy, world, starts, evidence, game.settings)
            foreseen.append(seen)
        policy, info = improve_policy(key_step, policy, world, starts, game.settings, implicit)
        infos.append(info)
    if not any(bool(jnp.isfinite(info.step.gradient_norm)) for info in infos):
        raise GameError(
            f"round {state.round}: no policy gradient is finite, and the imagined return is "
            f"{float(jnp.mean(infos[-1].imagined_return)):g}; check the reward_fn of "
            f"{game.task.name}"
        )
    metrics = report.of_improvement(infos, policy.policy)
    metrics |= objective_elsewhere(game, before, state, starts)
    if evidence is not None:
        metrics |= report.of_leader(foreseen) | report.of_leaning(infos)
        left = effective_sample_size(evidence, policy.policy)
        metrics |= {"leader/effective_sample_size": float(left)}
    return with_policy(state, policy), metrics


def objective_elsewhere(game: Game, before: Players, state: GameState, starts: Starts) -> Metrics:
    """Returns J(π, M̂) where the policy player's own imagination does not tell it.

    Because that starts amid the data, or ends where the members disagree.
    """
    settings = game.settings
    if settings.imagination.start_from_data == 0.0 and settings.robustness.max_disagreement == 0.0:
        return {}
    key = jax.random.fold_in(key_of(game.seed, Purpose.OBJECTIVE), state.round)
    world = learned_world(game, before)
    rollouts = imagine_policy(key, before.policy.policy, world, starts, settings)
    return {"game/policy_objective": float(mean_return(rollouts))}


def foresee_as_model(
    game: Game, before: Players, state: GameState, data: Transitions
) -> tuple[Tilt | None, Metrics]:
    """Returns how a model that leads tilts its loss, once there is a policy that answered it."""
    if not leads(game, Leader.MODEL) or int(before.model.num_fits) == 0:
        return None, {}
    settings = game.settings
    # In the units of the loss to be minimised: those of the data, measured anew.
    ensemble = measure(before.model.ensemble, data, settings.model.clip_sigmas)
    world = eqx.tree_at(lambda w: w.ensemble, learned_world(game, before), ensemble)
    world = robust_world(world, settings.robustness)
    evidence = evidence_of(game, before, state)
    slope, info = model_term(
        key_of_term(game, state), before.policy, world, start_states(game, state), evidence,
        settings,
    )  # fmt: skip
    norms = norms_of_gradient(slope, world, evidence.data)
    tilt = None if bool(info.is_failed) else Tilt(slope, settings.leader.cg_damping)
    return tilt, report.of_leader([info]) | report.of_tilt(norms)


def leads(game: Game, leader: Leader) -> bool:
    """Tells whether that player leads and foresees the other's answer."""
    return game.leader is leader and game.settings.leader.gradient != "first_order"


def evidence_of(game: Game, before: Players, state: GameState) -> Evidence:
    """Returns the newest real data of the policy, as many rows as a later round collects."""
    num_rows = -(-game.settings.collection.steps_per_round // game.task.action_repeat)
    fresh, fitted = state.buffer.latest_rounds(1, num_rows), recent_data(game, state)
    # Of a longer first collection all rows are fitted, although only the newest are looked at.
    share = jnp.minimum(state.buffer.num_fresh / fitted.num_valid, 1.0)
    return Evidence(fresh, before.policy.policy, fitted, share)


def key_of_term(game: Game, state: GameState) -> Key[Array, ""]:
    """Returns the key of a round's implicit terms."""
    return jax.random.fold_in(key_of(game.seed, Purpose.LEADER), state.round)


def actor(game: Game, players: Players, *, deterministic: bool) -> Actor:
    """Returns the policy player as it acts in the real world.

    A planner has nothing to plan in before the first fit: until then it acts by the initial
    Gaussian policy, and so explores. ``deterministic`` leaves out the noise that explores.
    """
    if game.settings.policy.plans and int(players.model.num_fits) > 0:
        world = practice_world(game, players)
        num_actions = game.task.spec.action_dim
        return planning_actor(world, num_actions, game.settings, deterministic=deterministic)
    return gaussian_actor(numpy_policy(players.policy.policy), deterministic=deterministic)


def learned_world(game: Game, players: Players) -> LearnedWorld:
    """Returns what the model player says of the world; what a policy player adds is left out."""
    knowledge = knowledge_of(game.task, game.settings.model)
    return LearnedWorld(players.model.ensemble, knowledge)


def practice_world(game: Game, players: Players) -> LearnedWorld | RobustWorld:
    """Returns the learned world with what the policy player adds to it for its own improvement."""
    return robust_world(learned_world(game, players), game.settings.robustness)


def unknown_of(task: Task, settings: ModelSettings) -> Unknown:
    """Returns what the model must learn beyond where a step leads."""
    return Unknown(
        reward=task.reward_fn is None or settings.learn_reward,
        termination=task.terminated_fn is None or settings.learn_termination,
    )


@functools.cache
def knowledge_of(task: Task, settings: ModelSettings = ModelSettings()) -> Knowledge:  # noqa: B008
    """Returns what need not be learned of the task's world."""
    unknown = unknown_of(task, settings)
    return Knowledge(
        reward_fn=None if unknown.reward else task.reward_fn,
        terminated_fn=None if unknown.termination else task.terminated_fn,
        compute_fn=task.compute_fn,
        to_env_units=task.spec.to_env_units,
    )


def fresh_data(game: Game, state: GameState) -> Transitions:
    """Returns D_k, the latest collection, padded to the length of the longest one."""
    return latest_collections(game, state, 1)


def latest_collections(game: Game, state: GameState, num_rounds: int) -> Transitions:
    """Returns what the latest rounds collected, padded to the most that so many can bring."""
    collection = game.settings.collection
    longest = max(collection.initial_steps, collection.steps_per_round)
    num_rows = longest + (num_rounds - 1) * collection.steps_per_round + game.task.action_repeat - 1
    return state.buffer.latest_rounds(num_rounds, num_rows)


def recent_data(game: Game, state: GameState) -> Transitions:
    """Returns the newest transitions, as many as the model's window holds."""
    return state.buffer.latest(game.settings.model.window)


def start_states(game: Game, state: GameState) -> Starts:
    """Returns where imagination may start."""
    initial = state.buffer.starts[-MAX_STARTS:]
    padded = np.zeros((MAX_STARTS, initial.shape[1]), np.float32)
    padded[: len(initial)] = initial
    recent = latest_collections(game, state, game.settings.imagination.start_rounds)
    return Starts(jnp.asarray(padded), jnp.asarray(len(initial)), recent)


def with_policy(state: GameState, policy: PolicyState) -> GameState:
    """Returns the state with its policy player renewed."""
    return dataclasses.replace(state, players=Players(policy, state.players.model))
