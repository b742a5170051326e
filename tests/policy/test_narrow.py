"""What a compiled function does not read never compiles it again."""

import collections
import dataclasses
import typing
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import TINY, PerfectPoint

from duopoly.equilibrium import gaps
from duopoly.model import imagine
from duopoly.model.imagine import ROLL_OUT_READS, Starts
from duopoly.narrow import narrow
from duopoly.policy.gaussian import act_by
from duopoly.policy.gradient import player as gradient_player
from duopoly.policy.gradient.player import NPG, PG, TRPO
from duopoly.policy.planner import plan
from duopoly.policy.planner import player as planner_player
from duopoly.policy.planner.player import CEM, MPPI
from duopoly.policy.player import Opponent, PolicyPlayer, Spaces
from duopoly.settings import PlannerSettings, Settings, SettingsError
from duopoly.types import Transitions

SETTINGS = dataclasses.replace(
    TINY,
    policy=dataclasses.replace(
        TINY.policy,
        planner=PlannerSettings(horizon=2, num_samples=3, num_iterations=1, num_elites=2),
    ),
)
OBS = jnp.zeros((5, 3))
NO = jnp.zeros(5, bool)
DATA = Transitions(OBS, jnp.zeros((5, 2)), jnp.zeros(5), OBS, NO, NO, jnp.asarray(5))
OPPONENT = Opponent(PerfectPoint(2), Starts(OBS, jnp.asarray(5), DATA))
KEY = jax.random.key(0)


def improved(player: PolicyPlayer) -> Callable[[Settings], Any]:
    state = player.init(KEY, Spaces(3, 2), SETTINGS)
    return lambda settings: player.improve(KEY, state, OPPONENT, 1, settings)


def planned(player: PolicyPlayer) -> Callable[[Settings], Any]:
    state = player.init(KEY, Spaces(3, 2), SETTINGS)

    def act(settings: Settings) -> Any:
        controller = player.controller(state, OPPONENT.world, settings)
        return controller.act(np.zeros(3), controller.memory, np.random.default_rng(0), True)

    return act


def imagined(settings: Settings) -> Any:
    policy = NPG.init(KEY, Spaces(3, 2), SETTINGS).policy
    return gaps.imagine_policy(KEY, act_by(policy), OPPONENT.world, OPPONENT.starts, settings)


def leaves(record: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def changed(record: Any, name: str) -> Any:
    """Return the settings with one of them changed to another value that will do."""
    head, _, rest = name.partition(".")
    value = getattr(record, head)
    if rest:
        return dataclasses.replace(record, **{head: changed(value, rest)})
    choices = typing.get_args(typing.get_type_hints(type(record))[head])
    for other in (not value, *(choices if isinstance(value, str) else others(value))):
        if type(other) is type(value) and other != value:
            try:
                return dataclasses.replace(record, **{head: other})
            except SettingsError:
                continue
    pytest.fail(f"no other value is known for {name}")


def others(value: Any) -> tuple[Any, ...]:
    match value:
        case int() | float():
            return value + 1, value * 0.5, value * 0.9, value - 1, 2.0, 0.5
        case tuple():
            return ((7,),)
    return ()


COMPILED: dict[str, tuple[Callable[[Settings], Any], tuple[str, ...]]] = {
    "npg": (improved(NPG), NPG.improve.keywords["reads"]),  # pyright: ignore
    "trpo": (improved(TRPO), TRPO.improve.keywords["reads"]),  # pyright: ignore
    "pg": (improved(PG), PG.improve.keywords["reads"]),  # pyright: ignore
    "cem": (planned(CEM), CEM.controller.keywords["reads"]),  # pyright: ignore
    "mppi": (planned(MPPI), MPPI.controller.keywords["reads"]),  # pyright: ignore
    "imagination": (imagined, tuple(f"imagination.{name}" for name in ROLL_OUT_READS[:2])),
}
"""Functions that end in a compiled one, and the settings that it reads."""
MODULES = {
    **dict.fromkeys(("npg", "trpo", "pg"), gradient_player),
    **dict.fromkeys(("cem", "mppi"), planner_player),
    "imagination": gaps,
}
"""Where each narrows its settings."""
OF_SHAPES = {"policy.planner.horizon"}
"""Settings that a compiled function meets in the shape of its arguments."""


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_not_read_never_compiles_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, reads = COMPILED[name]
    traces: collections.Counter[str] = collections.Counter()

    def counted(inner: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any) -> Any:
            traces[name] += 1  # runs while tracing only
            return inner(*args)

        return count

    monkeypatch.setattr(imagine, "imagine", counted(imagine.imagine))
    monkeypatch.setattr(plan, "plan_returns", counted(plan.plan_returns))
    jax.clear_caches()
    function(SETTINGS)
    once = traces[name]
    assert once > 0
    for setting, _ in leaves(SETTINGS):
        if setting not in reads and setting not in OF_SHAPES:
            function(changed(SETTINGS, setting))
            assert traces[name] == once, f"{setting} compiled it again"


@pytest.mark.parametrize("name", COMPILED)
def test_every_setting_that_is_named_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, reads = COMPILED[name]
    whole = narrow
    for left_out in reads:
        monkeypatch.setattr(
            MODULES[name],
            "narrow",
            lambda given, names: whole(given, tuple(n for n in names if not left_out.endswith(n))),  # noqa: B023
        )
        with pytest.raises(SettingsError, match="does not say that it reads it"):
            function(SETTINGS)  # while it is traced


def test_a_setting_that_is_not_named_cannot_be_used() -> None:
    read = narrow(SETTINGS, ("policy.discount", "model"))
    assert read.policy.discount == SETTINGS.policy.discount
    assert read.model == SETTINGS.model
    for use in (
        lambda: read.policy.gae_lambda * 2.0,
        lambda: read.imagination,
        lambda: read.policy.improver == "npg",
        lambda: read.imagination.horizon,
        lambda: jnp.arange(read.policy.fisher_samples),
    ):
        with pytest.raises(SettingsError, match="does not say that it reads it"):
            use()
    with pytest.raises(SettingsError, match="PolicySettings has no field discont"):
        narrow(SETTINGS, ("policy.discont",))


def test_narrow_settings_are_equal_where_what_is_read_is() -> None:
    one, other = (dataclasses.replace(SETTINGS.policy, hidden=hidden) for hidden in ((3,), (4,)))
    assert narrow(one, ("discount",)) == narrow(other, ("discount",))
    assert hash(narrow(one, ("discount",))) == hash(narrow(other, ("discount",)))
    assert narrow(one, ("hidden",)) != narrow(other, ("hidden",))
