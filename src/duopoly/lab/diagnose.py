"""How far a run's model can be believed: its predictions against what its policy really meets."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from rich.markup import escape
from rich.table import Table

from duopoly.agent import Agent, load_agent
from duopoly.equilibrium.open_loop import replay
from duopoly.game.state import Game
from duopoly.game.views import learned_world
from duopoly.model.dynamics import LearnedWorld
from duopoly.model.ensemble import disagreement, predict
from duopoly.model.imagine import imagine
from duopoly.runs import atomic
from duopoly.runs.errors import UsageError
from duopoly.types import Episode, Rollouts
from duopoly.world.interaction import evaluate as evaluate_episodes
from duopoly.world.task import Task

MAX_HORIZON: Final = 100
"""Longest open-loop prediction that is drawn, in actions."""

NUM_SEGMENTS: Final = 300
NUM_PAIRS: Final = 2_000


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What was seen; components are those that the model learns, T counts actions."""

    task: str
    algorithm: str
    env_steps: int
    learned: tuple[int, ...]
    names: tuple[str, ...]
    """What people call the components of the observation."""
    scale: Float[np.ndarray, " learned"]
    """Standard deviation of each component in the data, the unit of errors."""
    model_error: Float[np.ndarray, "segments T"]
    """Root mean square error over members and components after T actions, open loop."""
    still_error: Float[np.ndarray, "segments T"]
    """The same error of predicting that nothing changes."""
    change: Float[np.ndarray, "pairs learned"]
    """Real changes in one action, in units of their standard deviation in the data."""
    predicted_change: Float[np.ndarray, "pairs learned"]
    """The mean member's prediction of them."""
    episode: Episode
    """One real episode without the policy's noise."""
    fan: Rollouts | None
    """The same policy from the same state in every member's world; None for a planner."""
    real_disagreement: Float[np.ndarray, "segments T"]
    """By how much the members differ on the next change, along real episodes; in units of the
    changes' standard deviation in the data."""
    imagined_disagreement: Float[np.ndarray, "segments T"] | None
    """The same along the members' rollouts from the same states, NaN after their end; None for a
    planner."""
    values: "ValueCheck | None"
    """None: the policy player learns no values."""

    @property
    def explained(self) -> Float[np.ndarray, " learned"]:
        """Share of each component's one-step change that the model explains (R²)."""
        residual = np.mean((self.change - self.predicted_change) ** 2, axis=0)
        return 1.0 - residual / np.maximum(np.var(self.change, axis=0), 1e-12)


class ValueCheck(NamedTuple):
    """What the policy player expected at each step of real episodes, and what it then got."""

    moment: Int[np.ndarray, " steps"]
    """Actions since the episode began."""
    expected: Float[np.ndarray, " steps"]
    earned: Float[np.ndarray, " steps"]
    """Discounted rewards, with what counts for the player beside them. Where an episode did not
    end by itself, what was expected of its last step stands for the rest."""

    @property
    def bias(self) -> float:
        """Mean of what was expected less what was earned."""
        return float(np.mean(self.expected - self.earned))


def diagnose(path: Path, num_episodes: int, seed: int, task: Task | None = None) -> Diagnosis:
    """Plays real episodes with a run's newest players, and lets the model predict them.

    A ``task`` of one's own must be given.

    Raises:
        UsageError: there is no fitted model.
        SimulatorError: the environment failed.
    """
    agent = load_agent(path, task)
    if int(agent.state.players.model.num_fits) == 0:
        raise UsageError(f"{path} has no fitted model yet")
    sampled, mean = _episodes(agent, num_episodes, seed)
    world = learned_world(Game(agent.task, agent.settings, agent.seed), agent.state.players)
    ensemble = world.ensemble
    learned = np.asarray(ensemble.learned)
    scale = np.asarray(ensemble.inputs.std)[learned]
    rng = np.random.default_rng(seed)
    pieces = _pieces(sampled, rng)
    model_error, still_error = _open_loop(world, pieces, scale)
    real, imagined = _disagreement(agent, world, pieces)
    change, predicted = _one_step(world, sampled, rng)
    return Diagnosis(
        task=agent.task.name,
        algorithm=agent.schedule.name,
        env_steps=agent.state.env_steps,
        learned=ensemble.learned,
        names=tuple(map(agent.task.spec.obs_name, range(agent.task.spec.obs_dim))),
        scale=scale,
        model_error=model_error,
        still_error=still_error,
        change=change,
        predicted_change=predicted,
        episode=mean,
        fan=_fan(agent, world, mean),
        real_disagreement=real,
        imagined_disagreement=imagined,
        values=_check_values(agent, sampled),
    )


