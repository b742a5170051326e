"""Every policy player keeps to the one interface, and its row to what it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import TINY, PerfectPoint

from duopoly.game.metrics import DESCRIPTIONS
from duopoly.model.imagine import Starts
from duopoly.policy.catalogue import PLAYERS
from duopoly.policy.player import Opponent, Spaces
from duopoly.settings import Improver, Settings, override
from duopoly.types import Transitions

KEY, SPACES = jax.random.key(0), Spaces(3, 2)
OBS = jax.random.normal(KEY, (5, 3))
NO = jnp.zeros(5, bool)
DATA = Transitions(OBS, jnp.zeros((5, 2)), jnp.zeros(5), OBS, NO, NO, jnp.asarray(5))
WORLD = PerfectPoint(2)


def settings_of(improver: Improver) -> Settings:
    planner = {"horizon": 3, "num_samples": 4, "num_iterations": 1, "num_elites": 2}
    sizes = {f"policy.planner.{name}": size for name, size in planner.items()}
    return override(TINY, {"policy.improver": improver, **sizes})


@pytest.mark.parametrize("improver", PLAYERS)
def test_a_player_begins_adapts_improves_reports_and_acts(improver: Improver) -> None:
    player, settings = PLAYERS[improver].load(), settings_of(improver)
    begun = player.init(KEY, SPACES, settings)
    adapted = player.adapt(player.adapt(begun, DATA, True), DATA, False)
    opponent = Opponent(WORLD, Starts(OBS, jnp.asarray(5), DATA), lambda: DATA)
    improved, info = player.improve(KEY, adapted, opponent, 2, settings)
    assert jax.tree.structure(improved) == jax.tree.structure(begun)
    assert set(player.report(info)) <= set(player.metrics) <= set(DESCRIPTIONS)

    obs, rng = np.zeros((4, 3)), np.random.default_rng(0)
    for world in (None, WORLD):
        controller = player.controller(improved, world, settings)
        one = controller.act(obs[0], controller.memory, rng, True)
        assert one.action.shape == (2,)
        empty = controller.memory
        memory = None if empty is None else np.broadcast_to(empty, (4, *empty.shape))
        many = controller.act(obs, memory, rng, False)
        assert many.action.shape == (4, 2)
        assert np.shape(many.memory) == np.shape(memory)
        assert set(player.report_actions([one.seen])) <= set(player.metrics)


@pytest.mark.parametrize("improver", PLAYERS)
def test_a_row_says_what_its_player_is(improver: Improver) -> None:
    player, settings = PLAYERS[improver].load(), settings_of(improver)
    assert PLAYERS[improver].has_parameters is (player.act_fn is not None)
    if player.act_fn is None:
        return
    state = player.init(KEY, SPACES, settings)
    obs = jnp.zeros((2, 4, 3))
    mean, drawn = (player.act_fn(state, quiet)(KEY, obs) for quiet in (True, False))
    other = player.init(jax.random.key(1), SPACES, settings)  # what is compiled serves it too
    structures = {jax.tree.structure(player.act_fn(one, False)) for one in (state, other)}
    assert len(structures) == 1
    assert mean.shape == drawn.shape == (2, 4, 2)
    assert not np.array_equal(mean, drawn)
    controller = player.controller(state, None, settings)
    acted = controller.act(np.zeros(3), None, np.random.default_rng(0), True).action
    np.testing.assert_allclose(acted, mean[0, 0], rtol=1e-5, atol=1e-7)


def test_every_improver_has_a_row() -> None:
    assert set(PLAYERS) == set(Improver.__args__)  # pyright: ignore
