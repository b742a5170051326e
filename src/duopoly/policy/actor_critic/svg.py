"""What an update of svg learns: value gradients through the model.

From states of the pool, the actor plays H steps in the model, members shuffled between them. That
one rollout is the critics' target, at its first state and action, and the actor's objective:

    y    =  G(s_0, a_0) with min Q⁻ at its end
    J_H  =  G(s_0, a_0) − α log π_0 with mean Q at its end
    J_0  =  mean Q(s_0, a_0) − α log π_0
    max_π  w J_H + (1 − w) J_0

G is a `lookahead.soft_return`. An end of the world has no gradient in J_H; that a_0 leads to one,
J_0 tells. Sources: Heess et al. (2015), Learning continuous control policies by stochastic value
gradients; Amos et al. (2021), On the model-based stochastic value gradient; Kubo et al. (2025),
Double horizon model-based policy optimization.
"""

from collections.abc import Sequence
from typing import Final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from duopoly.networks import MLP
from duopoly.policy.actor_critic.critics import lowest_of_some, measure_bounds
from duopoly.policy.actor_critic.learner import (
    ActorCriticState,
    Experience,
    Lesson,
    held_back,
    one_step_targets,
)
from duopoly.policy.actor_critic.lookahead import Lookahead, look_ahead, soft_return
from duopoly.policy.actor_critic.pool import members_share, sample, sample_real
from duopoly.settings import Settings
from duopoly.spread import spread

READS: Final = tuple(
    f"policy.actor_critic.{name}" for name in ("horizon", "lookahead_weight", "soft_survival")
)
"""Settings that it reads beside those of every actor-critic."""


def teach(
    key: Key[Array, ""],
    state: ActorCriticState,
    experience: Experience,
    actor_moves: Bool[Array, ""],
    settings: Settings,
) -> Lesson:
    """Returns an update's lesson from one rollout of the actor."""
    options, discount = settings.policy.actor_critic, settings.policy.discount
    key_starts, key_ahead, key_some, key_real = jax.random.split(key, 4)
    assert experience.pool is not None
    shape = members_share(experience.world, options)
    starts = spread(sample(key_starts, experience.pool, shape).obs, axis=1)

    def loss_fn(network: MLP) -> tuple[Float[Array, ""], tuple[Lookahead, Array]]:
        actor = state.actor.with_network(network)
        ahead = look_ahead(
            key_ahead, actor, experience.world, starts, options.horizon, discount,
            options.soft_survival,
        )  # fmt: skip
        objective = objective_of(state, starts, ahead, options.lookahead_weight)
        objective -= held_back(actor, experience, state, starts)
        return -objective, (ahead, objective)

    def moving(network: MLP) -> tuple[MLP, tuple[Lookahead, Array]]:
        return jax.grad(loss_fn, has_aux=True)(network)

    def still(network: MLP) -> tuple[MLP, tuple[Lookahead, Array]]:
        return jax.tree.map(jnp.zeros_like, network), loss_fn(network)[1]

    gradient, (ahead, objective) = jax.lax.cond(actor_moves, moving, still, state.actor.network)
    values = state.slow(ahead.last_obs, ahead.last.action)
    last = lowest_of_some(key_some, values, options.num_lowest)
    target = soft_return(ahead, last, state.temperature, with_first=False)
    rows = [x.reshape(-1, *x.shape[2:]) for x in (starts, ahead.action, target)]
    if options.real_share > 0.0:
        rows = _with_real(key_real, rows, state, experience, settings)
    earned = ahead.pay - state.temperature * ahead.log_prob
    return Lesson(
        *rows,
        gradient=gradient,
        objective=objective,
        entropy=-jnp.mean(ahead.log_prob[0]),
        earned=measure_bounds(earned, ahead.weight > 0.0, discount),
    )


def objective_of(
    state: ActorCriticState, starts: Float[Array, "E B obs"], ahead: Lookahead, weight: float
) -> Float[Array, ""]:
    """Returns what the actor maximises, ``weight`` of it J_H and the rest J_0."""
    last = jnp.mean(state.online(ahead.last_obs, ahead.last.action), axis=0)
    far = soft_return(ahead, last, state.temperature, with_first=True)
    near = jnp.mean(state.online(starts, ahead.action), axis=0)
    near = near - state.temperature * ahead.log_prob[0]
    return jnp.mean(weight * far + (1.0 - weight) * near)


def _with_real(
    key: Key[Array, ""],
    rows: Sequence[Array],
    state: ActorCriticState,
    experience: Experience,
    settings: Settings,
) -> list[Array]:
    """Returns the critics' observations, actions and targets, a share of them of real steps."""
    num_real = round(settings.policy.actor_critic.real_share * len(rows[0]))
    key_rows, key_target = jax.random.split(key)
    real = sample_real(key_rows, experience.data, num_real)
    target, _ = one_step_targets(key_target, state, real, settings)
    pairs = zip(rows, (real.obs, real.action, target), strict=True)
    return [jnp.concatenate([one[num_real:], other]) for one, other in pairs]
