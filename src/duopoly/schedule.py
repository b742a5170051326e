"""Who moves when: each algorithm is a value, a `Schedule` of the same game.

Pure Python on purpose: the command line checks a schedule against the settings before JAX starts.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final, Literal

from duopoly.policy.catalogue import PLAYERS
from duopoly.settings import Degree, Settings, SettingsError

AlgorithmName = Literal[
    "pal", "mal", "gda", "br", "auto", "pets", "metrpo", "slbo", "svg", "dhmbpo", "mbpo", "sac"
]


class Move(enum.Enum):
    """What can happen in a round."""

    COLLECT = "collect"
    """The policy acts in the real world: data D_k from µ^π_M."""
    FIT = "fit"
    """The model player improves M̂ on the data it remembers."""
    IMPROVE = "improve"
    """The policy player improves π in the model."""


class Memory(enum.Enum):
    """Which data the model player fits."""

    FRESH = "fresh"
    """Only what was just collected, D_k."""
    WINDOW = "window"
    """A window of recent transitions."""
    EVERYTHING = "everything"
    """All data so far."""


class Leader(enum.Enum):
    """Who moves slowly, knowing that the other will follow with a best response (Eq. 10)."""

    NOBODY = "nobody"
    POLICY = "policy"
    MODEL = "model"


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Who moves when, how far, and on which memory.

    A round goes through ``stages`` in order. All moves of one stage happen at once: each sees the
    players as they were when the stage began.
    """

    name: str
    stages: tuple[tuple[Move, ...], ...]
    policy_effort: Degree
    model_effort: Degree
    memory: Memory
    leader: Leader
    has_referee: bool = False
    """Whether a referee (game/referee.py) tells each round what drifts: who moves how far then,
    and on which data."""

    def __post_init__(self) -> None:
        moves = sorted(move.value for stage in self.stages for move in stage)
        if moves != sorted(move.value for move in Move):
            raise ValueError(
                f"schedule {self.name!r} has the moves {', '.join(moves)}; "
                f"a round has each of {', '.join(move.value for move in Move)} once"
            )


# Gradient descent ascent, Eq. (6)-(7)
GDA: Final = Schedule(
    name="gda",
    stages=((Move.COLLECT,), (Move.IMPROVE, Move.FIT)),
    policy_effort=Degree.STEP,
    model_effort=Degree.STEP,
    memory=Memory.FRESH,
    leader=Leader.NOBODY,
)

# Best response, Eq. (8)-(9)
BR: Final = Schedule(
    name="br",
    stages=((Move.COLLECT,), (Move.IMPROVE, Move.FIT)),
    policy_effort=Degree.CONVERGENCE,
    model_effort=Degree.CONVERGENCE,
    memory=Memory.FRESH,
    leader=Leader.NOBODY,
)

# Policy as leader, Algorithm 1, Eq. (12)-(13)
PAL: Final = Schedule(
    name="pal",
    stages=((Move.COLLECT,), (Move.FIT,), (Move.IMPROVE,)),
    policy_effort=Degree.CONSERVATIVE,
    model_effort=Degree.CONVERGENCE,
    memory=Memory.WINDOW,
    leader=Leader.POLICY,
)

# Model as leader, Algorithm 2, Eq. (15)-(16)
MAL: Final = Schedule(
    name="mal",
    stages=((Move.IMPROVE,), (Move.COLLECT,), (Move.FIT,)),
    policy_effort=Degree.CONVERGENCE,
    model_effort=Degree.CONSERVATIVE,
    memory=Memory.EVERYTHING,
    leader=Leader.MODEL,
)

# PAL while nothing drifts, or the dynamics do; MAL's best responses of the policy while goals do
AUTO: Final = dataclasses.replace(PAL, name="auto", leader=Leader.NOBODY, has_referee=True)

# Earlier methods as the same game; docs/prior_work.md says how near each comes to its original.

# Probabilistic ensembles with trajectory sampling (Chua et al., 2018): MAL, with a planner
PETS: Final = dataclasses.replace(MAL, name="pets")

# Model-ensemble TRPO (Kurutach et al., 2018): both players aggressive, one after the other
METRPO: Final = Schedule(
    name="metrpo",
    stages=((Move.COLLECT,), (Move.FIT,), (Move.IMPROVE,)),
    policy_effort=Degree.CONVERGENCE,
    model_effort=Degree.CONVERGENCE,
    memory=Memory.EVERYTHING,
    leader=Leader.NOBODY,
)

# Stochastic lower bound optimisation (Luo et al., 2019): both players careful, in turns
SLBO: Final = Schedule(
    name="slbo",
    stages=((Move.COLLECT,), (Move.FIT,), (Move.IMPROVE,)),
    policy_effort=Degree.CONSERVATIVE,
    model_effort=Degree.CONSERVATIVE,
    memory=Memory.EVERYTHING,
    leader=Leader.NOBODY,
)

# Actor-critics that learn in a model of all data, as far as both go: ME-TRPO's order of moves
# SAC-SVG (Amos et al., 2021), double horizon MBPO (Kubo et al., 2025), MBPO (Janner et al., 2019)
SVG: Final = dataclasses.replace(METRPO, name="svg")
DHMBPO: Final = dataclasses.replace(METRPO, name="dhmbpo")
MBPO: Final = dataclasses.replace(METRPO, name="mbpo")

