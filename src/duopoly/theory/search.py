"""Look for the worlds in which a bound is tightest: gradient ascent on left over right.

Everything about a game is free but its size, γ, R_max = 1 and α: transition, models, rewards,
start and policy, as softmax and sigmoid of parameters that many restarts climb at once.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from duopoly.theory.bounds import BOUNDS, CLAIM, Bound, Situation, bounds, claim, claimed_terms
from duopoly.theory.mdp import MDP

GUARD: Final = 1e-7
"""Added to the right side, so that a ratio of rounding errors is no find."""
RADIUS: Final = 0.1
POLICY_ITERATIONS: Final = 4
"""Enough on three states and two actions, mostly; the find is checked to the end in NumPy."""


class Parameters(NamedTuple):
    """What the search is free to choose."""

    real: Float[Array, "N S A S"]
    model: Float[Array, "N S A S"]
    policy: Float[Array, "N S A"]
    reward: Float[Array, "N S A"]
    start: Float[Array, "N S"]
    rival: Float[Array, "N S A S"]


class Find(NamedTuple):
    """The tightest game found for one bound and one discount."""

    bound: str
    discount: float
    ratio: float
    """Left over right, evaluated anew in NumPy."""
    situation: Situation
    """That game alone: N = 1."""


def draw(key: Key[Array, ""], num: int, num_states: int, num_actions: int) -> Parameters:
    """Draws restarts; half of them begin with a model near the world."""
    keys = jax.random.split(key, 7)
    table = (num, num_states, num_actions)
    real = 3.0 * jax.random.normal(keys[0], (*table, num_states))
    far = 3.0 * jax.random.normal(keys[1], (*table, num_states))
    near = real + 0.3 * jax.random.normal(keys[2], real.shape)
    is_near = (jnp.arange(num) % 2 == 0)[:, None, None, None]
    return Parameters(
        real,
        jnp.where(is_near, near, far),
        2.0 * jax.random.normal(keys[3], table),
        3.0 * jax.random.normal(keys[4], table),
        2.0 * jax.random.normal(keys[5], (num, num_states)),
        real + jax.random.normal(keys[6], real.shape),
    )


def build(parameters: Parameters, discount: Float[Array, " N"]) -> Situation:
    """Returns the games that parameters stand for."""
    p = parameters
    real = MDP(jax.nn.softmax(p.real), jax.nn.sigmoid(p.reward), jax.nn.softmax(p.start), discount)
    model = real._replace(transition=jax.nn.softmax(p.model))
    rival = real._replace(transition=jax.nn.softmax(p.rival))
    ones = jnp.ones_like(discount)
    return Situation(real, model, jax.nn.softmax(p.policy), ones, RADIUS * ones, rival)


def climb(
    parameters: Parameters, discount: Float[Array, " N"], bound: Bound, num_steps: int
) -> tuple[Parameters, Float[Array, " N"]]:
    """Raises every restart's ratio by Adam; returns the best parameters seen, and their ratio."""
    optimiser = optax.adam(optax.cosine_decay_schedule(0.15, num_steps, 0.05))

    def total(parameters: Parameters) -> tuple[Float[Array, ""], Float[Array, " N"]]:
        situation = build(parameters, discount)
        ratio = bound.left(situation) / (bound.right(situation) + GUARD)
        return -jnp.sum(jnp.log(jnp.maximum(ratio, 1e-12))), ratio

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        parameters, opt_state, best, best_ratio = carry
        (_, ratio), grad = jax.value_and_grad(total, has_aux=True)(parameters)
        is_better = ratio > best_ratio
        best = jax.tree.map(
            lambda new, old: jnp.where(is_better.reshape(-1, *(1,) * (new.ndim - 1)), new, old),
            parameters,
            best,
        )
        updates, opt_state = optimiser.update(jax.tree.map(jnp.nan_to_num, grad), opt_state)
        parameters = jax.tree.map(lambda p, u: jnp.clip(p + u, -40.0, 40.0), parameters, updates)
        return (parameters, opt_state, best, jnp.maximum(ratio, best_ratio)), None

    start = (parameters, optimiser.init(parameters), parameters, jnp.zeros_like(discount))
    (_, _, best, ratio), _ = jax.lax.scan(step, start, None, length=num_steps)
    return best, ratio


def worst_case(
    name: str,
    discounts: Sequence[float],
    seed: int = 0,
    num_restarts: int = 16,
    num_steps: int = 500,
    num_states: int = 3,
    num_actions: int = 2,
) -> list[Find]:
    """Searches the tightest game of one bound, for each discount."""
    names = [bound.name for bound in BOUNDS]
    fast, exact = bounds(POLICY_ITERATIONS)[names.index(name)], BOUNDS[names.index(name)]
    size = (num_restarts, num_states, num_actions)
    situation = climbed(fast, discounts, seed, size, num_steps)
    ratio = exact.left(situation) / (exact.right(situation) + GUARD)
    return best_of(exact, situation, ratio, ratio, discounts)


def refutations(
    discounts: Sequence[float],
    seed: int = 0,
    num_restarts: int = 256,
    num_steps: int = 500,
    num_states: int = 3,
    num_actions: int = 2,
) -> list[Find]:
    """Searches games in which the regret exceeds what the paper says of PAL, for each discount.

    The search climbs a right side in which ε_π and the transfer term weigh more, as each of them
    alone may equal the regret, and there it would stay. What is found is judged by the claim.
    """

    def heavier(s: Situation) -> Float[Array, " N"]:
        gap, model_term, transfer_term = claimed_terms(s, POLICY_ITERATIONS)
        return 20.0 * gap + model_term + 3.0 * transfer_term

    fast = claim(POLICY_ITERATIONS)._replace(right=heavier)
    size = (num_restarts, num_states, num_actions)
    situation = climbed(fast, discounts, seed, size, num_steps)
    left, right = CLAIM.left(situation), CLAIM.right(situation)
    return best_of(CLAIM, situation, left / (right + GUARD), left - right, discounts)


def climbed(
    bound: Bound, discounts: Sequence[float], seed: int, size: tuple[int, int, int], num_steps: int
) -> Situation:
    """Climbs from as many restarts for each discount; returns where they end, in NumPy.

    Args:
        bound: What to climb.
        discounts: Those of the games.
        seed: Of the restarts.
        size: Restarts of each discount, states, actions.
        num_steps: How far to climb.
    """
    num_restarts, num_states, num_actions = size
    with jax.enable_x64(True):
        gammas = jnp.repeat(jnp.asarray(discounts), num_restarts)
        games = draw(jax.random.key(seed), len(gammas), num_states, num_actions)
        games, _ = jax.jit(lambda p, g: climb(p, g, bound, num_steps))(games, gammas)
        return jax.tree.map(np.asarray, build(games, gammas))


def best_of(
    bound: Bound,
    situation: Situation,
    ratio: Float[np.ndarray, " N"],
    score: Float[np.ndarray, " N"],
    discounts: Sequence[float],
) -> list[Find]:
    """Returns, for each discount, the restart with the highest score."""
    finds = []
    for i, discount in enumerate(discounts):
        share = len(score) // len(discounts)
        best = i * share + int(np.argmax(score[i * share : (i + 1) * share]))
        alone = jax.tree.map(lambda x: x[best : best + 1], situation)  # noqa: B023
        finds.append(Find(bound.name, discount, float(ratio[best]), alone))
    return finds
