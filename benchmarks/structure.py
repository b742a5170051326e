"""What a task's known structure is worth to its model: 20-step open-loop error with and without.

    python benchmarks/structure.py DClawTurn --seeds 5

Of every seed, four fifths of the episodes are fitted, twice, by the same ensemble from the same
key: once as the task has it, components constant or computed left to the task and free angles seen
as sine and cosine, and once with every component predicted and seen as it is. On the episodes left
over, both replay 20 real actions open loop. The error is the root mean square over the components
that both must learn, over those that the task knows, and over all, in standard deviations of the
data.
"""

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from rich.console import Console
from rich.table import Table

from duopoly.equilibrium.open_loop import open_loop_error
from duopoly.game.known import known_functions
from duopoly.model.dynamics import LearnedWorld
from duopoly.model.fit import fit_model, init_model
from duopoly.networks import moments
from duopoly.presets import preset
from duopoly.types import Controller, Decision, Episode, Transitions
from duopoly.world.buffer import Buffer
from duopoly.world.interaction import collect
from duopoly.world.task import Task
from duopoly.world.tasks import get_task

NUM_ENV_STEPS = 5_000
SEGMENTS, HORIZON = 200, 20


def drift(num_actions: int) -> Controller:
    """Returns random actions that drift: autoregressive within an episode, standard deviation 0.7.

    Its memory is the last action, not a number before the first.
    """

    def act(
        _obs: np.ndarray, memory: np.ndarray | None, rng: np.random.Generator, _: bool
    ) -> Decision:
        assert memory is not None
        noise = 0.7 * rng.standard_normal(num_actions)
        action = noise if np.isnan(memory).any() else 0.8 * memory + 0.6 * noise
        return Decision(action, action)

    return Controller(act, np.full(num_actions, np.nan))


def as_data(task: Task, episodes: list[Episode]) -> Transitions:
    """Returns the episodes as the model player gets them."""
    buffer = Buffer.empty(task.spec.obs_dim, task.spec.action_dim, NUM_ENV_STEPS).add(episodes)
    return buffer.latest(len(buffer))


def errors(
    task: Task, fitted: Transitions, left: Transitions, scales: list[Array], seed: int
) -> list[float]:
    """Returns the model's 20-step error on the data left over, in each of the scales."""
    settings = preset(task.name, "pal").settings.model
    key_init, key_fit, key_replay = jax.random.split(jax.random.key(seed), 3)
    spec = task.spec
    model = init_model(
        key_init, spec.obs_dim, spec.action_dim, task.learned, settings, angles=task.angles
    )
    model, _ = fit_model(key_fit, model, fitted, settings, settings.epochs.convergence)
    world = LearnedWorld(model.ensemble, known_functions(task))
    return [
        float(open_loop_error(key_replay, world, left, scale, (SEGMENTS, HORIZON))[-1])
        for scale in scales
    ]


def compare(task: Task, seed: int) -> tuple[list[float], list[float]]:
    """Returns the errors with the task's structure and without it, on the same data."""
    env = task.make(None)
    num_env_steps = NUM_ENV_STEPS * task.action_repeat
    episodes = collect(env, task, drift(task.spec.action_dim), num_env_steps, seed, 0).episodes
    env.close()
    num_fitted = len(episodes) * 4 // 5
    if max(len(episode.action) for episode in episodes[num_fitted:]) < HORIZON:
        raise SystemExit(f"{task.name}: no episode left over lasts {HORIZON} random actions")
    fitted, left = as_data(task, episodes[:num_fitted]), as_data(task, episodes[num_fitted:])
    unit = moments(fitted.obs, fitted.valid)[1]
    is_learned = jnp.zeros(task.spec.obs_dim, bool).at[jnp.asarray(task.learned)].set(True)
    scales = [jnp.where(is_learned, unit, 0.0), jnp.where(is_learned, 0.0, unit), unit]
    plain = dataclasses.replace(task, constant=(), computed=(), compute_fn=None, angles=())
    with_it, without = (errors(t, fitted, left, scales, seed) for t in (task, plain))
    return with_it, without


def main() -> None:
    """Prints a row per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    for name in asked.task:
        table = Table("seed", title=name)
        for kind in ("learned", "known", "all"):
            table.add_column(f"{kind}: with")
            table.add_column("without")
        for seed in range(asked.seeds):
            pairs = zip(*compare(get_task(name), seed), strict=True)
            table.add_row(str(seed), *(f"{number:.3f}" for pair in pairs for number in pair))
        Console().print(table)


if __name__ == "__main__":
    main()
