"""Settings refuse what cannot work, and every one of them is read."""

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args

import jax
import pytest
from probes import POINT, TINY

from duopoly import settings
from duopoly.game.play import play
from duopoly.game.state import start
from duopoly.presets import ACTOR_CRITIC_METHODS, METHODS, PRESETS, preset
from duopoly.schedule import AUTO, BR, GDA, MAL, PAL, SCHEDULES, AlgorithmName, check_players
from duopoly.settings import (
    Effort,
    Improver,
    ModelSettings,
    PlannerSettings,
    PolicySettings,
    Settings,
    SettingsError,
    override,
)
from duopoly.world.tasks import TASK_NAMES

RECORDS = [
    record
    for record in vars(settings).values()
    if dataclasses.is_dataclass(record) and isinstance(record, type)
]


@pytest.mark.parametrize(
    ("record", "values", "message"),
    [
        (ModelSettings, {"batch_size": 0}, "batch_size = 0: must be at least 1"),
        (ModelSettings, {"hidden": ()}, "hidden = .*: must be tuple"),
        (ModelSettings, {"hidden": (64, 0)}, "hidden = .*: must be at least 1"),
        (ModelSettings, {"learning_rate": float("nan")}, "learning_rate = nan: must be in"),
        (ModelSettings, {"window": 10, "capacity": 5}, "window = 10: must be at most capacity"),
        (ModelSettings, {"min_log_std": 0.5}, "min_log_std = 0.5: must be below max_log_std = 0.5"),
        (ModelSettings, {"noise_share": 0.5}, "with loss = 'squared' no spread is predicted"),
        (ModelSettings, {"holdout": 0.95}, "holdout = 0.95: must be in"),
        (ModelSettings, {"patience": 0}, "patience = 0: must be at least 1"),
        (ModelSettings, {"patience": 2**31}, "patience = .*: must be at most 2,147,483,647"),
        (ModelSettings, {"proximal": -1.0}, "proximal = -1.0: must be at least 0"),
        (PlannerSettings, {"num_elites": 200}, "num_elites = 200: must be at most num_samples"),
        (PolicySettings, {"discount": 1.5}, "discount = 1.5: must be in"),
        (PolicySettings, {"initial_log_std": -3.0}, "min_log_std = -2.5: must be at most"),
    ],
)
def test_what_cannot_work_is_refused(record: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        record(**values)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ('{"batch_size": 64.0}', "int"),
        ('{"batch_size": True}', "int"),
        ('{"batch_size": "3"}', "int"),
        ('{"activation": "foo"}', "Literal"),
        ('{"hidden": [64]}', "tuple"),
        ('{"epochs": 3}', "Effort"),
    ],
)
def test_another_type_is_refused(values: str, kind: str) -> None:
    # In a process of its own: here the type checker of the tests would speak first.
    program = f"from duopoly.settings import ModelSettings; ModelSettings(**{values})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"SettingsError: {values.split(chr(34))[1]} = " in done.stderr
    assert f"must be {kind}" in done.stderr


def test_there_is_a_preset_for_every_task_and_algorithm() -> None:
    papers = {schedule.name for schedule in (GDA, BR, PAL, MAL, AUTO)}
    named = {*TASK_NAMES, "Pendulum-v1"}
    assert set(PRESETS) >= {(task, name) for task in named for name in papers}
    assert {*METHODS, *ACTOR_CRITIC_METHODS} == set(get_args(AlgorithmName)) - papers


@pytest.mark.parametrize("task", [*TASK_NAMES, "one's own"])
@pytest.mark.parametrize(
    ("name", "improver"), [("pets", "cem"), ("metrpo", "trpo"), ("slbo", "trpo"), ("mal", "npg")]
)
def test_methods_change_what_they_are_known_for(task: str, name: str, improver: Improver) -> None:
    found, base = preset(task, name), preset(task, "mal")
    assert found.settings.policy.improver == improver
    assert found.settings.collection == base.settings.collection
    assert found.settings.imagination == base.settings.imagination
    assert (found.settings.model.num_members == 1) == (name == "slbo")
    check_players(SCHEDULES[name], found.settings)


def test_values_are_changed_by_their_dotted_names() -> None:
    before = Settings()
    changed = override(
        before, {"model.window": 20_000, "policy.steps.convergence": 50, "model.hidden": [8, 9]}
    )
    assert (changed.model.window, changed.model.hidden) == (20_000, (8, 9))
    assert changed.policy.steps == Effort(step=1, conservative=5, convergence=50)
    assert (changed.collection, changed.model.epochs) == (before.collection, before.model.epochs)
    assert before == Settings() == override(before, {})


def test_whole_numbers_become_real_ones() -> None:
    assert repr(override(Settings(), {"policy.discount": 1}).policy.discount) == "1.0"


def test_overrides_are_checked_together() -> None:
    """Each alone would be refused beside the default of the other."""
    wide = {"model.window": 200_000, "model.capacity": 300_000}
    assert override(Settings(), wide).model.window == 200_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.windw": 3}, r"unknown setting model\.windw; did you mean 'window'\?"),
        ({"modle.window": 3}, r"unknown setting modle; did you mean 'model'\?"),
        ({"policy.steps.often": 3}, r"unknown setting policy\.steps\.often$"),
        ({"model.window": 1.5}, r"model\.window = 1\.5: must be a whole number"),
        ({"model.window.size": 3}, r"model\.window = {'size': 3}: must be a whole number"),
        ({"model": 3}, r"model = 3: must be a group of settings"),
        ({"model.window": 0}, r"model\.window = 0: must be at least 1"),
        ({"model.loss": "square"}, r"model\.loss = 'square': must be one of .*'squared'\?"),
        ({"model.window": 200_000}, r"model\.window = 200000: must be at most capacity = 100000"),
        ({"policy.planner.num_elites": 101}, r"policy\.planner\.num_elites = 101: must be at most"),
    ],
)
def test_overrides_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        override(Settings(), changes)


