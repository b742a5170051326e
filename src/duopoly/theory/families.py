"""Random worlds: Dirichlet, sparse, garnet, chain and cliff; and models that miss them."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float

from duopoly.theory.mdp import MDP

NUM_ACTIONS: Final = 3
DISCOUNTS: Final = (0.3, 0.99)
"""Range from which every game draws its discount, evenly in log(1 − γ)."""

Table = Float[np.ndarray, "N S A S"]
Family = Callable[[np.random.Generator, int, int, int], Table]
"""(rng, N, S, A) -> P."""


def simplex(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    concentration: Float[np.ndarray, "..."] | float,
) -> Float[np.ndarray, "..."]:
    """Draws distributions over the last axis from a symmetric Dirichlet."""
    weight = rng.standard_gamma(np.broadcast_to(concentration, shape)) + 1e-300
    return weight / weight.sum(axis=-1, keepdims=True)


def dirichlet(rng: np.random.Generator, num_games: int, num_states: int, num_actions: int) -> Table:
    """Every next state possible; from nearly deterministic to nearly uniform."""
    concentration = np.exp(rng.uniform(-3.0, 2.0, (num_games, 1, 1, 1)))
    drawn = simplex(rng, (num_games, num_states, num_actions, num_states), concentration)
    return np.maximum(drawn, 1e-12) / np.maximum(drawn, 1e-12).sum(axis=-1, keepdims=True)


def sparse(rng: np.random.Generator, num_games: int, num_states: int, num_actions: int) -> Table:
    """Each next state possible with probability one half, at least one of them."""
    shape = (num_games, num_states, num_actions, num_states)
    is_possible = rng.random(shape) < 0.5
    is_possible |= np.arange(num_states) == rng.integers(num_states, size=shape[:3])[..., None]
    weight = is_possible * rng.standard_exponential(shape)
    return weight / weight.sum(axis=-1, keepdims=True)


def garnet(rng: np.random.Generator, num_games: int, num_states: int, num_actions: int) -> Table:
    """Two next states per (s, a), split at a uniform cut (Archibald et al., 1995)."""
    shape = (num_games, num_states, num_actions, num_states)
    rank = np.argsort(np.argsort(rng.random(shape), axis=-1), axis=-1)
    cut = rng.random(shape[:3])
    transition = np.where(rank == 0, cut[..., None], 0.0)
    return transition + np.where(rank == 1, 1.0 - cut[..., None], 0.0)


def chain(rng: np.random.Generator, num_games: int, num_states: int, num_actions: int) -> Table:
    """Action 0 goes back to the beginning, the others one step on; either may slip and stay."""
    here = np.arange(num_states)
    to_start = np.broadcast_to(np.eye(num_states)[0], (num_states, num_states))
    onward = np.eye(num_states)[np.minimum(here + 1, num_states - 1)]
    moves = np.stack([to_start] + [onward] * (num_actions - 1), axis=1)
    slip = rng.uniform(0.0, 0.5, (num_games, 1, num_actions, 1))
    return (1.0 - slip) * moves[None] + slip * np.eye(num_states)[None, :, None, :]


def cliff(rng: np.random.Generator, num_games: int, num_states: int, num_actions: int) -> Table:
    """A walk along an edge: action a goes a steps on, and falls with probability growing in a.

    The last state is the bottom, from which nothing returns.
    """
    here = np.arange(num_states)
    steps = np.minimum(here[:, None] + np.arange(num_actions)[None], max(num_states - 2, 0))
    steps[-1] = num_states - 1
    danger = rng.uniform(0.0, 0.3, (num_games, 1, 1, 1)) * np.arange(num_actions)[:, None]
    danger = np.minimum(danger, 1.0)
    return (1.0 - danger) * np.eye(num_states)[steps][None] + danger * np.eye(num_states)[-1]


FAMILIES: Final[Mapping[str, Family]] = {
    "dirichlet": dirichlet,
    "sparse": sparse,
    "garnet": garnet,
    "chain": chain,
    "cliff": cliff,
}


def equal_shares(num_games: int) -> list[int]:
    """Returns how many games each family contributes."""
    return np.diff(np.linspace(0, num_games, len(FAMILIES) + 1).astype(int)).tolist()


def random_worlds(
    rng: np.random.Generator,
    num_games: int,
    num_states: int,
    family: Family,
    num_actions: int = NUM_ACTIONS,
    discounts: tuple[float, float] = DISCOUNTS,
) -> MDP:
    """Draws worlds of a family, rewards in [0, 1] (a third of them only 0 or 1), starts and γ."""
    transition = family(rng, num_games, num_states, num_actions)
    reward = rng.random((num_games, num_states, num_actions))
    is_binary = rng.random((num_games, 1, 1)) < 1.0 / 3.0
    reward = np.where(is_binary, np.round(reward), reward)
    start = simplex(rng, (num_games, num_states), np.exp(rng.uniform(-3.0, 1.0, (num_games, 1))))
    most, least = np.log1p(-np.asarray(discounts))  # of log(1 − γ)
    return MDP(transition, reward, start, -np.expm1(rng.uniform(least, most, num_games)))


def wrong_models(rng: np.random.Generator, mdp: MDP, family: Family) -> MDP:
    """Draws models of the worlds: each mixes in another world, by a share from 1e-4 to 1.

    Most models also leak a little probability to every state; the others may rule out what can
    happen, an infinite divergence.
    """
    num_games, num_states, num_actions, _ = mdp.transition.shape
    other = family(rng, num_games, num_states, num_actions)
    share = 10.0 ** rng.uniform(-4.0, 0.0, (num_games, 1, 1, 1))
    share = np.where(rng.random((num_games, 1, 1, 1)) < 0.2, 1.0, share)
    leak = np.where(rng.random((num_games, 1, 1, 1)) < 0.9, 1e-3, 0.0)
    mixed = (1.0 - share) * mdp.transition + share * other
    return mdp._replace(transition=(1.0 - leak * share) * mixed + leak * share / num_states)
