"""A task: an environment, and what is known about it beyond what the model must learn."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import gymnasium as gym
import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from duopoly.types import MAX_SIZE, Episode
from duopoly.world.environments import repeating
from duopoly.world.flat import SpaceError, component_names, flat, flat_observation
from duopoly.world.perturb import EnvFactory as EnvFactory
from duopoly.world.perturb import Perturbation

ObsArray = Float[Array, " obs"]
ActArray = Float[Array, " act"]
RewardFn = Callable[[ObsArray, ActArray, ObsArray], Float[Array, ""]]
TerminatedFn = Callable[[ObsArray, ActArray, ObsArray], Bool[Array, ""]]
ComputeFn = Callable[[ObsArray, ActArray, ObsArray], ObsArray]

AnyArray = TypeVar("AnyArray", np.ndarray, jax.Array)

_MAX_FLOAT32 = float(np.finfo(np.float32).max)


class TaskError(ValueError):
    """A task cannot be played; the message names the part, its value and the way out."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spec:
    """Sizes of a task's spaces, and its action bounds in the environment's units."""

    obs_dim: int
    action_dim: int
    action_low: Float[np.ndarray, " act"]
    action_high: Float[np.ndarray, " act"]
    action_dtype: type[np.floating[Any]] = np.float32
    """Of what the environment is given: float16 where its space holds no more."""
    obs_names: tuple[str, ...] = ()
    """Of the components of the observation, for people; without them, ``obs[i]``."""
    obs_space: gym.Space[Any] | None = None
    """What the environment itself observes, before it is made flat; None: not known."""

    def obs_name(self, index: int) -> str:
        """What people call a component of the observation."""
        return self.obs_names[index] if self.obs_names else f"obs[{index}]"

    def read_obs(self, obs: Any, name: str) -> Float[np.ndarray, "*N obs"]:
        """An observation as a user has it, or a batch of them, as numbers; a Dict is made flat.

        Raises:
            ValueError: it is none of a task of that name.
        """
        if isinstance(obs, Mapping | tuple) and self.obs_space is not None:
            try:
                obs = flat_observation(self.obs_space, obs)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                wanted = _one_line(self.obs_space)
                raise ValueError(f"observation {obs}: {name} observes {wanted}") from None
        array, dim = np.asarray(obs), self.obs_dim
        if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or array.shape[-1] != dim:
            raise ValueError(
                f"observation of {array.dtype} {array.shape}: {name} takes numbers of shape "
                f"({dim},) or (N, {dim})"
            )
        array = array.astype(np.float64)
        if not (is_believable := np.abs(array) < MAX_SIZE).all():
            where = tuple(int(i) for i in np.argwhere(~is_believable)[0])
            of_row = f" of row {where[0]}" if len(where) == 2 else ""
            raise ValueError(
                f"observation is not finite or beyond belief: {self.obs_name(where[-1])}{of_row} "
                f"is {array[where]}"
            )
        return array

    def for_env(self, action: Float[np.ndarray, "*N act"]) -> Float[np.ndarray, "*N act"]:
        """What the environment is given for an action in policy units."""
        # Bounds that float16 holds stay bounds when what lies between is rounded.
        return self.to_env_units(action.clip(-1.0, 1.0)).astype(self.action_dtype)

    def to_env_units(self, action: AnyArray) -> AnyArray:
        """`to_env_units` with this action space's bounds."""
        return to_env_units(action, self.action_low, self.action_high)

    def to_policy_units(self, action: Float[np.ndarray, "*N act"]) -> Float[np.ndarray, "*N act"]:
        """The inverse, in double precision: [-1, 1] is the action space, what lies beyond stays."""
        low, high = (x.astype(np.float64) for x in (self.action_low, self.action_high))
        return (action - (high + low) / 2) / ((high - low) / 2)


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """An environment with its known functions.

    The functions of a transition are written in JAX for *one* (obs, action, next_obs), the action
    in the environment's own units and inside its bounds (see `Spec.to_env_units`).
    """

    name: str
    summary: str
    """One line for the list of tasks."""
    make: EnvFactory
    """Builds the environment, given its render mode."""
    horizon: int
    """Actions per episode."""
    action_repeat: int = 1
    """Environment steps per action; the environment built by ``make`` repeats by itself.

    Where an action is cut short, its ``info["duopoly/env_steps"]`` tells how many were made.
    """
    reward_fn: RewardFn | None = None
    """Reward of one action, summed over its repeats; None: unknown, to be learned."""
    terminated_fn: TerminatedFn | None = None
    """Whether the world ends at next_obs; None: unknown, to be learned."""
    success_fn: Callable[[Episode], bool] | None = None
    """Whether a complete episode reached the goal; None: the task has no such measure."""
    constant: tuple[int, ...] = ()
    """Observation components that never change within an episode, such as a goal."""
    computed: tuple[int, ...] = ()
    """Observation components that follow from the others by ``compute_fn``."""
    compute_fn: ComputeFn | None = None
    """Fills the computed components of next_obs, given the predicted ones."""
    angles: tuple[int, ...] = ()
    """Observation components that are angles (rad) of joints that turn freely, as often as they
    like: networks see their sine and cosine instead, so that a full turn changes nothing."""
    names: tuple[str, ...] = ()
    """Of the components of the observation, for people; without them they come from its space."""
    perturbations: tuple[Perturbation, ...] = ()
    """Worlds that this one can turn into while a game is played."""
    hold_fn: "Callable[[int], Task] | None" = None
    """Makes the task anew, each action held for so many environment steps. None: only a task whose
    reward is unknown, and whose actions are not held yet, can be held."""

    def __post_init__(self) -> None:
        if not self.name.isprintable():
            raise TaskError(f"name = {ascii(self.name)[:60]}: must be printable")
        for field in ("horizon", "action_repeat"):
            if not (_is_whole(value := getattr(self, field)) and value >= 1):
                raise TaskError(f"{self.name}: {field} = {value}, must be a whole number ≥ 1")
        for field in ("constant", "computed", "angles"):
            value = getattr(self, field)
            if not (isinstance(value, tuple) and all(map(_is_whole, value))):
                raise TaskError(f"{self.name}: {field} = {value}, must be a tuple of whole numbers")
        if bool(self.computed) != (self.compute_fn is not None):
            raise TaskError(f"{self.name}: give computed and compute_fn together or neither")
        if twice := set(self.constant) & set(self.computed):
            raise TaskError(f"{self.name}: components {sorted(twice)} are constant and computed")
        for field in ("angles", "names"):
            if twice := _twice(getattr(self, field)):
                raise TaskError(f"{self.name}: {field} has {twice} twice")
        if not (isinstance(self.names, tuple) and all(map(_is_name, self.names))):
            raise TaskError(
                f"{self.name}: names = {self.names}, must be a tuple of printable texts"
            )
        if twice := _twice([perturbation.name for perturbation in self.perturbations]):
            raise TaskError(f"{self.name}: perturbations has {twice} twice")

    def build(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Builds the environment, so that it observes one flat array."""
        return flat(self.make(render_mode))

    def held(self, action_repeat: int) -> "Task":
        """This task with each action held for so many environment steps; 0: as it is.

        Raises:
            TaskError: what is known about the task does not tell what it pays then.
        """
        if action_repeat in (0, self.action_repeat):
            return self
        if self.hold_fn is not None:
            return self.hold_fn(action_repeat)
        if self.action_repeat > 1 or self.reward_fn is not None:
            raise TaskError(
                f"{self.name}: action_repeat = {action_repeat}, but what is known of the task is "
                f"for actions held for {self.action_repeat}: leave it at 0, or give a hold_fn"
            )
        return dataclasses.replace(
            self,
            make=repeating(self.make, action_repeat),
            horizon=self.horizon // action_repeat,
            action_repeat=action_repeat,
            hold_fn=self.held,
        )

    @functools.cached_property
    def spec(self) -> Spec:
        """Sizes and bounds, read once from a freshly made environment.

        Raises:
            TaskError: the environment cannot be made, its spaces cannot be played, or ``constant``,
                ``computed`` or ``angles`` names a component that the observation does not have.
        """
        try:
            env = self.make(None)
        except Exception as error:  # whatever the user's code raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise TaskError(f"{self.name} cannot be made: {reason}") from error
        try:
            spec = inspect_spaces(env, self.name)
            if self.names:
                spec = dataclasses.replace(spec, obs_names=self.names)
        finally:
            env.close()
        if len(self.names) not in (0, spec.obs_dim):
            raise TaskError(
                f"{self.name}: names has {len(self.names)}, but the observation {spec.obs_dim} "
                f"components"
            )
        for index in self.constant + self.computed + self.angles:
            if not 0 <= index < spec.obs_dim:
                raise TaskError(
                    f"{self.name}: observation component {index} does not exist; "
                    f"there are {spec.obs_dim}, counted from 0"
                )
        return spec

    @property
    def learned(self) -> tuple[int, ...]:
        """Observation components that the model must predict, in ascending order.

        Raises:
            TaskError: there is none.
        """
        known = set(self.constant + self.computed)
        learned = tuple(index for index in range(self.spec.obs_dim) if index not in known)
        if not learned:
            raise TaskError(f"{self.name}: every observation component is constant or computed")
        return learned


def to_env_units(action: AnyArray, low: np.ndarray, high: np.ndarray) -> AnyArray:
    """Maps an action in policy units to the environment's, clipping it to [-1, 1].

    Works alike on NumPy and JAX, for one action ``[act]`` (or a NumPy batch ``[..., act]``); the
    bounds are ``[act]``.
    """
    # Clipping after the scaling also holds the rounding error inside the bounds.
    return ((high + low) / 2 + (high - low) / 2 * action).clip(low, high)


def inspect_spaces(env: gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any], name: str) -> Spec:
    """Reads the sizes of an environment's spaces, the names of what it observes, and its bounds.

    Raises:
        TaskError: a space is of another kind; the message says which, why and what to do.
    """
    if isinstance(env, gym.vector.VectorEnv):
        raise TaskError(
            f"{name}: is a vector of {env.num_envs} environments, but a task plays a single one: "
            f"give what builds one of them"
        )
    try:
        names = component_names(env.observation_space)
    except SpaceError as error:
        raise TaskError(f"{name}: {error}") from None
    if not names:
        raise TaskError(f"{name}: the environment observes nothing")
    action_space = _flat_box(env.action_space, f"{name}: action space")
    low, high = _action_bounds(action_space, name)
    return Spec(
        obs_dim=len(names),
        action_dim=action_space.shape[0],
        action_low=low,
        action_high=high,
        action_dtype=np.float16 if action_space.dtype == np.float16 else np.float32,
        obs_names=names,
        obs_space=env.observation_space,
    )


def _flat_box(space: gym.Space[Any], what: str) -> gym.spaces.Box:
    if not isinstance(space, gym.spaces.Box):
        raise TaskError(
            f"{what} is {_one_line(space)}, but only a flat Box can be acted in: "
            f"wrap it with gymnasium.wrappers.TransformAction"
        )
    if len(space.shape) != 1 or space.shape[0] == 0:
        raise TaskError(
            f"{what} has shape {space.shape}, but a flat, non-empty one is needed: "
            f"reshape it with gymnasium.wrappers.TransformAction"
        )
    return space


def _action_bounds(
    space: gym.spaces.Box, name: str
) -> tuple[Float[np.ndarray, " act"], Float[np.ndarray, " act"]]:
    """The bounds in float32, the precision of actions."""
    if not np.issubdtype(space.dtype, np.floating):
        raise TaskError(
            f"{name}: action space has dtype {space.dtype}, but actions are real numbers: "
            f"wrap it with gymnasium.wrappers.TransformAction"
        )
    low, high = _to_float32(space.low, inwards=np.inf), _to_float32(space.high, inwards=-np.inf)
    for index, (low_here, high_here) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        bounds = f"action component {index} has bounds [{space.low[index]}, {space.high[index]}]"
        if not abs(low_here) + abs(high_here) <= _MAX_FLOAT32:
            raise TaskError(
                f"{name}: {bounds}, but the policy spans finite ones that float32 can hold: "
                f"give them with gymnasium.wrappers.TransformAction"
            )
        if not low_here < high_here:
            raise TaskError(
                f"{name}: {bounds}, so it cannot act: "
                f"remove it with gymnasium.wrappers.TransformAction"
            )
    return low, high


def _to_float32(bounds: np.ndarray, inwards: float) -> Float[np.ndarray, " act"]:
    """Bounds in float32; one that rounding would move out of the box goes to the next inside."""
    with np.errstate(over="ignore"):
        cast = bounds.astype(np.float32)
        is_outside = cast < bounds if inwards > 0 else cast > bounds
        return np.where(is_outside, np.nextafter(cast, np.float32(inwards)), cast)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and value.strip() != ""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _twice(items: Sequence[Any]) -> list[Any]:
    return [item for item, count in Counter(items).items() if count > 1]


def _one_line(space: gym.Space[Any]) -> str:
    return " ".join(str(space).split())