def fields() -> Iterator[tuple[type, str]]:
    for record in RECORDS:
        yield from ((record, field.name) for field in dataclasses.fields(record))


SVG = {
    "policy.improver": "svg",
    "policy.actor_critic.hidden": (4,),
    "policy.actor_critic.batch_size": 4,
    "policy.actor_critic.horizon": 2,
    "policy.actor_critic.pool_horizon": 2,
    "policy.actor_critic.pool_interval": 1,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"model.loss": "noise_level", "model.noise_share": 0.25},
        {"model.loss": "likelihood", "model.learn_reward": True, "model.learn_termination": True},
        {"leader.gradient": "implicit"},
        {**SVG, "model.loss": "noise_level", "model.noise_share": 0.25},
    ],
)
def test_rounds_change_numbers_alone(changes: dict[str, Any]) -> None:
    """What is no array, such as a setting that a player keeps, stays what it was at the start."""
    settings = override(TINY, changes)
    before = jax.tree.structure(start(POINT, settings, 0).players)
    for round_ in play(POINT, settings, PAL, 0, num_env_steps=240):
        assert jax.tree.structure(round_.state.players) == before


@pytest.mark.slow
def test_every_setting_is_read_while_the_games_are_played(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[type, str]] = set()

    def noting(record: type, name: str) -> Any:
        seen.add((type(record), name))
        return object.__getattribute__(record, name)

    for record in RECORDS:
        monkeypatch.setattr(record, "__getattribute__", noting, raising=False)
    fresh = override(
        TINY,
        {
            "model.batch_size": 29,
            "policy.planner.horizon": 4,
            "policy.planner.num_samples": 8,
            "policy.planner.num_elites": 3,
            "policy.planner.num_iterations": 2,
        },
    )
    seen.clear()
    for schedule in (GDA, BR, PAL, MAL):
        list(play(POINT, fresh, schedule, 0, num_env_steps=260))
    for improver in ("trpo", "pg", "cem", "mppi"):
        played = override(fresh, {"policy.improver": improver})
        list(play(POINT, played, MAL, 0, num_env_steps=260))
    for gradient in ("implicit", "unrolled"):
        leading = override(fresh, {"leader.gradient": gradient})
        list(play(POINT, leading, PAL, 0, num_env_steps=200))
    assert set(fields()) <= seen, set(fields()) - seen


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model.window": 4_000, "model.window.x": 3},
            r"model.window.x: window is given as a whole",
        ),
        ({"model": {"window": 50}, "model.window": 60}, r"model.window: model is given as a whole"),
        ({"model.window": 50, "model": {"window": 60}}, r"model: is given as a whole and in parts"),
        ({"model": 5}, "model = 5: must be a group of settings"),
        ({"policy.discount": 10**400}, "policy.discount = 1000.*: must be a"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        override(Settings(), changes)


def test_an_override_may_give_a_group_and_leaves_what_it_() -> None:
    planner = PlannerSettings(horizon=3)
    given = {"epochs": {"step": 2}}
    found = override(Settings(), {"policy.planner": planner, "model": given})
    assert found.policy.planner == planner
    assert found.model.epochs == dataclasses.replace(ModelSettings().epochs, step=2)
    assert given == {"epochs": {"step": 2}}


@pytest.mark.parametrize(
    ("task", "horizon", "action_repeat"),
    [
        ("Reacher7DOF", 50, 1),
        ("Reacher-v5", 50, 1),
        ("DKittyOrient", 80, 1),
        ("InHandPen", 100, 1),
        ("Hopper-v5", 500, 2),
        ("Walker2d-v5", 500, 2),
    ],
)
def test_the_rule_for_tasks_without_a_preset_explains_presets(task, horizon, action_repeat):
    found = preset(task, "mal").settings
    ruled = preset("my-task", "mal", None, horizon, action_repeat).settings
    assert ruled.collection.initial_steps == found.collection.initial_steps
    assert ruled.imagination.horizon == found.imagination.horizon
    assert ruled.policy.discount == pytest.approx(found.policy.discount, abs=0.006)


@pytest.mark.parametrize("algorithm", SCHEDULES)
@pytest.mark.parametrize("improver", [None, "svg"])
def test_no_task_imagines_more_than_an_episode(algorithm, improver):
    settings = preset("my-task", algorithm, improver, 60).settings
    assert settings.imagination.horizon == 60
    assert settings.collection.initial_steps == 3_000
    assert settings.collection.steps_per_round <= 600
    assert settings.policy.discount == 0.975
    if improver is None or algorithm in ACTOR_CRITIC_METHODS:
        check_players(SCHEDULES[algorithm], settings)


def test_what_has_a_preset_keeps_it():
    assert preset("Hopper-v5", "pal", None, 60) == preset("Hopper-v5", "pal")
    assert preset("Hopper-v5", "pal", "svg", 60) == preset("Hopper-v5", "pal", "svg")
