"""What a game carries from round to round, and the keys of all that is random in it."""

import dataclasses
import enum
from typing import Final

import equinox as eqx
import jax
from jaxtyping import Array, Key

from duopoly.game.known import learned_outputs
from duopoly.game.referee import Referee
from duopoly.memory import check_needs, players_need
from duopoly.model.fit import ModelState, init_model
from duopoly.policy.catalogue import PLAYERS
from duopoly.policy.player import PolicyPlayer, Spaces, State
from duopoly.schedule import Leader
from duopoly.settings import Settings
from duopoly.world.buffer import Buffer
from duopoly.world.log_record import LogRecord
from duopoly.world.logged import Log
from duopoly.world.task import Task


class GameError(RuntimeError):
    """A player broke down, or cannot begin; the message says which, how, and what to try."""


SWITCHES: Final = {
    "jax_enable_x64": (False, "numbers have single precision here, and are saved so"),
    "jax_numpy_dtype_promotion": ("standard", "types are promoted here as NumPy does"),
    "jax_debug_nans": (False, "NaN marks here what is not known"),
    "jax_debug_infs": (False, "infinity marks here a bound that is not known"),
}
"""JAX's settings under which nothing here would run to its end, or be loaded again; the value that
each must have, and why."""


class Purpose(enum.IntEnum):
    """What a random key is for; no key serves two purposes."""

    START = 0
    ROUND = 1
    LEADER = 2
    OBJECTIVE = 3
    REFEREE = 4
    NEW_MODEL = 5


def key_of(seed: int, purpose: Purpose) -> Key[Array, ""]:
    """Returns the key from which all randomness of one purpose comes."""
    return jax.random.fold_in(jax.random.key(seed), purpose)


class Players(eqx.Module):
    """The two players, as arrays."""

    policy: State
    """Of whichever policy player plays."""
    model: ModelState


@dataclasses.dataclass(frozen=True)
class GameState:
    """All that a game carries from round to round."""

    round: int
    """Rounds played."""
    env_steps: int
    """Steps the real environment made, those of dropped episodes included."""
    players: Players
    buffer: Buffer
    log: LogRecord | None = None
    """Of the transitions that the buffer began with, from elsewhere; None: it began empty."""
    referee: Referee | None = None
    """What tells drift, where the schedule has a referee and it has judged a round."""


@dataclasses.dataclass(frozen=True)
class Game:
    """What is played, and stays as it is from round to round."""

    task: Task
    settings: Settings
    seed: int
    leader: Leader = Leader.NOBODY

    @property
    def player(self) -> PolicyPlayer:
        """The policy player: how it improves and acts."""
        return PLAYERS[self.settings.policy.improver].load()


def start(task: Task, settings: Settings, seed: int, log: Log | None = None) -> GameState:
    """Returns the state of the game before its first round.

    Where a ``log`` is given, its transitions are the data's first content.

    Raises:
        TaskError: the task's spaces cannot be played, or its actions not be held for as long as
            the settings say.
        SettingsError: the players do not fit into memory.
        GameError: JAX is set up in a way that this cannot be played in.
    """
    _check_switches()
    task = task.held(settings.collection.action_repeat)
    spec = task.spec
    check_needs(players_need(settings, spec.obs_dim, spec.action_dim))
    key_policy, key_model = jax.random.split(key_of(seed, Purpose.START))
    spaces = Spaces(spec.obs_dim, spec.action_dim, task.angles)
    player = PLAYERS[settings.policy.improver].load()
    policy = player.init(key_policy, spaces, settings)
    model = new_model(key_model, task, settings)
    buffer = Buffer.empty(spec.obs_dim, spec.action_dim, settings.model.capacity)
    if log is None:
        return GameState(0, 0, Players(policy, model), buffer)
    buffer = buffer.begun_with(log)
    policy = player.adapt(policy, buffer.latest(settings.model.window), True)
    return GameState(0, 0, Players(policy, model), buffer, log.record)


def new_model(key: Key[Array, ""], task: Task, settings: Settings) -> ModelState:
    """Returns the model player before it has seen any data."""
    return init_model(
        key,
        task.spec.obs_dim,
        task.spec.action_dim,
        task.learned,
        settings.model,
        learned_outputs(task, settings.model),
        task.angles,
    )


def is_offline(settings: Settings, state: GameState) -> bool:
    """Tells whether the next round is played on logged data alone."""
    return state.log is not None and state.round < settings.collection.offline_rounds


def goes_on(task: Task, settings: Settings, state: GameState, num_env_steps: int) -> bool:
    """Tells whether a game of so many environment steps has another round."""
    return is_offline(settings, state) or num_env_steps - state.env_steps >= task.action_repeat


def _check_switches() -> None:
    for name, (wanted, reason) in SWITCHES.items():
        if (found := getattr(jax.config, name)) != wanted:
            raise GameError(
                f"{name} is {found}, must be {wanted}: {reason}; unset {name.upper()}, or call "
                f"jax.config.update({name!r}, {wanted!r})"
            )


def with_policy(state: GameState, policy: State) -> GameState:
    """Returns the state with its policy player renewed."""
    return dataclasses.replace(state, players=Players(policy, state.players.model))
