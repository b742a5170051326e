"""What a step earns and whether the world ends there, learned where the task does not tell.

Every member has a network of (s, a, s′ − s), beside the one that predicts s′: it sees where the
step led, so a reward or an end that is a function of the state reached is a function of its input.
It is fitted to real transitions and asked about imagined ones.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from duopoly.lockstep import kernel
from duopoly.networks import MLP, Normaliser, moments
from duopoly.settings import ModelSettings
from duopoly.types import Transitions, clip_action


class LearnedOutputs(NamedTuple):
    """What the model must learn beside the next observation."""

    reward: bool = False
    termination: bool = False


class RewardTerminationNets(eqx.Module):
    """All members' networks of reward and termination, with statistics of the data they fit."""

    members: MLP
    """Networks stacked along a leading axis E; they predict the `outputs`, the reward first."""
    inputs: Normaliser
    """Of (obs, action, next_obs − obs)."""
    rewards: Normaliser
    low: Float[Array, ""]
    """Smallest reward a prediction may take."""
    high: Float[Array, ""]
    """Largest reward a prediction may take."""
    end_share: Float[Array, ""]
    """Share of the data's steps at which the world ended."""
    outputs: LearnedOutputs = eqx.field(static=True)


class OutcomeTargets(NamedTuple):
    """What the networks see and what they should predict."""

    x: Float[Array, "N features"]
    reward: Float[Array, " N"]
    """Normalised."""
    terminated: Float[Array, " N"]
    """1 where the world ended, else 0."""


class OutcomeError(NamedTuple):
    """How far off the members are on some data."""

    reward: Float[Array, " E"]
    """Mean squared error in units of the fitted rewards' variance."""
    termination: Float[Array, " E"]
    """Mean logistic loss, in nats."""


def init_outcomes(
    key: Key[Array, ""],
    obs_dim: int,
    action_dim: int,
    settings: ModelSettings,
    outputs: LearnedOutputs,
) -> RewardTerminationNets | None:
    """Returns networks that predict the data's mean; None where nothing is to be learned."""
    if not any(outputs):
        return None
    num_inputs = 2 * obs_dim + action_dim
    sizes = (num_inputs, *settings.outcome_hidden, sum(outputs))
    keys = jax.random.split(key, settings.num_members)
    return RewardTerminationNets(
        members=eqx.filter_vmap(lambda k: MLP(k, sizes, settings.activation, 0.0))(keys),
        inputs=Normaliser.identity(num_inputs),
        rewards=Normaliser.identity(1),
        low=jnp.asarray(-jnp.inf, jnp.float32),
        high=jnp.asarray(jnp.inf, jnp.float32),
        end_share=jnp.zeros(()),
        outputs=outputs,
    )


def measure_outcomes(
    outcomes: RewardTerminationNets, data: Transitions, clip_sigmas: float
) -> RewardTerminationNets:
    """Takes the normalisers, the range of rewards and the share of ends from the data."""
    valid, reward = data.valid, data.reward[:, None]
    margin = clip_sigmas * moments(reward, valid)[1][0]
    content = jnp.concatenate(
        [data.obs, clip_action(data.action), data.next_obs - data.obs], axis=1
    )
    return dataclasses.replace(
        outcomes,
        inputs=Normaliser.of(content, valid),
        rewards=Normaliser.of(reward, valid),
        low=jnp.min(jnp.where(valid, data.reward, jnp.inf)) - margin,
        high=jnp.max(jnp.where(valid, data.reward, -jnp.inf)) + margin,
        end_share=jnp.sum(data.terminated & valid) / jnp.maximum(data.num_valid, 1),
    )


def outcome_targets(outcomes: RewardTerminationNets, data: Transitions) -> OutcomeTargets:
    """Returns the data as the networks see it."""
    see = jax.vmap(lambda *row: _see(outcomes, *row))
    return OutcomeTargets(
        x=see(data.obs, data.action, data.next_obs),
        reward=jax.vmap(outcomes.rewards)(data.reward[:, None])[:, 0],
        terminated=data.terminated.astype(jnp.float32),
    )


