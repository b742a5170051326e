"""What a compiled function does not read never compiles it again."""

import collections
import dataclasses
import threading
import typing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import POINT, TINY, PerfectPoint

from duopoly.equilibrium import gaps, model_leader, policy_leader, response
from duopoly.equilibrium.on_policy import OnPolicyData
from duopoly.game.known import known_functions
from duopoly.model import fit, imagine
from duopoly.model.dynamics import LearnedWorld, RobustWorld, robust_world
from duopoly.model.imagine import ROLL_OUT_READS, Starts
from duopoly.narrow import _narrowed as narrowed
from duopoly.narrow import narrow
from duopoly.policy.actor_critic import player as actor_critic_player
from duopoly.policy.actor_critic.player import SAC, SVG
from duopoly.policy.gaussian import act_by
from duopoly.policy.gradient import player as gradient_player
from duopoly.policy.gradient.player import NPG, PG, TRPO
from duopoly.policy.planner import plan
from duopoly.policy.planner import player as planner_player
from duopoly.policy.planner.player import CEM, MPPI
from duopoly.policy.player import Opponent, PolicyPlayer, Spaces
from duopoly.settings import (
    ActorCriticSettings,
    ImaginationSettings,
    LeaderGradient,
    LeaderSettings,
    PlannerSettings,
    RobustnessSettings,
    Settings,
    SettingsError,
)
from duopoly.types import Transitions

SETTINGS = dataclasses.replace(
    TINY,
    model=dataclasses.replace(TINY.model, holdout=0.2),
    imagination=ImaginationSettings(num_rollouts=2, horizon=3),
    robustness=RobustnessSettings(max_disagreement=1.0),
    leader=LeaderSettings(num_samples=4, num_rollouts=2, unrolled_steps=2),
    policy=dataclasses.replace(
        TINY.policy,
        planner=PlannerSettings(horizon=2, num_samples=3, num_iterations=1, num_elites=2),
        actor_critic=ActorCriticSettings(
            hidden=(4,),
            batch_size=4,
            horizon=2,
            pool_horizon=2,
            pool_slots=2,
            real_share=0.5,
            proximal=1.0,
        ),
    ),
)
OBS = jnp.zeros((5, 3))
NO = jnp.zeros(5, bool)
DATA = Transitions(OBS, jnp.zeros((5, 2)), jnp.zeros(5), OBS, NO, NO, jnp.asarray(5))
OPPONENT = Opponent(PerfectPoint(2), Starts(OBS, jnp.asarray(5), DATA), lambda: DATA)
KEY = jax.random.key(0)
MODEL = fit.init_model(KEY, 3, 2, (0, 1), SETTINGS.model)
WORLD = LearnedWorld(MODEL.ensemble, known_functions(POINT))


def traced(function: Callable[..., Any], *args: Any) -> Any:
    """Call what ends in a compiled function, but only as far as compiling would begin."""
    return eqx.filter_eval_shape(function, *args)


def improved(player: PolicyPlayer, num_updates: int | None = None) -> Callable[[Settings], Any]:
    state = player.init(KEY, Spaces(3, 2), SETTINGS)
    if num_updates is not None:
        state = eqx.tree_at(lambda s: s.num_updates, state, jnp.asarray(num_updates))
    return lambda settings: player.improve(KEY, state, OPPONENT, 1, settings)


def planned(player: PolicyPlayer) -> Callable[[Settings], Any]:
    state = player.init(KEY, Spaces(3, 2), SETTINGS)

    def act(settings: Settings) -> Any:
        controller = player.controller(state, OPPONENT.world, settings)
        return controller.act(np.zeros(3), controller.memory, np.random.default_rng(0), True)

    return act


def imagined(settings: Settings) -> Any:
    policy = NPG.init(KEY, Spaces(3, 2), SETTINGS).policy
    return traced(
        gaps.imagine_policy, KEY, act_by(policy), OPPONENT.world, OPPONENT.starts, settings
    )


def fitted(settings: Settings) -> Any:
    return traced(fit.fit_model, KEY, MODEL, DATA, settings.model, 2)


def responded(term_fn: Callable[..., Any]) -> Callable[[Settings], Any]:
    player = NPG.init(KEY, Spaces(3, 2), SETTINGS)
    on_policy = OnPolicyData(DATA, player.policy, DATA, jnp.asarray(1.0))
    against = WORLD, OPPONENT.starts, on_policy
    return lambda settings: traced(term_fn, KEY, player, *against, settings)


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


