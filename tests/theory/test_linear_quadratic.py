"""The linear-quadratic game: its closed forms, and the deep code held against them."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import linear_quadratic as lq
import numpy as np
import pytest
from jaxtyping import Array
from linear_quadratic import LinearPolicy, LinearWorld

from duopoly.model.ensemble import Ensemble, predict
from duopoly.model.fit import ModelState, fit_model
from duopoly.model.imagine import imagine
from duopoly.networks import MLP, Normaliser
from duopoly.policy.gaussian import GaussianPolicy, sample
from duopoly.policy.gradient.natural_gradient import natural_gradient_step
from duopoly.policy.gradient.surrogate import Samples, log_probs, objective
from duopoly.settings import ModelSettings, PolicySettings
from duopoly.types import Prediction, Transitions

WORLD = LinearWorld(
    a=np.array([[0.9, 0.3], [-0.2, 0.8]]),
    b=np.array([[0.0], [0.5]]),
    noise=np.diag([0.02, 0.03]),
    state_cost=np.diag([1.0, 0.3]),
    action_cost=np.array([[0.2]]),
    start=np.array([[1.0, 0.2], [0.2, 0.5]]),
    discount=0.95,
)
POLICY = LinearPolicy(np.array([[-0.3, -0.2]]), np.array([[0.16]]))


def shifted(step: np.ndarray) -> LinearPolicy:
    return POLICY._replace(gain=POLICY.gain + step)


def test_objective_is_the_limit_of_finite_ones() -> None:
    assert lq.finite_objective(WORLD, POLICY, 800) == pytest.approx(lq.objective(WORLD, POLICY))


def test_gradient_matches_finite_differences() -> None:
    by_gain, by_log_std = lq.policy_gradient(WORLD, POLICY)
    for i in range(2):
        step = 1e-6 * np.eye(2)[[i]]
        rise = lq.objective(WORLD, shifted(step)) - lq.objective(WORLD, shifted(-step))
        assert by_gain[0, i] == pytest.approx(rise / 2e-6, rel=1e-6)
    above, below = (POLICY._replace(covariance=0.16 * np.exp([[2 * s]])) for s in (1e-6, -1e-6))
    rise = lq.objective(WORLD, above) - lq.objective(WORLD, below)
    assert by_log_std[0] == pytest.approx(rise / 2e-6, rel=1e-5)


def test_natural_gradient_solves_the_fisher_system() -> None:
    by_gain, _ = lq.policy_gradient(WORLD, POLICY)
    direction, _ = lq.natural_gradient(WORLD, POLICY)
    fisher = lq.state_moment(WORLD, POLICY) / 0.16
    np.testing.assert_allclose(direction[0], np.linalg.solve(fisher, by_gain[0]), rtol=1e-10)


def test_best_gain_leaves_no_gradient_and_wins() -> None:
    best = POLICY._replace(gain=lq.best_gain(WORLD))
    np.testing.assert_allclose(lq.policy_gradient(WORLD, best)[0], 0.0, atol=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(50):
        other = best._replace(gain=best.gain + 0.1 * rng.standard_normal((1, 2)))
        assert lq.objective(WORLD, other) < lq.objective(WORLD, best)


def test_a_return_that_diverges_is_refused() -> None:
    wild = WORLD._replace(a=2.0 * WORLD.a)
    with pytest.raises(ValueError, match="the return is infinite"):
        lq.objective(wild, POLICY)


@functools.cache
def visits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent draws from d^π: the last step of walks that stop with probability 1 − γ."""
    rng, num = np.random.default_rng(0), 200_000
    start = np.linalg.cholesky(WORLD.start)
    last_step = np.sort(rng.geometric(1.0 - WORLD.discount, num) - 1)[::-1]
    obs = rng.standard_normal((num, 2)) @ start.T
    action, following = np.zeros((num, 1)), np.zeros((num, 2))
    for step in range(last_step[0] + 1):
        n = np.count_nonzero(last_step >= step)
        if step > 0:
            obs[:n] = following[:n]
        action[:n] = obs[:n] @ POLICY.gain.T + 0.4 * rng.standard_normal((n, 1))
        noise = rng.standard_normal((n, 2)) * np.sqrt(np.diag(WORLD.noise))
        following[:n] = obs[:n] @ WORLD.a.T + action[:n] @ WORLD.b.T + noise
    order = rng.permutation(num)
    return obs[order], action[order], following[order]


