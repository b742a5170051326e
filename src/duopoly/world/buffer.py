"""The data of the game: real transitions, first in, first out."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from duopoly.types import MAX_SIZE, Episode, Transitions
from duopoly.world.logged import Log
from duopoly.world.store import Place, extended


class BufferFormatError(ValueError):
    """Arrays do not describe a buffer; the message says which and why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Buffer:
    """The newest ``capacity`` transitions, oldest first, terminal ones included.

    Adding returns a new buffer and leaves the old one as it was.
    """

    obs: Float[np.ndarray, "N obs"]
    action: Float[np.ndarray, "N act"]
    reward: Float[np.ndarray, " N"]
    next_obs: Float[np.ndarray, "N obs"]
    terminated: Bool[np.ndarray, " N"]
    first: Bool[np.ndarray, " N"]
    """Which transitions begin an episode."""
    sizes: Int[np.ndarray, " K"]
    """Transitions held of each collection, oldest first: what each `add` brought."""
    capacity: int
    place: Place | None = None
    """Where the rows lie, so that more can be appended there; None: by themselves."""

    @classmethod
    def empty(cls, obs_dim: int, action_dim: int, capacity: int) -> "Buffer":
        """A buffer without data."""
        obs = np.zeros((0, obs_dim), np.float32)
        action = np.zeros((0, action_dim), np.float32)
        reward, flags = np.zeros(0, np.float32), np.zeros(0, bool)
        sizes = np.zeros(0, np.int64)
        return cls(obs, action, reward, obs, flags, flags, sizes, capacity)

    def __len__(self) -> int:
        return len(self.obs)

    @property
    def num_fresh(self) -> int:
        """Length of the newest part, that of the latest `add` (D_k of the game's round k)."""
        return int(self.sizes[-1:].sum())

    def add(self, episodes: Sequence[Episode]) -> "Buffer":
        """The buffer after one collection."""
        steps = [np.arange(episode.num_known, len(episode.obs)) for episode in episodes]
        first = [step == 0 for step in steps]
        terminated = [
            (step == len(episode.obs) - 1) & episode.terminated
            for step, episode in zip(steps, episodes, strict=True)
        ]
        new = {
            name: [getattr(episode, name)[episode.num_known :] for episode in episodes]
            for name in ("obs", "action", "reward", "next_obs")
        }
        new |= {"terminated": terminated, "first": first}
        held = {name: getattr(self, name) for name in new}
        place, rows = extended(self.place, held, new, self.capacity)
        sizes = _newest_sizes(np.append(self.sizes, sum(map(len, steps))), self.capacity)
        return dataclasses.replace(self, **rows, sizes=sizes, place=place)

    def begun_with(self, log: Log) -> "Buffer":
        """The buffer with a log, no longer than its capacity, as its first collection."""
        rows = {field.name: getattr(log, field.name) for field in dataclasses.fields(log)}
        sizes = np.array([len(log.obs)], np.int64)
        return dataclasses.replace(self, **rows, sizes=sizes, place=None)

    @property
    def as_log(self) -> Log:
        """All that is held, oldest first."""
        return Log(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Log)})

    def latest(self, size: int, at_most: int | None = None) -> Transitions:
        """The newest transitions, padded with zeros to exactly ``size`` rows.

        No more than ``at_most`` of them, if that is given.
        """
        most = size if at_most is None else min(size, at_most)
        return self._newest(min(most, len(self)), size)

    def latest_rounds(self, num_rounds: int, size: int) -> Transitions:
        """Those of the latest collections only, the newest ``size`` of them, padded likewise."""
        return self._newest(min(size, int(self.sizes[-num_rounds:].sum())), size)

    @property
    def starts(self) -> Float[np.ndarray, "K obs"]:
        """First observations of all episodes whose first transition is stored.

        If all transitions lie within one long episode, its earliest observation among them.
        """
        return self.obs[self.first] if self.first.any() else self.obs[:1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything needed to rebuild the buffer exactly."""
        return {
            "obs": self.obs,
            "action": self.action,
            "reward": self.reward,
            "next_obs": self.next_obs,
            "terminated": self.terminated,
            "first": self.first,
            "sizes": self.sizes,
            "capacity": np.array(self.capacity, np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Buffer":
        """The buffer that `arrays` came from.

        Raises:
            BufferFormatError: an array is missing or unknown, has the wrong shape or type, or holds
                a number that no environment gave.
        """
        _check(arrays)
        return cls(
            obs=arrays["obs"],
            action=arrays["action"],
            reward=arrays["reward"],
            next_obs=arrays["next_obs"],
            terminated=arrays["terminated"],
            first=arrays["first"],
            sizes=arrays["sizes"],
            capacity=int(arrays["capacity"]),
        )

    def _newest(self, count: int, size: int) -> Transitions:
        def padded(array: np.ndarray) -> jax.Array:
            out = _aligned_zeros((size, *array.shape[1:]), array.dtype)
            out[:count] = array[len(array) - count :]
            return jax.device_put(out)

        return Transitions(
            obs=padded(self.obs),
            action=padded(self.action),
            reward=padded(self.reward),
            next_obs=padded(self.next_obs),
            terminated=padded(self.terminated),
            first=padded(self.first),
            num_valid=jnp.asarray(count, jnp.int32),
        )


def _aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros that JAX takes over on a CPU as they lie; those never written to take no memory."""
    num_bytes = math.prod(shape) * dtype.itemsize
    raw = np.zeros(num_bytes + _ALIGNMENT, np.uint8)
    begin = -raw.ctypes.data % _ALIGNMENT
    return raw[begin : begin + num_bytes].view(dtype).reshape(shape)


_ALIGNMENT: Final = 64
"""Bytes to a multiple of which an array must begin, or JAX copies it."""


def _newest_sizes(sizes: np.ndarray, capacity: int) -> np.ndarray:
    """What is left of collections of these sizes, oldest first, when the oldest rows leave."""
    num_newer = np.cumsum(sizes[::-1])[::-1] - sizes
    left = np.clip(capacity - num_newer, 0, sizes)
    return left[np.flatnonzero(num_newer < capacity)[:1].sum() :]


_KINDS: dict[str, tuple[type, bool]] = {
    "obs": (np.float32, True),
    "action": (np.float32, True),
    "reward": (np.float32, False),
    "next_obs": (np.float32, True),
    "terminated": (bool, False),
    "first": (bool, False),
}
"""Type of each array with a row per transition, and whether a row is a vector."""


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    names = (*_KINDS, "sizes", "capacity")
    if missing := [name for name in names if name not in arrays]:
        raise BufferFormatError(f"buffer lacks {', '.join(missing)}")
    if surplus := set(arrays) - set(names):
        raise BufferFormatError(f"buffer has an array too many: {min(surplus)}")
    num_rows = int(arrays["terminated"].size)
    for name, (dtype, is_vector) in _KINDS.items():
        array = arrays[name]
        shape = (num_rows, "features") if is_vector else (num_rows,)
        if array.dtype != dtype or array.ndim != len(shape) or array.shape[0] != num_rows:
            raise BufferFormatError(
                f"buffer's {name} is {array.dtype} {array.shape}, expected {dtype.__name__} "
                f"({', '.join(map(str, shape))})"
            )
        if not (np.abs(array) <= MAX_SIZE).all():
            raise BufferFormatError(
                f"buffer's {name} holds a number that is not finite or beyond belief"
            )
    obs, next_obs = arrays["obs"], arrays["next_obs"]
    if next_obs.shape != obs.shape:
        raise BufferFormatError(f"buffer's next_obs has shape {next_obs.shape}, obs {obs.shape}")
    sizes, capacity = arrays["sizes"], arrays["capacity"]
    for name, array, shape in (("sizes", sizes, "collections,"), ("capacity", capacity, "")):
        if array.dtype != np.int64 or array.ndim != (1 if shape else 0):
            raise BufferFormatError(
                f"buffer's {name} is {array.dtype} {array.shape}, expected int64 ({shape})"
            )
    if (sizes < 0).any() or (sizes > num_rows).any() or sizes.sum() != num_rows:
        raise BufferFormatError(f"buffer's sizes do not add up to its {num_rows} transitions")
    if not num_rows <= int(capacity):
        raise BufferFormatError(f"buffer holds {num_rows} transitions at a capacity of {capacity}")
