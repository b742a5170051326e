"""Model-based reinforcement learning as a game between a policy and a world model.

    from duopoly import PAL

    agent = PAL("Hopper-v5", seed=0)
    agent.learn(50_000)
    action, _ = agent.predict(obs, deterministic=True)

The names below are the public ones. They are loaded when first used, so that the command line
can refuse a mistyped word without waiting for JAX. Gymnasium's registry knows our environments at
once: ``gymnasium.make("duopoly/Reacher7DOF-v0")``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from duopoly.world import registration as _registration  # noqa: F401

if TYPE_CHECKING:
    from duopoly.agent import (
        AUTO,
        BR,
        DHMBPO,
        GDA,
        MAL,
        MBPO,
        METRPO,
        PAL,
        PETS,
        SAC,
        SLBO,
        SVG,
        Agent,
        Algorithm,
    )
    from duopoly.game.play import Round, play
    from duopoly.game.state import GameError, GameState, start
    from duopoly.presets import Preset, preset
    from duopoly.runs.trackers.tracker import TrackedRun, Tracker
    from duopoly.schedule import SCHEDULES, Schedule
    from duopoly.settings import Settings, SettingsError, override
    from duopoly.types import Episode
    from duopoly.world.checking.check import check_task
    from duopoly.world.checking.task_report import TaskReport
    from duopoly.world.custom import make_task
    from duopoly.world.environments import RepeatAction
    from duopoly.world.perturb import Change, Perturbation, PerturbationError
    from duopoly.world.task import Task, TaskError
    from duopoly.world.tasks import TASK_NAMES, UnknownTaskError, get_task
    from duopoly.world.workers import Workers

    __version__: str

_HOMES = {
    "duopoly.agent": (
        *("PAL", "MAL", "GDA", "BR", "AUTO"),
        *("PETS", "METRPO", "SLBO", "SVG", "DHMBPO", "MBPO", "SAC"),
        *("Agent", "Algorithm"),
    ),
    "duopoly.game.play": ("Round", "play"),
    "duopoly.game.state": ("GameError", "GameState", "start"),
    "duopoly.presets": ("Preset", "preset"),
    "duopoly.runs.trackers.tracker": ("TrackedRun", "Tracker"),
    "duopoly.schedule": ("SCHEDULES", "Schedule"),
    "duopoly.settings": ("Settings", "SettingsError", "override"),
    "duopoly.types": ("Episode",),
    "duopoly.world.checking.check": ("check_task",),
    "duopoly.world.custom": ("make_task",),
    "duopoly.world.environments": ("RepeatAction",),
    "duopoly.world.perturb": ("Change", "Perturbation", "PerturbationError"),
    "duopoly.world.task": ("Task", "TaskError"),
    "duopoly.world.checking.task_report": ("TaskReport",),
    "duopoly.world.tasks": ("TASK_NAMES", "UnknownTaskError", "get_task"),
    "duopoly.world.workers": ("Workers",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022  (in the order of the story, not of the alphabet)
    "PAL",
    "MAL",
    "GDA",
    "BR",
    "AUTO",
    "PETS",
    "METRPO",
    "SLBO",
    "SVG",
    "DHMBPO",
    "MBPO",
    "SAC",
    "Agent",
    "Algorithm",
    "Tracker",
    "TrackedRun",
    "Settings",
    "SettingsError",
    "override",
    "Preset",
    "preset",
    "Task",
    "TaskError",
    "make_task",
    "RepeatAction",
    "check_task",
    "TaskReport",
    "Perturbation",
    "PerturbationError",
    "Change",
    "TASK_NAMES",
    "UnknownTaskError",
    "get_task",
    "SCHEDULES",
    "Schedule",
    "Round",
    "GameState",
    "GameError",
    "start",
    "play",
    "Workers",
    "Episode",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its home (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("duopoly")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'duopoly' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
