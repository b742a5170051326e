"""The hot paths of the mathematics, with the arithmetic in each.

The floating-point operations are those of the dense layers alone: activations, Adam and sorting
cost time but earn no credit.
"""

import itertools
from collections.abc import Callable
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from duopoly.model.dynamics import KnownFunctions, LearnedWorld
from duopoly.model.fit import fit_model, init_model
from duopoly.model.imagine import Shuffled, imagine
from duopoly.policy.actor_critic import svg
from duopoly.policy.actor_critic.actor import act_by
from duopoly.policy.actor_critic.learner import ActorCriticState, Experience, update
from duopoly.policy.actor_critic.player import SVG
from duopoly.policy.actor_critic.pool import fill
from duopoly.policy.catalogue import PLAYERS
from duopoly.policy.gaussian import GaussianPolicy, init_policy, sample
from duopoly.policy.gradient.natural_gradient import natural_gradient_step
from duopoly.policy.gradient.surrogate import Samples, log_probs, objective
from duopoly.policy.player import Spaces
from duopoly.presets import ACTOR_CRITIC
from duopoly.settings import ModelSettings, PolicySettings, Settings, override
from duopoly.types import Transitions

OBS, ACTION = 12, 3  # those of Hopper-v5 with its x-velocity
MEMBERS, ROLLOUTS, HORIZON = 4, 50, 500
ROWS, EPOCHS, UPDATES = 10_000, 5, 40
# The networks of the released configuration, so that numbers compare.
MODEL: Final = ModelSettings(
    num_members=MEMBERS, hidden=(512, 512), activation="relu", batch_size=200
)
POLICY: Final = PolicySettings(cg_iterations=25)
KNOWN: Final = KnownFunctions(
    reward_fn=lambda obs, action, next_obs: next_obs[-1] - jnp.sum(action**2),  # noqa: ARG005
    terminated_fn=lambda obs, action, next_obs: next_obs[0] > 1e9,  # noqa: ARG005
    compute_fn=None,
    to_env_units=lambda action: jnp.clip(action, -1.0, 1.0),
)


class Prepared(NamedTuple):
    """A hot path, ready to run."""

    what: str
    """What one run is."""
    run: Callable[[], object]
    num_flops: float | None = None
    """Floating-point operations of one run; None: they are not what it takes time for."""


def matrix_product(size: int) -> Prepared:
    """A square matrix product, the yardstick."""
    a = jax.random.normal(jax.random.key(3), (size, size))
    product = jax.jit(jnp.matmul)
    return Prepared(f"matrix product {size}", lambda: product(a, a), 2.0 * size**3)


def fit_path(
    model: ModelSettings = MODEL, num_rows: int = ROWS, num_epochs: int = EPOCHS, num_obs: int = OBS
) -> Prepared:
    """Several epochs of the ensemble on a full window of data."""
    keys = jax.random.split(jax.random.key(0), 3)
    obs = jax.random.normal(keys[0], (num_rows, num_obs))
    action = jax.random.normal(keys[1], (num_rows, ACTION))
    no = jnp.zeros(num_rows, bool)
    data = Transitions(obs, action, obs[:, 0], jnp.sin(obs), no, no, jnp.asarray(num_rows))
    state = init_model(keys[2], num_obs, ACTION, tuple(range(num_obs)), model)
    inputs, members = num_obs + ACTION, model.num_members
    products = layer_products((inputs, *model.hidden, num_obs))
    # Forward, gradient of the weights, gradient of the activations; the inputs need none.
    per_sample = 6 * products - 2 * inputs * model.hidden[0]
    return Prepared(
        f"{num_epochs} epochs of {num_rows:,} rows, {_networks(model)}, batch {model.batch_size}",
        lambda: fit_model(keys[0], state, data, model, num_epochs),
        num_epochs * num_rows * members * per_sample,
    )


def imagine_path(
    model: ModelSettings = MODEL,
    num_rollouts: int = ROLLOUTS,
    horizon: int = HORIZON,
    num_obs: int = OBS,
) -> Prepared:
    """Rolls the policy through the ensemble."""
    keys, members = jax.random.split(jax.random.key(1), 4), model.num_members
    ensemble = init_model(keys[0], num_obs, ACTION, tuple(range(num_obs)), model).ensemble
    policy = init_policy(keys[1], num_obs, ACTION, POLICY)
    starts = jax.random.normal(keys[2], (members, num_rollouts, num_obs))

    @jax.jit
    def run(key: jax.Array) -> object:
        world = LearnedWorld(ensemble, KNOWN)
        return imagine(key, lambda key, obs: sample(key, policy, obs), world, starts, horizon)

    products = layer_products((num_obs + ACTION, *model.hidden, num_obs))
    products += layer_products((num_obs, *POLICY.hidden, ACTION))
    return Prepared(
        f"{members} x {num_rollouts} rollouts of {horizon} steps",
        lambda: run(keys[3]),
        members * num_rollouts * horizon * 2 * products,
    )


