"""Every number a user may turn, as frozen dataclasses with one line of help per field.

Pure Python on purpose: the command line reads and checks settings before JAX is imported.
"""

import dataclasses
import enum
from typing import Literal

from duopoly.fields import at_least, between
from duopoly.records import Checked, SettingsError
from duopoly.records import override as override  # for whoever works with settings

Activation = Literal["relu", "silu", "tanh"]
Improver = Literal["npg", "trpo", "pg", "svg", "sac", "mppi", "cem"]
LeaderGradient = Literal["first_order", "implicit", "unrolled"]
LeaderSteps = Literal["first", "all"]
Loss = Literal["squared", "likelihood", "noise_level"]


class Degree(enum.Enum):
    """How far a player moves in a round; an `Effort` says what that is in numbers."""

    STEP = "step"
    CONSERVATIVE = "conservative"
    CONVERGENCE = "convergence"


@dataclasses.dataclass(frozen=True)
class Effort(Checked):
    """How far a player moves in one round, by the degree its schedule asks for."""

    step: int = at_least(1, 1)
    """One small step: both players of GDA."""
    conservative: int = at_least(1, 5)
    """A few careful steps: the leader of PAL or MAL."""
    convergence: int = at_least(1, 25)
    """Enough steps for a best response: the follower of PAL or MAL, both players of BR."""

    def at(self, degree: Degree) -> int:
        """Returns the number for a degree."""
        match degree:
            case Degree.STEP:
                return self.step
            case Degree.CONSERVATIVE:
                return self.conservative
            case Degree.CONVERGENCE:
                return self.convergence


@dataclasses.dataclass(frozen=True)
class CollectionSettings(Checked):
    """What the policy player gathers from the real world."""

    initial_steps: int = at_least(1, 8_000)
    """Environment steps of the first round, taken with the initial policy."""
    steps_per_round: int = at_least(1, 2_000)
    """Environment steps of every later round."""
    episodes_go_on: bool = False
    """Let a round go on with the episode that the end of the last one cut short."""
    action_repeat: int = at_least(0, 0)
    """Environment steps for which each action is held; 0: as many as the task says."""