def test_model_follows_the_policys_own_data() -> None:
    obs, action, next_obs = visits()
    np.testing.assert_allclose(lq.state_moment(WORLD, POLICY), obs.T @ obs / len(obs), atol=0.01)
    both = np.concatenate([obs, action], axis=1)
    for seen in [(0, 1, 2), (1, 2), (0, 2)]:
        a, b = lq.best_model(WORLD, POLICY, seen)
        answer = np.linalg.lstsq(both[:, seen], next_obs, rcond=None)[0].T
        found = np.concatenate([a, b], axis=1)
        np.testing.assert_allclose(found[:, seen], answer, atol=0.01)
    np.testing.assert_allclose(lq.best_model(WORLD, POLICY, (0, 1, 2))[0], WORLD.a, atol=1e-12)
    assert abs(lq.imagined_objective(WORLD, POLICY, (1, 2)) - lq.objective(WORLD, POLICY)) > 0.1


def test_advantage_has_mean_zero_and_its_covariance_is_the_gradient() -> None:
    obs, action, _ = visits()
    values = lq.advantage(WORLD, POLICY, obs, action)
    score = (action - obs @ POLICY.gain.T)[:, 0] / 0.16
    estimate = np.mean(values[:, None] * score[:, None] * obs, axis=0) / (1 - WORLD.discount)
    by_gain, _ = lq.policy_gradient(WORLD, POLICY)
    assert abs(values.mean()) < 0.01
    np.testing.assert_allclose(estimate, by_gain[0], rtol=0.05, atol=0.3)


# --- the deep code against the closed form ---

SETTINGS = PolicySettings(cg_iterations=20, cg_damping=0.0, target_kl=1e-4)


def single(x: np.ndarray) -> Array:
    return jnp.asarray(x, jnp.float32)


def deep_policy() -> GaussianPolicy:
    network = eqx.tree_at(
        lambda n: n.layers[0].weight,
        MLP(jax.random.key(0), (2, 1), "tanh"),
        jnp.asarray(POLICY.gain.T, jnp.float32),
    )
    return GaussianPolicy(network, jnp.log(jnp.array([0.4])), Normaliser.identity(2))


def test_deep_natural_gradient_points_where_the_closed_form_does() -> None:
    obs, action, _ = visits()
    values = lq.advantage(WORLD, POLICY, obs, action)
    old = deep_policy()
    samples = Samples(
        obs=single(obs),
        action=single(action),
        log_prob=log_probs(old, single(obs), single(action)),
        advantage=single(values),
        weight=jnp.ones(len(obs)),
    )
    new, _, info = natural_gradient_step(
        old, (), lambda policy: objective(policy, samples, 0.0), samples.obs, SETTINGS
    )
    by_gain, by_log_std = lq.natural_gradient(WORLD, POLICY)
    moved = np.append(
        np.asarray(new.network.layers[0].weight - old.network.layers[0].weight)[:, 0],
        np.asarray(new.log_std - old.log_std),
    )
    exact = np.append(by_gain[0], by_log_std)
    cosine = moved @ exact / np.linalg.norm(moved) / np.linalg.norm(exact)
    assert cosine > 0.9999
    assert float(info.kl) == pytest.approx(1e-4, rel=0.05)
    # Length: √(2δ / gᵀF⁻¹g) times the direction, in units of the sampled surrogate, (1−γ) J.
    fisher = np.block(
        [
            [lq.state_moment(WORLD, POLICY) / 0.16, np.zeros((2, 1))],
            [np.zeros((1, 2)), np.array([[2.0]])],
        ]
    )
    length = np.sqrt(2e-4 / (exact @ fisher @ exact))
    off = np.abs(moved - length * exact).max() / np.linalg.norm(length * exact)
    assert off < 0.02


