"""What an actor-critic carries, and one update of it."""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from duopoly.lockstep import kernel
from duopoly.model.imagine import Dynamics
from duopoly.networks import MLP, rebase
from duopoly.policy.actor_critic.actor import Actor, draw, init_actor, kl_divergence
from duopoly.policy.actor_critic.critics import (
    Bounds,
    Critics,
    init_critics,
    lowest_of_some,
    moved,
)
from duopoly.policy.actor_critic.pool import Pool, Steps
from duopoly.policy.player import Spaces
from duopoly.settings import Settings
from duopoly.types import Transitions

Tree = TypeVar("Tree")

ADAM: Final = optax.scale_by_adam()

MIN_TEMPERATURE: Final = 1e-4


class Optimisers(NamedTuple):
    """Adam's moments of all that is learned."""

    actor: optax.OptState
    critics: optax.OptState
    temperature: optax.OptState


class ActorCriticState(eqx.Module):
    """What the player carries from round to round."""

    actor: Actor
    """The policy that learns."""
    acting: MLP
    """Network of the policy that acts: the actor's, or an average over its latest updates."""
    critics: MLP
    """Stacked along a leading axis C."""
    targets: MLP
    """Slow copies of the critics."""
    bounds: Bounds
    temperature: Float[Array, ""]
    """Weight of the entropy beside the reward."""
    optimisers: Optimisers
    num_updates: Int[Array, ""]
    """Since the game began."""

    @property
    def deputy(self) -> Actor:
        """The policy that acts."""
        return self.actor.with_network(self.acting)

    @property
    def online(self) -> Critics:
        """Q by the critics that learn."""
        return Critics(self.critics, self.bounds, self.actor.inputs)

    @property
    def slow(self) -> Critics:
        """Q by the target critics."""
        return Critics(self.targets, self.bounds, self.actor.inputs)


class Tether(NamedTuple):
    """What the actor's objective loses by how far it is from the round's first.

    With it a round is a step of mirror descent (Tomar et al., 2020, Mirror descent policy
    optimization): the best policy is the first one times exp(Q / (weight α)), and so on.
    """

    first: Actor
    weight: Float[Array, ""]
    """Of the KL divergence, in units of the temperature α."""


class Experience(NamedTuple):
    """What updates learn from."""

    world: Dynamics
    pool: Pool | None
    """None: real steps alone are learned from."""
    data: Transitions
    tether: Tether | None = None
    """What keeps the actor near to the round's first; None: nothing does."""


class Lesson(NamedTuple):
    """What one update moves the critics and the actor by."""

    obs: Float[Array, "N obs"]
    action: Float[Array, "N act"]
    target: Float[Array, " N"]
    """Of Q(s, a), not yet bounded."""
    gradient: MLP
    """Of the actor's objective, negated; zero where the critics learn alone."""
    objective: Float[Array, ""]
    """What the actor maximises."""
    entropy: Float[Array, ""]
    """Mean of −log π(a|s)."""
    earned: Bounds
    """Bounds of Q by what the steps of this update earn."""


class UpdateInfo(NamedTuple):
    """What is observed of one update."""

    critic_loss: Float[Array, ""]
    """Mean squared error, in units of half the width of Q's bounds."""
    value: Float[Array, ""]
    """Mean of Q."""
    clipped_targets: Float[Array, ""]
    """Share of the targets that lay beyond the bounds."""
    objective: Float[Array, ""]
    entropy: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    """Of the actor's gradient before it is cut; 0 where the critics learn alone."""
    is_cut: Bool[Array, ""]
    is_refused: Bool[Array, ""]
    """Whether a number broke down, so all stayed as it was."""


TeachFn = Callable[
    [Key[Array, ""], ActorCriticState, Experience, Bool[Array, ""], Settings], Lesson
]
"""Returns an update's lesson; the flag tells whether the actor moves."""


