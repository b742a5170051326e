"""PAL's own optimisation solved by brute force: what its solutions are, and what they are not.

    max_π J(π, M̂^π),  M̂^π = argmin_M̂ ℓ(M̂, µ^π_M) within the follower's class       (section 4.2)

over all deterministic policies, each with the same floor of exploration. R_max is 1.
"""

import itertools
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from duopoly.theory.bounds import Situation, model_loss, occupancy_gap, simulation_stopped
from duopoly.theory.leaders import Setting
from duopoly.theory.mdp import MDP, objective
from duopoly.theory.players import acting, best_policy
from duopoly.theory.stackelberg import Game, best_response_rows, draw_clusters, modelled

FLOOR: Final = 0.05
"""ξ, the share of actions that stay uniform."""


class Solution(NamedTuple):
    """PAL's best policy in each game, and what it is worth; returns as shares of R_max/(1−γ)."""

    setting: Setting
    policy: Float[np.ndarray, "N S A"]
    """argmax_π J(π, M̂^π), with its floor."""
    nash_gap: Float[np.ndarray, " N"]
    """max_π′ J(π′, M̂^π) − J(π, M̂^π): Theorem 1's ε_π, among policies with the floor."""
    regret: Float[np.ndarray, " N"]
    """max_π′ J(π′, M) − J(π, M), among policies with the floor."""
    loss: Float[np.ndarray, " N"]
    """ε_M(π) in nats."""
    claimed: Float[np.ndarray, " N"]
    """Theorem 1's right side, sharp, with PAL's own ε_π, which is 0 here."""
    ratio: Float[np.ndarray, "K N"]
    """Both sides of the bound that does hold for PAL, for every policy."""


class Played(NamedTuple):
    """One policy against the follower's best response to it."""

    promised: Float[np.ndarray, " N"]
    """J(π, M̂^π)."""
    real: Float[np.ndarray, " N"]
    """J(π, M)."""
    model_term: Float[np.ndarray, " N"]
    """c √(ε_M(π)/2)."""


def deterministic(num_states: int, num_actions: int) -> Float[np.ndarray, "K S A"]:
    """Lists all deterministic policies."""
    choices = itertools.product(range(num_actions), repeat=num_states)
    return np.eye(num_actions)[np.array(list(choices))]


def faced(game: Game, policy: Float[np.ndarray, "N S A"]) -> Situation:
    """Returns a policy and the follower's best response to it."""
    model = modelled(game, best_response_rows(game, policy))
    ones = np.ones(len(policy))
    return Situation(game.world, model, policy, ones, ones, model)


def played(game: Game, choice: Float[np.ndarray, "S A"]) -> Played:
    """Evaluates one deterministic policy, with its floor, in all games."""
    s = faced(game, acting(np.broadcast_to(choice, game.world.reward.shape), FLOOR))
    return Played(objective(s.model, s.policy), objective(s.real, s.policy), simulation_stopped(s))


def solve(world: MDP, setting: Setting, seed: int = 0) -> Solution:
    """Tries all policies against the follower's exact best response, clusters drawn at random."""
    game = draw_clusters(world, setting.num_clusters, setting.prior_weight, seed=seed)
    choices = deterministic(*world.reward.shape[1:])
    all_played = [played(game, choice) for choice in choices]
    promised, real, model_term = (np.stack(field) for field in zip(*all_played, strict=True))
    led, best, games = promised.argmax(axis=0), real.argmax(axis=0), np.arange(promised.shape[1])
    regret = real.max(axis=0) - real
    right = promised.max(axis=0) - promised + model_term + model_term[best, games]
    is_there = right > 1e-9 / (1.0 - world.discount)
    s, unit = faced(game, acting(choices[led], FLOOR)), 1.0 - world.discount
    most = objective(s.model, acting(best_policy(s.model, FLOOR), FLOOR))
    star = s._replace(policy=acting(choices[best], FLOOR))
    return Solution(
        setting,
        s.policy,
        unit * np.maximum(most - objective(s.model, s.policy), 0.0),  # but for rounding
        unit * regret[led, games],
        model_loss(s),
        unit * model_term[led, games] + occupancy_gap(star),
        np.where(is_there, regret / np.where(is_there, right, 1.0), 0.0),
    )
