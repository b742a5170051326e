"""A long game needs no more memory than a short one."""

import gc

import jax
from tiny_runs import TASK, TINY

from duopoly.game.play import play
from duopoly.schedule import SCHEDULES
from duopoly.settings import override
from duopoly.world.tasks import get_task


def test_memory_does_not_grow_with_the_rounds() -> None:
    """Once the buffer is full, what is alive after a round stays the same: arrays and rows."""
    settings = override(TINY, {"model.capacity": 100, "evaluation.gap_steps": 1})
    game = play(get_task(TASK), settings, SCHEDULES["pal"], 0, num_env_steps=60 + 40 * 7)
    held = []
    for round_ in game:
        gc.collect()
        arrays = jax.live_arrays()
        place = round_.state.buffer.place
        assert place is not None
        held.append((len(arrays), sum(x.nbytes for x in arrays), len(round_.state.buffer)))
        assert place.store.room <= 100 + 100 // 4 + 60
        del arrays, round_
    assert len(held) == 8
    assert held[7] == held[4] == held[2]
    assert held[2][2] == 100
