"""Spread over eight devices, everything is what one device computes, and little is exchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from duopoly.spread import filled, over, spread


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What a process with eight devices found."""
    script = Path(__file__).with_name("eight_devices.py")
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, check=True, timeout=500
    )
    return json.loads(done.stdout)


def test_there_are_eight_devices(found):
    assert found["devices"] == 8


def test_members_are_fitted_where_they_lie(found):
    # Once they are fitted: weights and biases of two layers, and the loss.
    assert found["fit"] == {"difference": 0.0, "collectives": {"all-gather": 5}}


def test_the_gradient_of_imagined_rollouts_is_summed_once(found):
    assert found["imagined"]["collectives"] == {"all-reduce": 1}
    assert found["imagined"]["difference"] < 1e-6


def test_the_actors_gradient_is_summed_once(found):
    # The gathers join the few states at which critics are asked, once an update.
    assert found["actor"]["collectives"] == {"all-gather": 7, "all-reduce": 1}
    assert found["actor"]["difference"] < 1e-6


def test_games_side_by_side_are_what_each_is_alone(found):
    assert found["games"]["difference"] < 1e-6


def test_one_device_compiles_nothing_of_it():
    with over(1):
        text = jax.jit(lambda x: spread(2.0 * x)).lower(jnp.ones(4)).as_text()
        assert "sharding" not in text
        assert filled(7) == 7
