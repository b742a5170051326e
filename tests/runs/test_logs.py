"""Logs on disk: ``.npz`` files, Minari data sets, and what is damaged or none of the task."""

import dataclasses
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from logs import point_log
from probes import POINT, TINY, PointEnv, point_reward

from duopoly.runs.errors import UsageError
from duopoly.runs.logs import load_log, save_log
from duopoly.schedule import GDA, MAL, PAL
from duopoly.settings import override
from duopoly.world.buffer import Buffer
from duopoly.world.logged import Log
from duopoly.world.task import Task


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "log.npz"
    np.savez_compressed(path, **point_log())
    return path


def load(source: Any, task: Task = POINT) -> Log:
    return load_log(source, task, TINY, PAL)


def test_a_file_its_arrays_and_what_is_saved_of_them_are_one_log(file: Path) -> None:
    log = load(file)
    assert load(str(file)).record == load(point_log()).record == log.record
    again = file.with_name("again.npz")
    save_log(again, Buffer.empty(3, 2, 100).begun_with(log), POINT)
    back = load(again)
    for field in dataclasses.fields(Log):
        np.testing.assert_allclose(getattr(back, field.name), getattr(log, field.name), atol=1e-6)
    with np.load(again, allow_pickle=False) as arrays:
        assert arrays["action_repeat"] == 1
        np.testing.assert_array_equal(arrays["truncations"].sum(), log.first.sum() - 5)
    with pytest.raises(UsageError, match=r"nothing\.npz: there are no transitions yet"):
        save_log(file.with_name("nothing.npz"), Buffer.empty(3, 2, 10), POINT)


def test_several_files_are_one_log(file: Path) -> None:
    both = load([file, point_log(40, 1)])
    assert both.record.transitions == 130
    np.testing.assert_array_equal(both.obs[:90], load(file).obs)


def test_a_link_to_a_file_is_followed(file: Path) -> None:
    link = file.with_name("link.npz")
    link.symlink_to(file)
    assert load(link).record == load(file).record


