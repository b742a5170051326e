"""Every number a user may turn, as frozen dataclasses with one line of help per field.

Pure Python on purpose: the command line reads and checks settings before JAX is imported.
"""

import dataclasses
from typing import Literal

from duopoly.fields import at_least, between
from duopoly.records import Checked
from duopoly.records import SettingsError as SettingsError
from duopoly.records import override as override  # for whoever works with settings
from duopoly.settings.effort import Degree as Degree
from duopoly.settings.effort import Effort as Effort
from duopoly.settings.model import Activation as Activation
from duopoly.settings.model import Loss as Loss
from duopoly.settings.model import ModelSettings as ModelSettings
from duopoly.settings.policy import ActorCriticSettings as ActorCriticSettings
from duopoly.settings.policy import Improver as Improver
from duopoly.settings.policy import PlannerSettings as PlannerSettings
from duopoly.settings.policy import PolicySettings as PolicySettings
from duopoly.settings.policy import ValueSettings as ValueSettings

LeaderGradient = Literal["first_order", "implicit", "unrolled"]
LeaderSteps = Literal["first", "all"]


@dataclasses.dataclass(frozen=True)
class CollectionSettings(Checked):
    """What the policy player gathers from the real world."""

    initial_steps: int = at_least(1, 8_000)
    """Environment steps of the first round, taken with the initial policy; none with --data."""
    steps_per_round: int = at_least(1, 2_000)
    """Environment steps of every later round."""
    episodes_go_on: bool = False
    """Let a round go on with the episode that the end of the last one cut short."""
    offline_rounds: int = at_least(1, 50)
    """Rounds that a run begun with logged data plays on them alone, before its first own step."""
    action_repeat: int = at_least(0, 0)
    """Environment steps for which each action is held; 0: as many as the task says."""


@dataclasses.dataclass(frozen=True)
class ImaginationSettings(Checked):
    """Rollouts of the policy inside the learned model."""

    num_rollouts: int = at_least(1, 50)
    """Rollouts per ensemble member and policy step."""
    horizon: int = at_least(1, 500)
    """Actions per rollout."""
    start_from_data: float = between(0.0, 1.0, 0.0)
    """Share of rollouts that start at any recent observation instead of an episode's first."""
    start_rounds: int = at_least(1, 1)
    """Latest collections from which those observations are drawn: 1 is µ of the last policy."""
    num_starts: int = at_least(1, 1_000)
    """Most recent episodes whose first observations rollouts start from; fewer forget old goals."""


@dataclasses.dataclass(frozen=True)
class RobustnessSettings(Checked):
    """What the policy player makes of an ensemble whose members disagree (Eq. 17).

    Their disagreement is the standard deviation over the members of what they predict, in units
    of that of the data's changes, averaged over the components.
    """

    cvar_alpha: float = between(0.0, 1.0, 1.0)
    """Maximise J over this share of the members, the worst: 1 is the mean, 0 the worst case."""
    disagreement_bonus: float = between(-1e6, 1e6, 0.0)
    """Reward per unit of disagreement: positive explores, negative is pessimistic."""
    max_disagreement: float = at_least(0.0, 0.0)
    """Disagreement beyond which imagination stops; 0: it never does."""
    halt_penalty: float = at_least(0.0, 0.0)
    """Reward lost where it stops, which then is an end (MOReL); 0: the world would go on."""
    num_compared: int = at_least(0, 0)
    """Other members with which each is compared for it: fewer are cheaper; 0: all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.halt_penalty > 0.0 and self.max_disagreement == 0.0:
            raise SettingsError(
                f"halt_penalty = {self.halt_penalty}: nothing halts without a limit; set "
                f"max_disagreement above 0"
            )


@dataclasses.dataclass(frozen=True)
class LeaderSettings(Checked):
    """How the leader of PAL or MAL takes the follower's best response into account (Eq. 11)."""

    gradient: LeaderGradient = "first_order"
    """Hold the best response fixed, differentiate it implicitly, or through steps towards it."""
    num_samples: int = at_least(1, 1_000)
    """Real transitions on which the curvature of the model's loss is measured (PAL)."""
    num_rollouts: int = at_least(1, 10)
    """Imagined rollouts per member from which to learn how the model changes the return."""
    cg_iterations: int = at_least(1, 10)
    """Conjugate gradient iterations of an implicit gradient."""
    cg_damping: float = between(0.0, 1e3, 0.1)
    """Added to the curvature of the follower's loss; keeps a leading model near where it was."""
    max_residual: float = between(0.0, 1.0, 0.5)
    """Relative residual above which a solve has failed and the step is of first order."""
    unrolled_steps: int = at_least(1, 10)
    """Gradient steps of the follower through which an unrolled gradient goes."""
    unrolled_rate: float = between(1e-6, 2.0, 1.0)
    """Their size, in units of one over the largest curvature: from 2 on they diverge."""
    baseline_ridge: float = at_least(0.0, 0.0)
    """Ridge of a baseline by state, in variances of its features; 0: a constant is the baseline."""
    steps: LeaderSteps = "first"
    """Policy steps of a round that the implicit term joins (PAL); the first needs no ratios."""
    max_ratio: float = between(1.0, 1e6, 2.0)
    """Largest weight of a real sample, as the policy has moved since it was collected."""
    memory: int = at_least(1, 10)
    """Terms, one per step that has one, over which they are averaged (PAL); 1: the latest alone."""
    max_share: float = at_least(0.0, 0.5)
    """Most that the implicit term may move the policy, in units of the first-order part (PAL)."""


@dataclasses.dataclass(frozen=True)
class EvaluationSettings(Checked):
    """How each round's policy is judged, on episodes that never enter the data."""

    num_episodes: int = at_least(0, 10)
    """Episodes per round, played with the policy's mean action."""
    gap_steps: int = at_least(0, 1)
    """Policy steps that a copy takes to measure what they would still gain; 0: not measured."""
    open_loop_steps: int = at_least(1, 20)
    """Actions after which the model's open-loop error is reported."""


@dataclasses.dataclass(frozen=True)
class Settings(Checked):
    """All settings of one run; the schedule says who moves when, these say how far."""

    collection: CollectionSettings = CollectionSettings()
    """Data from the real world."""
    model: ModelSettings = ModelSettings()
    """Model player."""
    imagination: ImaginationSettings = ImaginationSettings()
    """Rollouts in the model."""
    policy: PolicySettings = PolicySettings()
    """Policy player."""
    robustness: RobustnessSettings = RobustnessSettings()
    """Robustness to the model's errors."""
    leader: LeaderSettings = LeaderSettings()
    """Gradient of the schedule's leader."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """Evaluation."""
