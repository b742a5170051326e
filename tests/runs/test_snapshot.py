"""What was learned beyond the dynamics is kept, too."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest
from probes import POINT, TINY

from duopoly.game.state import start
from duopoly.runs.errors import DamageError
from duopoly.runs.snapshot import restore, snapshot

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
