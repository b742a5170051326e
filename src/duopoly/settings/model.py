"""Settings of the model player."""

import dataclasses
from typing import Literal

from duopoly.fields import at_least, between
from duopoly.records import Checked, SettingsError
from duopoly.settings.effort import Effort

Activation = Literal["relu", "silu", "tanh"]
Loss = Literal["squared", "likelihood", "noise_level"]


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
    warm_start: bool = True
    """Begin every fit with the networks of the last; else with new ones."""
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
        if self.proximal > 0.0 and not self.warm_start:
            raise SettingsError(
                f"proximal = {self.proximal}: a fit that begins with new networks has nothing to "
                f"stay near to; keep warm_start"
            )
        if self.window > self.capacity:
            raise SettingsError(
                f"window = {self.window}: must be at most capacity = {self.capacity}"
            )
