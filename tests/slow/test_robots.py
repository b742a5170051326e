"""Learning on real robots: asks for well above where they start, so that seeds may vary."""

import pytest

from duopoly.game import play
from duopoly.presets import preset
from duopoly.schedule import SCHEDULES
from duopoly.world.tasks import get_task

pytestmark = pytest.mark.slow


def final_metrics(
    task_name: str, num_env_steps: int, seed: int, algorithm: str = "pal"
) -> dict[str, float]:
    settings, schedule = preset(task_name, algorithm).settings, SCHEDULES[algorithm]
    rounds = play(get_task(task_name), settings, schedule, seed, num_env_steps=num_env_steps)
    return list(rounds)[-1].metrics


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pal_reaches(seed: int) -> None:
    assert final_metrics("Reacher7DOF", 6_000, seed)["eval/success_rate"] >= 0.8


def test_pets_reaches() -> None:
    assert final_metrics("Reacher7DOF", 6_000, 0, "pets")["eval/success_rate"] >= 0.8


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pal_balances(seed: int) -> None:
    assert final_metrics("InvertedPendulum-v5", 5_000, seed)["eval/mean_reward"] >= 900.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pal_swings_up_a_pendulum_of_which_it_knows_nothing(seed: int) -> None:
    # Random play earns about -1200; -150 is the mean of one that is always swung up at once.
    assert final_metrics("Pendulum-v1", 5_000, seed)["eval/mean_reward"] >= -400.0


def test_pal_hops() -> None:
    returns = [final_metrics("Hopper-v5", 30_000, s)["eval/mean_reward"] for s in (0, 1, 2)]
    assert sorted(returns)[1] >= 1_500.0
