"""How the policy player's view of the world is renewed while what it does stays the same."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.networks import MLP, Normaliser, rebase
from duopoly.policy.gaussian import numpy_policy
from duopoly.policy.gradient.improve import (
    PolicyState,
    evaluate_value,
    fix_inputs,
    renew_inputs,
)
from duopoly.policy.gradient.player import NPG
from duopoly.policy.player import Spaces
from duopoly.settings import PolicySettings, Settings, ValueSettings
from duopoly.types import Transitions

SETTINGS = PolicySettings(hidden=(16, 16), value=ValueSettings(hidden=(16,)))
ANGLES = (1,)


def seen(seed: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Transitions:
    """Rows of four observation components, behind them padding without meaning."""
    rng = np.random.default_rng(seed)
    obs = np.array(mean) + np.array(std) * rng.standard_normal((300, 4))
    obs = jnp.asarray(np.concatenate([obs, np.full((50, 4), 1e7)]), jnp.float32)
    zeros = jnp.zeros(350)
    return Transitions(obs, zeros[:, None], zeros, obs, zeros > 0, zeros > 0, jnp.asarray(300))


FALLS = seen(0, (0.0, 0.5, 1.0, 3.0), (0.1, 2.0, 0.3, 0.0))
HOPS = seen(1, (0.8, 0.5, -1.0, 3.0), (0.9, 2.0, 3.0, 0.0))
GOALS = seen(2, (0.8, 0.5, -1.0, 5.0), (0.9, 2.0, 0.0, 0.7))


def player() -> PolicyState:
    """A policy and a value function that depend on every input."""
    start = fix_inputs(
        NPG.init(jax.random.key(0), Spaces(4, 2, ANGLES), Settings(policy=SETTINGS)), FALLS
    )
    networks = [
        MLP(jax.random.key(seed), sizes, "tanh")
        for seed, sizes in ((1, (5, 16, 16, 2)), (2, (5, 16, 1)))
    ]
    return eqx.tree_at(
        lambda s: (s.policy.network, s.value.function.network), start, tuple(networks)
    )


def outputs(state: PolicyState, obs: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    mean = jax.vmap(lambda o: state.policy(o)[0])(obs)
    value = evaluate_value(state.value.function, state.policy, obs[None, None])[0, 0]
    return np.asarray(mean), np.asarray(value)


@pytest.mark.parametrize("data", [HOPS, GOALS, FALLS])
def test_the_function_stays_the_same_where_the_units_are_renewed(data: Transitions) -> None:
    before = player()
    after = renew_inputs(before, data)
    for obs in (FALLS.obs[:300], HOPS.obs[:300], GOALS.obs[:300]):
        for old, new in zip(outputs(before, obs), outputs(after, obs), strict=True):
            assert np.std(old) > 0.1
            np.testing.assert_allclose(new, old, atol=5e-5)
        host = numpy_policy(after.policy).mean(np.asarray(obs, np.float64))
        np.testing.assert_allclose(host, outputs(before, obs)[0], atol=5e-5)


def test_rebasing_is_exact_in_double_precision() -> None:
    with jax.enable_x64(True):
        network = jax.tree.map(lambda x: x.astype(float), MLP(jax.random.key(0), (4, 8, 2), "tanh"))
        rng = np.random.default_rng(0)
        old, new = (
            Normaliser(jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.uniform(0.1, 9, 3)), (2,))
            for _ in range(2)
        )
        for x in 10.0 * rng.normal(size=(20, 3)):
            expected = network(old(jnp.asarray(x)))
            found = rebase(network, old, new)(new(jnp.asarray(x)))
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_what_is_seen_since_has_mean_zero_and_deviation_one() -> None:
    inputs = renew_inputs(player(), HOPS).policy.inputs
    x = np.asarray(jax.vmap(inputs)(HOPS.obs[:300]))
    np.testing.assert_allclose(x[:, [0, 2]].mean(0), 0.0, atol=1e-4)
    np.testing.assert_allclose(x[:, [0, 2]].std(0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(x[:, 1], np.sin(HOPS.obs[:300, 1]), atol=1e-6)


def test_a_component_that_has_become_constant_keeps_its_units() -> None:
    before = renew_inputs(player(), HOPS)
    after = renew_inputs(before, GOALS).policy.inputs
    assert after.std[2] == before.policy.inputs.std[2] > 2.5
    assert after.mean[2] == before.policy.inputs.mean[2]
    np.testing.assert_allclose(before.policy.inputs.std[3], 1.0)
    np.testing.assert_allclose(before.policy.inputs.mean[3], 3.0, rtol=1e-6)
    np.testing.assert_allclose(after.std[3], 0.7, rtol=0.1)  # a goal that begins to move


def test_a_first_collection_of_one_step_fixes_nothing_for_good() -> None:
    """One row has no spread; the next data have."""
    first = FALLS._replace(num_valid=jnp.asarray(1))
    state = renew_inputs(fix_inputs(player(), first), HOPS)
    normal = jax.vmap(state.policy.inputs)(HOPS.obs[:300])
    np.testing.assert_allclose(jnp.mean(normal[:, 2]), 0.0, atol=1e-4)
    np.testing.assert_allclose(jnp.std(normal[:, 2]), 1.0, rtol=1e-3)
