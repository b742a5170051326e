"""Early stopping: when a member stops, what it keeps, and that the others go on."""

import jax
import jax.numpy as jnp
import numpy as np

from duopoly.model.rows import TrainRows
from duopoly.model.train_member import Networks, Objective, Progress, train_member
from duopoly.networks import MLP
from duopoly.settings import ModelSettings

SLIDE = ModelSettings(learning_rate=0.1, batch_size=10, patience=3)
ROWS = TrainRows(jnp.arange(40)[::-1], jnp.asarray(20))
NUM_EPOCHS = 12


def position(networks: Networks) -> jax.Array:
    return networks.dynamics.layers[0].bias[0]


def slide(best_position: jax.Array, settings: ModelSettings = SLIDE) -> tuple[Networks, Progress]:
    """A parameter that falls steadily, past the place where the held-out error is lowest."""
    networks = Networks(MLP(jax.random.key(0), (1, 1), "relu"), None)
    is_foreign = jnp.arange(40) < 20  # rows that are not to be fitted
    objective = Objective(
        lambda n, rows: position(n) + jnp.mean(1.0 * is_foreign[rows]),
        lambda n: jnp.abs(position(n) - best_position),
    )
    return train_member(jax.random.key(1), networks, ROWS, objective, settings, NUM_EPOCHS)


def trajectory() -> np.ndarray:
    """The parameter after every epoch: under a constant gradient, Adam's step is the step size."""
    steps = np.arange(2 * NUM_EPOCHS) / (2 * NUM_EPOCHS)
    rate = 0.1 * (0.505 + 0.495 * np.cos(np.pi * steps))
    return -np.cumsum(rate)[1::2]


def test_a_member_stops_and_keeps_its_best() -> None:
    path = trajectory()
    networks, progress = jax.jit(slide)(path[3])
    assert int(progress.num_epochs) == 4 + SLIDE.patience
    np.testing.assert_allclose(position(networks), path[3], rtol=1e-4)
    np.testing.assert_allclose(progress.holdout_error, 0.0, atol=1e-4)
    # The loss is that of the last epoch made, and no row but those given entered it.
    in_epoch = path[5] - 0.1 * (0.505 + 0.495 * np.cos(np.pi * 12 / 24))
    np.testing.assert_allclose(progress.loss, (path[5] + in_epoch) / 2, rtol=1e-4)


def test_each_member_stops_for_itself() -> None:
    path = trajectory()
    targets = jnp.asarray([path[1], path[6], -100.0])
    networks, progress = jax.jit(jax.vmap(slide))(targets)
    np.testing.assert_array_equal(progress.num_epochs, [5, 10, NUM_EPOCHS])
    found = jax.vmap(position)(networks)
    np.testing.assert_allclose(found, [path[1], path[6], path[-1]], rtol=1e-4)


def test_an_error_that_is_no_number_is_never_the_best() -> None:
    networks, progress = jax.jit(slide)(jnp.asarray(jnp.nan))
    assert int(progress.num_epochs) == SLIDE.patience
    assert not np.isfinite(progress.holdout_error)
    assert float(position(networks)) == 0.0
