"""Remarks 2 and 3: which of several equilibria is found, and what a wider start does.

An equilibrium of Eq. 4 confirms itself: the model is right where its policy goes, and what it says
of the rest is left to its prior. So a game may have several, one for each story told of what nobody
tries.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from duopoly.theory.bounds import Situation, regret, transfer
from duopoly.theory.equilibria import Course
from duopoly.theory.games import Players, Table
from duopoly.theory.mdp import MDP, blend, objective, occupancy, optimal_policy
from duopoly.theory.solutions import deterministic

HESITATION: Final = 1e-6
"""Share of actions that the first policy takes at random: too few to teach, enough to grow."""
UNSEEN: Final = 1e-12
"""Visits below which a pair counts as never tried: what rounding leaves of zero."""


def towards(world: MDP, state: Int[np.ndarray, " N"]) -> Table:
    """Returns the model in which everything leads to one state."""
    there = np.eye(world.start.shape[1])[state]
    return np.broadcast_to(there[:, None, None, :], world.transition.shape).copy()


def hopeful(world: MDP) -> Table:
    """What is untried leads to the state that can pay most."""
    return towards(world, world.reward.max(axis=2).argmax(axis=1))


def undecided(world: MDP) -> Table:
    """What is untried leads anywhere."""
    return np.full_like(world.transition, 1.0 / world.start.shape[1])


def gloomy(world: MDP) -> Table:
    """What is untried leads to the state that can pay least."""
    return towards(world, world.reward.max(axis=2).argmin(axis=1))


PRIORS: Final[Mapping[str, Callable[[MDP], Table]]] = {
    "hopeful": hopeful,
    "undecided": undecided,
    "gloomy": gloomy,
}


class Equilibria(NamedTuple):
    """All pairs of a deterministic policy and the model that is fitted to it."""

    is_equilibrium: Bool[np.ndarray, "K N"]
    regret: Float[np.ndarray, "K N"]
    """As a share of R_max/(1−γ), R_max = 1."""

    @property
    def num_different(self) -> Int[np.ndarray, " N"]:
        """Equilibria whose real return differs by more than 1e-6 of R_max/(1−γ)."""
        ordered = np.sort(np.where(self.is_equilibrium, self.regret, np.inf), axis=0)
        with np.errstate(invalid="ignore"):
            is_new = np.diff(ordered, axis=0) > 1e-6
        is_new &= np.isfinite(ordered[1:])
        return np.isfinite(ordered[0]).astype(int) + is_new.sum(axis=0)

    @property
    def best(self) -> Float[np.ndarray, " N"]:
        """Least regret of an equilibrium; infinite where there is none."""
        return np.where(self.is_equilibrium, self.regret, np.inf).min(axis=0)

    @property
    def worst(self) -> Float[np.ndarray, " N"]:
        """Largest regret of an equilibrium; minus infinity where there is none."""
        return np.where(self.is_equilibrium, self.regret, -np.inf).max(axis=0)


def confirmed(world: MDP, prior: Table, policy: Float[np.ndarray, "N S A"]) -> MDP:
    """argmin_M̂ ℓ(M̂, µ^π_M), of all minima the one that keeps the prior where π never goes."""
    is_seen = (occupancy(world, policy) > UNSEEN)[..., None]
    return world._replace(transition=np.where(is_seen, world.transition, prior))


def pure_equilibria(world: MDP, prior: Table) -> Equilibria:
    """Tries every deterministic policy: is it optimal in the model that is fitted to it?"""
    unit = 1.0 - world.discount
    best = objective(world, optimal_policy(world))
    holds, regrets = [], []
    for choice in deterministic(*world.reward.shape[1:]):
        policy = np.broadcast_to(choice, world.reward.shape).copy()
        model = confirmed(world, prior, policy)
        gain = objective(model, optimal_policy(model)) - objective(model, policy)
        holds.append(unit * gain <= 1e-9)
        regrets.append(unit * (best - objective(world, policy)))
    return Equilibria(np.stack(holds), np.stack(regrets))


def first_players(world: MDP, prior: Table, seed: int) -> Players:
    """Returns a policy drawn among the deterministic ones, all but certain, and a prior model."""
    num_actions = world.reward.shape[2]
    drawn = np.random.default_rng(seed).integers(num_actions, size=world.start.shape)
    uniform = np.full_like(world.reward, 1.0 / num_actions)
    share = np.full(len(uniform), 1.0 - HESITATION)
    return Players(blend(uniform, np.eye(num_actions)[drawn], share), prior)


def narrow(world: MDP) -> MDP:
    """Returns the worlds in which everything begins in state 0."""
    return world._replace(start=np.eye(world.start.shape[1])[np.zeros(len(world.start), int)])


def widened(world: MDP, width: float) -> MDP:
    """Returns the worlds whose start is uniform in a share of the cases: (1−λ)ρ + λ/S."""
    return world._replace(start=(1.0 - width) * world.start + width / world.start.shape[1])


class Ending(NamedTuple):
    """How a schedule went, and what came of it in a world that need not be where it played."""

    course: Course
    regret: Float[np.ndarray, " N"]
    """Of the last policy without its floor, among all policies, as a share of R_max/(1−γ)."""
    transfer: Float[np.ndarray, " N"]
    """D_TV(d^{π*}_M, d^{π*}_M̂): Theorem 1's transfer term as a share of R_max/(1−γ)."""


def ending(world: MDP, course: Course) -> Ending:
    """Judges the players after the last round; R_max is 1."""
    ones, unit = np.ones(len(world.start)), 1.0 - world.discount
    model = world._replace(transition=course.last.transition)
    pair = Situation(world, model, course.last.nu, ones, ones, model)
    return Ending(course, unit * regret(pair), unit * transfer(pair))
