"""The policy players svg and sac: one factory over what an update learns."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from duopoly.lockstep import kernel
from duopoly.model.imagine import Dynamics, Shuffled
from duopoly.narrow import narrow
from duopoly.networks import Normaliser, falling
from duopoly.policy.actor_critic import sac, svg
from duopoly.policy.actor_critic.actor import (
    Actor,
    act_by,
    actor_controller,
    draw,
    kl_divergence,
)
from duopoly.policy.actor_critic.critics import Bounds
from duopoly.policy.actor_critic.learner import (
    ActorCriticState,
    Experience,
    TeachFn,
    Tether,
    UpdateInfo,
    explore,
    init_state,
    renew_inputs,
    update,
)
from duopoly.policy.actor_critic.lookahead import look_ahead, soft_return
from duopoly.policy.actor_critic.pool import Pool, fill, refill, sample, sample_real
from duopoly.policy.player import ActionNetwork, Opponent, PlayerError, PolicyPlayer, Values
from duopoly.settings import ActorCriticSettings, Settings
from duopoly.types import Metrics, Transitions

READS: Final = (
    *("policy.discount", "policy.learning_rate"),
    *(
        f"policy.actor_critic.{name}"
        for name in (
            *("num_lowest", "batch_size", "real_share", "target_rate", "bounds_rate"),
            *("initial_temperature", "target_entropy", "max_gradient_norm"),
            *("acting_rate", "pool_horizon", "pool_slots", "newest_share", "num_newest"),
            *("initial_share", "halving_updates", "actor_interval"),
        )
    ),
)
"""Settings that an update reads, beside those of what it learns."""

NUM_JUDGED: Final = 512
"""States of the pool on which the round's policies are compared."""

NUM_LONG: Final = 64
"""Rollouts to which Q is compared."""

MAX_LONG: Final = 1_000
"""Most actions of them."""

WINDOW: Final = 200
"""Updates over which a gain is measured."""

METRICS: Final[Mapping[str, str]] = {
    "policy/num_steps": "policy steps taken or refused",
    "policy/refused_steps": "policy steps refused: a number broke down, or TRPO found none",
    "policy/gradient_norm": "norm of the policy gradient",
    "policy/cut_gradients": "share of the actor's gradients that were cut to their largest norm",
    "policy/moving_share": "share of the round's updates in which the actor moved",
    "policy/round_kl": "KL divergence of the round's last policy from its first, on average",
    "policy/temperature": "weight of the entropy beside the reward",
    "imagined/clipped_share": "share of predicted components that were cut to the data's range",
    "train/std": "mean standard deviation of the policy, in policy units",
    "train/entropy": "entropy of the policy's actions",
    "critic/objective": "what the actor maximises: discounted return and entropy to come",
    "critic/loss": "squared error of the critics, in units of half the width of their bounds",
    "critic/value": "mean of Q on imagined states",
    "critic/low": "lower bound of Q",
    "critic/high": "upper bound of Q",
    "critic/bias": "mean of Q less the discounted return and entropy of long imagined rollouts",
    "critic/clipped_targets": "share of the critics' targets that lay beyond the bounds",
}


class Judgement(NamedTuple):
    """What is measured of actor and critics after a round's updates."""

    std: Float[Array, ""]
    """Mean over states and action components, before the squashing."""
    bias: Float[Array, ""]
    """Mean of Q less what long rollouts earn."""
    clipped: Float[Array, ""]
    """Share of the predicted components that were cut to the data's range."""


class Improvement(NamedTuple):
    """What is observed of a round's updates."""

    num_updates: int
    totals: UpdateInfo
    """Sums over the updates."""
    num_moves: Float[Array, ""]
    """Updates in which the actor moved."""
    round_kl: Float[Array, ""]
    """From the round's first actor to its last."""
    after: Judgement
    temperature: Float[Array, ""]
    bounds: Bounds


class Course(NamedTuple):
    """Where a round's updates have come to."""

    state: ActorCriticState
    pool: Pool | None
    totals: UpdateInfo
    num_moves: Float[Array, ""]


def actor_critic(
    teach_fn: TeachFn,
    reads: tuple[str, ...],
    is_imagined: Callable[[ActorCriticSettings], bool],
) -> PolicyPlayer:
    """Returns the player of updates that learn what ``teach_fn`` says, which ``reads`` settings.

    ``is_imagined`` tells whether they learn from imagined steps at all.
    """
    return PolicyPlayer(
        init=init_state,
        adapt=adapt,
        explore=explore,
        improve=functools.partial(
            improve, teach_fn=teach_fn, reads=(*READS, *reads), is_imagined=is_imagined
        ),
        report=report,
        controller=lambda state, _world, _settings: actor_controller(state.deputy),
        report_actions=lambda _seen: {},
        act_fn=lambda state, deterministic: act_by(state.deputy, deterministic),
        value_fn=values_of,
        network_fn=lambda state: ActionNetwork(state.acting, state.actor.inputs, True),
        metrics=METRICS,
    )


