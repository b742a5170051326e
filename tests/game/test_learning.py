"""Probe environments: small games whose outcome is known."""

import dataclasses

import numpy as np
import pytest
from probes import POINT, TINY

from duopoly import game
from duopoly.model.fit import fit_model
from duopoly.policy.improve import improve_policy
from duopoly.world.task import TaskError

LEARNING = dataclasses.replace(
    TINY,
    model=dataclasses.replace(TINY.model, hidden=(32,), window=1_000),
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
    rounds = list(game.play(POINT, LEARNING, game.PAL, 0, num_env_steps=500))
    first, last = rounds[0].metrics, rounds[-1].metrics
    # Pushing straight to the origin at full speed costs about 1.5 on average.
    assert last["eval/mean_reward"] > -3.0 > first["rollout/ep_rew_mean"]
    assert last["eval/success_rate"] == 1.0
    assert abs(last["imagined/return_mean"] - last["rollout/ep_rew_mean"]) < 1.5


def test_each_update_is_traced_once() -> None:
    before = fit_model._cached._cache_size(), improve_policy._cached._cache_size()
    settings = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, batch_size=31))
    list(game.play(POINT, settings, game.PAL, 0, num_env_steps=500))
    after = fit_model._cached._cache_size(), improve_policy._cached._cache_size()
    assert np.subtract(after, before).tolist() == [1, 1]


def test_unknown_reward_is_refused_by_name() -> None:
    blind = dataclasses.replace(POINT, reward_fn=None)
    with pytest.raises(TaskError, match="reward_fn"):
        next(game.play(blind, TINY, game.PAL, 0, num_env_steps=200))
