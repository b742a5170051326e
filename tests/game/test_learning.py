"""Probe environments: small games whose outcome is known."""

import collections
import dataclasses
import types

import pytest
from probes import POINT, TINY

from duopoly import game
from duopoly.model import fit
from duopoly.policy import improve
from duopoly.schedule import PAL
from duopoly.world.task import TaskError

LEARNING = dataclasses.replace(
    TINY,
    model=dataclasses.replace(TINY.model, hidden=(32,), window=1_000, capacity=1_000),
    imagination=dataclasses.replace(TINY.imagination, num_rollouts=50),
    policy=dataclasses.replace(
        TINY.policy,
        hidden=(16,),
        initial_log_std=-0.5,
        steps=dataclasses.replace(TINY.policy.steps, conservative=10),
        fisher_samples=1_000,
        cg_iterations=10,
    ),
    evaluation=dataclasses.replace(TINY.evaluation, num_episodes=20),
)


def test_pal_pushes_the_point_to_the_origin() -> None:
    rounds = list(game.play(POINT, LEARNING, PAL, 0, num_env_steps=500))
    first, last = rounds[0].metrics, rounds[-1].metrics
    # Pushing straight to the origin at full speed costs about 1.5 on average.
    assert last["eval/mean_reward"] > -3.0 > first["rollout/ep_rew_mean"]
    assert last["eval/success_rate"] == 1.0
    assert abs(last["imagined/return_mean"] - last["rollout/ep_rew_mean"]) < 1.5


def test_each_update_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traces: collections.Counter[str] = collections.Counter()

    def counting(module: types.ModuleType, name: str) -> None:
        inner = getattr(module, name)

        def counted(*args: object) -> object:
            traces[name] += 1  # runs while tracing only
            return inner(*args)

        monkeypatch.setattr(module, name, counted)

    counting(fit, "measure")
    counting(improve, "estimate_advantages")
    settings = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, batch_size=31))
    list(game.play(POINT, settings, PAL, 0, num_env_steps=380))
    assert traces == {"measure": 1, "estimate_advantages": 1}


def test_unknown_reward_is_refused_by_name() -> None:
    blind = dataclasses.replace(POINT, reward_fn=None)
    with pytest.raises(TaskError, match="reward_fn"):
        next(game.play(blind, TINY, PAL, 0, num_env_steps=200))