def summary(diagnosis: Diagnosis) -> dict[str, Any]:
    """Returns the numbers behind the pictures, as JSON values."""
    fan, values, imagined = diagnosis.fan, diagnosis.values, diagnosis.imagined_disagreement
    horizons = [k for k in (1, 5, 10, 20, 50, 100) if k <= diagnosis.model_error.shape[1]]

    def at(seen: np.ndarray) -> dict[str, float]:
        known = [(k, seen[np.isfinite(seen[:, k - 1]), k - 1]) for k in horizons]
        return {str(k): float(np.median(column)) for k, column in known if len(column)}

    return {
        "task": diagnosis.task,
        "algorithm": diagnosis.algorithm,
        "env_steps": diagnosis.env_steps,
        "open_loop_error": at(diagnosis.model_error),
        "standing_still_error": at(diagnosis.still_error),
        "explained_variance": {
            diagnosis.names[i]: float(r)
            for i, r in zip(diagnosis.learned, diagnosis.explained, strict=True)
        },
        "real_return": diagnosis.episode.return_,
        "imagined_return": None if fan is None else [float(r) for r in imagined_returns(fan)],
        "real_disagreement": at(diagnosis.real_disagreement),
        "imagined_disagreement": None if imagined is None else at(imagined),
        "values": None
        if values is None
        else {
            "expected": float(values.expected.mean()),
            "earned": float(values.earned.mean()),
            "bias": values.bias,
        },
    }


def imagined_returns(fan: Rollouts) -> Float[np.ndarray, " E"]:
    """Returns the undiscounted return of every member's rollout."""
    reward = np.where(np.asarray(fan.valid), np.asarray(fan.reward), 0.0)
    return reward.sum(axis=(1, 2))


def as_table(diagnosis: Diagnosis) -> Table:
    """The numbers for people."""
    numbers = summary(diagnosis)
    title = f"{diagnosis.task}, {diagnosis.algorithm}, {diagnosis.env_steps:,} environment steps"
    table = Table("actions ahead", "error of the model", "of standing still", title=escape(title))
    for column in table.columns:
        column.justify = "right"
    for horizon, error in numbers["open_loop_error"].items():
        still = numbers["standing_still_error"][horizon]
        table.add_row(horizon, f"{error:.3f}", f"{still:.3f}")
    table.caption = "median over segments, in standard deviations of the observation"
    return table


def keep(diagnosis: Diagnosis, out: Path) -> None:
    """Writes the numbers as JSON.

    Raises:
        DamageError: they cannot be written.
    """
    atomic.write_file(out, atomic.dump_json(summary(diagnosis)))


def _episodes(agent: Agent, num_episodes: int, seed: int) -> tuple[list[Episode], Episode]:
    """Episodes of the policy with the noise that explores, and one without."""
    env = agent.task_now.build()
    play = functools.partial(evaluate_episodes, env, agent.task)
    try:
        sampled = play(agent.controller, num_episodes, seed, stream="diagnose", deterministic=False)
        mean = play(agent.controller, 1, seed, stream="diagnose_mean")
    finally:
        env.close()
    return sampled.episodes, mean.episodes[0]


class _Pieces(NamedTuple):
    """Pieces of real episodes, all of the same length."""

    obs: Float[np.ndarray, "segments T obs"]
    action: Float[np.ndarray, "segments T act"]
    next_obs: Float[np.ndarray, "segments T obs"]


