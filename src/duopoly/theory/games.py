"""The game of Eq. 4 on tables, played in the order of the same `Schedule` as the deep game."""

import dataclasses
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from duopoly.schedule import Memory, Move, Schedule
from duopoly.settings import Degree, Effort
from duopoly.theory.distances import expected, kl_divergence
from duopoly.theory.mdp import MDP, objective, occupancy
from duopoly.theory.players import (
    acting,
    best_model,
    best_policy,
    natural_gradient_step,
    proximal_step,
)

Table = Float[np.ndarray, "N S A S"]
EFFORT: Final = Effort(step=1, conservative=5, convergence=25)
FIRST_ROUND: Final = 5
"""Times as many data in the first round."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """How far the players go, and what they see."""

    samples_per_round: int = 100
    """Real transitions per round; the first round has `FIRST_ROUND` times as many."""
    is_sampled: bool = False
    """Whether the data are drawn at random, or their expectation is handed over."""
    floor: float = 0.05
    """ξ, the share of actions that stay uniform."""
    pseudo_count: float = 0.1
    """κ, how many observations the model's prior is worth in every (s, a)."""
    policy_step: float = 1.0
    """η of one natural gradient step."""
    model_rate: float = 0.1
    """β of one proximal step of the model."""
    effort: Effort = EFFORT
    """Steps by degree; to convergence, both players solve for their best response instead."""
    window: int = 5
    """Rounds that a window remembers."""


class Players(NamedTuple):
    """Both players: ν and P̂ of every game."""

    nu: Float[np.ndarray, "N S A"]
    transition: Table


@dataclasses.dataclass(frozen=True)
class State:
    """What a game carries from round to round."""

    players: Players
    recent: tuple[Table, ...] = ()
    """Counts of the rounds that a window remembers, the latest last."""
    total: Table | float = 0.0
    """Counts of all rounds so far, added up."""
    num_fits: int = 0
    """How often the model has been fitted."""


class Observation(NamedTuple):
    """What is seen of one round, per game; values are normalised to [0, 1] by (1−γ)/R_max."""

    policy_objective: Float[np.ndarray, " N"]
    """J(π, M̂) as the policy player found it: PAL's leader maximises it. NaN before it moves."""
    model_objective: Float[np.ndarray, " N"]
    """ℓ(M̂, µ^π) as the model player found it, in nats: MAL's leader minimises it."""
    real_return: Float[np.ndarray, " N"]
    """J(π, M) after the round."""
    policy_gap: Float[np.ndarray, " N"]
    """ε_π after the round, among policies with the same floor."""
    model_loss: Float[np.ndarray, " N"]
    """ε_M = ℓ(M̂, µ^π_M) after the round, in nats."""
    regret: Float[np.ndarray, " N"]
    """max_π′ J(π′, M) − J(π, M) among policies with the same floor, after the round."""


def unknowing(world: MDP) -> Players:
    """Returns players that know nothing: a uniform policy, and a model of uniform next states."""
    return Players(
        np.full_like(world.reward, 1.0 / world.reward.shape[-1]),
        np.full_like(world.transition, 1.0 / world.start.shape[-1]),
    )


def play(
    world: MDP, first: Players, schedule: Schedule, rules: Rules, num_rounds: int, seed: int
) -> Iterator[tuple[State, Observation]]:
    """Plays rounds of a schedule on all worlds at once; the first model is also the prior."""
    rng = np.random.default_rng(seed)
    state, prior = State(first), first.transition
    best_return = objective(world, acting(best_policy(world, rules.floor), rules.floor))
    for _ in range(num_rounds):
        state, found = play_round(rng, world, prior, schedule, rules, state)
        yield state, observe(world, rules, state.players, found, best_return)


