"""What a policy player is: a value of pure functions, as an Optax optimiser is.

The game asks it to begin, to adapt to new data, to improve against an opponent, and to act; it
never asks which player it holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from jaxtyping import Array, Float, Key, PyTree

from duopoly.model.imagine import Act, Dynamics, Starts
from duopoly.networks import MLP, Normaliser
from duopoly.settings import Settings
from duopoly.types import Controller, Metrics, Transitions

OBJECTIVE: Final[Mapping[str, str]] = {
    "game/policy_objective": "J(π, M̂) of the policy that came into its move",
}
"""What a player may report where its own rollouts measure it; else the game measures it."""

State = PyTree
"""What a policy player carries from round to round: arrays of whose shape no one else knows."""

LeaderFn = Callable[[int, State], tuple[Any, Any]]
"""Of a policy step's number and the state before it: the samples whose gradient is the implicit
term of a policy that leads (Eq. 11), and what was observed of it."""


class PlayerError(RuntimeError):
    """A policy player broke down; the message says how."""


class Values(NamedTuple):
    """What a policy player expects of actions."""

    value: Float[Array, " N"]
    """Discounted return of the action and all that the player does after it."""
    bonus: Float[Array, " N"]
    """What counts for the player beside the reward, for being in a state: a sample of it."""


ValueFn = Callable[[Key[Array, ""], State, Float[Array, "N obs"], Float[Array, "N act"]], Values]


class Spaces(NamedTuple):
    """What a policy player observes and decides."""

    obs_dim: int
    action_dim: int
    angles: tuple[int, ...] = ()
    """Components of the observation that are angles: seen as sine and cosine."""


class ActionNetwork(NamedTuple):
    """A policy's action without the noise that explores, as one network."""

    network: MLP
    """Of the normalised observation; its first outputs are the action's components."""
    inputs: Normaliser
    is_squashed: bool
    """Whether tanh leads into [-1, 1]; else what lies beyond is cut."""


class Opponent(NamedTuple):
    """All that a policy player sees of the other side while it improves."""

    world: Dynamics
    """The learned world, with what the policy player adds to it for its own purposes (Eq. 17)."""
    starts: Starts
    """Real data: where imagination may start."""
    data_fn: Callable[[], Transitions]
    """Returns all real data that are kept."""
    leader_fn: LeaderFn | None = None
    """Of a policy that leads; None: its gradient is of first order."""


class PolicyPlayer(NamedTuple):
    """A way to be the policy player."""

    init: Callable[[Key[Array, ""], Spaces, Settings], State]
    """Returns the state at the start of the game."""
    adapt: Callable[[State, Transitions, bool], State]
    """Normalises its inputs by the data; ``True`` with the first data of all, else it stays the
    same function."""
    explore: Callable[[State, Settings], State]
    """Lets it explore as widely as it did at the start of the game, where it does so less."""
    improve: Callable[[Key[Array, ""], State, Opponent, int, Settings], tuple[State, Any]]
    """Takes so many steps against the opponent; returns what was observed beside the new state.

    Raises `PlayerError` where no step could be taken for numbers that are not finite."""
    report: Callable[[Any], Metrics]
    """Returns the metrics of what `improve` observed."""
    controller: Callable[[State, Dynamics | None, Settings], Controller]
    """Returns how the player acts in the real world; None before there is a fitted model."""
    report_actions: Callable[[Sequence[Any]], Metrics]
    """Returns the metrics of what its controller observed in a collection, an entry an action."""
    act_fn: Callable[[State, bool], Act] | None
    """Returns the policy as it acts in imagination, ``True``: without the noise that explores.

    A pytree of the state's arrays that can be called, such as a `jax.tree_util.Partial`: what is
    compiled for one state serves all.

    None: the player has no parameters, it plans."""
    value_fn: ValueFn | None
    """Returns what the player expects of observations and actions; None: it learns no values."""
    network_fn: Callable[[State], ActionNetwork] | None
    """Returns the policy as a network, to be taken elsewhere; None: it plans in the model."""
    metrics: Mapping[str, str]
    """Every metric that the player reports, with what it means."""