def outcome_losses(
    outcomes: RewardTerminationNets, member: MLP, targets: OutcomeTargets
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """Returns the loss of one member on every sample: of the reward, and of termination.

        squared error (r̂ − r)²,   logistic loss log(1 + eˡ) − d·l  with logit l and d ∈ {0, 1}

    The logistic loss is −log of the probability given to what happened, so both are Definition 1's
    KL divergence up to a constant. Ends are rare, yet none is given more weight: that would make
    the probability larger than what is true. An output that is not learned has loss 0.
    """
    output = jax.vmap(member)(targets.x)
    reward, logit = output[:, 0], output[:, -1] + log_odds(outcomes)
    nothing = jnp.zeros(reward.shape)
    of_reward = (reward - targets.reward) ** 2
    of_end = jax.nn.softplus(logit) - targets.terminated * logit
    learned = outcomes.outputs
    return of_reward if learned.reward else nothing, of_end if learned.termination else nothing


@kernel()
def outcome_error(outcomes: RewardTerminationNets, data: Transitions) -> OutcomeError:
    """Evaluates every member on the data."""
    targets = outcome_targets(outcomes, data)

    def mean(losses: Float[Array, " N"]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(data.valid, losses, 0.0)) / data.num_valid

    def of_member(member: MLP) -> OutcomeError:
        return OutcomeError(*map(mean, outcome_losses(outcomes, member, targets)))

    return jax.vmap(of_member)(outcomes.members)


class Outcomes(NamedTuple):
    """What the members expect of steps; an output that is not learned has no meaning."""

    reward: Float[Array, "E B"]
    terminated: Bool[Array, "E B"]
    """Drawn."""
    end_probability: Float[Array, "E B"]


def predict_outcomes(
    key: Key[Array, ""],
    outcomes: RewardTerminationNets,
    obs: Float[Array, "E B obs"],
    action: Float[Array, "E B act"],
    next_obs: Float[Array, "E B obs"],
) -> Outcomes:
    """Returns what each member expects every step to earn, and draws whether its world ends there.

    The reward stays near the range of the data's. Termination is drawn with the probability that
    the network gives it, not cut at one half: so as many imagined steps end as it expects, even
    where ends cannot be predicted and no single step is likely to be one. A world that was never
    seen to end does not end.
    """

    def one(member: MLP, *row: Array) -> Array:
        return member(_see(outcomes, *row))

    over_batch = jax.vmap(one, in_axes=(None, 0, 0, 0))
    output = eqx.filter_vmap(over_batch)(outcomes.members, obs, action, next_obs)
    reward = outcomes.rewards.std[0] * output[..., 0] + outcomes.rewards.mean[0]
    probability = jax.nn.sigmoid(output[..., -1] + log_odds(outcomes))
    probability = jnp.where(outcomes.end_share > 0.0, probability, 0.0)
    terminated = jax.random.uniform(key, probability.shape) < probability
    return Outcomes(jnp.clip(reward, outcomes.low, outcomes.high), terminated, probability)


def log_odds(outcomes: RewardTerminationNets) -> Float[Array, ""]:
    """Returns the log odds of an end anywhere in the data, to which the networks' output is added.

    So a network that knows nothing yet ends as many worlds as there were.
    """
    share = jnp.clip(outcomes.end_share, 1e-6, 1.0 - 1e-6)
    return jnp.log(share) - jnp.log1p(-share)


def _see(
    outcomes: RewardTerminationNets,
    obs: Float[Array, " obs"],
    action: Float[Array, " act"],
    next_obs: Float[Array, " obs"],
) -> Float[Array, " features"]:
    """The networks' normalised input; the change tells more than next_obs where it is small."""
    return outcomes.inputs(jnp.concatenate([obs, clip_action(action), next_obs - obs]))