def values_of(
    key: Key[Array, ""],
    state: ActorCriticState,
    obs: Float[Array, "N obs"],
    action: Float[Array, "N act"],
) -> Values:
    """Returns Q of every observation and action, and what the entropy there counts for."""
    bonus = -state.temperature * draw(key, state.actor, obs).log_prob
    return Values(jnp.mean(state.online(obs, action), axis=0), bonus)


def adapt(state: ActorCriticState, seen: Transitions, is_first: bool) -> ActorCriticState:
    """Normalises the inputs by the data; but for the first data the functions stay the same."""
    if not is_first:
        return renew_inputs(state, seen)
    angles = state.actor.inputs.angles
    inputs = Normaliser.of(seen.obs, seen.valid, angles)
    return eqx.tree_at(lambda s: s.actor.inputs, state, inputs)


def improve(
    key: Key[Array, ""],
    state: ActorCriticState,
    opponent: Opponent,
    num_steps: int,
    settings: Settings,
    *,
    teach_fn: TeachFn,
    reads: tuple[str, ...],
    is_imagined: Callable[[ActorCriticSettings], bool],
) -> tuple[ActorCriticState, Improvement]:
    """Makes updates, some at a time: what is compiled does not depend on their number.

    The first round of all makes as many times more of them as it brought more data. In the first of
    a round's updates the critics learn alone; the actor stops for the round once it has moved
    ``max_kl`` from where it began.

    Raises:
        PlayerError: no update is finite.
    """
    options, read = settings.policy.actor_critic, narrow(settings, reads)
    if int(state.num_updates) == 0:
        collection = settings.collection
        num_steps *= max(1, collection.initial_steps // collection.steps_per_round)
    key_fill, key_judge, key_course = jax.random.split(key, 3)
    begun = _experience(key_fill, state, opponent, options, read, is_imagined(options))
    judged, first = _judged_states(key_judge, begun.pool, begun.data), state.actor
    most = options.max_kl * first.network.layers[-1].bias.shape[0] / 2
    judge = functools.partial(_objective, key_judge, begun, read, teach_fn)

    course = Course(state, begun.pool, _nothing(), jnp.zeros(()))
    rest = begun._replace(pool=None)
    begin_moving, may_move = round(options.critic_share * num_steps), True
    objectives = [judge(state)] if options.tolerance > 0.0 else []
    done = 0
    for number in range(-(-num_steps // options.pool_interval)):
        count = min(options.pool_interval, num_steps - done)
        moves_from = max(begin_moving - done, 0) if may_move else count
        counts = jnp.asarray([count, moves_from, number])
        progress = jnp.asarray([done, num_steps])
        key = jax.random.fold_in(key_course, number)
        course = _advance(key, course, rest, counts, progress, read, teach_fn)
        done += count
        if options.max_kl > 0.0:
            may_move &= float(_divergence(first, course.state.actor, judged)) < most
        if options.tolerance > 0.0 and done >= WINDOW * len(objectives):
            objectives.append(judge(course.state))
            if done > begin_moving and _is_still(objectives, options.tolerance):
                break
    if done and float(course.totals.is_refused) == done:
        raise PlayerError("no update of actor and critics is finite")
    return course.state, Improvement(
        done,
        course.totals,
        course.num_moves,
        _divergence(first, course.state.actor, judged),
        _judge(key_judge, course.state, begun.world if begun.pool else None, judged, read),
        course.state.temperature,
        course.state.bounds,
    )


def _experience(
    key: Key[Array, ""],
    state: ActorCriticState,
    opponent: Opponent,
    options: ActorCriticSettings,
    read: Settings,
    has_pool: bool,
) -> Experience:
    """Returns what a round's updates learn from, with the pool as it is at first."""
    world = opponent.world if options.keep_member else Shuffled(opponent.world)
    data = opponent.data_fn()
    pool = _fill(key, state, world, data, read) if has_pool else None
    if options.proximal == 0.0:
        return Experience(world, pool, data)
    # What has not learned yet is nothing to stay near to.
    weight = jnp.where(state.num_updates > 0, options.proximal, 0.0)
    return Experience(world, pool, data, Tether(state.actor, weight))


@kernel("counts", "progress")
def _advance(
    key: Key[Array, ""],
    course: Course,
    experience: Experience,
    counts: Int[Array, "3"],
    progress: Int[Array, "2"],
    settings: Settings,
    teach_fn: TeachFn,
) -> Course:
    """Makes some updates and renews a part of the pool.

    ``counts``: updates, those of them before the actor moves, and how often this was called before.
    ``progress``: updates of the round so far, and in all: the step size falls along half a cosine
    to a hundredth, for else the noise of the latest updates stays in what then acts.
    """
    num_updates, moves_from, number = counts
    options = settings.policy.actor_critic
    interval = options.actor_interval
    key_refill, key_updates = jax.random.split(key)

    def one(i: Int[Array, ""], course: Course) -> Course:
        now = experience._replace(pool=course.pool)
        moves = (i >= moves_from) & ((progress[0] + i) % interval == 0)
        key = jax.random.fold_in(key_updates, i)
        so_far = (progress[0] + i) / progress[1]
        pace = falling(so_far)
        state, info = update(key, course.state, now, moves, settings, teach_fn, pace)
        totals = jax.tree.map(lambda total, x: total + x, course.totals, info)
        return Course(state, course.pool, totals, course.num_moves + moves)

    course = jax.lax.fori_loop(0, num_updates, one, course)
    if course.pool is None:
        return course
    act, slot = act_by(course.state.actor), number % options.pool_slots
    world, data = experience.world, experience.data
    return course._replace(pool=refill(key_refill, course.pool, slot, act, world, data, options))


@kernel()
def _fill(
    key: Key[Array, ""],
    state: ActorCriticState,
    world: Dynamics,
    data: Transitions,
    settings: Settings,
) -> Pool:
    return fill(key, act_by(state.actor), world, data, settings.policy.actor_critic)


@kernel()
def _judged_states(
    key: Key[Array, ""], pool: Pool | None, data: Transitions
) -> Float[Array, "M obs"]:
    """Returns states on which the round's policies are compared."""
    steps = sample_real(key, data, NUM_JUDGED) if pool is None else sample(key, pool, (NUM_JUDGED,))
    return steps.obs


@kernel()
def _objective(
    key: Key[Array, ""],
    experience: Experience,
    settings: Settings,
    teach_fn: TeachFn,
    state: ActorCriticState,
) -> Float[Array, ""]:
    """Returns what the actor maximises, from the same states with the same noise at every call."""
    return teach_fn(key, state, experience, jnp.asarray(False), settings).objective


def _is_still(objectives: Sequence[Float[Array, ""]], tolerance: float) -> bool:
    """Tells whether the latest gain is too small to go on."""
    before, now = (float(x) for x in objectives[-2:])
    return now - before < tolerance * abs(before)


@kernel()
def _divergence(first: Actor, last: Actor, obs: Float[Array, "M obs"]) -> Float[Array, ""]:
    return kl_divergence(first, last, obs)


@kernel()
def _judge(
    key: Key[Array, ""],
    state: ActorCriticState,
    world: Dynamics | None,
    obs: Float[Array, "M obs"],
    settings: Settings,
) -> Judgement:
    """Measures actor and critics on imagined states, Q against rollouts to where nothing is left.

    They go on until a reward counts a hundredth. Without a world neither is known.
    """
    std = jnp.mean(jax.vmap(state.actor)(obs)[1])
    if world is None:
        return Judgement(std, jnp.asarray(jnp.nan), jnp.asarray(jnp.nan))
    discount, members = settings.policy.discount, world.num_members
    share = -(-NUM_LONG // members)
    starts = obs[: members * share].reshape(members, share, -1)
    far = MAX_LONG if discount in (0.0, 1.0) else math.ceil(math.log(0.01) / math.log(discount))
    ahead = look_ahead(key, state.actor, world, starts, min(far, MAX_LONG), discount)
    last = jnp.mean(state.online(ahead.last_obs, ahead.last.action), axis=0)
    earned = soft_return(ahead, last, state.temperature, with_first=False)
    value = jnp.mean(state.online(starts, ahead.action), axis=0)
    seen = world(key, starts, ahead.action)
    clipped = jnp.nan if seen.clipped is None else jnp.mean(seen.clipped)
    return Judgement(std, jnp.mean(value - earned), jnp.asarray(clipped))


def _nothing() -> UpdateInfo:
    """Returns the sums over no updates."""
    return UpdateInfo(*(jnp.zeros(()) for _ in UpdateInfo._fields))


def report(info: Improvement) -> Metrics:
    """Summarises a round's updates."""
    num = max(info.num_updates, 1)
    moves = float(info.num_moves)
    mean = jax.tree.map(lambda total: float(total) / num, info.totals)
    return {
        "policy/num_steps": info.num_updates,
        "policy/refused_steps": round(float(info.totals.is_refused)),
        "policy/gradient_norm": float(info.totals.gradient_norm) / max(moves, 1.0),
        "policy/cut_gradients": float(info.totals.is_cut) / max(moves, 1.0),
        "policy/moving_share": moves / num,
        "policy/round_kl": float(info.round_kl),
        "policy/temperature": float(info.temperature),
        "imagined/clipped_share": float(info.after.clipped),
        "train/std": float(info.after.std),
        "train/entropy": mean.entropy,
        "critic/objective": mean.objective,
        "critic/loss": mean.critic_loss,
        "critic/value": mean.value,
        "critic/low": float(info.bounds.low),
        "critic/high": float(info.bounds.high),
        "critic/bias": float(info.after.bias),
        "critic/clipped_targets": mean.clipped_targets,
    }


def _is_not_all_real(options: ActorCriticSettings) -> bool:
    return options.real_share < 1.0


SVG: Final = actor_critic(svg.teach, svg.READS, lambda _options: True)
SAC: Final = actor_critic(sac.teach, (), _is_not_all_real)
