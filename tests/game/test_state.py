"""What a game begins with."""

import jax
import pytest
from probes import POINT, TINY

from duopoly.game.state import SWITCHES, GameError, start


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_of_jax_that_would_cost_a_run_is_named_before_it_begins(name: str) -> None:
    before = getattr(jax.config, name)
    assert before == SWITCHES[name][0]
    other = "strict" if before == "standard" else not before
    jax.config.update(name, other)
    try:
        with pytest.raises(GameError, match=f"^{name} is {other}, must be {before}: .* unset"):
            start(POINT, TINY, 0)
    finally:
        jax.config.update(name, before)
    start(POINT, TINY, 0)