class Evil:
    """What unpickling must never run."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("unpickled",)


def damaged(kind: str, file: Path) -> None:
    data = file.read_bytes()
    match kind:
        case "missing":
            file.unlink()
        case "folder":
            file.unlink()
            file.mkdir()
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "flipped":
            middle = len(data) // 3
            file.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
        case "noise":
            file.write_bytes(np.random.default_rng(0).bytes(3_000))
        case "pickle":
            arrays = {**point_log(), "rewards": np.array([Evil()] * 90, object)}
            np.savez(file, **arrays)
        case "text":
            file.write_text("obs,action\n1,2\n")
        case "npy":
            with file.open("wb") as out:
                np.save(out, np.zeros(3))
        case "other files":
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("observations.txt", "1 2 3")


@pytest.mark.parametrize(
    "kind",
    [
        *("missing", "folder", "empty", "cut", "flipped", "noise", "pickle", "text", "npy"),
        "other files",
    ],
)
def test_a_damaged_file_is_one_line(kind: str, file: Path) -> None:
    damaged(kind, file)
    with pytest.raises(UsageError) as caught:
        load(file)
    told = str(caught.value)
    assert told.startswith(f"{file}: ")
    assert "\n" not in told
    assert caught.value.exit_code == 2


def test_more_than_the_memory_is_not_unpacked(file: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("duopoly.runs.logs.machine_memory", lambda: 1_000)
    with pytest.raises(UsageError, match=r"holds \d\S+ bytes, more than this machine's memory"):
        load(file)


def test_a_fault_within_is_a_line_with_the_files_name(file: Path) -> None:
    np.savez(file, **{**point_log(), "actions": np.full((90, 2), 3.0)})
    with pytest.raises(UsageError, match=r"log\.npz: actions\[0, 0\] is 3, outside the bounds"):
        load(file)
    np.savez(file, **{**point_log(), "rewards": np.ones(90)})
    with pytest.raises(UsageError, match=r"log\.npz: the reward of transition 0 is 1, but Point"):
        load(file)
    blind = override(TINY, {"model.learn_reward": True})
    assert load_log(file, POINT, blind, PAL).reward.all()


def test_no_log_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="data: there is no log"):
        load([])


def test_all_of_it_must_be_seen() -> None:
    log = point_log(160)
    with pytest.raises(UsageError, match=r"160 transitions, of which pal fits the newest model.w"):
        load(log)
    assert load_log(log, POINT, TINY, MAL).record == load_log(log, POINT, TINY, GDA).record
    small = override(TINY, {"model.window": 100, "model.capacity": 100})
    with pytest.raises(UsageError, match=r"160 transitions, model.capacity = 100 are kept: set mo"):
        load_log(log, POINT, small, MAL)


def test_ends_are_not_learned_from_rows_without_them() -> None:
    log = point_log()
    del log["next_observations"]
    load(log)
    with pytest.raises(UsageError, match="has no next_observations, so the rows in which the worl"):
        load(log, dataclasses.replace(POINT, terminated_fn=None))


class ParcelledPoint(gym.ObservationWrapper):
    """The point, observed in parts, in another order than that of the alphabet."""

    def __init__(self) -> None:
        super().__init__(PointEnv())
        parts = {"place": gym.spaces.Box(-np.inf, np.inf, (2,)), "goal": gym.spaces.Box(0, 9, (1,))}
        self.observation_space = gym.spaces.Dict(parts)

    def observation(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        place, goal = observation[:2], observation[2:]
        return {"place": place.astype(np.float32), "goal": goal.astype(np.float32)}


PARCELLED = Task(
    name="ParcelledPoint",
    summary="the same",
    make=lambda _: ParcelledPoint(),
    horizon=20,
    reward_fn=lambda obs, action, next_obs: point_reward(obs[1:], action, next_obs[1:]),
)


@pytest.fixture
def minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Minari, with its own folder here."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return pytest.importorskip("minari")


def record(minari: Any, env: gym.Env, name: str) -> list[Any]:
    """Lets Minari write a data set of three episodes of random actions; returns them."""
    env.action_space.seed(0)
    episodes = []
    for seed in range(3):
        obs, actions, rewards, terminations = [env.reset(seed=seed)[0]], [], [], []
        for _ in range(12):
            actions.append(env.action_space.sample())
            next_obs, reward, terminated, _, _ = env.step(actions[-1])
            obs.append(next_obs)
            rewards.append(reward)
            terminations.append(terminated)
        parts = obs if isinstance(obs[0], np.ndarray) else {k: [o[k] for o in obs] for k in obs[0]}
        episode = minari.data_collector.EpisodeBuffer(
            observations=parts,
            actions=actions,
            rewards=rewards,
            terminations=terminations,
            truncations=[False] * 11 + [True],
            infos={},
        )
        episodes.append(episode)
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    with warnings.catch_warnings(action="ignore"):  # of what it might be told besides
        return list(minari.create_dataset_from_buffers(name, episodes, **spaces))


def test_a_minari_data_set_by_its_id_and_its_folder(minari: Any, tmp_path: Path) -> None:
    episodes = record(minari, PointEnv(), "point/random-v0")
    log = load("minari:point/random-v0")
    assert log.record[1:] == (36, 3)
    np.testing.assert_array_equal(np.flatnonzero(log.first), [0, 12, 24])
    for number, episode in enumerate(episodes):
        rows = slice(12 * number, 12 * number + 12)
        np.testing.assert_allclose(log.obs[rows], episode.observations[:-1], rtol=1e-6)
        np.testing.assert_allclose(log.next_obs[rows], episode.observations[1:], rtol=1e-6)
        np.testing.assert_allclose(2.0 * log.action[rows], episode.actions, rtol=1e-5)
    folder = tmp_path / "datasets" / "point" / "random-v0"
    assert load(f"minari:{folder}").record == log.record


def test_parts_are_made_flat_in_the_order_of_the_space(minari: Any) -> None:
    episodes = record(minari, ParcelledPoint(), "parcelled/random-v0")
    log = load("minari:parcelled/random-v0", PARCELLED)
    space = PARCELLED.spec.obs_space
    assert space is not None
    row = {name: part[4] for name, part in episodes[1].observations.items()}
    np.testing.assert_array_equal(log.obs[16], gym.spaces.flatten(space, row))
    with pytest.raises(UsageError, match="its observations are none of Point, which observes Box"):
        load("minari:parcelled/random-v0")


def test_what_minari_has_not_is_one_line(minari: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="minari:no/such-v0: there is no such data set here; `mi"):
        load("minari:no/such-v0")
    record(minari, PointEnv(), "point/random-v0")
    folder = tmp_path / "datasets" / "point" / "random-v0" / "data"
    hdf5 = folder / "main_data.hdf5"
    hdf5.write_bytes(hdf5.read_bytes()[:1_000])
    with pytest.raises(UsageError, match="minari:point/random-v0: cannot be read: ") as caught:
        load("minari:point/random-v0")
    assert "\n" not in str(caught.value)
    (folder / "metadata.json").write_text('{"env_spec": "evil"}')
    with pytest.raises(UsageError, match="does not tell its spaces"):
        load("minari:point/random-v0")


def test_without_minari_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UsageError, match=r"needs the package minari: pip install 'duopoly\[minari"):
        load("minari:point/random-v0")
