"""Settings of the policy players."""

import dataclasses
from typing import Literal

from duopoly.fields import at_least, between
from duopoly.records import Checked, SettingsError
from duopoly.settings.effort import Effort

Improver = Literal["npg", "trpo", "pg", "svg", "sac", "mppi", "cem"]


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
