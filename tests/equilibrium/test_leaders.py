"""The parts of the deep games' implicit terms, each against something solved by hand.

In double precision; the networks are linear, so that every fit has a closed form.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jaxtyping import Array, Float, Key

from duopoly.equilibrium.baseline import NUM_FOLDS, baseline
from duopoly.equilibrium.model_gradient import (
    advantages,
    imagine_for_leader,
    temporal_differences,
    value_of,
)
from duopoly.equilibrium.model_leader import model_term
from duopoly.equilibrium.on_policy import (
    OnPolicyData,
    centred_returns_to_go,
    effective_sample_size,
    fold_cosine,
    policy_gradient_samples,
)
from duopoly.equilibrium.policy_leader import policy_term
from duopoly.model.dynamics import KnownFunctions, LearnedWorld
from duopoly.model.ensemble import Ensemble
from duopoly.model.imagine import Starts, imagine
from duopoly.networks import MLP, Normaliser
from duopoly.policy.gaussian import log_prob
from duopoly.policy.gradient.improve import PolicyState
from duopoly.policy.gradient.player import NPG
from duopoly.policy.gradient.step import flatten_policy
from duopoly.policy.player import Spaces
from duopoly.settings import (
    ImaginationSettings,
    LeaderSettings,
    PolicySettings,
    Settings,
    ValueSettings,
)
from duopoly.types import Prediction, Rollouts, Transitions


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# --- A policy gradient on real data, against every trajectory of a small chain ---

PAY = {0: 1.0, 1: -0.5, 2: 2.0}


def episodes(bias: float) -> Iterator[tuple[float, list[tuple[int, int]]]]:
    """Every episode of at most 3 actions, with its probability.

    Action 1, taken with probability σ(bias), moves on; action 0 lets a coin decide. Beyond state 2
    the episode ends.
    """
    up = 1.0 / (1.0 + np.exp(-bias))
    for actions, coins in itertools.product(itertools.product((0, 1), repeat=3), repeat=2):
        state, chance, steps = 0, 1.0, []
        for action, coin in zip(actions, coins, strict=True):
            chance *= (up if action else 1.0 - up) * 0.5
            if state <= 2:
                steps.append((state, action))
                state += 1 if action or coin else 0
                state += 1 if action and coin else 0
        yield chance, steps


def mean_pay(bias: float) -> float:
    """E_µ[r] = E Σ r / E T."""
    total = sum(p * sum(PAY[s] for s, _ in steps) for p, steps in episodes(bias))
    return total / sum(p * len(steps) for p, steps in episodes(bias))


def test_returns_to_go_give_the_gradient_of_the_mean_over_visits() -> None:
    played = [steps for _, steps in episodes(0.0)]  # all equally likely: data without noise
    assert len({len(steps) for steps in played}) > 1
    pay = [PAY[s] for steps in played for s, _ in steps]
    first = [i == 0 for steps in played for i in range(len(steps))]
    score = [a - 0.5 for steps in played for _, a in steps]  # ∇ log π at bias 0
    padding = 5
    valid = np.arange(len(pay) + padding) < len(pay)
    padded = jnp.asarray(np.append(pay, np.full(padding, 7.0)))
    first = jnp.asarray(np.append(first, np.zeros(padding, bool)))
    returns = centred_returns_to_go(padded, first, jnp.asarray(valid), 1.0)
    assert not np.any(returns[len(pay) :])
    found = float(np.mean(np.asarray(score) * returns[: len(pay)]))
    expected = (mean_pay(1e-5) - mean_pay(-1e-5)) / 2e-5
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_returns_to_go_discount_what_happens_later_in_the_same_episode() -> None:
    reward = np.array([1.0, 3.0, -2.0, 5.0, 0.0])
    first = np.array([True, False, False, True, False])
    found = centred_returns_to_go(jnp.asarray(reward), jnp.asarray(first), jnp.ones(5, bool), 0.5)
    r = reward - reward.mean()
    by_hand = np.array([r[0] + 0.5 * r[1] + 0.25 * r[2], r[1] + 0.5 * r[2], r[2], 0.0, r[4]])
    by_hand[3] = r[3] + 0.5 * r[4]
    np.testing.assert_allclose(found, by_hand - by_hand.mean(), rtol=1e-12)


def dataset(played: list[list[tuple[int, int]]], num_rows: int) -> dict[str, np.ndarray]:
    """Episodes as padded rows: x, which is one-hot, reward, first, valid and ∇ log π at bias 0."""
    rows = [(s, a, t == 0) for steps in played for t, (s, a) in enumerate(steps)]
    padding = num_rows - len(rows)
    state, action, first = (np.array([*z, *[0] * padding]) for z in zip(*rows, strict=True))
    valid = np.arange(num_rows) < len(rows)
    pay = np.where(valid, np.array([PAY[s] for s in state]), 7.0)
    x = np.eye(3)[state]
    return {"x": x, "pay": pay, "first": first > 0, "valid": valid, "score": action - 0.5}


def stacked(several: list[dict[str, np.ndarray]]) -> dict[str, Array]:
    return {name: jnp.asarray(np.stack([one[name] for one in several])) for name in several[0]}


@jax.jit
def baselines(data: dict[str, Array]) -> Array:
    one = lambda x, pay, first, valid: baseline(x, pay, first, valid, 0.9, 0.01)  # noqa: E731
    return jax.vmap(one)(data["x"], data["pay"], data["first"], data["valid"])


def test_a_baseline_by_state_changes_no_expectation() -> None:
    """Over all pairs of episodes, each of which is taught by the other."""
    played = [steps for _, steps in episodes(0.0)]
    data = stacked([dataset([one, other], 8) for one in played for other in played])
    expected = baselines(data)
    assert not np.any(expected[~data["valid"]])
    added = np.asarray(jnp.sum(data["score"] * expected, axis=1))
    assert np.std(added) > 0.1
    np.testing.assert_allclose(np.mean(added), 0.0, atol=1e-12)


def test_a_baseline_by_state_lowers_the_noise() -> None:
    rng, played = np.random.default_rng(0), [steps for _, steps in episodes(0.0)]
    drawn = [[played[i] for i in rng.integers(64, size=40)] for _ in range(300)]
    data = stacked([dataset(several, 120) for several in drawn])
    returns = jax.vmap(lambda *row: centred_returns_to_go(*row, 0.9))(
        data["pay"], data["first"], data["valid"]
    )
    without = np.sum(data["score"] * returns, axis=1)
    with_it = np.sum(data["score"] * (returns - baselines(data)), axis=1)
    assert np.var(with_it) < 0.6 * np.var(without)
    assert abs(np.mean(with_it) - np.mean(without)) < 0.2 * np.std(without)


# --- What J owes to the model, on a linear system whose V is known ---

GAMMA, GAIN, MODEL, NUM_STEPS = 0.8, -0.4, np.array([0.9, 0.5]), 20


class Line(eqx.Module):
    """s' = a s + b u, reward −s'² − 0.1 u²."""

    model: Float[Array, " 2"]

    @property
    def num_members(self) -> int:
        return 1

    def __call__(
        self, key: Key[Array, ""], obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
    ) -> Prediction:
        del key
        next_obs = self.model[0] * obs + self.model[1] * action
        reward = (-(next_obs**2) - 0.1 * action**2)[..., 0]
        never = jnp.zeros(reward.shape, bool)
        return Prediction(next_obs, reward, never, never)


def price(model: np.ndarray) -> np.ndarray:
    """p with V(s) = −p s² under u = GAIN s for ever."""
    closed = model[0] + model[1] * GAIN
    return (closed**2 + 0.1 * GAIN**2) / (1.0 - GAMMA * closed**2)


def true_value(obs: Float[Array, "E B T obs"]) -> Float[Array, "E B T"]:
    return -price(MODEL) * obs[..., 0] ** 2


def follow(starts: np.ndarray, first_action: np.ndarray | None = None) -> Rollouts:
    """Play u = GAIN s from every start, but for the first action where one is given."""
    rollouts = imagine(
        jax.random.key(0),
        lambda _, obs: GAIN * obs,
        Line(jnp.asarray(MODEL)),
        jnp.asarray(starts)[None, :, None],
        NUM_STEPS,
    )
    if first_action is None:
        return rollouts
    begun = MODEL[0] * starts + MODEL[1] * first_action
    later = follow(begun)
    joined = jax.tree.map(lambda x, y: jnp.concatenate([x[:, :, :1], y], 2), rollouts, later)
    return joined._replace(action=joined.action.at[0, :, 0, 0].set(first_action))


def test_model_gradient_is_that_through_the_rollout() -> None:
    starts = np.array([1.0, -2.0])
    rollouts = follow(starts)

    def one_step(model: Array) -> Array:
        delta = temporal_differences(jax.random.key(0), true_value, Line(model), rollouts, GAMMA)
        return jnp.sum(jnp.mean(delta[0], axis=0) * GAMMA ** jnp.arange(NUM_STEPS))

    def through_time(model: Array) -> Array:
        s, total = jnp.asarray(starts), 0.0
        for t in range(NUM_STEPS):
            u = GAIN * s
            s = model[0] * s + model[1] * u
            total = total + GAMMA**t * (-(s**2) - 0.1 * u**2)
        return jnp.mean(total)

    at = jnp.asarray(MODEL)
    np.testing.assert_allclose(
        jax.jit(jax.grad(one_step))(at), jax.jit(jax.grad(through_time))(at), rtol=1e-6
    )


def test_advantages_carry_the_model_into_the_policy_gradient() -> None:
    """∂_M of E[∇log π(a_0) A_0(M)], the later actions without noise, by quadrature and by hand."""
    node, weight = np.polynomial.hermite_e.hermegauss(5)
    weight, std, start = weight / weight.sum(), 0.3, 1.5
    rollouts = follow(np.full(5, start), GAIN * start + std * node)

    def policy_gradient(model: Array) -> Array:
        delta = temporal_differences(jax.random.key(0), true_value, Line(model), rollouts, GAMMA)
        first = advantages(delta, rollouts, GAMMA)[0, :, 0]
        return jnp.sum(weight * node / std * start * first)  # ∇_k log N(a; k s, std)

    def by_hand(model: np.ndarray) -> float:
        """∂_k E_a[Q_M(s, a)], a ~ N(k s, std): −(1 + γp)(a s + b u)² − 0.1 u²."""
        u = GAIN * start
        moved = model[0] * start + model[1] * u
        outer = -2.0 * (1.0 + GAMMA * price(model)) * moved * model[1] - 0.2 * u
        return outer * start

    steps = 1e-5 * np.eye(2)
    expected = [(by_hand(MODEL + h) - by_hand(MODEL - h)) / 2e-5 for h in steps]
    np.testing.assert_allclose(
        jax.jit(jax.grad(policy_gradient))(jnp.asarray(MODEL)), expected, rtol=1e-6
    )


# --- The whole terms, with linear models whose best response has a closed form ---

NUM = 40
SETTINGS = Settings(
    imagination=ImaginationSettings(num_rollouts=6, horizon=7),
    policy=PolicySettings(
        hidden=(3,), discount=0.9, fisher_samples=70,
        value=ValueSettings(hidden=(4,)),
    ),
    leader=LeaderSettings(
        gradient="implicit", num_samples=NUM, num_rollouts=5, cg_iterations=200, cg_damping=0.05
    ),
)  # fmt: skip
KNOWN = KnownFunctions(
    reward_fn=lambda obs, action, next_obs: -jnp.sum(next_obs**2) - 0.1 * jnp.sum(action**2),  # noqa: ARG005
    terminated_fn=lambda obs, action, next_obs: jnp.zeros((), bool),  # noqa: ARG005
    compute_fn=None,
    to_env_units=lambda action: jnp.clip(action, -1.0, 1.0),
)


def doubled(tree):
    return jax.tree.map(lambda x: x.astype(float) if jnp.issubdtype(x.dtype, float) else x, tree)


@dataclasses.dataclass(frozen=True)
class Scene:
    player: PolicyState
    world: LearnedWorld
    starts: Starts
    on_policy: OnPolicyData
    x: np.ndarray
    y: np.ndarray


def scene() -> Scene:
    """Two linear members near least squares, on data of a world that is not linear."""
    rng = np.random.default_rng(5)
    obs, action = rng.normal(size=(NUM, 2)), rng.uniform(-1.0, 1.0, (NUM, 1))
    change = 0.3 * np.sin(2.0 * obs) + action * np.array([0.4, -0.2])
    every = jnp.ones(NUM, bool)
    data = Transitions(
        *map(jnp.asarray, (obs, action, obs[:, 0], obs + change)), ~every, every, jnp.asarray(NUM)
    )
    x, y = np.append(obs, action, axis=1), change
    keys = jax.random.split(jax.random.key(1), 3)
    members = doubled(eqx.filter_vmap(lambda key: MLP(key, (3, 2), "tanh"))(keys[:2]))
    fitted = np.linalg.lstsq(np.append(x, np.ones((NUM, 1)), axis=1), y, rcond=None)[0]
    near = fitted + 0.05 * rng.normal(size=(2, 4, 2))
    members = eqx.tree_at(
        lambda m: (m.layers[0].weight, m.layers[0].bias),
        members,
        (jnp.asarray(near[:, :3]), jnp.asarray(near[:, 3])),
    )
    bound = jnp.full(2, jnp.inf)
    ensemble = Ensemble(
        members, Normaliser.identity(3), Normaliser.identity(2), -bound, bound, (0, 1)
    )
    player = doubled(NPG.init(keys[2], Spaces(2, 1), SETTINGS))
    network = player.value.function.network
    last = jnp.asarray(rng.normal(size=network.layers[-1].weight.shape))
    player = eqx.tree_at(lambda p: p.value.function.network.layers[-1].weight, player, last)
    return Scene(
        player,
        LearnedWorld(ensemble, KNOWN),
        Starts(data.obs, jnp.asarray(NUM), data),
        OnPolicyData(data, player.policy, data, jnp.asarray(1.0)),
        x,
        y,
    )


def influences(s: Scene, key: Key[Array, ""], rows: range, change: float) -> np.ndarray:
    """What J gains as the weights of single rows in the fit rise by ``change``, fitted anew."""
    h = 1e-4
    rollouts = imagine_for_leader(
        jax.random.split(key, 3)[0], s.player, s.world, s.starts, SETTINGS
    )
    begin = np.append(
        s.world.ensemble.members.layers[0].weight,
        np.asarray(s.world.ensemble.members.layers[0].bias)[:, None],
        axis=1,
    )
    inputs = np.append(s.x, np.ones((NUM, 1)), axis=1)

    @jax.jit
    def objective(parameters: Array) -> Array:
        members = eqx.tree_at(
            lambda m: (m.layers[0].weight, m.layers[0].bias),
            s.world.ensemble.members,
            (parameters[:, :3], parameters[:, 3]),
        )
        world = s.world.with_members(members)
        return jnp.mean(temporal_differences(key, value_of(s.player), world, rollouts, 0.9))

    def best_response(share: np.ndarray) -> np.ndarray:
        """argmin Σ shareᵢ ℓᵢ + ½ λ ‖M − M̂‖², less the gradient that M̂, no minimum, already has."""
        even = np.full(NUM, 1.0 / NUM)
        gradient = inputs.T @ (even[:, None] * (inputs @ begin - s.y))
        right = inputs.T @ (share[:, None] * s.y) + 0.05 * begin + gradient
        return np.linalg.solve(inputs.T @ (share[:, None] * inputs) + 0.05 * np.eye(4), right)

    found = []
    for step in h * change * np.eye(NUM)[np.asarray(rows)]:
        up, down = (
            objective(jnp.asarray(best_response(1.0 / NUM + t * step))) for t in (1.0, -1.0)
        )
        found.append(float(up - down) / (2.0 * h))
    return np.array(found)


def test_policy_term_pays_what_a_sample_does_to_the_models_best_response() -> None:
    s, key = scene(), jax.random.key(2)
    samples, info = policy_term(key, s.player, s.world, s.starts, s.on_policy, SETTINGS)
    assert not info.is_failed
    assert float(info.residual) < 1e-6
    found, expected = np.asarray(samples.advantage), influences(s, key, range(8), 1.0)
    # Every row is an episode of its own here, so an advantage is a reward less the mean reward.
    np.testing.assert_allclose(found[:8] - found[0], expected - expected[0], rtol=1e-4)


def newest(s: Scene, num_fresh: int, num_rows: int) -> OnPolicyData:
    """The last rows are of the policy, the others older; the former padded with others."""
    valid = np.arange(num_rows) < num_fresh
    rows = np.where(valid, NUM - num_fresh + np.arange(num_rows), 0)
    fresh = jax.tree.map(lambda x: x[rows] if x.ndim else jnp.asarray(num_fresh), s.on_policy.data)
    return s.on_policy._replace(data=fresh, share=jnp.asarray(num_fresh / NUM))


def test_fresh_rows_weigh_what_their_share_of_the_fitted_data_is() -> None:
    """A change of µ^π moves the weights of the policy's own rows alone, by their share."""
    s, key, num_fresh = scene(), jax.random.key(2), 10
    on_policy = newest(s, num_fresh, num_rows=13)
    samples, info = policy_term(key, s.player, s.world, s.starts, on_policy, SETTINGS)
    assert not info.is_failed
    found = np.asarray(samples.advantage)
    expected = influences(s, key, range(NUM - num_fresh, NUM), num_fresh / NUM)
    np.testing.assert_allclose(
        found[:num_fresh] - found[0], expected - expected[0], rtol=1e-4, atol=1e-9
    )
    assert not np.any(found[num_fresh:])


