"""The records that flow through the house, and the legend of their axes.

=====  ====================================================================
axis   meaning
=====  ====================================================================
E      ensemble members
B      rollouts of one member
T      time: actions taken one after another
N      samples without an order (transitions of the data, states of a batch)
=====  ====================================================================

Arrays are ordered E, B, T, feature. The last axis is named after the feature it holds: ``obs``
(observation components) or ``act`` (action components, in the policy's units: [-1, 1] spans the
action space). An action is kept as the policy drew it, for its density is that of the draw; the
world and the model see it clipped to [-1, 1] (`clip_action`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

Metrics = dict[str, float]
"""What is observed of a round, by name; NaN where it is not known."""

MAX_SIZE: Final = 1e10
"""Numbers from this size on are not believed: MuJoCo's own bound (mjMAXVAL), which rewards and
actions obey here too."""


def clip_action(action: Float[jax.Array, "*N act"]) -> Float[jax.Array, "*N act"]:
    """Returns what the world and the model see of an action in policy units."""
    return jnp.clip(action, -1.0, 1.0)


class Transitions(NamedTuple):
    """Real transitions, padded to a fixed length N; only the first ``num_valid`` rows are data."""

    obs: Float[jax.Array, "N obs"]
    action: Float[jax.Array, "N act"]
    reward: Float[jax.Array, " N"]
    next_obs: Float[jax.Array, "N obs"]
    terminated: Bool[jax.Array, " N"]
    first: Bool[jax.Array, " N"]
    """Which rows begin an episode."""
    num_valid: Int[jax.Array, ""]

    @property
    def valid(self) -> Bool[jax.Array, " N"]:
        """Which rows are data."""
        return jnp.arange(self.obs.shape[0]) < self.num_valid


class Prediction(NamedTuple):
    """What a simulator of E worlds predicts for an action in each of B places."""

    next_obs: Float[jax.Array, "E B obs"]
    reward: Float[jax.Array, "E B"]
    terminated: Bool[jax.Array, "E B"]
    """The world ends at next_obs."""
    truncated: Bool[jax.Array, "E B"]
    """The simulator does not trust itself beyond next_obs; the world would go on."""
    bonus: Float[jax.Array, "E B"] | None = None
    """What the policy player grants itself beside the reward; None: nothing."""
    end_probability: Float[jax.Array, "E B"] | None = None
    """With which ``terminated`` was drawn; None: it is known."""
    clipped: Float[jax.Array, "E B"] | None = None
    """Share of the predicted components that were cut to the range of the data; None: unknown."""

    @property
    def pay(self) -> Float[jax.Array, "E B"]:
        """What the policy player maximises: the reward and its own bonus."""
        return self.reward if self.bonus is None else self.reward + self.bonus


class Rollouts(NamedTuple):
    """Imagined trajectories; steps after the end of one are padding, not ``valid``."""

    obs: Float[jax.Array, "E B T obs"]
    action: Float[jax.Array, "E B T act"]
    reward: Float[jax.Array, "E B T"]
    next_obs: Float[jax.Array, "E B T obs"]
    terminated: Bool[jax.Array, "E B T"]
    truncated: Bool[jax.Array, "E B T"]
    valid: Bool[jax.Array, "E B T"]
    bonus: Float[jax.Array, "E B T"] | None = None

    @property
    def pay(self) -> Float[jax.Array, "E B T"]:
        """What the policy player maximises, nothing for padding."""
        pay = self.reward if self.bonus is None else self.reward + self.bonus
        return jnp.where(self.valid, pay, 0.0)


@dataclasses.dataclass(frozen=True)
class Episode:
    """One real episode, or its beginning where the step budget cut it short.

    ``terminated``: the world ended it (a fall), so nothing follows its last state.
    ``truncated``: the horizon or the environment's own time limit ended it.
    Neither: the budget cut it.
    ``action``: in policy units, as drawn; the world got it clipped to [-1, 1].
    ``num_known``: its first actions that an earlier collection brought already.
    """

    obs: Float[np.ndarray, "T obs"]
    action: Float[np.ndarray, "T act"]
    reward: Float[np.ndarray, " T"]
    next_obs: Float[np.ndarray, "T obs"]
    terminated: bool
    truncated: bool
    num_env_steps: int
    """Of what is new."""
    seen: tuple[Any, ...] = ()
    """What the controller observed of each of its new decisions."""
    num_known: int = 0

    @property
    def return_(self) -> float:
        """Undiscounted sum of the environment's own rewards."""
        return float(self.reward.sum())

    @property
    def complete(self) -> bool:
        """Whether the episode ran to its end."""
        return self.terminated or self.truncated


class Decision(NamedTuple):
    """What a controller answers to one observation."""

    action: Float[np.ndarray, "*batch act"]
    """In policy units: [-1, 1] spans the action space, what lies outside is clipped."""
    memory: Float[np.ndarray, "..."] | None
    """What it wants to be given back with the next observation of the episode."""
    seen: Any = None
    """What was observed of the decision, never fed back."""


ControllerFn = Callable[
    [Float[np.ndarray, "*batch obs"], Float[np.ndarray, "..."] | None, np.random.Generator, bool],
    Decision,
]
"""Of observations, the memory beside each, a source of noise, and whether to leave out the noise
that explores."""


class Controller(NamedTuple):
    """How a policy player acts, in the real world as for a caller: a function and its memory."""

    act: ControllerFn
    memory: Float[np.ndarray, "..."] | None = None
    """What an episode begins with, such as an empty plan; None: nothing is remembered."""

    def recall(
        self, state: Any, episode_start: np.ndarray | None, batch: tuple[int, ...]
    ) -> Float[np.ndarray, "..."] | None:
        """Returns the memory for each of a batch: ``state``, empty where an episode begins.

        Args:
            state: memories as they were returned; None: all are empty.
            episode_start: where an episode begins, one or for each of the batch; None: nowhere.
            batch: shape of the batch; ``()`` for one observation.

        Raises:
            ValueError: ``state`` or ``episode_start`` is of another shape.
        """
        empty = self.memory
        if empty is None:
            return None
        shape = (*batch, *empty.shape)
        if state is None:
            return np.broadcast_to(empty, shape)
        memory = np.asarray(state, empty.dtype)
        if memory.shape != shape:
            raise ValueError(
                f"state has shape {memory.shape}, expected {shape}: what predict returned"
            )
        if episode_start is None:
            return memory
        begins = np.asarray(episode_start, bool)
        if begins.size not in (1, *batch):
            raise ValueError(f"episode_start has shape {begins.shape}, expected {batch or (1,)}")
        begins = np.broadcast_to(begins.reshape(-1), batch) if batch else begins.reshape(())
        return np.where(begins.reshape(*batch, *(1 for _ in empty.shape)), empty, memory)
