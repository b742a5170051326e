"""Minari data sets on this machine as logs; see `world.logged`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from duopoly.runs.errors import UsageError
from duopoly.world.flat import flat_observation
from duopoly.world.logged import Arrays
from duopoly.world.task import Task

if TYPE_CHECKING:
    from minari import EpisodeData


def read_minari(dataset: str, task: Task) -> Arrays:
    """The arrays of a data set, its episodes one after another.

    Args:
        dataset: its id, or the path of its folder. Nothing is downloaded.
        task: as whose environment observations of several parts are made flat.

    Raises:
        UsageError: there is none, it is damaged, or `minari` is not installed.
    """
    try:
        from minari import MinariDataset
        from minari.dataset.minari_storage import MinariStorage
        from minari.storage import get_dataset_path
    except ImportError as error:
        raise UsageError(
            f"minari:{dataset}: needs the package {error.name or 'minari'}: "
            f"pip install 'duopoly[minari]'"
        ) from None
    given = Path(dataset)
    path = (given if given.is_dir() else Path(get_dataset_path(dataset))) / "data"
    if not path.is_dir():
        raise UsageError(
            f"minari:{dataset}: there is no such data set here; `minari download {dataset}` "
            f"fetches it, `minari list local` tells what there is"
        )
    try:
        # Without them minari would make the environment that the data set names.
        if not {"observation_space", "action_space"} <= set(MinariStorage.read_raw_metadata(path)):
            raise UsageError(f"minari:{dataset}: does not tell its spaces, as old ones: renew it")
        return _as_arrays(list(MinariDataset(path)), task, dataset)
    except UsageError:
        raise
    except Exception as error:  # whatever a damaged file makes it raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"minari:{dataset}: cannot be read: {reason}") from None


def _as_arrays(episodes: "Sequence[EpisodeData]", task: Task, dataset: str) -> Arrays:
    if not episodes:
        raise UsageError(f"minari:{dataset}: has no episode")
    whole = [_flat(episode.observations, task, dataset) for episode in episodes]
    for number, (episode, obs) in enumerate(zip(episodes, whole, strict=True)):
        if isinstance(episode.actions, Mapping | tuple):
            raise UsageError(f"minari:{dataset}: has actions of several parts, {task.name} one Box")
        if len(obs) != len(episode.rewards) + 1:
            raise UsageError(
                f"minari:{dataset}: episode {number} has {len(obs)} observations and "
                f"{len(episode.rewards)} rewards: there must be one observation more"
            )

    def whole_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(episode, name) for episode in episodes])

    starts = [np.arange(len(episode.rewards)) == 0 for episode in episodes]
    return {
        "observations": np.concatenate([obs[:-1] for obs in whole]),
        "next_observations": np.concatenate([obs[1:] for obs in whole]),
        "episode_starts": np.concatenate(starts),
        **{n: whole_of(n) for n in ("actions", "rewards", "terminations", "truncations")},
    }


def _flat(obs: Any, task: Task, dataset: str) -> np.ndarray:
    """The observations of an episode as rows: those of several parts in the order of the task's."""
    if not isinstance(obs, Mapping | tuple):
        return np.asarray(obs)
    space = task.spec.obs_space
    assert space is not None
    try:
        rows = [flat_observation(space, _row(obs, t)) for t in range(_length(obs))]
        if all(row.ndim == 1 for row in rows):
            return np.stack(rows)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        pass
    wanted = " ".join(str(space).split())
    raise UsageError(
        f"minari:{dataset}: its observations are none of {task.name}, which observes {wanted}"
    )


def _length(obs: Any) -> int:
    """Of the arrays in a nest of mappings and tuples."""
    while isinstance(obs, Mapping | tuple):
        obs = next(iter(obs.values())) if isinstance(obs, Mapping) else obs[0]
    return len(obs)


def _row(obs: Any, t: int) -> Any:
    if isinstance(obs, Mapping):
        return {name: _row(part, t) for name, part in obs.items()}
    return tuple(_row(part, t) for part in obs) if isinstance(obs, tuple) else obs[t]