def test_a_failed_term_weighs_nothing() -> None:
    s = scene()
    leader = dataclasses.replace(SETTINGS.leader, cg_iterations=1, max_residual=0.0)
    hopeless = dataclasses.replace(SETTINGS, leader=leader)
    samples, info = policy_term(
        jax.random.key(2), s.player, s.world, s.starts, s.on_policy, hopeless
    )
    assert info.is_failed
    assert not np.any(samples.weight)
    assert np.isnan(float(info.fold_cosine))


def test_agreement_is_the_mean_cosine_of_gradients_on_disjoint_episodes() -> None:
    s = scene()
    samples = policy_gradient_samples(
        newest(s, 23, num_rows=30), jnp.asarray(s.y[:30, 0]), 0.9, 0.0
    )
    first = jnp.asarray(np.arange(30) % 3 == 0)
    theta, rebuild = flatten_policy(s.player.policy)
    score = jax.jit(jax.grad(lambda t, o, a: log_prob(rebuild(t), o, a)))
    gradients = np.zeros((NUM_FOLDS, len(theta)))
    for i in range(23):
        score_i = score(theta, samples.obs[i], samples.action[i])
        gradients[(i // 3) % NUM_FOLDS] += np.asarray(score_i) * float(samples.advantage[i])
    unit = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i, j in itertools.combinations(range(NUM_FOLDS), 2)]
    found = fold_cosine(s.player.policy, samples, first)
    np.testing.assert_allclose(found, np.mean(pairs), rtol=1e-6)


def test_effective_sample_size_counts_what_the_ratios_leave() -> None:
    s = scene()
    on_policy = newest(s, 23, num_rows=30)
    theta, rebuild = flatten_policy(s.player.policy)
    moved = rebuild(theta + 0.4 * jnp.cos(7.0 * jnp.arange(len(theta))))
    ratio = []
    for obs, action in zip(on_policy.data.obs[:23], on_policy.data.action[:23], strict=True):
        (old, old_log_std), (new, new_log_std) = s.player.policy(obs), moved(obs)
        density = [
            scipy.stats.norm(np.asarray(mean), np.exp(log_std)).pdf(np.asarray(action)).prod()
            for mean, log_std in ((old, old_log_std), (new, new_log_std))
        ]
        ratio.append(density[1] / density[0])
    expected = np.sum(ratio) ** 2 / np.sum(np.square(ratio)) / 23
    assert 0.5 < expected < 0.99
    np.testing.assert_allclose(effective_sample_size(on_policy, moved), expected, rtol=1e-6)
    np.testing.assert_allclose(effective_sample_size(on_policy, s.player.policy), 1.0, rtol=1e-9)


def test_model_term_is_what_the_policys_best_response_does_to_the_loss() -> None:
    s, key, h = scene(), jax.random.key(3), 1e-4
    term, info = model_term(key, s.player, s.world, s.starts, s.on_policy, SETTINGS)
    assert not info.is_failed
    key_imagine, _, _ = jax.random.split(key, 3)
    rollouts = imagine_for_leader(key_imagine, s.player, s.world, s.starts, SETTINGS)
    theta, rebuild = flatten_policy(s.player.policy)
    obs, action = (z.reshape(-1, z.shape[-1]) for z in (rollouts.obs, rollouts.action))

    def scores(obs: Array, action: Array) -> np.ndarray:
        one = jax.grad(lambda t, o, a: log_prob(rebuild(t), o, a))
        return np.asarray(jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))(theta, obs, action))

    @jax.jit
    def worth(members: MLP) -> Array:
        world = s.world.with_members(members)
        delta = temporal_differences(key, value_of(s.player), world, rollouts, 0.9)
        return advantages(delta, rollouts, 0.9).reshape(-1)

    imagined, real = scores(obs, action), scores(s.on_policy.data.obs, s.on_policy.data.action)
    members = s.world.ensemble.members
    scale = np.std(worth(members))

    def policy_gradient(members: MLP) -> np.ndarray:
        return np.mean(imagined * np.asarray(worth(members))[:, None], axis=0) / scale

    def dense_fisher() -> np.ndarray:
        """E[Jᵀ diag(1/std²) J] for the mean, and 2 for the log standard deviation."""
        jacobian = np.asarray(
            jax.jit(jax.vmap(jax.jacrev(lambda t, o: rebuild(t)(o)[0]), in_axes=(None, 0)))(
                theta, obs
            )
        )
        std = np.exp(np.asarray(s.player.policy.log_std))
        fisher = np.einsum("nap,a,naq->pq", jacobian, std**-2.0, jacobian) / len(obs)
        fisher[-1, -1] += 2.0
        return fisher + 0.05 * np.eye(len(theta))

    weights = np.asarray(members.layers[0].weight), np.asarray(members.layers[0].bias)
    predicted = np.einsum("ni,eio->eno", s.x, weights[0]) + weights[1][:, None]
    losses = np.sum(np.mean((predicted - s.y) ** 2, axis=2), axis=0)
    gradient = np.mean(real * (losses - losses.mean())[:, None], axis=0)
    push = np.linalg.solve(dense_fisher(), gradient)  # what moves π there raises the real loss

    rng = np.random.default_rng(7)
    way = jax.tree.map(lambda m: jnp.asarray(rng.normal(size=m.shape)), members)
    ahead, back = (
        policy_gradient(jax.tree.map(lambda m, w, t=t: m + t * h * w, members, way))
        for t in (1.0, -1.0)
    )
    expected = (ahead - back) @ push / (2.0 * h)
    found = sum(
        float(jnp.sum(a * b)) for a, b in zip(*map(jax.tree.leaves, (term, way)), strict=True)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3)