@dataclasses.dataclass(frozen=True)
class ModelSettings(Checked):
    """The model player: an ensemble of networks that predict normalised state differences."""

    num_members: int = at_least(1, 4)
    """Networks in the ensemble, each with its own initial weights and batches."""
    hidden: tuple[int, ...] = at_least(1, (512, 512))
    """Width of each hidden layer."""
    activation: Activation = "silu"
    """Nonlinearity of the hidden layers."""
    learning_rate: float = between(1e-8, 1.0, 1e-3)
    """Largest step size of Adam, at the start of every fit; it falls along a cosine."""
    batch_size: int = at_least(1, 200)
    """Transitions per gradient step."""
    epochs: Effort = Effort(step=1, conservative=10, convergence=25)
    """Passes over the data per round, by degree of effort."""
    steps_per_env_step: float = at_least(0.0, 0.0)
    """Most gradient steps of a fit per environment step of its round; 0: epochs alone count."""
    weight_decay: float = between(0.0, 1.0, 0.0)
    """Share of every parameter that a step takes away, per unit of the step size."""
    layer_norm: bool = False
    """Normalise every hidden layer's output."""
    dropout: float = between(0.0, 0.9, 0.0)
    """Share of the hidden units that every gradient step of a fit leaves out."""
    window: int = at_least(1, 10_000)
    """Most recent transitions that a schedule with a window as its memory fits (PAL)."""
    capacity: int = at_least(1, 100_000)
    """Transitions kept, all of which a schedule that remembers everything fits (MAL)."""
    clip_sigmas: float = at_least(0.0, 2.0)
    """Predictions stay within the data's range, widened by this many standard deviations."""
    loss: Loss = "squared"
    """Squared error, or likelihood of a Gaussian whose spread is predicted, or one per output."""
    min_log_std: float = between(-20.0, 5.0, -5.0)
    """Floor of the logarithm of that spread, in standard deviations of the data's changes."""
    max_log_std: float = between(-20.0, 5.0, 0.5)
    """Ceiling of that logarithm."""
    noise_share: float = between(0.0, 1.0, 1.0)
    """Share of that spread with which imagination draws what comes next."""
    holdout: float = between(0.0, 0.9, 0.0)
    """Share of the data held out of the fits, to tell when to stop one; 0: never stop early."""
    patience: int = at_least(1, 5)
    """Epochs without a lower held-out error after which a member stops; it keeps its best."""
    bootstrap: bool = False
    """Fit each member to a resample of its own, drawn with replacement at every fit."""
    proximal: float = at_least(0.0, 0.0)
    """Weight of the divergence from the model that the fit started from (mirror descent)."""
    learn_reward: bool = False
    """Learn the reward even where the task knows it."""
    learn_termination: bool = False
    """Learn termination even where the task knows it."""
    outcome_hidden: tuple[int, ...] = at_least(1, (128, 128))
    """Width of each hidden layer of the networks for reward and termination, where learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_log_std >= self.max_log_std:
            raise SettingsError(
                f"min_log_std = {self.min_log_std}: must be below max_log_std = {self.max_log_std}"
            )
        if self.noise_share != 1.0 and self.loss == "squared":
            raise SettingsError(
                f"noise_share = {self.noise_share}: with loss = 'squared' no spread is predicted; "
                f"use 'noise_level' or 'likelihood'"
            )
        if self.window > self.capacity:
            raise SettingsError(
                f"window = {self.window}: must be at most capacity = {self.capacity}"
            )


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


@dataclasses.dataclass(frozen=True)
class ValueSettings(Checked):
    """The value function that serves as baseline and as bootstrap at the end of imagination."""

    hidden: tuple[int, ...] = at_least(1, (128, 128))
    """Width of each hidden layer (tanh)."""
    learning_rate: float = between(1e-8, 1.0, 1e-3)
    """Step size of Adam."""
    batch_size: int = at_least(1, 1_000)
    """Imagined states per gradient step."""
    epochs: int = at_least(1, 2)
    """Passes over the imagined states per policy step."""


@dataclasses.dataclass(frozen=True)
class PlannerSettings(Checked):
    """Model-predictive control: what a planner looks for before every action (mppi, cem)."""

    horizon: int = at_least(1, 10)
    """Actions it looks ahead."""
    num_samples: int = at_least(1, 100)
    """Plans tried per iteration, each in every member of the ensemble."""
    num_particles: int = at_least(1, 1)
    """Rollouts of a plan per member; more than one helps only where the model is random."""
    num_iterations: int = at_least(1, 3)
    """Times per action that plans are drawn around the best so far."""
    num_elites: int = at_least(1, 10)
    """Best plans to which cem fits the next mean and standard deviation."""
    temperature: float = between(1e-3, 1e3, 0.3)
    """How evenly mppi weighs the plans, in standard deviations of their returns."""
    momentum: float = between(0.0, 0.99, 0.1)
    """Share of the old mean, and of cem's old standard deviation, kept in every iteration."""
    initial_std: float = between(1e-3, 2.0, 0.5)
    """Standard deviation of the first plans, in units of half the action range."""
    smoothing: float = between(0.0, 0.99, 0.5)
    """Correlation of the noise of successive actions of a plan."""
    exploration_std: float = between(0.0, 2.0, 0.1)
    """Noise on the actions that collect data, in units of half the action range."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_elites > self.num_samples:
            raise SettingsError(
                f"num_elites = {self.num_elites}: must be at most num_samples = {self.num_samples}"
            )


@dataclasses.dataclass(frozen=True)
class ActorCriticSettings(Checked):
    """An actor and critics that learn in the model, update by update (svg, sac)."""

    hidden: tuple[int, ...] = at_least(1, (256, 256))
    """Width of each hidden layer of a critic."""
    num_critics: int = at_least(1, 3)
    """Critics, each with weights of its own."""
    num_lowest: int = at_least(1, 2)
    """Target critics drawn for an update, the lowest of which is believed."""
    batch_size: int = at_least(1, 128)
    """States per update, divided over the members."""
    horizon: int = at_least(1, 4)
    """Imagined actions from each state to where the critics take over (svg)."""
    lookahead_weight: float = between(0.0, 1.0, 0.5)
    """Share of the actor's objective that looks through the model; the rest is Q itself (svg)."""
    soft_survival: bool = False
    """Survive a learned end by its probability, which has a gradient, and not by chance (svg)."""
    target_rate: float = between(1e-6, 1.0, 0.005)
    """Share of the way that the target critics follow at every update."""
    bounds_rate: float = between(0.0, 1.0, 3e-4)
    """Share of the way that the bounds of Q follow what a step earns, at every update."""
    initial_temperature: float = at_least(0.0, 0.1)
    """Weight of the entropy beside the reward, at first; 0: no entropy at all."""
    target_entropy: float = between(-10.0, 0.69, -0.5)
    """Entropy per action component that the temperature is adapted to, in policy units."""
    halving_updates: int = at_least(0, 0)
    """Updates after which the step size is half of the first, and falls on as 1 / n; 0: never."""
    acting_rate: float = between(1e-6, 1.0, 1.0)
    """Share of the way that the policy that acts follows the one that learns, at every update."""
    max_gradient_norm: float = between(1e-6, 1e6, 5.0)
    """Norm to which a larger gradient of the actor is cut."""
    max_kl: float = at_least(0.0, 0.0)
    """Mean KL per action component, from the round's first policy, that stops the actor; 0: never.
    """
    proximal: float = at_least(0.0, 0.0)
    """Weight of KL from the round's first policy, in units of the temperature; 0: none."""
    tolerance: float = between(0.0, 1.0, 0.0)
    """Relative gain in 200 updates below which a round's updates end early; 0: never."""
    critic_share: float = between(0.0, 1.0, 0.25)
    """Share of a round's updates, the first of them, in which the critics learn alone."""
    actor_interval: int = at_least(1, 1)
    """Updates of the critics for each of the actor."""
    keep_member: bool = False
    """Play every imagined rollout in one member; else in another at every step."""
    pool_horizon: int = at_least(1, 12)
    """Imagined actions from real states whose states and steps fill the pool."""
    newest_share: float = between(0.0, 1.0, 0.0)
    """Share of those real states that are among the newest, where the policy is now."""
    num_newest: int = at_least(1, 1_000)
    """Transitions that count as the newest."""
    initial_share: float = between(0.0, 1.0, 0.0)
    """Share of those real states that are first ones of episodes: how to begin is not forgotten."""
    pool_interval: int = at_least(1, 20)
    """Updates after which a part of the pool is renewed."""
    pool_slots: int = at_least(1, 10)
    """Parts of the pool."""
    real_share: float = between(0.0, 1.0, 0.0)
    """Share of the critics' batch that are real steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_lowest > self.num_critics:
            raise SettingsError(
                f"num_lowest = {self.num_lowest}: must be at most num_critics = {self.num_critics}"
            )
        if self.newest_share + self.initial_share > 1.0:
            raise SettingsError(
                f"initial_share = {self.initial_share}: with newest_share = {self.newest_share} "
                f"it must be at most 1"
            )
        if self.initial_temperature == 0.0 and self.target_entropy != 0.0:
            raise SettingsError(
                f"target_entropy = {self.target_entropy}: without a temperature nothing adapts to "
                f"it; set it to 0, or initial_temperature above 0"
            )


@dataclasses.dataclass(frozen=True)
class PolicySettings(Checked):
    """The policy player: a policy improved in imagination, or a planner."""

    improver: Improver = "npg"
    """Natural, trust-region or plain gradients; actor-critics (svg, sac); planners (mppi, cem)."""
    hidden: tuple[int, ...] = at_least(1, (64, 64))
    """Width of each hidden layer (tanh; silu of an actor)."""
    initial_log_std: float = between(-5.0, 2.0, 0.0)
    """Logarithm of the initial standard deviation, in units of half the action range."""
    min_log_std: float = between(-10.0, 2.0, -2.5)
    """Floor of that logarithm: exploration never dies out."""
    steps: Effort = Effort(step=1, conservative=5, convergence=20)
    """Policy steps per round, by degree of effort."""
    discount: float = between(0.0, 1.0, 0.999)
    """Discount per action."""
    gae_lambda: float = between(0.0, 1.0, 0.97)
    """Bias-variance trade-off of generalised advantage estimation."""
    target_kl: float = between(1e-8, 1.0, 0.025)
    """Mean KL divergence that one natural gradient step aims at, and that TRPO never exceeds."""
    max_backtracks: int = at_least(0, 10)
    """Times that TRPO shortens a step to a policy that is worse or too far, before it gives up."""
    learning_rate: float = between(1e-8, 1.0, 3e-3)
    """Step size of Adam, for plain gradients and for actor-critics."""
    fisher_samples: int = at_least(1, 20_000)
    """Imagined states on which Fisher-vector products are computed."""
    entropy_bonus: float = at_least(0.0, 0.0)
    """Weight of the policy's entropy beside its advantages, which have standard deviation 1."""
    cg_iterations: int = at_least(1, 15)
    """Conjugate gradient iterations per policy step."""
    cg_damping: float = between(0.0, 1.0, 1e-3)
    """Multiple of the identity added to the Fisher matrix."""
    value: ValueSettings = ValueSettings()
    """Value function."""
    actor_critic: ActorCriticSettings = ActorCriticSettings()
    """Actor-critic."""
    planner: PlannerSettings = PlannerSettings()
    """Planner."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_log_std > self.initial_log_std:
            raise SettingsError(
                f"min_log_std = {self.min_log_std}: must be at most "
                f"initial_log_std = {self.initial_log_std}"
            )


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
    num_compared: int = at_least(0, 0)
    """Other members with which each is compared for it: fewer are cheaper; 0: all."""


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