def init_state(key: Key[Array, ""], spaces: Spaces, settings: Settings) -> ActorCriticState:
    """Returns the player at the start of the game."""
    key_actor, key_critics = jax.random.split(key)
    obs_dim, action_dim, angles = spaces
    options = settings.policy.actor_critic
    critics = init_critics(key_critics, obs_dim + len(angles) + action_dim, options)
    actor = init_actor(key_actor, obs_dim, action_dim, settings.policy, angles)
    temperature = options.initial_temperature * jnp.ones(())  # of no weak type
    moments = [
        ADAM.init(eqx.filter(x, eqx.is_array)) for x in (actor.network, critics, temperature)
    ]
    return ActorCriticState(
        actor=actor,
        acting=actor.network,
        critics=critics,
        targets=critics,
        bounds=Bounds(-jnp.ones(()), jnp.ones(())),
        temperature=temperature,
        optimisers=Optimisers(*moments),
        num_updates=jnp.zeros((), jnp.int32),
    )


def explore(state: ActorCriticState, settings: Settings) -> ActorCriticState:
    """Raises the temperature to that of the start, where it has fallen below."""
    initial = settings.policy.actor_critic.initial_temperature
    temperature = jnp.maximum(state.temperature, initial)
    return eqx.tree_at(lambda s: s.temperature, state, temperature)


@kernel()
def renew_inputs(state: ActorCriticState, seen: Transitions) -> ActorCriticState:
    """Returns the same actor and critics, with inputs normalised by newer data."""
    old = state.actor.inputs
    new = old.renewed(seen.obs, seen.valid)
    over_critics = jax.vmap(lambda one: rebase(one, old, new))
    return eqx.tree_at(
        lambda s: (s.actor, s.acting, s.critics, s.targets),
        state,
        (
            Actor(rebase(state.actor.network, old, new), new, state.actor.min_std),
            rebase(state.acting, old, new),
            over_critics(state.critics),
            over_critics(state.targets),
        ),
    )


def update(
    key: Key[Array, ""],
    state: ActorCriticState,
    experience: Experience,
    actor_moves: Bool[Array, ""],
    settings: Settings,
    teach_fn: TeachFn,
    pace: Float[Array, ""] | float = 1.0,
) -> tuple[ActorCriticState, UpdateInfo]:
    """Moves critics, actor and temperature by one step of Adam each, and what follows them.

    ``pace`` scales the step size.
    """
    rate = settings.policy.learning_rate * pace * _share_left(state.num_updates, settings)
    lesson = teach_fn(key, state, experience, actor_moves, settings)
    after_critics, of_critics = _learn_values(state, lesson, rate, settings)
    after_all, of_actor = _learn_actions(after_critics, lesson, rate, settings)
    is_refused = ~(jnp.isfinite(of_actor.norm) & jnp.isfinite(of_critics.loss))
    info = UpdateInfo(
        critic_loss=of_critics.loss,
        value=of_critics.value,
        clipped_targets=of_critics.clipped_targets,
        objective=lesson.objective,
        entropy=lesson.entropy,
        gradient_norm=of_actor.norm,
        is_cut=of_actor.is_cut,
        is_refused=is_refused,
    )
    new = choose(actor_moves, after_all, after_critics)
    acting = moved(new.acting, new.actor.network, settings.policy.actor_critic.acting_rate)
    new = eqx.tree_at(lambda s: s.acting, new, acting)
    return choose(is_refused, state, new), info


def _share_left(num_updates: Int[Array, ""], settings: Settings) -> Float[Array, ""]:
    """Returns the share of the first step size that is left after so many updates."""
    halving = settings.policy.actor_critic.halving_updates
    return 1.0 / (1.0 + num_updates / halving) if halving else jnp.ones(())


class _OfCritics(NamedTuple):
    loss: Float[Array, ""]
    value: Float[Array, ""]
    clipped_targets: Float[Array, ""]


class _OfActor(NamedTuple):
    norm: Float[Array, ""]
    is_cut: Bool[Array, ""]


