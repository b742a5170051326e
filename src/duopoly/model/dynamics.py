"""The learned world: the ensemble's predictions, completed by what is known without learning."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from duopoly.model.ensemble import Ensemble, disagreement, predict
from duopoly.settings import RobustnessSettings
from duopoly.types import Prediction

OneStepFn = Callable[[Array, Array, Array], Array]
"""A function of one (obs, action, next_obs), the action in the units of the action space."""


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """What need not be learned."""

    reward_fn: OneStepFn
    terminated_fn: OneStepFn
    compute_fn: OneStepFn | None
    """Returns next_obs with the components that follow from the others filled in."""
    to_env_units: Callable[[Array], Array]
    """Maps an action from policy units to those of the action space."""


class LearnedWorld(eqx.Module):
    """The simulator the policy player plays in: one world per ensemble member."""

    ensemble: Ensemble
    knowledge: Knowledge = eqx.field(static=True)
    robustness: RobustnessSettings = eqx.field(static=True)

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
        """Returns what each member answers to an action in policy units."""
        del key
        next_obs = predict(self.ensemble, obs, action)
        next_obs, reward, terminated = jax.vmap(jax.vmap(self._complete))(obs, action, next_obs)
        truncated = jnp.zeros(terminated.shape, bool)
        robust = self.robustness
        if robust.disagreement_bonus != 0.0 or robust.max_disagreement > 0.0:
            spread = disagreement(self.ensemble, obs, action)
            reward = reward + robust.disagreement_bonus * spread
            if robust.max_disagreement > 0.0:
                truncated = spread > robust.max_disagreement
        return Prediction(next_obs, reward, terminated, truncated)

    def _complete(
        self,
        obs: Float[Array, " obs"],
        action: Float[Array, " act"],
        next_obs: Float[Array, " obs"],
    ) -> tuple[Float[Array, " obs"], Float[Array, ""], Bool[Array, ""]]:
        known = self.knowledge
        action = known.to_env_units(action)
        if known.compute_fn is not None:
            next_obs = known.compute_fn(obs, action, next_obs)
        reward = known.reward_fn(obs, action, next_obs)
        terminated = known.terminated_fn(obs, action, next_obs)
        return next_obs, jnp.asarray(reward, obs.dtype), jnp.asarray(terminated, bool)
