"""Planning as the policy player: model-predictive control in the learned ensemble (Alg. 2, line 3).

    max over a_0 … a_(H-1) of E[Σ_t γᵗ r_t],   s_(t+1) ~ M̂(s_t, a_t)

Before every action, plans are drawn around the best so far, played in all members of the ensemble,
and the search moves towards those that earn most. CEM refits its mean and standard deviation to
the best few (Chua et al., 2018); MPPI takes the mean of all, weighted by the exponential of what
they earn (Williams et al., 2017). What is left of a plan starts the search for the next one.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from duopoly.lockstep import kernel
from duopoly.model.imagine import Dynamics
from duopoly.networks import NEGLIGIBLE
from duopoly.policy.returns import tail_weights
from duopoly.settings import PlannerSettings, Settings

READS: Final = (
    *("policy.discount", "robustness.cvar_alpha"),
    *("policy.planner.num_samples", "policy.planner.num_particles"),
    *("policy.planner.num_iterations", "policy.planner.momentum"),
    *("policy.planner.initial_std", "policy.planner.smoothing"),
)
"""Settings that `plan` reads, beside those of the update of its search."""


class Search(NamedTuple):
    """The distribution from which plans are drawn, actions in policy units."""

    mean: Float[Array, "T act"]
    std: Float[Array, "T act"]


UpdateFn = Callable[[Search, Float[Array, "N T act"], Float[Array, " N"], PlannerSettings], Search]
"""Moves a search towards the plans that earn most, by plans, their returns and settings."""


class PlanInfo(NamedTuple):
    """What is observed of one search."""

    return_: Float[Array, ""]
    """Return that the model predicts for the plan as it came into the last iteration: discounted,
    over the horizon."""


def empty_plan(action_dim: int, settings: PlannerSettings) -> Float[Array, "T act"]:
    """Returns the plan before anything was seen: the middle of the action range, all along."""
    return jnp.zeros((settings.horizon, action_dim))


@kernel()
def plan(
    key: Key[Array, ""],
    dynamics: Dynamics,
    obs: Float[Array, " obs"],
    previous: Float[Array, "T act"],
    settings: Settings,
    update_fn: UpdateFn,
) -> tuple[Float[Array, " act"], Float[Array, "T act"], PlanInfo]:
    """Searches for the best plan from here, starting from what is left of the previous one.

    Returns the first action of it in [-1, 1], NaN where no plan's return is finite; the rest,
    moved one step ahead; and what was seen.
    """
    planner = settings.policy.planner

    def iterate(search: Search, key: Array) -> tuple[Search, Float[Array, ""]]:
        key_plans, key_world = jax.random.split(key)
        plans = draw_plans(key_plans, search, planner)
        score = plan_returns(key_world, dynamics, obs, plans, settings)
        best = update_fn(search, plans, score, planner)
        keep = planner.momentum
        # The first of the plans is the mean itself.
        return jax.tree.map(lambda a, b: keep * a + (1.0 - keep) * b, search, best), score[0]

    begin = Search(previous, jnp.full(previous.shape, planner.initial_std))
    keys = jax.random.split(key, planner.num_iterations)
    search, return_ = jax.lax.scan(iterate, begin, keys)
    rest = jnp.concatenate([search.mean[1:], jnp.zeros((1, previous.shape[1]))])
    return search.mean[0], rest, PlanInfo(return_[-1])


def draw_plans(
    key: Key[Array, ""], search: Search, settings: PlannerSettings
) -> Float[Array, "N T act"]:
    """Draws plans inside the action range; the first one is the mean itself.

    The noise of successive actions is correlated, n_t = β n_(t-1) + √(1 - β²) ε_t, for smooth
    motions get further than jitter.
    """
    horizon = search.mean.shape[0]
    beta = settings.smoothing
    lag = np.subtract.outer(np.arange(horizon), np.arange(horizon))
    response = np.where(lag >= 0, beta ** np.maximum(lag, 0), 0.0)
    response[:, 1:] *= (1.0 - beta**2) ** 0.5
    white = jax.random.normal(key, (settings.num_samples, *search.mean.shape))
    noise = jnp.einsum("ts,nsa->nta", jnp.asarray(response, white.dtype), white).at[0].set(0.0)
    return jnp.clip(search.mean[None] + search.std[None] * noise, -1.0, 1.0)


def plan_returns(
    key: Key[Array, ""],
    dynamics: Dynamics,
    obs: Float[Array, " obs"],
    plans: Float[Array, "N T act"],
    settings: Settings,
) -> Float[Array, " N"]:
    """Returns what each plan earns in the model: E[Σ_t γᵗ r_t], its tail over the members (Eq. 17).

    A world that has ended earns nothing more. A truncated one, which is not to be trusted any
    further, keeps earning its last reward: no plan gains by leaving what is known.
    """
    num_plans, horizon, _ = plans.shape
    num_particles = settings.policy.planner.num_particles
    shape = (dynamics.num_members, num_plans * num_particles)
    actions = jnp.moveaxis(jnp.repeat(plans, num_particles, axis=0), 1, 0)
    discounts = settings.policy.discount ** jnp.arange(horizon, dtype=plans.dtype)

    def step(carry: tuple, now: tuple[Array, Array, Array]) -> tuple[tuple, None]:
        obs, reward, goes_on, is_trusted, total = carry
        key, action, discount = now
        told = dynamics(key, obs, jnp.broadcast_to(action, (*shape, action.shape[1])))
        reward = jnp.where(is_trusted, told.pay, reward)
        total = total + discount * jnp.where(goes_on, reward, 0.0)
        goes_on = goes_on & ~(told.terminated & is_trusted)
        return (told.next_obs, reward, goes_on, is_trusted & ~told.truncated, total), None

    yes = jnp.ones(shape, bool)
    begin = (jnp.broadcast_to(obs, (*shape, *obs.shape)), jnp.zeros(shape), yes, yes)
    keys = jax.random.split(key, horizon)
    carry, _ = jax.lax.scan(step, (*begin, jnp.zeros(shape)), (keys, actions, discounts))
    return_ = jnp.mean(carry[-1].reshape(shape[0], num_plans, num_particles), axis=2)
    share = jax.vmap(lambda r: tail_weights(r, settings.robustness.cvar_alpha), 1, 1)(return_)
    return jnp.sum(share * return_, axis=0)


def cem_update(
    search: Search,
    plans: Float[Array, "N T act"],
    score: Float[Array, " N"],
    settings: PlannerSettings,
) -> Search:
    """Fits mean and standard deviation to the best plans (the cross-entropy method)."""
    del search
    score = jnp.where(jnp.isfinite(score), score, -jnp.inf)
    last = jax.lax.top_k(score, settings.num_elites)[0][-1]
    weight = jnp.where((score >= last) & jnp.isfinite(score), 1.0, 0.0)
    weight = weight / jnp.sum(weight)
    mean = jnp.einsum("n,nta->ta", weight, plans)
    variance = jnp.einsum("n,nta->ta", weight, (plans - mean[None]) ** 2)
    return Search(mean, jnp.sqrt(variance))


def mppi_update(
    search: Search,
    plans: Float[Array, "N T act"],
    score: Float[Array, " N"],
    settings: PlannerSettings,
) -> Search:
    """Weighs every plan by exp(J / (temperature · std(J))) (model-predictive path integrals)."""
    is_finite = jnp.isfinite(score)
    spread = jnp.std(score, where=is_finite)
    score = jnp.where(is_finite, score, -jnp.inf)
    weight = jax.nn.softmax(score / (settings.temperature * spread + NEGLIGIBLE))
    return Search(jnp.einsum("n,nta->ta", weight, plans), search.std)
