"""The moves of a round: collect in the real world, fit the model, improve the policy.

Each takes the players as they were ``before`` its stage and the state so far, and returns the state
with its own part renewed, and what was seen.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from duopoly.equilibrium.credit import effective_sample_size
from duopoly.equilibrium.gaps import imagine_policy, mean_return
from duopoly.equilibrium.policy_leader import policy_term
from duopoly.game import report
from duopoly.game.acting import Actor, gaussian_actor, planning_actor
from duopoly.game.leader import evidence_of, foresee_as_model, key_of_term, leads
from duopoly.game.report import Metrics
from duopoly.game.state import Game, GameError, GameState, Players, Purpose, key_of, with_policy
from duopoly.game.views import learned_world, practice_world, recent_data, start_states
from duopoly.model.fit import fit_model
from duopoly.model.imagine import Starts
from duopoly.policy.gaussian import numpy_policy
from duopoly.policy.improve import fix_inputs, improve_policy, renew_inputs
from duopoly.schedule import Leader
from duopoly.settings import Degree
from duopoly.types import Transitions
from duopoly.world.changing import World
from duopoly.world.interaction import collect_changing


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
