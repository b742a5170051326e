"""The continuous twin: a linear world, a quadratic cost, a linear Gaussian policy, all closed form.

    s′ = A s + B a + w,  w ~ N(0, W)        R(s,a) = −(sᵀ Q s + aᵀ R a)        a ~ N(K s, Σ)

Batches have no place here: one game, small matrices. Infinite horizon, discount γ, s₀ with second
moment S₀ and mean zero. Source for the policy's side: Fazel et al. (2018), with discount and noise.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Matrix = Float[np.ndarray, "_ _"]


class LinearWorld(NamedTuple):
    """A world in which everything is linear but the reward."""

    a: Float[np.ndarray, "obs obs"]
    b: Float[np.ndarray, "obs act"]
    noise: Float[np.ndarray, "obs obs"]
    """W."""
    state_cost: Float[np.ndarray, "obs obs"]
    """Q."""
    action_cost: Float[np.ndarray, "act act"]
    """R."""
    start: Float[np.ndarray, "obs obs"]
    """S₀, the second moment of the first state."""
    discount: float


class LinearPolicy(NamedTuple):
    """a ~ N(K s, Σ)."""

    gain: Float[np.ndarray, "act obs"]
    covariance: Float[np.ndarray, "act act"]


def discounted_lyapunov(closed: Matrix, source: Matrix, discount: float) -> Matrix:
    """Solves X = source + γ M X Mᵀ.

    Raises:
        ValueError: the discounted sum diverges: γ ρ(M)² is not below one.
    """
    growth = discount * np.max(np.abs(np.linalg.eigvals(closed))) ** 2
    if growth >= 1.0:
        raise ValueError(f"the return is infinite: discount · (spectral radius)² = {growth:.3g}")
    size = closed.shape[0]
    system = np.eye(size * size) - discount * np.kron(closed, closed)
    return np.linalg.solve(system, source.reshape(-1)).reshape(size, size)


def closed_loop(world: LinearWorld, policy: LinearPolicy) -> Matrix:
    """A + B K."""
    return world.a + world.b @ policy.gain


def cost_to_go(world: LinearWorld, policy: LinearPolicy) -> tuple[Matrix, float]:
    """Returns (P, c) of the value V(s) = −(sᵀ P s + c)."""
    running = world.state_cost + policy.gain.T @ world.action_cost @ policy.gain
    p = discounted_lyapunov(closed_loop(world, policy).T, running, world.discount)
    pushed = world.b @ policy.covariance @ world.b.T + world.noise
    constant = np.trace(world.action_cost @ policy.covariance)
    constant += world.discount * np.trace(p @ pushed)
    return p, float(constant / (1.0 - world.discount))


def objective(world: LinearWorld, policy: LinearPolicy) -> float:
    """J(π, M) (Eq. 1) = −(tr P S₀ + c)."""
    p, constant = cost_to_go(world, policy)
    return -float(np.trace(p @ world.start)) - constant


def finite_objective(world: LinearWorld, policy: LinearPolicy, horizon: int) -> float:
    """E Σ_{t<T} γ^t R(s_t, a_t): what rollouts of T steps add up to."""
    moment, total = world.start, 0.0
    closed = closed_loop(world, policy)
    pushed = world.b @ policy.covariance @ world.b.T + world.noise
    running = world.state_cost + policy.gain.T @ world.action_cost @ policy.gain
    for t in range(horizon):
        cost = np.trace(running @ moment) + np.trace(world.action_cost @ policy.covariance)
        total -= world.discount**t * float(cost)
        moment = closed @ moment @ closed.T + pushed
    return total


def state_moment(world: LinearWorld, policy: LinearPolicy) -> Matrix:
    """X = E_{d^π}[s sᵀ] under the normalised discounted occupancy."""
    pushed = world.b @ policy.covariance @ world.b.T + world.noise
    source = (1.0 - world.discount) * world.start + world.discount * pushed
    return discounted_lyapunov(closed_loop(world, policy), source, world.discount)


def policy_pressure(world: LinearWorld, policy: LinearPolicy) -> tuple[Matrix, Matrix]:
    """Returns (E, H) = ((R + γBᵀPB) K + γBᵀPA, R + γBᵀPB), of which all gradients are made."""
    p, _ = cost_to_go(world, policy)
    curvature = world.action_cost + world.discount * world.b.T @ p @ world.b
    return curvature @ policy.gain + world.discount * world.b.T @ p @ world.a, curvature


def policy_gradient(
    world: LinearWorld, policy: LinearPolicy
) -> tuple[Float[np.ndarray, "act obs"], Float[np.ndarray, " act"]]:
    """∂J/∂K = −2 E X / (1−γ), and ∂J/∂log σ = −2 σ² diag(H) / (1−γ)."""
    pressure, curvature = policy_pressure(world, policy)
    unit = 1.0 - world.discount
    by_gain = -2.0 * pressure @ state_moment(world, policy) / unit
    return by_gain, -2.0 * np.diag(policy.covariance) * np.diag(curvature) / unit


def natural_gradient(
    world: LinearWorld, policy: LinearPolicy
) -> tuple[Float[np.ndarray, "act obs"], Float[np.ndarray, " act"]]:
    """F⁻¹∇J: −2 Σ E / (1−γ) and −σ² diag(H) / (1−γ).

    F is Σ⁻¹ ⊗ X for the gain and 2 for each log σ. No bias: it would have no gradient here.
    """
    pressure, curvature = policy_pressure(world, policy)
    unit = 1.0 - world.discount
    by_gain = -2.0 * policy.covariance @ pressure / unit
    return by_gain, -np.diag(policy.covariance) * np.diag(curvature) / unit


def advantage(
    world: LinearWorld,
    policy: LinearPolicy,
    obs: Float[np.ndarray, "M obs"],
    action: Float[np.ndarray, "M act"],
) -> Float[np.ndarray, " M"]:
    """A^π(s, a) = Q^π(s, a) − V^π(s)."""
    p, constant = cost_to_go(world, policy)

    def quadratic(x: Float[np.ndarray, "M _"], m: Matrix) -> Float[np.ndarray, " M"]:
        return np.einsum("mi,ij,mj->m", x, m, x)

    now = quadratic(obs, world.state_cost) + quadratic(action, world.action_cost)
    future = quadratic(obs @ world.a.T + action @ world.b.T, p) + np.trace(p @ world.noise)
    return quadratic(obs, p) + constant - now - world.discount * (future + constant)


def best_gain(world: LinearWorld, num_iterations: int = 10_000) -> Float[np.ndarray, "act obs"]:
    """K* of argmax_π J (Eq. 8), whatever the covariance: the discounted Riccati equation, iterated.

    Raises:
        ArithmeticError: it does not settle.
    """
    p, discount = world.state_cost, world.discount
    for _ in range(num_iterations):
        curvature = world.action_cost + discount * world.b.T @ p @ world.b
        gain = -np.linalg.solve(curvature, discount * world.b.T @ p @ world.a)
        new = world.state_cost + discount * world.a.T @ p @ (world.a + world.b @ gain)
        if np.max(np.abs(new - p)) < 1e-13 * np.max(np.abs(new)):
            return gain
        p = new
    raise ArithmeticError(f"the Riccati equation has not settled in {num_iterations} iterations")


def best_model(
    world: LinearWorld, policy: LinearPolicy, seen: tuple[int, ...]
) -> tuple[Float[np.ndarray, "obs obs"], Float[np.ndarray, "obs act"]]:
    """(Â, B̂) of argmin_M̂ ℓ(M̂, µ^π) (Eq. 9): least squares on the policy's own occupancy.

    The model sees only some of (s, a), numbered through; with all of them it is (A, B).
    """
    x, k = state_moment(world, policy), policy.gain
    joint = np.block([[x, x @ k.T], [k @ x, k @ x @ k.T + policy.covariance]])
    both = np.concatenate([world.a, world.b], axis=1)
    columns = list(seen)
    answer = np.zeros_like(both)
    moments = joint[np.ix_(columns, columns)]
    answer[:, columns] = np.linalg.solve(moments, (both @ joint[:, columns]).T).T
    return answer[:, : len(x)], answer[:, len(x) :]


def imagined_objective(world: LinearWorld, policy: LinearPolicy, seen: tuple[int, ...]) -> float:
    """J(π, M̂^π): PAL's leader, the model fitted anew to the policy."""
    a, b = best_model(world, policy, seen)
    return objective(world._replace(a=a, b=b), policy)
