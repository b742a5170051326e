"""How much memory settings need at the least, so that what can never fit is refused by name.

Pure Python on purpose: the command line refuses it before anything is loaded or written.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from duopoly.policy.catalogue import PLAYERS
from duopoly.schedule import Memory, Schedule
from duopoly.settings import Settings, SettingsError

MOST: Final = 2**44
"""Bytes that no machine has; a record that asks for more is damaged."""

_FLOAT: Final = 4
_COPIES: Final = 3
"""Of a parameter: itself and Adam's two moments."""


def check_memory(settings: Settings, schedule: Schedule, available: int | None = None) -> None:
    """Refuses settings whose arrays cannot fit, whatever the task.

    Args:
        settings: of the run.
        schedule: by which it is played.
        available: bytes there are; by default this machine's.

    Raises:
        SettingsError: naming the largest need.
    """
    check_needs({**players_need(settings, 1, 1), **rounds_need(settings, schedule)}, available)


def check_needs(needs: Mapping[str, int], available: int | None = None) -> None:
    """Refuses needs of memory, in bytes by the settings that cause them, that cannot be met.

    Raises:
        SettingsError: naming the largest of them.
    """
    available = machine_memory() if available is None else available
    if (total := sum(needs.values())) > available:
        name = max(needs, key=lambda one: needs[one])
        raise SettingsError(
            f"{name}: needs {_spell(needs[name])} of memory, all settings together at least "
            f"{_spell(total)}, and there are {_spell(available)}: make it smaller"
        )


def players_need(settings: Settings, obs_dim: int, action_dim: int) -> dict[str, int]:
    """Bytes of both players' parameters, at the least, by the settings that cause them."""
    model, policy, critic = settings.model, settings.policy, settings.policy.actor_critic
    row = PLAYERS[policy.improver]
    outcome = _size(obs_dim, *model.outcome_hidden, 1)
    actor = _size(obs_dim, *policy.hidden, action_dim)
    sizes = {
        "model.num_members × model.hidden": _COPIES
        * model.num_members
        * _size(obs_dim + action_dim, *model.hidden, obs_dim),
        "model.outcome_hidden": (model.learn_reward + model.learn_termination) * outcome,
    }
    if row.can_lead:
        sizes["policy.hidden"] = actor
        sizes["policy.value.hidden"] = _COPIES * _size(obs_dim, *policy.value.hidden, 1)
    elif row.has_parameters:
        sizes["policy.hidden"] = _COPIES * actor
        sizes["policy.actor_critic.num_critics × policy.actor_critic.hidden"] = (
            _COPIES * critic.num_critics * _size(obs_dim + action_dim, *critic.hidden, 1)
        )
    return {name: _FLOAT * size for name, size in sizes.items()}


def rounds_need(settings: Settings, schedule: Schedule) -> dict[str, int]:
    """Bytes of data, batches and imagination in a round, for the smallest of tasks."""
    model, policy, imagined = settings.model, settings.policy, settings.imagination
    collection, critic, planner = settings.collection, policy.actor_critic, policy.planner
    row = PLAYERS[policy.improver]
    keeps_all = schedule.memory is Memory.EVERYTHING or schedule.has_referee
    keeps_all |= row.has_parameters and not row.can_lead
    sizes = {
        "model.batch_size": model.num_members * model.batch_size * sum(model.hidden),
        "collection.initial_steps, or imagination.start_rounds × collection.steps_per_round": max(
            collection.initial_steps, collection.steps_per_round
        )
        + (imagined.start_rounds - 1) * collection.steps_per_round,
    }
    sizes["imagination.num_starts"] = _STEP * imagined.num_starts
    if schedule.memory is Memory.WINDOW:
        sizes["model.window"] = _STEP * model.window
    if keeps_all:
        sizes["model.capacity"] = _STEP * model.capacity
    if row.can_lead:
        sizes["imagination.num_rollouts × imagination.horizon"] = (
            _STEP * model.num_members * imagined.num_rollouts * imagined.horizon
        )
        sizes["policy.fisher_samples"] = policy.fisher_samples * sum(policy.hidden)
        sizes["policy.value.batch_size"] = policy.value.batch_size * sum(policy.value.hidden)
    elif row.has_parameters:
        sizes["policy.actor_critic.batch_size"] = critic.batch_size * sum(critic.hidden)
        sizes["policy.actor_critic.batch_size × pool_slots × pool_horizon"] = (
            _STEP * critic.batch_size * critic.pool_slots * critic.pool_horizon
        )
    else:
        plans = planner.num_samples * planner.num_particles * model.num_members
        sizes["policy.planner.num_samples × policy.planner.horizon"] = plans * planner.horizon
    return {name: _FLOAT * size for name, size in sizes.items()}


_STEP: Final = 5
"""Numbers of a transition at the least: observation, action, reward, next observation, flags."""


def machine_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _size(*widths: int) -> int:
    """Parameters of a fully connected network."""
    return sum(before * after + after for before, after in pairwise(widths))


def _spell(num_bytes: int) -> str:
    units: Sequence[str] = ("bytes", "KiB", "MiB", "GiB", "TiB")
    size, unit = float(num_bytes), 0
    while size >= 1024 and unit < len(units) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:,.3g} {units[unit]}" if size < 1e6 else f"{size:.2g} {units[unit]}"
