"""What an update of sac learns: one-step targets, on imagined and on real steps.

    y  =  r + γ (1 − d) (min Q⁻(s', a') − α log π(a'|s')),      max_π  min Q(s, a) − α log π(a|s)

The imagined steps are those of the pool, branches of real states (Janner et al., 2019, When to
trust your model); with real steps alone it is soft actor-critic (Haarnoja et al., 2018).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from duopoly.networks import MLP
from duopoly.policy.actor_critic.actor import draw
from duopoly.policy.actor_critic.critics import lowest_of_some, measure_bounds
from duopoly.policy.actor_critic.learner import (
    ActorCriticState,
    Experience,
    Lesson,
    held_back,
    one_step_targets,
)
from duopoly.policy.actor_critic.pool import join, sample, sample_real
from duopoly.settings import Settings


def teach(
    key: Key[Array, ""],
    state: ActorCriticState,
    experience: Experience,
    actor_moves: Bool[Array, ""],
    settings: Settings,
) -> Lesson:
    """Returns an update's lesson from steps of the pool and of the data."""
    options = settings.policy.actor_critic
    key_steps, key_real, key_actor, key_target, key_some = jax.random.split(key, 5)
    num_real = round(options.real_share * options.batch_size)
    steps = sample_real(key_real, experience.data, num_real)
    if experience.pool is not None:
        imagined = sample(key_steps, experience.pool, (options.batch_size - num_real,))
        steps = join(imagined, steps)

    def loss_fn(network: MLP) -> tuple[Float[Array, ""], tuple[Array, Array]]:
        actor = state.actor.with_network(network)
        drawn = draw(key_actor, actor, steps.obs)
        values = state.online(steps.obs, drawn.action)
        values = lowest_of_some(key_some, values, options.num_lowest)
        objective = jnp.mean(values - state.temperature * drawn.log_prob)
        objective -= held_back(actor, experience, state, steps.obs)
        return -objective, (objective, -jnp.mean(drawn.log_prob))

    def moving(network: MLP) -> tuple[MLP, tuple[Array, Array]]:
        return jax.grad(loss_fn, has_aux=True)(network)

    def still(network: MLP) -> tuple[MLP, tuple[Array, Array]]:
        return jax.tree.map(jnp.zeros_like, network), loss_fn(network)[1]

    gradient, (objective, entropy) = jax.lax.cond(actor_moves, moving, still, state.actor.network)
    target, log_prob = one_step_targets(key_target, state, steps, settings)
    earned = steps.pay - state.temperature * log_prob
    return Lesson(
        obs=steps.obs,
        action=steps.action,
        target=target,
        gradient=gradient,
        objective=objective,
        entropy=entropy,
        earned=measure_bounds(earned, jnp.ones(earned.shape, bool), settings.policy.discount),
    )
