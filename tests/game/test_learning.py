"""Probe environments: small games whose outcome is known."""

import collections
import dataclasses
import math
import types

import jax
import pytest
from probes import POINT, TINY

from duopoly.game import drift
from duopoly.game.play import play
from duopoly.model import fit
from duopoly.policy.actor_critic.player import SVG
from duopoly.policy.gradient import improve
from duopoly.policy.gradient.player import NPG
from duopoly.schedule import MAL, PAL
from duopoly.settings import Improver, override

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
    rounds = list(play(POINT, LEARNING, PAL, 0, num_env_steps=500))
    first, last = rounds[0].metrics, rounds[-1].metrics
    # Pushing straight to the origin at full speed costs about 1.5 on average.
    assert last["eval/mean_reward"] > -3.0 > first["rollout/ep_rew_mean"]
    assert last["eval/success_rate"] == 1.0
    assert abs(last["imagined/return_mean"] - last["rollout/ep_rew_mean"]) < 1.5


@pytest.mark.parametrize("improver", ["svg", "sac"])
def test_an_actor_critic_does_so_too(improver: Improver) -> None:
    settings = override(
        LEARNING,
        {
            "policy.improver": improver,
            "policy.hidden": (32,),
            "policy.learning_rate": 3e-3,
            "policy.steps.conservative": 300,
            "policy.actor_critic.hidden": (32,),
            "policy.actor_critic.horizon": 3,
            "policy.actor_critic.batch_size": 32,
            "policy.actor_critic.target_rate": 0.05,
            "policy.actor_critic.pool_horizon": 5,
        },
    )
    rounds = list(play(POINT, settings, PAL, 0, num_env_steps=500))
    last = rounds[-1].metrics
    assert last["eval/mean_reward"] > -3.0
    assert last["eval/success_rate"] == 1.0


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
    # Of no other test, which would have traced them already.
    settings = override(TINY, {"model.batch_size": 31, "policy.value.batch_size": 37})
    list(play(POINT, settings, PAL, 0, num_env_steps=380))
    assert traces == {"measure": 1, "estimate_advantages": 1}


@pytest.mark.parametrize(
    ("improver", "changes"),
    [
        ("npg", {"model.learn_reward": True, "evaluation.gap_steps": 1}),
        ("trpo", {"model.loss": "likelihood"}),
        ("svg", {"policy.actor_critic.proximal": 1.0, "model.loss": "noise_level"}),
        ("sac", {"policy.actor_critic.halving_updates": 100}),
    ],
)
def test_nothing_is_compiled_after_the_first_round(
    improver: Improver, changes: dict, caplog: pytest.LogCaptureFixture
) -> None:
    settings = override(TINY, {"policy.improver": improver, **changes})
    rounds = play(POINT, settings, PAL, 0, num_env_steps=440)
    next(rounds)
    with jax.log_compiles():
        list(rounds)
    assert [one for one in caplog.messages if "compil" in one.lower()] == []


def test_a_point_of_which_nothing_is_known_is_pushed_to_the_origin() -> None:
    blind = dataclasses.replace(POINT, reward_fn=None, terminated_fn=None)
    settings = dataclasses.replace(
        LEARNING, model=dataclasses.replace(LEARNING.model, outcome_hidden=(32,))
    )
    rounds = list(play(blind, settings, PAL, 0, num_env_steps=500))
    first, last = rounds[0].metrics, rounds[-1].metrics
    assert last["eval/mean_reward"] > -3.0 > first["rollout/ep_rew_mean"]
    assert abs(last["imagined/return_mean"] - last["rollout/ep_rew_mean"]) < 2.0
    assert last["model/reward_error"] < 0.1
    assert last["imagined/terminated_share"] < 0.3


def test_every_choice_of_the_model_player_plays() -> None:
    model = dataclasses.replace(
        TINY.model,
        loss="likelihood",
        holdout=0.1,
        patience=1,
        bootstrap=True,
        proximal=0.1,
        learn_reward=True,
    )
    settings = dataclasses.replace(TINY, model=model)
    last = list(play(POINT, settings, MAL, 0, num_env_steps=320))[-1].metrics
    unknown = {name for name, value in last.items() if math.isnan(value)}
    of_collection = {"rollout/ep_rew_mean", "rollout/ep_len_mean", "rollout/success_rate"}
    elsewhere = {name for name in unknown if name.startswith(("planner/", "leader/"))}
    elsewhere |= SVG.metrics.keys() - NPG.metrics.keys()
    elsewhere |= {"model/disagreement", "model/disagreement_99", *drift.METRICS}
    assert unknown <= of_collection | elsewhere | {"time/plan_ms"}
    assert last["model/refused_fits"] == 0
