"""Eq. 11 on small games whose follower's best response has a closed form.

The oracle is always the same: central differences of the leader's loss with the game solved anew
on either side, in NumPy. Everything here is in double precision.
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.equilibrium import curvature
from duopoly.equilibrium.curvature import (
    Product,
    conjugate_gradient,
    gauss_newton_product,
)
from duopoly.equilibrium.response import Term, implicit_term, leader_term, unrolled_term
from duopoly.settings import LeaderSettings

EXACT = LeaderSettings(gradient="implicit", cg_iterations=60, cg_damping=0.0, max_residual=1e-6)


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def hessian_product(loss_fn: Callable[[jax.Array], jax.Array], at: jax.Array) -> Product:
    """v ↦ ∇²loss v, forward over reverse."""
    return lambda vector: jax.jvp(jax.grad(loss_fn), (at,), (vector,))[1]


def differences(loss: Callable[[np.ndarray], float], at: np.ndarray, h: float = 1e-5) -> np.ndarray:
    gradient = np.zeros(at.size)
    for i, step in enumerate(h * np.eye(at.size)):
        step = step.reshape(at.shape)
        gradient[i] = (loss(at + step) - loss(at - step)) / (2.0 * h)
    return gradient.reshape(at.shape)


Gradient = tuple[jax.Array, jax.Array]
"""The leader's total derivative, and whether its implicit term failed."""


# --- A tabular game: softmax policy, softmax model with one row per pair of states and action ---

DISCOUNT, TEMPERATURE, PULL = 0.9, 0.1, 0.05
NUM_STATES, NUM_ACTIONS = 4, 2
CLUSTER = np.array([0, 0, 1, 1])  # the model cannot tell the states of a cluster apart
_rng = np.random.default_rng(0)
WORLD = _rng.dirichlet(0.5 * np.ones(NUM_STATES), (NUM_STATES, NUM_ACTIONS))
REWARD = _rng.uniform(0.0, 1.0, (NUM_STATES, NUM_ACTIONS))
START = np.full(NUM_STATES, 0.25)
THETA = _rng.normal(size=(NUM_STATES, NUM_ACTIONS))
LOGITS = _rng.normal(size=(2, NUM_ACTIONS, NUM_STATES))


def softmax(logits: np.ndarray) -> np.ndarray:
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def definite(product: Product) -> Product:
    """Lifts the directions in which a softmax does not change, but for rounding, off zero."""
    return lambda vector: product(vector) + 1e-9 * vector


def visits(xp, world, pi):
    """µ(s, a), discounted and of sum 1; ``xp``: numpy or jax.numpy."""
    chain = xp.einsum("sa,sat->st", pi, world)
    state = (1.0 - DISCOUNT) * xp.linalg.solve(xp.eye(NUM_STATES) - DISCOUNT * chain.T, START)
    return state[:, None] * pi


def fitted(theta: np.ndarray) -> np.ndarray:
    """The model's best response: every row is the mean of its data, drawn towards uniform."""
    data = visits(np, WORLD, softmax(theta))[..., None] * WORLD
    rows = np.stack([data[c == CLUSTER].sum(axis=0) for c in (0, 1)]) + PULL
    return rows / rows.sum(axis=-1, keepdims=True)


def imagined_return(theta: np.ndarray) -> float:
    return float(np.sum(visits(np, fitted(theta)[CLUSTER], softmax(theta)) * REWARD))