def play_round(
    rng: np.random.Generator,
    world: MDP,
    prior: Table,
    schedule: Schedule,
    rules: Rules,
    state: State,
) -> tuple[State, dict[Move, Float[np.ndarray, " N"]]]:
    """Plays one round, stage by stage: moves of one stage all see the players as it began.

    As in the deep game, an improvement waits until there is a fitted model to play against. Returns
    also what each mover's objective was when it began to move.
    """
    found: dict[Move, Float[np.ndarray, " N"]] = {}
    for stage in schedule.stages:
        before, is_fitted = state.players, state.num_fits > 0
        for move in stage:
            match move:
                case Move.COLLECT:
                    is_first = not state.recent
                    counts = collect(rng, world, rules, before, is_first=is_first)
                    recent = (*state.recent, counts)[-rules.window :]
                    state = dataclasses.replace(state, recent=recent, total=state.total + counts)
                case Move.FIT:
                    found[move] = loss_of(world, rules, before)
                    counts = remembered(schedule.memory, state)
                    target = best_model(counts, prior, rules.pseudo_count)
                    fitted = fit(before.transition, target, schedule.model_effort, rules)
                    state = with_players(state, transition=fitted)
                    state = dataclasses.replace(state, num_fits=state.num_fits + 1)
                case Move.IMPROVE if is_fitted:
                    model = world._replace(transition=before.transition)
                    found[move] = objective(model, acting(before.nu, rules.floor))
                    nu = improve(model, before.nu, schedule.policy_effort, rules)
                    state = with_players(state, nu=nu)
                case Move.IMPROVE:
                    continue
    return state, found


def with_players(
    state: State,
    nu: Float[np.ndarray, "N S A"] | None = None,
    transition: Table | None = None,
) -> State:
    """Returns the state with one player renewed."""
    old = state.players
    players = Players(
        old.nu if nu is None else nu, old.transition if transition is None else transition
    )
    return dataclasses.replace(state, players=players)


def collect(
    rng: np.random.Generator, world: MDP, rules: Rules, players: Players, *, is_first: bool
) -> Table:
    """Returns counts of (s, a, s′) from µ^π_M.

    A walk that starts anew with probability 1 − γ after each step visits (s, a) as d^π_M does;
    samples are drawn independently from that law.
    """
    num = rules.samples_per_round * (FIRST_ROUND if is_first else 1)
    weight = np.clip(occupancy(world, acting(players.nu, rules.floor)), 0.0, None)
    if not rules.is_sampled:
        return num * weight[..., None] * world.transition
    num_games, num_states, num_actions = weight.shape
    flat = weight.reshape(num_games, -1)
    visits = rng.multinomial(num, flat / flat.sum(axis=-1, keepdims=True))
    visits = visits.reshape(num_games, num_states, num_actions)
    return rng.multinomial(visits, world.transition).astype(float)


def remembered(memory: Memory, state: State) -> Table:
    """Returns the counts the model player fits."""
    match memory:
        case Memory.FRESH:
            return state.recent[-1]
        case Memory.WINDOW:
            return np.sum(state.recent, axis=0)
        case Memory.EVERYTHING:
            return np.asarray(state.total)


def fit(transition: Table, target: Table, degree: Degree, rules: Rules) -> Table:
    """Moves the model towards its best response, or all the way."""
    if degree is Degree.CONVERGENCE:
        return target
    for _ in range(rules.effort.at(degree)):
        transition = proximal_step(transition, target, rules.model_rate)
    return transition


def improve(
    model: MDP, nu: Float[np.ndarray, "N S A"], degree: Degree, rules: Rules
) -> Float[np.ndarray, "N S A"]:
    """Takes natural gradient steps in the model, or solves it."""
    if degree is Degree.CONVERGENCE:
        return best_policy(model, rules.floor)
    for _ in range(rules.effort.at(degree)):
        nu = natural_gradient_step(model, nu, rules.policy_step, rules.floor)
    return nu


def loss_of(world: MDP, rules: Rules, players: Players) -> Float[np.ndarray, " N"]:
    """ℓ(M̂, µ^π_M) of the players as they are (Eq. 3)."""
    visits = occupancy(world, acting(players.nu, rules.floor))
    return expected(visits, kl_divergence(world.transition, players.transition))


def observe(
    world: MDP,
    rules: Rules,
    players: Players,
    found: dict[Move, Float[np.ndarray, " N"]],
    best_return: Float[np.ndarray, " N"],
) -> Observation:
    """Measures what no player knows: how far the pair is from an equilibrium, and from the best."""
    unit = 1.0 - world.discount
    unknown: Float[np.ndarray, " N"] = np.full_like(unit, np.nan)
    model = world._replace(transition=players.transition)
    policy = acting(players.nu, rules.floor)
    best_imagined = objective(model, acting(best_policy(model, rules.floor), rules.floor))
    real = objective(world, policy)
    return Observation(
        policy_objective=unit * found.get(Move.IMPROVE, unknown),
        model_objective=found.get(Move.FIT, unknown),
        real_return=unit * real,
        policy_gap=unit * (best_imagined - objective(model, policy)),
        model_loss=loss_of(world, rules, players),
        regret=unit * (best_return - real),
    )
