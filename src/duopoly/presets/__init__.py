"""Settings to start from, per task and algorithm; pure Python, read before JAX starts."""

from duopoly.presets.actor_critic import ACTOR_CRITIC as ACTOR_CRITIC
from duopoly.presets.actor_critic import ACTOR_CRITIC_METHODS as ACTOR_CRITIC_METHODS
from duopoly.presets.actor_critic import ACTOR_CRITICS, IMPROVERS, IN_SCHEDULES
from duopoly.presets.actor_critic import SCHEDULED as SCHEDULED
from duopoly.presets.gradient import METHODS as METHODS
from duopoly.presets.gradient import PRESETS as PRESETS
from duopoly.presets.preset import Preset as Preset
from duopoly.settings import Improver, Settings, override
from duopoly.world.tasks.catalogue import CATALOGUE


def fitted(settings: Settings, horizon: int, action_repeat: int) -> Settings:
    """Settings of a task without any, fitted to the length of its episodes.

    It is the rule behind the presets as far as they follow one: no more actions are imagined than
    an episode has, the first collection is of fifty episodes, a round's of ten, and rewards count
    to two thirds of an episode.
    """
    collection, imagination = settings.collection, settings.imagination
    episode = horizon * action_repeat
    return override(
        settings,
        {
            "collection.initial_steps": min(max(50 * episode, 1_000), collection.initial_steps),
            "collection.steps_per_round": min(max(10 * episode, 500), collection.steps_per_round),
            "imagination.horizon": min(horizon, imagination.horizon),
            "policy.discount": round(min(max(1.0 - 1.5 / horizon, 0.97), 0.995), 3),
        },
    )


def preset(
    task_name: str,
    algorithm: str,
    improver: Improver | None = None,
    horizon: int | None = None,
    action_repeat: int = 1,
) -> Preset:
    """Returns the starting point for a task and an algorithm.

    A variant of a task starts where the task does, and one without a preset where the length of
    its episodes says, if ``horizon`` (in actions) is known. ``improver`` asks for the settings of a
    policy player other than the preset's own.
    """
    row = CATALOGUE.get(task_name)
    base = row.listed_name if row else task_name
    if algorithm in ACTOR_CRITIC_METHODS:
        changes = ACTOR_CRITIC_METHODS[algorithm]
    elif improver in IMPROVERS:
        of_schedule = {**IN_SCHEDULES.get(base, {}), **SCHEDULED.get(algorithm, {})}
        changes = {**of_schedule, "policy.improver": improver}
    elif algorithm in METHODS and (base, algorithm) not in PRESETS:
        found = preset(base, "mal", horizon=horizon, action_repeat=action_repeat)
        return Preset(override(found.settings, METHODS[algorithm]), found.num_env_steps)
    elif found := PRESETS.get((base, algorithm)):
        return found
    else:
        settings = Settings() if horizon is None else fitted(Settings(), horizon, action_repeat)
        return Preset(settings, 50_000)
    settings = override(ACTOR_CRITIC, {**ACTOR_CRITICS.get(base, {}), **changes})
    if horizon is not None and (base, "pal") not in PRESETS:
        settings = fitted(settings, horizon, action_repeat)
    return Preset(settings, preset(base, "pal").num_env_steps)
