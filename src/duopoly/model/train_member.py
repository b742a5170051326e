"""Adam over minibatches, for a number of epochs or until the held-out error stops falling."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from duopoly.draws import random_batches
from duopoly.model.rows import TrainRows
from duopoly.networks import MLP, falling, thinned
from duopoly.settings import ModelSettings


class Networks(eqx.Module):
    """What a member fits: of one member, or of all along a leading axis E."""

    dynamics: MLP
    outcomes: MLP | None


class Objective(NamedTuple):
    """What one member minimises, and what tells it when to stop."""

    loss_fn: Callable[[Networks, Int[Array, " batch"]], Float[Array, ""]]
    """Mean loss on some rows of the data."""
    holdout_fn: Callable[[Networks], Float[Array, ""]] | None
    """Mean loss on the rows held out; None: never stop early."""


class Progress(NamedTuple):
    """How the fit of one member went."""

    loss: Float[Array, ""]
    """Mean loss of the last epoch."""
    holdout_error: Float[Array, ""]
    """Loss of the parameters kept on the rows held out; NaN where none are."""
    num_epochs: Int[Array, ""]
    """Epochs made."""


TrainState = tuple[Networks, optax.OptState]
Epoch = Callable[[TrainState, Key[Array, ""], Int[Array, ""]], tuple[TrainState, Float[Array, ""]]]


def train_member(
    key: Key[Array, ""],
    networks: Networks,
    rows: TrainRows,
    objective: Objective,
    settings: ModelSettings,
    num_epochs: int,
    max_steps: Int[Array, ""] | None = None,
) -> tuple[Networks, Progress]:
    """Fits one member to the rows; the step size falls along half a cosine to a hundredth.

    At most ``max_steps`` gradient steps are made: the last epoch may be a part of one. Adam's
    moments begin anew with the step size. Those of the last fit belong to steps a hundred times as
    small: kept, they make refits of the same data worse and worse (docs/tuning.md).
    """
    optimiser = optax.scale_by_adam()
    num_batches = -(-rows.num_valid // settings.batch_size)
    planned, num_passes = num_epochs * num_batches, num_epochs
    if max_steps is not None:
        planned = jnp.minimum(planned, max_steps)
        num_passes = -(-planned // num_batches)
    is_row = jnp.arange(rows.rows.shape[0]) < rows.num_valid

    def step_size(progress: Array) -> Float[Array, ""]:
        return settings.learning_rate * falling(progress)

    def loss_fn(networks: Networks, rows: Array, key: Array) -> Float[Array, ""]:
        if settings.dropout > 0.0:
            thin = thinned(key, networks.dynamics, settings.dropout)
            networks = Networks(thin, networks.outcomes)
        return objective.loss_fn(networks, rows)

    def epoch(trained: TrainState, key: Array, index: Array) -> tuple[TrainState, Float[Array, ""]]:
        batch, _ = random_batches(key, is_row, settings.batch_size)
        key_dropout = jax.random.fold_in(key, 1)
        num_steps = jnp.minimum(num_batches, planned - index * num_batches)

        def step(i: Array, carry: tuple) -> tuple:
            networks, opt_state, total = carry
            key = jax.random.fold_in(key_dropout, i)
            loss, grad = jax.value_and_grad(loss_fn)(networks, rows.rows[batch(i)], key)
            updates, opt_state = optimiser.update(grad, opt_state)
            rate = step_size((index + i / num_batches) / (planned / num_batches))
            networks = jax.tree.map(
                lambda p, u: p - rate * (u + settings.weight_decay * p), networks, updates
            )
            return networks, opt_state, total + loss

        networks, opt_state, total = jax.lax.fori_loop(0, num_steps, step, (*trained, 0.0))
        return (networks, opt_state), total / num_steps

    keys = jax.random.split(key, num_epochs)
    start = networks, optimiser.init(eqx.filter(networks, eqx.is_array))
    if objective.holdout_fn is None:
        return _all_epochs(keys, num_passes, start, epoch)
    return _until_stale(keys, num_passes, start, epoch, objective.holdout_fn, settings.patience)


def _all_epochs(
    keys: Key[Array, " epochs"], num_passes: int | Int[Array, ""], start: TrainState, epoch: Epoch
) -> tuple[Networks, Progress]:
    def one(index: Array, carry: tuple) -> tuple:
        return epoch(carry[0], keys[index], index)

    (networks, _), loss = jax.lax.fori_loop(0, num_passes, one, (start, jnp.zeros(())))
    return networks, Progress(loss, jnp.asarray(jnp.nan), jnp.asarray(num_passes))


def _until_stale(
    keys: Key[Array, " epochs"],
    num_passes: int | Int[Array, ""],
    start: TrainState,
    epoch: Epoch,
    holdout_fn: Callable[[Networks], Float[Array, ""]],
    patience: int,
) -> tuple[Networks, Progress]:
    """Stops after ``patience`` epochs without a lower error; keeps the networks with the lowest.

    Under ``vmap`` the loop runs while any member goes on, and the others stay as they are.
    """

    def goes_on(carry: tuple) -> Array:
        done, best_at = carry[0], carry[1]
        return (done < num_passes) & (done - best_at < patience)

    def once(carry: tuple) -> tuple:
        done, best_at, trained, best, lowest, _ = carry
        trained, loss = epoch(trained, keys[done], done)
        error = holdout_fn(trained[0])
        is_better = error < lowest  # never, where the error is not a number
        best = jax.tree.map(lambda a, b: jnp.where(is_better, a, b), trained[0], best)
        best_at = jnp.where(is_better, done + 1, best_at)
        return done + 1, best_at, trained, best, jnp.where(is_better, error, lowest), loss

    zero, infinity = jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf)
    begin = (zero, zero, start, start[0], infinity, jnp.zeros(()))
    done, _, _, best, lowest, loss = jax.lax.while_loop(goes_on, once, begin)
    return best, Progress(loss, lowest, done)