# Soft actor-critic (Haarnoja et al., 2018): the same, of real steps alone; its model is not asked
SAC: Final = dataclasses.replace(METRPO, name="sac")

SCHEDULES: Final[Mapping[str, Schedule]] = {
    s.name: s for s in (GDA, BR, PAL, MAL, AUTO, PETS, METRPO, SLBO, SVG, DHMBPO, MBPO, SAC)
}


def check_players(schedule: Schedule, settings: Settings) -> None:
    """Refuses settings that make no sense with a schedule.

    Raises:
        SettingsError: a planner cannot move as the schedule asks, a leader's gradient is asked for
            where there is none, or an actor-critic for what imagination does not give.
    """
    _check_referee(schedule, settings)
    _check_planner(schedule, settings)
    _check_leader(schedule, settings)
    _check_actor_critic(settings)


def check_offline(settings: Settings) -> None:
    """Refuses what a game that makes no step in the real world cannot have.

    Raises:
        SettingsError: the leader's gradient needs actions that its own policy drew.
    """
    if (gradient := settings.leader.gradient) != "first_order":
        raise SettingsError(
            f"leader.gradient = {gradient!r}: takes the density of the policy's own real actions, "
            f"and on logged data alone there are none; keep 'first_order', or make real steps too"
        )


def check_workers(settings: Settings, num_workers: int) -> None:
    """Refuses to have episodes played in other processes by a policy that cannot go there.

    Raises:
        SettingsError: the policy plans.
    """
    improver = settings.policy.improver
    if num_workers > 1 and not PLAYERS[improver].has_parameters:
        raise SettingsError(
            f"num_workers = {num_workers}: policy.improver {improver!r} plans each action in the "
            f"model, which is in this process alone; leave num_workers at 1"
        )


def _check_referee(schedule: Schedule, settings: Settings) -> None:
    """Refuses a referee without a second opinion."""
    if schedule.has_referee and settings.model.num_members == 1:
        raise SettingsError(
            f"model.num_members = 1: in {schedule.name} the members' disagreement tells new states "
            f"from new dynamics; use at least 2"
        )


def _check_planner(schedule: Schedule, settings: Settings) -> None:
    """Refuses a planner in small steps, or against another model than the one it acts in."""
    if PLAYERS[settings.policy.improver].has_parameters:
        return
    at_once = any({Move.IMPROVE, Move.FIT} <= set(stage) for stage in schedule.stages)
    if schedule.leader is Leader.POLICY:
        reason = "the policy leads by small steps, and a planner has no parameters to move"
    elif schedule.policy_effort is not Degree.CONVERGENCE:
        reason = "the policy moves in small steps, and a planner has no parameters to move"
    elif at_once:
        reason = (
            "the policy faces the model's previous iterate, and a planner plans in the model as "
            "it is when it acts"
        )
    else:
        return
    raise SettingsError(
        f"improver = {settings.policy.improver}: in {schedule.name} {reason}; "
        f"planners play {MAL.name}, {PETS.name} and {METRPO.name}"
    )


def _check_leader(schedule: Schedule, settings: Settings) -> None:
    """Refuses a leader's gradient where nobody leads, or the follower's best response has none."""
    gradient = settings.leader.gradient
    if gradient == "first_order":
        return
    if schedule.has_referee:
        reason = "who leads is decided round by round; keep 'first_order', or play pal or mal"
    elif schedule.leader is Leader.NOBODY:
        reason = (
            f"nobody leads in {schedule.name}, where each player responds to the other's last "
            f"move; keep 'first_order', or play pal or mal"
        )
    elif not PLAYERS[settings.policy.improver].has_parameters:
        reason = "a planner's best response cannot be differentiated; keep 'first_order'"
    elif not PLAYERS[settings.policy.improver].can_lead:
        reason = f"not implemented for improver = {settings.policy.improver}; keep 'first_order'"
    elif schedule.leader is Leader.MODEL and not settings.model.warm_start:
        reason = "a model that leads moves from where it is; keep model.warm_start"
    elif settings.model.loss != "squared":
        reason = f"not implemented for model.loss = {settings.model.loss!r}; use 'squared'"
    else:
        return
    raise SettingsError(f"leader.gradient = {gradient!r}: {reason}")


def _check_actor_critic(settings: Settings) -> None:
    """Refuses to look further than imagination goes, and chances of an end that is known."""
    options, horizon = settings.policy.actor_critic, settings.imagination.horizon
    if settings.policy.improver == "sac" and options.soft_survival:
        raise SettingsError(
            "policy.actor_critic.soft_survival: sac looks a single step ahead and has nothing to "
            "survive; leave it out, or play policy.improver svg"
        )
    if settings.policy.improver != "svg":
        return
    if options.horizon > horizon:
        raise SettingsError(
            f"policy.actor_critic.horizon = {options.horizon}: must be at most "
            f"imagination.horizon = {horizon}"
        )
    if options.soft_survival and not settings.model.learn_termination:
        raise SettingsError(
            "policy.actor_critic.soft_survival: an end that is known has no probability; set "
            "model.learn_termination too"
        )
