"""Tasks of one's own: an environment of Gymnasium's registry, or one built by a function."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Any, cast

import gymnasium as gym

from duopoly.types import Episode
from duopoly.world.environments import DEFAULT_HORIZON, from_registry, repeating
from duopoly.world.perturb import Perturbation
from duopoly.world.task import ComputeFn, EnvFactory, RewardFn, Task, TaskError, TerminatedFn
from duopoly.world.tasks import get_task, is_registered


def make_task(
    env: str | EnvFactory,
    *,
    name: str | None = None,
    horizon: int | None = None,
    action_repeat: int = 1,
    reward_fn: RewardFn | None = None,
    terminated_fn: TerminatedFn | None = None,
    success_fn: Callable[[Episode], bool] | None = None,
    constant: Iterable[int] = (),
    computed: Iterable[int] = (),
    compute_fn: ComputeFn | None = None,
    angles: Iterable[int] = (),
    names: Iterable[str] = (),
    perturbations: Iterable[Perturbation] = (),
) -> Task:
    """Returns a task of an environment, with what is known about it.

    Args:
        env: an id of Gymnasium's registry, or a function that is given a render mode (or None)
            and builds the environment.
        name: what runs, metrics and messages call it; by default the id or the function's name.
        horizon: actions per episode; by default the time limit in the registry.
        action_repeat: environment steps per action, made by wrapping the environment in
            `RepeatAction`; ``reward_fn`` then tells their sum.
        reward_fn: as in `Task`, like all that follow; `duopoly.check_task` compares them with
            the environment.

    Raises:
        TaskError: there is no such environment, or a part makes no sense; the message names it.
    """
    make, known_name, time_limit = _read_env(env)
    name = name or known_name
    if name is None:
        raise TaskError("name = None: the function that builds the environment has none; give one")
    if horizon is None:
        if time_limit is None:
            raise TaskError(
                f"{name}: no time limit is known; give horizon, the actions per episode"
            )
        horizon = time_limit // max(action_repeat, 1)
    if action_repeat > 1:
        make = repeating(make, action_repeat)
    return Task(
        name=name,
        summary=f"{name}, a task of one's own ({horizon} actions)",
        make=make,
        horizon=horizon,
        action_repeat=action_repeat,
        reward_fn=reward_fn,
        terminated_fn=terminated_fn,
        success_fn=success_fn,
        constant=tuple(constant),
        computed=tuple(computed),
        compute_fn=compute_fn,
        angles=tuple(angles),
        names=tuple(names),
        perturbations=tuple(perturbations),
    )


def task_of(env: gym.Env[Any, Any]) -> Task:
    """The task of an environment at hand, with nothing known: all is learned of it.

    It is made anew, by `gymnasium.make` from its own record, as often as it is played; itself it is
    left alone.

    Raises:
        TaskError: it was not made by `gymnasium.make`.
    """
    if (spec := env.spec) is None:
        raise TaskError(
            f"{env}: was not made by gymnasium.make, so it cannot be made anew; give what builds "
            f"it: duopoly.make_task(lambda render_mode: MyEnv(), name=…, horizon=…)"
        )
    kwargs = {name: value for name, value in spec.kwargs.items() if name != "render_mode"}
    is_plain = not kwargs and not spec.additional_wrappers and is_registered(spec.id)
    if is_plain:
        return get_task(spec.id)
    return Task(
        name=f"{spec.id}-as-given",
        summary=f"{spec.id} as it was given, nothing known",
        make=from_registry(dataclasses.replace(spec, kwargs=kwargs)),
        horizon=spec.max_episode_steps or DEFAULT_HORIZON,
    )


def _read_env(env: object) -> tuple[EnvFactory, str | None, int | None]:
    """What builds the environment, and its name and time limit (environment steps) if known."""
    if isinstance(env, str):
        try:
            spec = gym.spec(env)
        except (gym.error.Error, ImportError, ValueError) as error:
            raise TaskError(f"{env}: {' '.join(str(error).split())}") from None
        return from_registry(env), env, spec.max_episode_steps
    if isinstance(env, gym.Env) or not callable(env):
        raise TaskError(
            f"env = {env}: must be an id of Gymnasium's registry or a function that builds the "
            f"environment, such as lambda render_mode: MyEnv(render_mode)"
        )
    try:
        inspect.signature(env).bind(None)
    except TypeError:
        raise TaskError(
            f"{getattr(env, '__name__', env)}: what builds the environment is called with the "
            f"render mode; if it has no use for it: lambda render_mode: MyEnv()"
        ) from None
    factory = cast(EnvFactory, env)
    known_name = getattr(factory, "__name__", "<lambda>")
    return factory, None if known_name == "<lambda>" else known_name, None
