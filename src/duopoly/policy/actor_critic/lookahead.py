"""What an actor earns in the model over a few steps, with a gradient through model and rewards.

    G(s_0, a_0)  =  Σ_{t<H} w_t (r_t − [t>0] α log π_t)  +  w_τ (Q(s_τ, a_τ) − α log π_τ)

w_0 is 1 and w_{t+1} = γ w_t (1 − d_t): the discount, and whether the world still goes on. A rollout
stops where the world ends, or where the model does not trust itself further; the reward of that
step counts, and s_τ is the state it led to, H steps ahead at most.

An end d_t is 0 or 1 and has no gradient. With soft survival it is the probability that the model
predicts, which has one (Amos et al., 2021): then the actor feels that it comes nearer to a fall.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from duopoly.model.imagine import Dynamics
from duopoly.policy.actor_critic.actor import Actor, Draw, draw


class Lookahead(NamedTuple):
    """A rollout of the actor from each start, and where it stopped."""

    action: Float[Array, "E B act"]
    """The first."""
    pay: Float[Array, "H E B"]
    log_prob: Float[Array, "H E B"]
    weight: Float[Array, "H E B"]
    """w_t; zero where the rollout has stopped."""
    last_obs: Float[Array, "E B obs"]
    """s_τ."""
    last: Draw
    """a_τ."""
    last_weight: Float[Array, "E B"]
    """w_τ."""


class _Step(NamedTuple):
    """Where a rollout is."""

    obs: Float[Array, "E B obs"]
    last_obs: Float[Array, "E B obs"]
    goes_on: Bool[Array, "E B"]
    weight: Float[Array, "E B"]


def look_ahead(
    key: Key[Array, ""],
    actor: Actor,
    world: Dynamics,
    starts: Float[Array, "E B obs"],
    horizon: int,
    discount: float,
    is_soft: bool = False,
) -> Lookahead:
    """Plays some steps from every start; ``is_soft``: survives them by chance.

    A rollout that has stopped plays on from its start as padding, for the task's functions may have
    no gradient where its world has ended.
    """
    key_last, key_steps = jax.random.split(key)

    def step(now: _Step, keys: Key[Array, "2"]) -> tuple[_Step, tuple[Array, Draw, Array]]:
        drawn = draw(keys[0], actor, now.obs)
        seen = world(keys[1], now.obs, drawn.action)
        pay = jnp.where(now.goes_on, seen.pay, 0.0)
        ends, stops = seen.terminated.astype(pay.dtype), seen.terminated
        if is_soft and seen.end_probability is not None:
            ends, stops = seen.end_probability, jnp.zeros(stops.shape, bool)
        still = now.goes_on & ~stops & ~seen.truncated
        after = _Step(
            jnp.where(still[..., None], seen.next_obs, starts),
            jnp.where(now.goes_on[..., None], seen.next_obs, now.last_obs),
            still,
            jnp.where(now.goes_on, discount * now.weight * (1.0 - ends), now.weight),
        )
        return after, (pay, drawn, jnp.where(now.goes_on, now.weight, 0.0))

    everywhere = jnp.ones(starts.shape[:2])
    begin = _Step(starts, starts, everywhere > 0.0, everywhere)
    keys = jax.random.split(key_steps, (horizon, 2))
    end, (pay, drawn, weight) = jax.lax.scan(step, begin, keys, unroll=horizon <= 8)
    last = draw(key_last, actor, end.last_obs)
    return Lookahead(drawn.action[0], pay, drawn.log_prob, weight, end.last_obs, last, end.weight)


def soft_return(
    ahead: Lookahead,
    last_value: Float[Array, "E B"],
    temperature: Float[Array, ""],
    with_first: bool,
) -> Float[Array, "E B"]:
    """Returns G, given Q(s_τ, a_τ).

    ``with_first``: with the entropy of a_0, which belongs to the value of s_0 and not to Q.
    """
    earned = ahead.pay - temperature * ahead.log_prob
    if not with_first:
        earned = earned.at[0].set(ahead.pay[0])
    last = ahead.last_weight * (last_value - temperature * ahead.last.log_prob)
    return jnp.sum(ahead.weight * earned, axis=0) + last