def natural_gradient_path() -> Prepared:
    """One natural gradient step, the Fisher matrix from as many samples as a preset takes.

    From a fifth of them the direction is that of all: docs/tuning.md has the cosines.
    """
    keys = jax.random.split(jax.random.key(2), 4)
    num = MEMBERS * ROLLOUTS * HORIZON
    policy = init_policy(keys[0], OBS, ACTION, POLICY)
    obs = jax.random.normal(keys[1], (num, OBS))
    action = jax.random.normal(keys[2], (num, ACTION))
    advantage = jax.random.normal(keys[3], (num,))
    samples = Samples(obs, action, log_probs(policy, obs, action), advantage, jnp.ones(num))

    seen = obs[: POLICY.fisher_samples]

    @jax.jit
    def run(policy: GaussianPolicy, samples: Samples, seen: jax.Array) -> object:
        return natural_gradient_step(policy, (), lambda p: objective(p, samples, 0.0), seen, POLICY)

    products = layer_products((OBS, *POLICY.hidden, ACTION))
    # The gradient takes 6, a Fisher-vector product 4 forwards and 4 back; one more is the residual.
    of_fisher = 8 * (POLICY.cg_iterations + 1) * len(seen)
    return Prepared(
        f"{num:,} samples, Fisher matrix of {len(seen):,}, "
        f"{POLICY.cg_iterations} conjugate gradient iterations",
        lambda: run(policy, samples, seen),
        (6 * num + of_fisher) * products,
    )


def actor_critic_path() -> Prepared:
    """Updates of svg at the sizes of its presets, the actor moving."""
    keys = jax.random.split(jax.random.key(4), 3)
    settings = ACTOR_CRITIC
    options, model = settings.policy.actor_critic, settings.model
    ensemble = init_model(keys[0], OBS, ACTION, tuple(range(OBS)), model).ensemble
    obs = jax.random.normal(keys[1], (ROWS, OBS))
    no = jnp.zeros(ROWS, bool)
    data = Transitions(obs, obs[:, :ACTION], obs[:, 0], obs, no, no, jnp.asarray(ROWS))
    world = Shuffled(LearnedWorld(ensemble, KNOWN))
    state = SVG.init(keys[2], Spaces(OBS, ACTION), settings)
    pool = jax.jit(lambda: fill(keys[0], act_by(state.actor), world, data, options))()

    @jax.jit
    def run(state: ActorCriticState) -> object:
        experience = Experience(world, pool, data)

        def one(i: jax.Array, state: ActorCriticState) -> ActorCriticState:
            key = jax.random.fold_in(keys[1], i)
            return update(key, state, experience, jnp.asarray(True), settings, svg.teach)[0]

        return jax.lax.fori_loop(0, UPDATES, one, state)

    steps, critics = options.horizon, options.num_critics
    of_actor = layer_products((OBS, *settings.policy.hidden, 2 * ACTION))
    of_model = layer_products((OBS + ACTION, *model.hidden, OBS))
    of_critics = critics * layer_products((OBS + ACTION, *options.hidden, 1))
    # Forward 2, gradient of the activations 2, gradient of the weights 2. The actor acts at every
    # state; its critics are asked at both ends, the targets at the last, and one set learns.
    per_start = (steps + 1) * 6 * of_actor + steps * 4 * of_model + (2 * 4 + 2 + 6) * of_critics
    return Prepared(
        f"{UPDATES} updates of {options.batch_size} starts, {steps} steps ahead",
        lambda: run(state),
        UPDATES * options.batch_size * per_start,
    )


def plan_path() -> Prepared:
    """One action of the cross-entropy method."""
    keys = jax.random.split(jax.random.key(5), 2)
    settings = override(Settings(), {"policy.improver": "cem", "model.hidden": (256, 256)})
    model, planner = settings.model, settings.policy.planner
    ensemble = init_model(keys[0], OBS, ACTION, tuple(range(OBS)), model).ensemble
    player = PLAYERS["cem"].load()
    state = player.init(keys[1], Spaces(OBS, ACTION), settings)
    controller = player.controller(state, LearnedWorld(ensemble, KNOWN), settings)
    rng, obs = np.random.default_rng(0), np.zeros(OBS)
    products = layer_products((OBS + ACTION, *model.hidden, OBS))
    num_plans = planner.num_iterations * planner.num_samples
    return Prepared(
        f"{num_plans} plans of {planner.horizon} actions in {model.num_members} members",
        lambda: controller.act(obs, controller.memory, rng, True).action,
        num_plans * planner.horizon * model.num_members * 2.0 * products,
    )


def _networks(model: ModelSettings) -> str:
    """Members, hidden layers and their width, as they are written beside a measurement."""
    return f"{model.num_members} x {len(model.hidden)} x {model.hidden[0]}"


def layer_products(sizes: tuple[int, ...]) -> int:
    """Multiply-adds of one pass of one input through a dense network."""
    return sum(a * b for a, b in itertools.pairwise(sizes))
