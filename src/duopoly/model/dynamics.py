"""The learned world: the ensemble's predictions, completed by what is known without learning.

The game is observed in this world. The policy player may improve in a variant of it (Eq. 17): a
`RobustWorld`, in which disagreement of the members earns a bonus or ends a rollout.
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from duopoly.model.ensemble import (
    Ensemble,
    difference_from_others,
    disagreement,
    predict,
    share_clipped,
)
from duopoly.model.outcomes import LearnedOutputs, predict_outcomes
from duopoly.networks import MLP
from duopoly.settings import RobustnessSettings
from duopoly.types import Prediction

OneStepFn = Callable[[Array, Array, Array], Array]
"""A function of one (obs, action, next_obs), the action in the units of the action space."""


@dataclasses.dataclass(frozen=True)
class KnownFunctions:
    """Functions of the task that need not be learned."""

    reward_fn: OneStepFn | None
    """None: the ensemble learns it."""
    terminated_fn: OneStepFn | None
    """None: the ensemble learns it."""
    compute_fn: OneStepFn | None
    """Returns next_obs with the components that follow from the others filled in."""
    to_env_units: Callable[[Array], Array]
    """Maps an action from policy units to those of the action space."""


class LearnedWorld(eqx.Module):
    """The model player's simulator: one world per ensemble member."""

    ensemble: Ensemble
    known: KnownFunctions = eqx.field(static=True)

    def __check_init__(self) -> None:
        outcomes, known = self.ensemble.outcomes, self.known
        learned = LearnedOutputs() if outcomes is None else outcomes.outputs
        for name, is_learned, function in (
            ("reward", learned.reward, known.reward_fn),
            ("termination", learned.termination, known.terminated_fn),
        ):
            if function is None and not is_learned:
                raise ValueError(f"{name} is neither known nor learned")

    @property
    def num_members(self) -> int:
        """Size of the axis E."""
        return self.ensemble.num_members

    def __call__(
        self,
        key: Key[Array, ""],
        obs: Float[Array, "E B obs"],
        action: Float[Array, "E B act"],
    ) -> Prediction:
        """Returns each member's prediction for an action in policy units.

        ``key`` draws the next observation of members that predict its spread, and whether the
        world ends there where that is learned; each member draws for itself.
        """
        key_next, key_end = jax.random.split(key)
        next_obs = predict(self.ensemble, obs, action, key_next)
        clipped = share_clipped(self.ensemble, next_obs)
        next_obs, reward, terminated = jax.vmap(jax.vmap(self._complete))(obs, action, next_obs)
        trusted = jnp.zeros(terminated.shape, bool)
        found = Prediction(next_obs, reward, terminated, trusted, clipped=clipped)
        if self.ensemble.outcomes is None:
            return found
        learned = predict_outcomes(key_end, self.ensemble.outcomes, obs, action, next_obs)
        if self.known.reward_fn is None:
            found = found._replace(reward=learned.reward)
        if self.known.terminated_fn is None:
            found = found._replace(
                terminated=learned.terminated, end_probability=learned.end_probability
            )
        return found

    def with_members(self, members: MLP) -> "LearnedWorld":
        """Returns the same world with other dynamics networks."""
        return eqx.tree_at(lambda w: w.ensemble.members, self, members)

    def _complete(
        self,
        obs: Float[Array, " obs"],
        action: Float[Array, " act"],
        next_obs: Float[Array, " obs"],
    ) -> tuple[Float[Array, " obs"], Float[Array, ""], Bool[Array, ""]]:
        """Completes one prediction by the known functions; without one, reward 0 and no end."""
        known = self.known
        action = known.to_env_units(action)
        if known.compute_fn is not None:
            next_obs = known.compute_fn(obs, action, next_obs)
        reward, terminated = 0.0, False
        if known.reward_fn is not None:
            reward = known.reward_fn(obs, action, next_obs)
        if known.terminated_fn is not None:
            terminated = known.terminated_fn(obs, action, next_obs)
        return next_obs, jnp.asarray(reward, obs.dtype), jnp.asarray(terminated, bool)


class RobustWorld(eqx.Module):
    """A learned world in which the members' disagreement earns a bonus or ends a rollout."""

    world: LearnedWorld
    disagreement_bonus: float = eqx.field(static=True)
    """Reward per unit of disagreement."""
    max_disagreement: float = eqx.field(static=True)
    """Disagreement beyond which imagination stops; 0: it never does."""
    halt_penalty: float = eqx.field(static=True, default=0.0)
    """Reward lost where it stops, which then is an end; 0: the world would go on."""
    num_compared: int = eqx.field(static=True, default=0)
    """Other members with which each is compared; 0: all."""

    @property
    def num_members(self) -> int:
        """Size of the axis E."""
        return self.world.num_members

    @property
    def ensemble(self) -> Ensemble:
        """That of the learned world."""
        return self.world.ensemble

    def __call__(
        self,
        key: Key[Array, ""],
        obs: Float[Array, "E B obs"],
        action: Float[Array, "E B act"],
    ) -> Prediction:
        """Returns the learned world's prediction, with a bonus and an end for disagreement."""
        prediction = self.world(key, obs, action)
        spread = self._disagreement(obs, action)
        if self.disagreement_bonus != 0.0:
            prediction = prediction._replace(bonus=self.disagreement_bonus * spread)
        if self.max_disagreement == 0.0:
            return prediction
        is_unknown = spread > self.max_disagreement
        if self.halt_penalty == 0.0:
            return prediction._replace(truncated=is_unknown)
        return _halted(prediction, is_unknown, self.halt_penalty)

    def _disagreement(
        self, obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
    ) -> Float[Array, "E B"]:
        if 0 < self.num_compared < self.num_members - 1:
            return difference_from_others(self.ensemble, obs, action, self.num_compared)
        return disagreement(self.ensemble, obs, action)

    def with_members(self, members: MLP) -> "RobustWorld":
        """Returns the same world with other dynamics networks."""
        return eqx.tree_at(lambda w: w.world, self, self.world.with_members(members))


def _halted(prediction: Prediction, is_unknown: Bool[Array, "E B"], penalty: float) -> Prediction:
    """Returns the prediction with what is unknown as an end that costs a penalty.

    Source: Kidambi et al. (2020): the pessimistic MDP, whose state HALT earns −κ; here once.
    """
    fine = -penalty * is_unknown.astype(prediction.reward.dtype)
    chance = prediction.end_probability
    return prediction._replace(
        terminated=prediction.terminated | is_unknown,
        bonus=fine if prediction.bonus is None else prediction.bonus + fine,
        end_probability=None if chance is None else jnp.where(is_unknown, 1.0, chance),
    )


def robust_world(world: LearnedWorld, settings: RobustnessSettings) -> LearnedWorld | RobustWorld:
    """Returns the world in which the policy player improves: as it is, or a robust one."""
    if settings.disagreement_bonus == 0.0 and settings.max_disagreement == 0.0:
        return world
    return RobustWorld(
        world,
        settings.disagreement_bonus,
        settings.max_disagreement,
        settings.halt_penalty,
        settings.num_compared,
    )
