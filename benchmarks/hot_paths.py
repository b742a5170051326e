"""Time the hot paths against what this machine's matrix products can do.

Run it by ``make bench``. Each path is compiled first, then timed several times, in turn with plain
matrix products, so that a noisy neighbour slows both alike; the best time of each counts. The
floating-point operations are those of the dense layers alone: activations, Adam and sorting cost
time but earn no credit.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from duopoly.model.dynamics import KnownFunctions, LearnedWorld
from duopoly.model.fit import fit_model, init_model
from duopoly.model.imagine import Shuffled, imagine
from duopoly.policy.actor_critic import svg
from duopoly.policy.actor_critic.actor import act_by
from duopoly.policy.actor_critic.learner import ActorCriticState, Experience, update
from duopoly.policy.actor_critic.player import SVG
from duopoly.policy.actor_critic.pool import fill
from duopoly.policy.gaussian import GaussianPolicy, init_policy, sample
from duopoly.policy.gradient.natural_gradient import natural_gradient_step
from duopoly.policy.gradient.surrogate import Samples, log_probs, objective
from duopoly.policy.player import Spaces
from duopoly.settings import ModelSettings, PolicySettings, Settings, override
from duopoly.types import Transitions

OBS, ACTION = 12, 3  # those of Hopper-v5 with its x-velocity
MEMBERS, ROLLOUTS, HORIZON = 4, 50, 500
ROWS, EPOCHS = 10_000, 5
# The networks of the released configuration, so that numbers compare.
MODEL = ModelSettings(num_members=MEMBERS, hidden=(512, 512), activation="relu", batch_size=200)
POLICY = PolicySettings(cg_iterations=25)
REPEATS, UPDATES = 5, 40
KNOWN = KnownFunctions(
    reward_fn=lambda obs, action, next_obs: next_obs[-1] - jnp.sum(action**2),  # noqa: ARG005
    terminated_fn=lambda obs, action, next_obs: next_obs[0] > 1e9,  # noqa: ARG005
    compute_fn=None,
    to_env_units=lambda action: jnp.clip(action, -1.0, 1.0),
)


@dataclasses.dataclass(frozen=True)
class Path:
    """A hot path: what it does, how much arithmetic that is, and the call."""

    name: str
    num_flops: float
    run: Callable[[], object]


def layer_products(sizes: tuple[int, ...]) -> int:
    """Multiply-adds of one pass of one input through a dense network."""
    return sum(a * b for a, b in itertools.pairwise(sizes))


def fit_path() -> Path:
    """Several epochs of the ensemble on a full window of data."""
    keys = jax.random.split(jax.random.key(0), 3)
    obs = jax.random.normal(keys[0], (ROWS, OBS))
    action = jax.random.normal(keys[1], (ROWS, ACTION))
    no = jnp.zeros(ROWS, bool)
    data = Transitions(obs, action, obs[:, 0], jnp.sin(obs), no, no, jnp.asarray(ROWS))
    state = init_model(keys[2], OBS, ACTION, tuple(range(OBS)), MODEL)
    inputs = OBS + ACTION
    products = layer_products((inputs, *MODEL.hidden, OBS))
    # Forward, gradient of the weights, gradient of the activations; the inputs need none.
    per_sample = 6 * products - 2 * inputs * MODEL.hidden[0]
    return Path(
        f"fit: {EPOCHS} epochs of {ROWS:,} rows, {MEMBERS} x 2 x 512, batch {MODEL.batch_size}",
        EPOCHS * ROWS * MEMBERS * per_sample,
        lambda: fit_model(keys[0], state, data, MODEL, EPOCHS),
    )


def imagine_path() -> Path:
    """Roll the policy through the ensemble."""
    keys = jax.random.split(jax.random.key(1), 4)
    ensemble = init_model(keys[0], OBS, ACTION, tuple(range(OBS)), MODEL).ensemble
    policy = init_policy(keys[1], OBS, ACTION, POLICY)
    starts = jax.random.normal(keys[2], (MEMBERS, ROLLOUTS, OBS))

    @jax.jit
    def run(key: jax.Array) -> object:
        world = LearnedWorld(ensemble, KNOWN)
        return imagine(key, lambda key, obs: sample(key, policy, obs), world, starts, HORIZON)

    products = layer_products((OBS + ACTION, *MODEL.hidden, OBS))
    products += layer_products((OBS, *POLICY.hidden, ACTION))
    return Path(
        f"imagine: {MEMBERS} x {ROLLOUTS} rollouts of {HORIZON} steps",
        MEMBERS * ROLLOUTS * HORIZON * 2 * products,
        lambda: run(keys[3]),
    )


def natural_gradient_path() -> Path:
    """One natural gradient step with the Fisher matrix of every sample."""
    keys = jax.random.split(jax.random.key(2), 4)
    num = MEMBERS * ROLLOUTS * HORIZON
    policy = init_policy(keys[0], OBS, ACTION, POLICY)
    obs = jax.random.normal(keys[1], (num, OBS))
    action = jax.random.normal(keys[2], (num, ACTION))
    advantage = jax.random.normal(keys[3], (num,))
    samples = Samples(obs, action, log_probs(policy, obs, action), advantage, jnp.ones(num))

    @jax.jit
    def run(policy: GaussianPolicy) -> object:
        return natural_gradient_step(policy, (), lambda p: objective(p, samples, 0.0), obs, POLICY)

    products = layer_products((OBS, *POLICY.hidden, ACTION))
    # The gradient takes 6, a Fisher-vector product 4 forwards and 4 back; one more is the residual.
    per_sample = (6 + 8 * (POLICY.cg_iterations + 1)) * products
    return Path(
        f"natural gradient: {num:,} samples, {POLICY.cg_iterations} conjugate gradient iterations",
        num * per_sample,
        lambda: run(policy),
    )


def actor_critic_path() -> Path:
    """Updates of svg at the sizes of the presets, the actor moving."""
    keys = jax.random.split(jax.random.key(4), 3)
    changes = {
        "policy.hidden": (256, 256),
        "policy.learning_rate": 3e-4,
        "model.hidden": (256, 256),
    }
    settings = override(Settings(), changes)
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
    return Path(
        f"actor-critic: {UPDATES} updates of {options.batch_size} starts, {steps} steps ahead",
        UPDATES * options.batch_size * per_start,
        lambda: run(state),
    )


def matrix_product(size: int) -> Path:
    """A square matrix product, the yardstick."""
    a = jax.random.normal(jax.random.key(3), (size, size))
    product = jax.jit(jnp.matmul)
    return Path(f"matrix product {size}", 2.0 * size**3, lambda: product(a, a))


def seconds(path: Path) -> float:
    """Time one call, in seconds."""
    begin = time.perf_counter()
    jax.block_until_ready(path.run())
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print the table."""
    yardsticks = [matrix_product(size) for size in (512, 1024, 2048)]
    paths = [fit_path(), imagine_path(), natural_gradient_path(), actor_critic_path()]
    for path in (*yardsticks, *paths):
        seconds(path)  # compiles
    times = {path.name: [] for path in (*yardsticks, *paths)}
    for _ in range(REPEATS):
        for path in paths:
            for yardstick in yardsticks:
                times[yardstick.name].extend(seconds(yardstick) for _ in range(3))
            times[path.name].append(seconds(path))
    peak = max(y.num_flops / min(times[y.name]) for y in yardsticks)
    table = Table(title=f"Hot paths on {jax.devices()[0].device_kind}")
    for heading in ("path", "s", "GFLOP/s", "share of matrix-product rate"):
        table.add_column(heading, justify="left" if heading == "path" else "right")
    for path in paths:
        best = min(times[path.name])
        rate = path.num_flops / best
        table.add_row(path.name, f"{best:.2f}", f"{rate / 1e9:.0f}", f"{rate / peak:.0%}")
    table.add_row("best matrix product", "", f"{peak / 1e9:.0f}", "100%")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
