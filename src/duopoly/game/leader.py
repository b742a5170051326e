"""The leader of PAL or MAL, who differentiates the follower's best response (Eq. 11)."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from duopoly.equilibrium.model_leader import model_term, norms_of_gradient
from duopoly.equilibrium.on_policy import OnPolicyData, effective_sample_size
from duopoly.equilibrium.policy_leader import LeaderInfo, policy_term
from duopoly.game import report
from duopoly.game.state import Game, GameState, Players, Purpose, is_offline, key_of
from duopoly.game.views import learned_world, practice_world, recent_data, start_states
from duopoly.model.dynamics import robust_world
from duopoly.model.fit import measure
from duopoly.model.imagine import Starts
from duopoly.model.objective import LeaderPenalty
from duopoly.policy.gaussian import GaussianPolicy
from duopoly.policy.gradient.surrogate import Samples
from duopoly.policy.player import LeaderFn, State
from duopoly.schedule import Leader
from duopoly.types import Metrics, Transitions


def leads(game: Game, state: GameState, leader: Leader) -> bool:
    """Tells whether that player leads, and differentiates the other's best response.

    That takes the density of the actions in the data under the policy that drew them, which for
    logged ones nobody knows: on them alone the leader's gradient is of first order.
    """
    wants_more = game.settings.leader.gradient != "first_order"
    return game.leader is leader and wants_more and not is_offline(game.settings, state)


def on_policy_data(game: Game, before: Players, state: GameState) -> OnPolicyData:
    """Returns the newest real data of the policy, as many rows as a later round collects."""
    num_rows = -(-game.settings.collection.steps_per_round // game.task.action_repeat)
    fresh, fitted = state.buffer.latest_rounds(1, num_rows), recent_data(game, state)
    # Of a longer first collection all rows are fitted, although only the newest are looked at.
    share = jnp.minimum(state.buffer.num_fresh / fitted.num_valid, 1.0)
    return OnPolicyData(fresh, before.policy.policy, fitted, share)


def key_of_term(game: Game, state: GameState) -> Key[Array, ""]:
    """Returns the key of a round's implicit terms."""
    return jax.random.fold_in(key_of(game.seed, Purpose.LEADER), state.round)


class PolicyLeader(NamedTuple):
    """The implicit term of a policy that leads, from real data."""

    on_policy: OnPolicyData
    term_fn: LeaderFn

    def report(self, terms: Sequence[LeaderInfo], policy: GaussianPolicy) -> Metrics:
        """Summarises a round's implicit terms, and the effective sample size after its steps."""
        left = effective_sample_size(self.on_policy, policy)
        return report.of_leader(terms) | {"leader/effective_sample_size": float(left)}


def policy_leader(
    game: Game, before: Players, state: GameState, starts: Starts
) -> PolicyLeader | None:
    """Returns the implicit term of a policy that improves; None unless it leads."""
    if not leads(game, state, Leader.POLICY):
        return None
    on_policy, world = on_policy_data(game, before, state), practice_world(game, before)

    def term_fn(step: int, player: State) -> tuple[Samples, LeaderInfo]:
        key = jax.random.fold_in(key_of_term(game, state), step)
        return policy_term(key, player, world, starts, on_policy, game.settings)

    return PolicyLeader(on_policy, term_fn)


def model_leader_term(
    game: Game, before: Players, state: GameState, data: Transitions
) -> tuple[LeaderPenalty | None, Metrics]:
    """Returns what a leading model adds to its loss, once a policy has responded to it."""
    if not leads(game, state, Leader.MODEL) or int(before.model.num_fits) == 0:
        return None, {}
    settings = game.settings
    # In the units of the loss to be minimised: those of the data, measured anew.
    ensemble = measure(before.model.ensemble, data, settings.model.clip_sigmas)
    world = eqx.tree_at(lambda w: w.ensemble, learned_world(game, before), ensemble)
    world = robust_world(world, settings.robustness)
    on_policy = on_policy_data(game, before, state)
    gradient, info = model_term(
        key_of_term(game, state), before.policy, world, start_states(game, state), on_policy,
        settings,
    )  # fmt: skip
    norms = norms_of_gradient(gradient, ensemble, on_policy.data)
    penalty = None if bool(info.is_failed) else LeaderPenalty(gradient, settings.leader.cg_damping)
    return penalty, report.of_leader([info]) | report.of_leading_model(norms)
