"""The numbers of a round: all of them every time, and each with its meaning on paper."""

import math
from pathlib import Path

import pytest
from probes import POINT, TINY

from duopoly.game import drift
from duopoly.game.metrics import DESCRIPTIONS, document
from duopoly.game.play import play
from duopoly.policy.actor_critic.player import SVG
from duopoly.policy.gradient.player import NPG
from duopoly.schedule import SCHEDULES, Schedule

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "metrics.md"


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda s: s.name)
def test_every_round_has_every_metric(schedule: Schedule) -> None:
    last = list(play(POINT, TINY, schedule, 0, num_env_steps=260))[-1].metrics
    assert list(last) == list(DESCRIPTIONS)
    unknown = {name for name, value in last.items() if math.isnan(value)}
    refereed = () if schedule.has_referee else drift.METRICS
    # Known where the policy plans, where rows are held out, where reward and end are learned, or on
    # logged data.
    assert unknown <= {
        *("game/leader_loss", "time/plan_ms", "planner/return_mean", "model/holdout_error"),
        *("model/reward_error", "model/termination_error"),
        *("model/disagreement", "model/disagreement_99"),
        *refereed,
        # Known where an actor learns with critics.
        *(SVG.metrics.keys() - NPG.metrics.keys()),
        # Known where a leader differentiates the best response.
        *(name for name in DESCRIPTIONS if name.startswith("leader/")),
    }


def test_the_document_is_made_from_the_metrics() -> None:
    made = "python -m duopoly.game.metrics > docs/metrics.md"
    assert DOCUMENT.read_text(encoding="utf-8") == document(), f"made anew by: {made}"