def policy_leads(find: Callable[..., Term]) -> Gradient:
    """dJ/dθ in PAL: first order, and the influence of every (s, a, s') on how often it is met."""
    theta = jnp.asarray(THETA)
    best_response = jnp.log(fitted(THETA)).ravel()

    def rows(phi: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(phi.reshape(2, NUM_ACTIONS, NUM_STATES))

    def shares(theta: jax.Array) -> jax.Array:
        return visits(jnp, WORLD, jax.nn.softmax(theta))[..., None] * WORLD

    def follower_loss(share: jax.Array, phi: jax.Array) -> jax.Array:
        return -jnp.sum(share * rows(phi)[CLUSTER]) - PULL * jnp.sum(rows(phi))

    def leader_loss(theta: jax.Array, phi: jax.Array) -> jax.Array:
        imagined = visits(jnp, jnp.exp(rows(phi))[CLUSTER], jax.nn.softmax(theta))
        return jnp.sum(imagined * REWARD)

    share, vjp_fn = jax.vjp(shares, theta)
    product = definite(hessian_product(lambda phi: follower_loss(share, phi), best_response))
    term = find(follower_loss, share, best_response, lambda phi: leader_loss(theta, phi), product)
    return jax.grad(leader_loss)(theta, best_response) + vjp_fn(term.value)[0], term.is_failed


def soft_best_response(model: np.ndarray) -> np.ndarray:
    """The policy's best response by soft value iteration: argmax J + τ · entropy."""
    value = np.zeros(NUM_STATES)
    for _ in range(400):
        q = REWARD + DISCOUNT * model[CLUSTER] @ value
        value = TEMPERATURE * np.log(np.sum(np.exp(q / TEMPERATURE), axis=-1))
    return q / TEMPERATURE


def divergence(xp, model):
    return xp.sum(WORLD * (xp.log(WORLD) - xp.log(model)), axis=-1)


def predicted_loss(phi: np.ndarray) -> float:
    model = softmax(phi)
    pi = softmax(soft_best_response(model))
    return float(np.sum(visits(np, WORLD, pi) * divergence(np, model[CLUSTER])))


def model_leads(find: Callable[..., Term]) -> Gradient:
    """dℓ/dφ in MAL: first order, and what the policy's best response does to the model's data."""
    best_response = jnp.asarray(soft_best_response(softmax(LOGITS))).ravel()

    def policy(theta: jax.Array) -> jax.Array:
        return jax.nn.softmax(theta.reshape(NUM_STATES, NUM_ACTIONS))

    def follower_loss(phi: jax.Array, theta: jax.Array) -> jax.Array:
        pi = policy(theta)
        gain = REWARD - TEMPERATURE * jnp.log(pi)
        return -jnp.sum(visits(jnp, jax.nn.softmax(phi)[CLUSTER], pi) * gain)

    def leader_loss(phi: jax.Array, theta: jax.Array) -> jax.Array:
        cost = divergence(jnp, jax.nn.softmax(phi)[CLUSTER])
        return jnp.sum(visits(jnp, WORLD, policy(theta)) * cost)

    phi = jnp.asarray(LOGITS)
    product = definite(hessian_product(lambda theta: follower_loss(phi, theta), best_response))
    term = find(follower_loss, phi, best_response, lambda theta: leader_loss(phi, theta), product)
    return jax.grad(leader_loss)(phi, best_response) + term.value, term.is_failed


# --- A linear-quadratic game: ridge regression of s' on (s, u), policy u = k s + noise ---

TRUTH, NOISE, RIDGE, LENGTH = np.array([1.1, 0.6]), 0.4, 0.5, 6
GAIN = np.array([-0.7])
GRID = np.stack(np.meshgrid(np.linspace(-6, 6, 61), np.linspace(-6, 6, 61)), -1).reshape(-1, 2)
NEXT = GRID @ TRUTH


def density(xp, gain):
    """µ_k(s, u) on the grid, of sum 1: the mean over a real episode's steps."""
    s, u = GRID.T
    variance, total = 1.0, 0.0
    for _ in range(LENGTH):
        total = total + xp.exp(
            -0.5 * s**2 / variance - 0.5 * ((u - gain[0] * s) / NOISE) ** 2
        ) / xp.sqrt(variance)
        closed = TRUTH[0] + TRUTH[1] * gain[0]
        variance = closed**2 * variance + (TRUTH[1] * NOISE) ** 2
    return total / xp.sum(total)


def rolled_out(gain, model):
    """The return of the model's own trajectory from s = 1."""
    s, total = 1.0, 0.0
    for _ in range(LENGTH):
        u = gain[0] * s
        total = total - s**2 - 0.1 * u**2
        s = model[0] * s + model[1] * u
    return total


def regressed(gain: np.ndarray) -> np.ndarray:
    weighted = GRID.T * density(np, gain)
    return np.linalg.solve(weighted @ GRID + RIDGE * np.eye(2), weighted @ NEXT)


def linear_leads(find: Callable[..., Term]) -> Gradient:
    def follower_loss(share: jax.Array, model: jax.Array) -> jax.Array:
        errors = (jnp.asarray(NEXT) - jnp.asarray(GRID) @ model) ** 2
        return share @ errors + RIDGE * model @ model

    gain, best_response = jnp.asarray(GAIN), jnp.asarray(regressed(GAIN))
    share, vjp_fn = jax.vjp(lambda k: density(jnp, k), gain)
    product = hessian_product(lambda m: follower_loss(share, m), best_response)
    term = find(follower_loss, share, best_response, lambda m: rolled_out(gain, m), product)
    return jax.grad(rolled_out)(gain, best_response) + vjp_fn(term.value)[0], term.is_failed


GAMES = {
    "tabular, PAL": (policy_leads, lambda: differences(imagined_return, THETA)),
    "tabular, MAL": (model_leads, lambda: differences(predicted_loss, LOGITS)),
    "linear, PAL": (
        linear_leads,
        lambda: differences(lambda k: float(rolled_out(k, regressed(k))), GAIN),
    ),
}


@pytest.mark.parametrize("name", GAMES)
def test_the_gradient_is_that_of_the_game_solved_anew(name: str) -> None:
    gradient, oracle = GAMES[name]
    expected = oracle()

    def error(find: Callable[..., Term]) -> float:
        found, is_failed = jax.jit(lambda: gradient(find))()
        assert not is_failed
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    def unrolled(num_steps: int) -> float:
        settings = LeaderSettings(gradient="unrolled", unrolled_steps=num_steps)
        return error(lambda *game: leader_term(*game, settings))

    nothing = error(lambda _f, x, *_: Term(0.0 * x, jnp.zeros(()), jnp.array(False)))
    assert nothing > 0.05  # the implicit term matters
    assert error(lambda *game: implicit_term(*game, EXACT)) < 1e-5
    few, more, many = (unrolled(num_steps) for num_steps in (1, 5, 500))
    assert nothing > few > 1.2 * more > 1.2**2 * many
    assert many < 1e-3


# --- Matrix-free products and solves, against dense matrices ---


def network(theta: jax.Array) -> jax.Array:
    hidden = jnp.tanh(jnp.linspace(-1.0, 1.0, 12).reshape(6, 2) @ theta[:6].reshape(2, 3))
    return hidden @ theta[6:12].reshape(3, 2)


def squared_loss(outputs: jax.Array) -> jax.Array:
    return jnp.mean((outputs - 0.3) ** 2)


def test_products_match_dense_matrices() -> None:
    theta = jnp.asarray(np.random.default_rng(2).normal(size=12))
    vector = jnp.asarray(np.random.default_rng(3).normal(size=12))
    loss_fn = lambda t: squared_loss(network(t))  # noqa: E731
    dense = jax.jacrev(jax.jacrev(loss_fn))(theta)
    np.testing.assert_allclose(hessian_product(loss_fn, theta)(vector), dense @ vector, rtol=1e-9)
    jacobian = jax.jacrev(lambda t: network(t).ravel())(theta)
    gauss_newton = jacobian.T @ jacobian * (2.0 / 12) + 0.1 * np.eye(12)
    product = gauss_newton_product(network, squared_loss, theta, 0.1)
    np.testing.assert_allclose(product(vector), gauss_newton @ vector, rtol=1e-9)
    largest = np.linalg.eigvalsh(gauss_newton)[-1]
    found = curvature.largest_curvature(product, 12)
    assert 0.9 * largest < found <= largest * (1.0 + 1e-9)


def test_conjugate_gradient_solves_and_reports_its_residual() -> None:
    rng = np.random.default_rng(4)
    root = rng.normal(size=(8, 8))
    matrix, target = jnp.asarray(root @ root.T + np.eye(8)), jnp.asarray(rng.normal(size=8))
    full = conjugate_gradient(lambda v: matrix @ v, target, 20, 1e-8)
    np.testing.assert_allclose(full.solution, np.linalg.solve(matrix, target), rtol=1e-8)
    assert not full.is_failed
    short = conjugate_gradient(lambda v: matrix @ v, target, 2, 1e-8)
    residual = np.linalg.norm(matrix @ short.solution - target) / np.linalg.norm(target)
    np.testing.assert_allclose(short.residual, residual, rtol=1e-9)
    assert short.is_failed
    assert not conjugate_gradient(lambda v: matrix @ v, 0.0 * target, 20, 0.0).is_failed


@pytest.mark.parametrize("diagonal", [[1.0, -1.0, 2.0], [1.0, np.nan, 2.0]])
def test_a_failed_solve_is_told_and_leaves_no_term(diagonal: list[float]) -> None:
    matrix, x, y = jnp.diag(jnp.asarray(diagonal)), jnp.ones(3), jnp.zeros(3)
    game = (lambda x, y: 0.5 * y @ matrix @ y - x @ y, x, y, lambda y: jnp.sum(y * y + y))
    term = implicit_term(*game, lambda v: matrix @ v, EXACT)
    assert term.is_failed
    np.testing.assert_array_equal(term.value, np.zeros(3))


def test_unrolled_steps_that_diverge_are_refused() -> None:
    matrix, x, y = jnp.diag(jnp.array([1.0, 5.0])), jnp.ones(2), jnp.zeros(2)
    game = (lambda x, y: 0.5 * y @ matrix @ y - x @ y, x, y, lambda y: jnp.sum(y))
    sound, diverging = (unrolled_term(*game, num_steps=20, rate=rate) for rate in (0.2, 0.6))
    assert not sound.is_failed
    assert np.all(sound.value > 0.0)
    assert diverging.is_failed
    np.testing.assert_array_equal(diverging.value, np.zeros(2))
