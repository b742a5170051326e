"""What was learned beyond the dynamics is kept, too."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest
from probes import POINT, TINY

from duopoly.game.state import start
from duopoly.runs.checkpoint import Checkpoint
from duopoly.runs.errors import DamageError
from duopoly.runs.snapshot import MAX_COUNT, restore, snapshot
from duopoly.types import Episode

BLIND = dataclasses.replace(POINT, reward_fn=None, terminated_fn=None)


def test_a_learned_reward_and_termination_come_back() -> None:
    saved = start(BLIND, TINY, 0)
    arrays = eqx.filter(saved.players.model, eqx.is_array)
    moved = jax.tree.map(lambda x: x + 1, arrays)
    players = eqx.tree_at(lambda p: p.model, saved.players, eqx.combine(moved, saved.players.model))
    saved = dataclasses.replace(saved, players=players)
    kept = snapshot(saved)
    assert any("outcomes" in name for name in kept.groups["players"])
    back = restore(kept, start(BLIND, TINY, 1))
    for a, b in zip(jax.tree.leaves(saved.players), jax.tree.leaves(back.players), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(DamageError, match="is on one side only"):
        restore(kept, start(POINT, TINY, 0))


STD, COUNT = ".model.ensemble.inputs.std", ".model.num_fits"
NU = ".policy.value.opt_state[0].nu.layers[0].weight"
WEIGHT = ".model.ensemble.members.layers[0].weight"


def played() -> Checkpoint:
    """What two rounds of a game leave."""
    state, (obs, act) = start(POINT, TINY, 0), (POINT.spec.obs_dim, POINT.spec.action_dim)
    sizes = [np.ones((5, size), np.float32) for size in (obs, act, obs)]
    episode = Episode(*sizes[:2], sizes[0][:, 0], sizes[2], False, False, 5)
    buffer = state.buffer.add([episode]).add([episode])
    return snapshot(dataclasses.replace(state, round=2, env_steps=10, buffer=buffer))


def changed(kept: Checkpoint, group: str, name: str, array: np.ndarray) -> Checkpoint:
    groups = {**kept.groups, group: {**kept.groups[group], name: array}}
    return dataclasses.replace(kept, groups=groups)


def test_what_was_played_comes_back() -> None:
    assert len(restore(played(), start(POINT, TINY, 0)).buffer) == 10


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e38, -1e38])
@pytest.mark.parametrize("name", [STD, WEIGHT])
def test_a_number_beyond_belief_is_refused(name: str, number: float) -> None:
    kept = played()
    array = kept.groups["players"][name].copy()
    array.flat[-1] = number
    with pytest.raises(DamageError, match="not finite or beyond belief"):
        restore(changed(kept, "players", name, array), start(POINT, TINY, 0))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (STD, -1.0),
        (STD, 0.0),
        (NU, -1.0),
        (COUNT, -1),
        (COUNT, MAX_COUNT + 1),
        (COUNT, -(2**31)),
        (COUNT, 2**31 - 1),
    ],
)
def test_a_number_out_of_its_range_is_refused(name: str, number: float) -> None:
    kept = played()
    array = np.full_like(kept.groups["players"][name], number)
    with pytest.raises(DamageError, match=r"negative|not positive|beyond belief"):
        restore(changed(kept, "players", name, array), start(POINT, TINY, 0))


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("obs", np.ones((10, 9), np.float32), "next_obs has shape|9 components"),
        ("action", np.ones((10, 9), np.float32), "action has 9 components"),
        ("reward", np.full(10, 1e11, np.float32), "beyond belief"),
        ("capacity", np.array(2**62), "capacity is 4611686018427387904"),
        ("sizes", np.array([5, 5, 0]), "3 collections of 2 rounds"),
        ("more", np.ones(3), "an array too many: more"),
    ],
)
def test_data_that_the_game_cannot_have_is_refused(name, array, fault) -> None:
    with pytest.raises(DamageError, match=fault):
        restore(changed(played(), "buffer", name, array), start(POINT, TINY, 0))


def test_counts_that_contradict_the_data_are_refused() -> None:
    empty = snapshot(start(POINT, TINY, 0)).groups["buffer"]
    fresh = start(POINT, TINY, 0)
    for kept, fault in [
        (dataclasses.replace(played(), env_steps=9), "10 transitions of 9 environment steps"),
        (dataclasses.replace(played(), round=1), "2 collections of 1 rounds"),
        (
            dataclasses.replace(played(), groups={**played().groups, "buffer": empty}),
            "no transition after 2 rounds",
        ),
    ]:
        with pytest.raises(DamageError, match=fault):
            restore(kept, fresh)
