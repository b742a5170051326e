"""What can never fit is refused before anything is made, by the setting that asks for it."""

import jax
import pytest

from duopoly.game.state import start
from duopoly.memory import check_memory, machine_memory, players_need, rounds_need
from duopoly.presets import preset
from duopoly.schedule import MAL, PAL, SCHEDULES, Schedule
from duopoly.settings import Settings, SettingsError, override
from duopoly.world.tasks import get_task

HUGE = 2**31 - 1


@pytest.mark.parametrize(
    ("schedule", "improver", "name", "value"),
    [
        (PAL, "npg", "model.hidden", (HUGE, HUGE)),
        (PAL, "npg", "model.num_members", HUGE),
        (PAL, "npg", "policy.hidden", (10**6, 10**6)),
        (PAL, "npg", "policy.value.hidden", (10**6, 10**6)),
        (PAL, "npg", "imagination.horizon", HUGE),
        (PAL, "npg", "imagination.start_rounds", HUGE),
        (PAL, "npg", "imagination.num_starts", HUGE),
        (PAL, "npg", "policy.fisher_samples", HUGE),
        (MAL, "npg", "model.capacity", HUGE),
        (PAL, "svg", "policy.actor_critic.hidden", (10**6, 10**6)),
        (PAL, "svg", "policy.actor_critic.batch_size", HUGE),
        (MAL, "cem", "policy.planner.num_samples", HUGE),
        (PAL, "npg", "model.batch_size", HUGE),
    ],
)
def test_each_size_is_refused_by_its_name(
    schedule: Schedule, improver: str, name: str, value: object
) -> None:
    settings = override(Settings(), {"policy.improver": improver})
    check_memory(settings, schedule, 2**31)
    huge = override(settings, {name: value, "model.window": 100})
    with pytest.raises(SettingsError, match=f"{name}.*: needs .* of memory, .* make it smaller"):
        check_memory(huge, schedule, 2**34)


def test_what_a_schedule_never_allocates_is_not_counted() -> None:
    """PAL pads its data to the window, and keeps as many as it has seen."""
    check_memory(override(Settings(), {"model.capacity": HUGE}), PAL, 2**31)


@pytest.mark.parametrize("improver", ["npg", "svg", "cem"])
def test_what_the_players_need_is_never_too_much(improver: str) -> None:
    algorithm = "mal" if improver == "cem" else "pal"
    task = get_task("Hopper-v5")
    settings = override(preset(task.name, algorithm).settings, {"policy.improver": improver})
    players = start(task, settings, 0).players
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(players) if hasattr(leaf, "nbytes"))
    need = sum(players_need(settings, task.spec.obs_dim, task.spec.action_dim).values())
    # A fit makes Adam's two moments of the members, which the players do not keep.
    members = players_need(settings, task.spec.obs_dim, task.spec.action_dim)
    assert need - members["model.num_members × model.hidden"] * 2 / 3 <= held <= 2 * need


def test_every_preset_fits() -> None:
    for name, schedule in SCHEDULES.items():
        settings = preset("Humanoid-v5", name).settings
        assert sum(rounds_need(settings, schedule).values()) < 2**33 <= machine_memory() * 8


def test_a_player_that_does_not_fit_is_never_made() -> None:
    huge = override(Settings(), {"model.hidden": (10**7, 10**7)})
    with pytest.raises(SettingsError, match=r"model.hidden: needs .* TiB"):
        start(get_task("Pendulum-v1"), huge, 0)