def _pieces(episodes: list[Episode], rng: np.random.Generator) -> _Pieces:
    """Pieces that begin at any moment."""
    lengths = np.array([len(episode.obs) for episode in episodes])
    # Half an episode at most, so that the pieces begin at many different moments.
    horizon = int(min(MAX_HORIZON, (lengths.max() + 1) // 2))
    long_enough = [episode for episode in episodes if len(episode.obs) >= horizon]
    found = []
    for _ in range(NUM_SEGMENTS):
        episode = long_enough[rng.integers(len(long_enough))]
        begin = rng.integers(len(episode.obs) - horizon + 1)
        piece = slice(begin, begin + horizon)
        found.append([getattr(episode, name)[piece] for name in _TRANSITION])
    return _Pieces(*(np.stack(whole) for whole in zip(*found, strict=True)))


def _open_loop(
    world: LearnedWorld, pieces: _Pieces, scale: np.ndarray
) -> tuple[Float[np.ndarray, "segments T"], Float[np.ndarray, "segments T"]]:
    """Errors of the model and of standing still."""
    start, target = pieces.obs[:, 0], pieces.next_obs
    actions = jnp.asarray(pieces.action)
    predicted = eqx.filter_jit(replay)(jax.random.key(0), world, jnp.asarray(start), actions)
    learned, unit = np.asarray(world.ensemble.learned), np.where(scale > 0.0, scale, 1.0)

    def error(guess: np.ndarray) -> np.ndarray:
        return ((guess - target)[..., learned] / unit) ** 2

    of_model = np.sqrt(error(np.asarray(predicted)).mean(axis=(0, 3)))
    of_standing = np.sqrt(error(start[:, None]).mean(axis=2))
    return of_model, of_standing


def _one_step(
    world: LearnedWorld, episodes: list[Episode], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "pairs learned"], Float[np.ndarray, "pairs learned"]]:
    """Real changes in one action and the mean member's prediction, normalised by the data."""
    ensemble = world.ensemble
    whole = [np.concatenate([getattr(e, name) for e in episodes]) for name in _TRANSITION]
    rows = rng.permutation(len(whole[0]))[:NUM_PAIRS]
    obs, action, next_obs = (x[rows] for x in whole)

    def for_all(x: np.ndarray) -> Array:
        return jnp.broadcast_to(jnp.asarray(x), (ensemble.num_members, *x.shape))

    predicted = np.asarray(predict(ensemble, for_all(obs), for_all(action))).mean(axis=0)
    learned, unit = np.asarray(ensemble.learned), np.asarray(ensemble.targets.std)
    return (next_obs - obs)[:, learned] / unit, (predicted - obs)[:, learned] / unit


_TRANSITION = ("obs", "action", "next_obs")


def _disagreement(
    agent: Agent, world: LearnedWorld, pieces: _Pieces
) -> tuple[Float[np.ndarray, "segments T"], Float[np.ndarray, "segments T"] | None]:
    """By how much the members differ along the pieces, and along rollouts from their starts."""
    members, (num, horizon) = world.num_members, pieces.obs.shape[:2]
    measure = eqx.filter_jit(disagreement)
    along = [jnp.asarray(x.reshape(1, num * horizon, -1)) for x in (pieces.obs, pieces.action)]
    real = np.asarray(measure(world.ensemble, *along)).reshape(num, horizon)
    if agent.player.act_fn is None:
        return real, None
    act = agent.player.act_fn(agent.state.players.policy, False)
    share = -(-num // members)
    first = np.resize(pieces.obs[:, 0], (members, share, pieces.obs.shape[-1]))
    rollouts = eqx.filter_jit(imagine)(jax.random.key(1), act, world, jnp.asarray(first), horizon)
    shape = members, share * horizon, -1
    along = [x.reshape(shape) for x in (rollouts.obs, rollouts.action)]
    spread = np.asarray(measure(world.ensemble, *along)).reshape(rollouts.valid.shape)
    imagined = np.where(np.asarray(rollouts.valid), spread, np.nan)
    return real, imagined.reshape(members * share, horizon)


def _check_values(agent: Agent, episodes: list[Episode]) -> ValueCheck | None:
    """What the policy player expected of each step of the episodes, and what it got."""
    if agent.player.value_fn is None:
        return None
    obs = np.concatenate([episode.obs for episode in episodes])
    action = np.concatenate([episode.action for episode in episodes])
    seen = eqx.filter_jit(agent.player.value_fn)(
        jax.random.key(2), agent.state.players.policy, jnp.asarray(obs), jnp.asarray(action)
    )
    expected, bonus = map(np.asarray, seen)
    return check_values(episodes, expected, bonus, agent.settings.policy.discount)


def check_values(
    episodes: Sequence[Episode],
    expected: Float[np.ndarray, " steps"],
    bonus: Float[np.ndarray, " steps"],
    discount: float,
) -> ValueCheck:
    """Compares what was expected of each step of the episodes, one after another, with what came.

    ``bonus`` is what counts beside the rewards for being where the step began.
    """
    earned, begin = np.zeros(len(expected)), 0
    for episode in episodes:
        last = begin + len(episode.obs) - 1
        earned[last] = episode.reward[-1] if episode.terminated else expected[last]
        for step in range(last - 1, begin - 1, -1):
            rest = bonus[step + 1] + earned[step + 1]
            earned[step] = episode.reward[step - begin] + discount * rest
        begin = last + 1
    moment = np.concatenate([np.arange(len(episode.obs)) for episode in episodes])
    return ValueCheck(moment, expected, earned)


def _fan(agent: Agent, world: LearnedWorld, episode: Episode) -> Rollouts | None:
    """The policy's mean action in every member's world, from where the real episode began.

    None for a planner, which would have to plan in the model within the model.
    """
    if agent.player.act_fn is None:
        return None
    act = agent.player.act_fn(agent.state.players.policy, True)
    first = jnp.asarray(episode.obs[0])
    start = jnp.broadcast_to(first, (world.num_members, 1, first.shape[0]))
    horizon = agent.task.horizon
    rollouts = eqx.filter_jit(imagine)(jax.random.key(0), act, world, start, horizon)
    return jax.tree.map(np.asarray, rollouts)