def _learn_values(
    state: ActorCriticState, lesson: Lesson, rate: float | Float[Array, ""], settings: Settings
) -> tuple[ActorCriticState, _OfCritics]:
    """Moves bounds, critics and target critics."""
    options = settings.policy.actor_critic
    # The first update of all measures the bounds, later ones follow slowly.
    share = jnp.where(state.num_updates == 0, 1.0, options.bounds_rate)
    bounds = jax.tree.map(lambda a, b: a + share * (b - a), state.bounds, lesson.earned)
    target = bounds.clip(lesson.target)

    def loss_fn(networks: MLP) -> tuple[Float[Array, ""], tuple[Array, Array]]:
        values = Critics(networks, bounds, state.actor.inputs)(lesson.obs, lesson.action)
        error = jnp.mean(((values - target[None]) / bounds.half_width) ** 2, axis=1)
        return jnp.sum(error), (jnp.mean(error), jnp.mean(values))

    gradient, (loss, value) = jax.grad(loss_fn, has_aux=True)(state.critics)
    critics, moments = descend(rate, gradient, state.optimisers.critics, state.critics)
    after = eqx.tree_at(
        lambda s: (s.critics, s.targets, s.bounds, s.optimisers.critics, s.num_updates),
        state,
        (
            critics,
            moved(state.targets, critics, options.target_rate),
            bounds,
            moments,
            state.num_updates + 1,
        ),
    )
    is_clipped = (target != lesson.target).astype(jnp.float32)
    return after, _OfCritics(loss, value, jnp.mean(is_clipped))


def _learn_actions(
    state: ActorCriticState, lesson: Lesson, rate: float | Float[Array, ""], settings: Settings
) -> tuple[ActorCriticState, _OfActor]:
    """Moves the actor and the temperature.

    The temperature moves by steps on itself, not on its logarithm, and they do not fall within a
    round: where it is small it changes so much faster.
    """
    options, known = settings.policy.actor_critic, state.optimisers
    norm = optax.tree.norm(lesson.gradient)
    cut = jnp.minimum(1.0, options.max_gradient_norm / jnp.maximum(norm, 1e-12))
    gradient = jax.tree.map(lambda g: cut * g, lesson.gradient)
    network, of_actor = descend(rate, gradient, known.actor, state.actor.network)

    surplus = lesson.entropy - options.target_entropy * lesson.action.shape[-1]
    temperature, of_temperature = descend(
        settings.policy.learning_rate, surplus, known.temperature, state.temperature
    )
    temperature = jnp.maximum(temperature, MIN_TEMPERATURE)
    if options.initial_temperature == 0.0:
        temperature = state.temperature
    after = eqx.tree_at(
        lambda s: (s.actor.network, s.temperature, s.optimisers),
        state,
        (network, temperature, Optimisers(of_actor, known.critics, of_temperature)),
    )
    return after, _OfActor(norm, cut < 1.0)


def descend(
    rate: float | Float[Array, ""], gradient: Tree, opt_state: optax.OptState, now: Tree
) -> tuple[Tree, optax.OptState]:
    """Returns parameters after one step of Adam of that size, and its moments."""
    by, opt_state = ADAM.update(gradient, opt_state)  # pyright: ignore[reportArgumentType]
    return jax.tree.map(lambda x, step: x - rate * step, now, by), opt_state


def one_step_targets(
    key: Key[Array, ""], state: ActorCriticState, steps: Steps, settings: Settings
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """Returns targets of Q after one step each, and log π of the action that follows.

    r + γ (1 − d) (min Q⁻(s', a') − α log π(a'|s')),   a' ~ π(·|s')
    """
    key_next, key_some = jax.random.split(key)
    following = draw(key_next, state.actor, steps.next_obs)
    values = state.slow(steps.next_obs, following.action)
    value = lowest_of_some(key_some, values, settings.policy.actor_critic.num_lowest)
    value = value - state.temperature * following.log_prob
    rest = jnp.where(steps.terminated, 0.0, settings.policy.discount * value)
    return steps.pay + rest, following.log_prob


def held_back(
    actor: Actor, experience: Experience, state: ActorCriticState, obs: Float[Array, "*N obs"]
) -> Float[Array, ""]:
    """Returns what the actor's objective loses by its tether."""
    if experience.tether is None:
        return jnp.zeros(())
    first, weight = experience.tether
    return weight * state.temperature * kl_divergence(actor, first, obs)


def choose(first: Bool[Array, ""], one: Tree, other: Tree) -> Tree:
    """Returns one tree or the other."""
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), one, other)
