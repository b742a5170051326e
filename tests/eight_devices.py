"""What is spread over eight devices against what one computes; prints it as JSON.

In a process of its own, for the number of devices is settled when JAX starts.
"""

import json
import os
import re
import threading
from collections.abc import Callable

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from duopoly.lockstep import Band, kernel, meet
from duopoly.model.dynamics import KnownFunctions, LearnedWorld
from duopoly.model.fit import ModelState, fit_model, init_model
from duopoly.model.imagine import Shuffled, imagine
from duopoly.policy import gaussian
from duopoly.policy.actor_critic import svg
from duopoly.policy.actor_critic.actor import act_by
from duopoly.policy.actor_critic.learner import Experience, init_state
from duopoly.policy.actor_critic.pool import fill
from duopoly.policy.gaussian import GaussianPolicy, init_policy
from duopoly.policy.player import Spaces
from duopoly.settings import ModelSettings, PolicySettings, Settings, override
from duopoly.spread import over
from duopoly.types import Transitions

OBS, ACTION, ROWS, MEMBERS = 3, 2, 64, 8
KNOWN = KnownFunctions(
    reward_fn=lambda obs, action, next_obs: next_obs[-1] - jnp.sum(action**2) + obs[0],
    terminated_fn=lambda obs, action, next_obs: next_obs[0] + obs[0] + action[0] > 1e9,
    compute_fn=None,
    to_env_units=lambda action: jnp.clip(action, -1.0, 1.0),
)
MODEL = ModelSettings(num_members=MEMBERS, hidden=(16,), batch_size=16)
COLLECTIVE = re.compile(
    r" (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)


def data() -> Transitions:
    keys = jax.random.split(jax.random.key(0), 2)
    obs = jax.random.normal(keys[0], (ROWS, OBS))
    action = jax.random.normal(keys[1], (ROWS, ACTION))
    no = jnp.zeros(ROWS, bool)
    return Transitions(obs, action, obs[:, 0], jnp.sin(obs), no, no, jnp.asarray(ROWS))


def fit(key: jax.Array) -> ModelState:
    state = init_model(jax.random.key(1), OBS, ACTION, tuple(range(OBS)), MODEL)
    return fit_model(key, state, data(), MODEL, 3)[0]


def imagined_gradient(network: object, model: ModelState) -> object:
    """The gradient of a mean imagined return by the policy's parameters."""
    policy = init_policy(jax.random.key(2), OBS, ACTION, PolicySettings(hidden=(16,)))
    world = LearnedWorld(model.ensemble, KNOWN)
    starts = jax.random.normal(jax.random.key(3), (MEMBERS, 16, OBS))

    def mean_return(network: object) -> jax.Array:
        moving = GaussianPolicy(network, policy.log_std, policy.inputs)
        rollouts = imagine(jax.random.key(4), gaussian.act_by(moving), world, starts, 10)
        return jnp.mean(jnp.sum(rollouts.reward, axis=2))

    return jax.grad(mean_return)(network)


def actor_gradient(model: ModelState) -> object:
    """The gradient of an actor through the model, as an update has it."""
    changes = {
        "policy.improver": "svg",
        "policy.hidden": (16,),
        "policy.actor_critic.hidden": (16,),
        "policy.actor_critic.horizon": 3,
        "policy.actor_critic.pool_horizon": 3,
        "policy.actor_critic.batch_size": 64,
    }
    settings = override(Settings(), changes)
    state = init_state(jax.random.key(5), Spaces(OBS, ACTION, ()), settings)
    world = Shuffled(LearnedWorld(model.ensemble, KNOWN))
    options = settings.policy.actor_critic
    pool = fill(jax.random.key(6), act_by(state.actor), world, data(), options)
    experience = Experience(world, pool, data(), None)
    lesson = svg.teach(jax.random.key(7), state, experience, jnp.asarray(True), settings)
    return lesson.gradient


def compared(function: Callable[..., object], *args: object) -> dict[str, object]:
    """How a compiled function over eight devices differs from one over one, and its collectives."""
    found = []
    for num_devices in (1, 8):
        with over(num_devices):
            compiled = jax.jit(lambda *args: function(*args)).lower(*args).compile()
            found.append(compiled(*args))
    one, eight = (np.asarray(ravel_pytree(jax.device_get(x))[0], np.float64) for x in found)
    text = compiled.as_text()
    names = COLLECTIVE.findall(text)
    return {
        "difference": float(np.linalg.norm(one - eight) / np.linalg.norm(one)),
        "collectives": {name: names.count(name) for name in sorted(set(names))},
    }


def games() -> dict[str, object]:
    """Ten games side by side on eight devices, each against itself alone."""

    @kernel()
    def step(x: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.tanh(x @ jax.random.normal(key, (4, 4)))

    def play(number: int) -> np.ndarray:
        x = jnp.full((2, 4), 0.1 * number)
        for i in range(3):
            x = step(x, jax.random.key(i))
        meet()
        return np.asarray(x)

    with over(1):
        alone = [play(number) for number in range(10)]
    band, together = Band(10), {}

    def run(number: int) -> None:
        with band.seat(number):
            together[number] = play(number)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    band.conduct()
    for thread in threads:
        thread.join()
    return {"difference": max(float(np.abs(alone[i] - together[i]).max()) for i in range(10))}


def main() -> None:
    model = jax.device_get(fit(jax.random.key(8)))
    network = init_policy(jax.random.key(2), OBS, ACTION, PolicySettings(hidden=(16,))).network
    found = {
        "devices": jax.device_count(),
        "fit": compared(lambda key: fit(key).ensemble.members, jax.random.key(8)),
        "imagined": compared(imagined_gradient, network, model),
        "actor": compared(actor_gradient, model),
        "games": games(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