class ExactLinearWorld(eqx.Module):
    """The linear world as a simulator, its noise replaced by none: W = 0."""

    num_members: int = eqx.field(static=True)

    def __call__(self, key: Array, obs: Array, action: Array) -> Prediction:
        del key
        a, b, q, r = (
            jnp.asarray(x, jnp.float32)
            for x in (WORLD.a, WORLD.b, WORLD.state_cost, WORLD.action_cost)
        )
        reward = -jnp.einsum("ebi,ij,ebj->eb", obs, q, obs)
        reward -= jnp.einsum("ebi,ij,ebj->eb", action, r, action)
        never = jnp.zeros(obs.shape[:2], bool)
        return Prediction(obs @ a.T + action @ b.T, reward, never, never)


def test_imagined_returns_have_the_closed_form_mean() -> None:
    quiet, horizon, shape = WORLD._replace(noise=np.zeros((2, 2))), 80, (4, 2_000)
    factor = jnp.asarray(np.linalg.cholesky(WORLD.start), jnp.float32)
    starts = jax.random.normal(jax.random.key(1), (*shape, 2)) @ factor.T
    policy = deep_policy()
    rollouts = imagine(
        jax.random.key(2), lambda k, o: sample(k, policy, o), ExactLinearWorld(4), starts, horizon
    )
    weight = quiet.discount ** np.arange(horizon)
    returns = (np.asarray(rollouts.reward, np.float64) * weight).sum(axis=-1).reshape(-1)
    exact = lq.finite_objective(quiet, POLICY, horizon)
    error = abs(returns.mean() - exact)
    assert error < 4.0 * returns.std() / np.sqrt(returns.size)
    assert error < 0.02 * abs(exact)


def linear_model() -> ModelState:
    """An ensemble of one network without hidden layers, untrained."""
    layer = MLP(jax.random.key(0), (3, 2), "tanh")
    members = jax.tree.map(lambda x: x[None], layer)
    ensemble = Ensemble(
        members,
        Normaliser.identity(3),
        Normaliser.identity(2),
        jnp.full(2, -jnp.inf),
        jnp.full(2, jnp.inf),
        (0, 1),
    )
    return ModelState(ensemble, jnp.zeros((), jnp.int32))


def test_deep_model_fits_the_least_squares_answer() -> None:
    obs, action, next_obs = (x[:4_000] for x in visits())
    inside = np.abs(action[:, 0]) < 1.0  # the network sees actions clipped to [-1, 1]
    obs, action, next_obs = obs[inside], action[inside], next_obs[inside]
    zeros = jnp.zeros(len(obs))
    never = zeros > 0.0
    data = Transitions(
        single(obs), single(action), zeros, single(next_obs), never, never, jnp.asarray(len(obs))
    )
    settings = ModelSettings(num_members=1, learning_rate=0.02, batch_size=200)
    state = linear_model()
    state, _ = fit_model(jax.random.key(1), state, data, settings, 40)

    def step(x: Array) -> Array:
        return predict(state.ensemble, x[None, None, :2], x[None, None, 2:])[0, 0]

    found = np.asarray(jax.jacobian(step)(jnp.zeros(3)))
    both = np.concatenate([obs, action], axis=1)
    design = np.concatenate([both, np.ones((len(both), 1))], axis=1)
    answer = np.linalg.lstsq(design, next_obs, rcond=None)[0].T[:, :3]
    np.testing.assert_allclose(found, answer, atol=0.005)
    exact = np.concatenate(lq.best_model(WORLD, POLICY, (0, 1, 2)), axis=1)
    np.testing.assert_allclose(found, exact, atol=0.03)