class Compiled(NamedTuple):
    """A function that ends in a compiled one."""

    function: Callable[[Settings], Any]
    reads: tuple[str, ...]
    """The settings that the compiled one reads."""
    narrows: ModuleType
    """Where they are narrowed."""
    inner: tuple[ModuleType, str] = (imagine, "imagine")
    """What runs only while it is compiled."""
    settings: Settings = SETTINGS


def of_gradient(player: PolicyPlayer) -> Compiled:
    return Compiled(improved(player), player.improve.keywords["reads"], gradient_player)  # pyright: ignore


def of_actor_critic(player: PolicyPlayer) -> Compiled:
    """In a later round than the first, in which there is nothing to stay near to."""
    reads = player.improve.keywords["reads"]  # pyright: ignore
    inner = actor_critic_player, "act_by"
    return Compiled(improved(player, num_updates=1), reads, actor_critic_player, inner)


def of_planner(player: PolicyPlayer) -> Compiled:
    reads = player.controller.keywords["reads"]  # pyright: ignore
    return Compiled(planned(player), reads, planner_player, (plan, "plan_returns"))


def of_leader(module: ModuleType, name: str, gradient: LeaderGradient) -> Compiled:
    leader = dataclasses.replace(SETTINGS.leader, gradient=gradient)
    return Compiled(
        responded(getattr(module, name)),
        (*module.READS, *response.READS[gradient]),
        module,
        (module, "imagine_for_leader"),
        dataclasses.replace(SETTINGS, leader=leader),
    )


COMPILED = {
    "npg": of_gradient(NPG),
    "trpo": of_gradient(TRPO),
    "pg": of_gradient(PG),
    "svg": of_actor_critic(SVG),
    "sac": of_actor_critic(SAC),
    "cem": of_planner(CEM),
    "mppi": of_planner(MPPI),
    "imagination": Compiled(
        imagined, tuple(f"imagination.{name}" for name in ROLL_OUT_READS[:2]), gaps
    ),
    "fit": Compiled(fitted, tuple(f"model.{name}" for name in fit.READS), fit, (fit, "measure")),
    "implicit policy term": of_leader(policy_leader, "policy_term", "implicit"),
    "unrolled policy term": of_leader(policy_leader, "policy_term", "unrolled"),
    "implicit model term": of_leader(model_leader, "model_term", "implicit"),
    "unrolled model term": of_leader(model_leader, "model_term", "unrolled"),
}
OF_ARGUMENTS = {
    *("policy.planner.horizon", "policy.actor_critic.keep_member", "model.noise_share"),
}
"""Settings that a compiled function meets in the shape or the kind of its arguments."""


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_not_read_never_compiles_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = COMPILED[name]
    traces: collections.Counter[str] = collections.Counter()
    inner = getattr(*row.inner)

    def counted(*args: Any) -> Any:
        traces[name] += 1  # runs while tracing only
        return inner(*args)

    monkeypatch.setattr(*row.inner, counted)
    jax.clear_caches()
    row.function(row.settings)
    once = traces[name]
    assert once > 0
    for setting, _ in leaves(row.settings):
        if setting not in row.reads and setting not in OF_ARGUMENTS:
            row.function(changed(row.settings, setting))
            assert traces[name] == once, f"{setting} compiled it again"


@pytest.mark.parametrize("name", COMPILED)
def test_every_setting_that_is_named_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = COMPILED[name]
    whole = narrow
    for left_out in row.reads:
        monkeypatch.setattr(
            row.narrows,
            "narrow",
            lambda given, names: whole(given, tuple(n for n in names if not left_out.endswith(n))),  # noqa: B023
        )
        with pytest.raises(SettingsError, match="does not say that it reads it"):
            row.function(row.settings)  # while it is traced


def test_a_robust_world_holds_the_settings_that_it_reads_alone() -> None:
    bold, careful = (
        robust_world(WORLD, RobustnessSettings(cvar_alpha=alpha, max_disagreement=0.5))
        for alpha in (1.0, 0.5)
    )
    assert isinstance(bold, RobustWorld)
    assert jax.tree.structure(bold) == jax.tree.structure(careful)


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


def test_threads_that_ask_at_once_get_equal_settings():
    """Each has just found that the class is not there yet."""
    narrowed.cache_clear()
    barrier = threading.Barrier(8)

    def ask(_: int) -> Settings:
        barrier.wait()
        return narrow(SETTINGS, ("policy.discount", "model.window"))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert len(set(found)) == 1
