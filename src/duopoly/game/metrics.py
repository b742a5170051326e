"""All metrics of a round: gathered from where they are made, and written down.

python -m duopoly.game.metrics > docs/metrics.md
"""

import math
from collections.abc import Mapping
from typing import Final

from duopoly.game import drift, observe, report
from duopoly.policy.catalogue import PLAYERS
from duopoly.policy.player import OBJECTIVE
from duopoly.schedule import Move
from duopoly.types import Metrics

SECONDS: Final[Mapping[Move, str]] = {
    Move.COLLECT: "seconds in the real environment",
    Move.FIT: "seconds of model fitting",
    Move.IMPROVE: "seconds of policy steps",
}
GROUPS: Final = (
    *("time", "rollout", "eval", "model", "imagined", "policy", "critic"),
    *("planner", "train", "game", "leader", "world"),
)
"""In the order in which they are told; what is of another group comes last."""

HEAD: Final = """# Metrics

One row of `progress.csv` per round, and one TensorBoard scalar each. A number that is not known in
a round is `nan`. Units are the task's where none are given. `duopoly train` adds
`time/iterations` (rounds so far), `time/time_elapsed` (seconds until the round was evaluated, stops
excluded) and `time/fps` (environment steps per second). It evaluates a round beside the next one's
first moves, which may take longer for it; `--overlap never` has each alone.

| name | meaning |
|---|---|
"""


def _gather() -> dict[str, str]:
    """Returns the meaning of every metric, group by group."""
    seconds = {f"time/{move.value}_s": meaning for move, meaning in SECONDS.items()}
    found: dict[str, str] = {}
    for one in (
        *(report.COLLECTION, seconds, report.EVALUATION, report.FIT, report.LEARNED_OUTPUTS),
        *(row.load().metrics for row in PLAYERS.values()),
        *(observe.METRICS, OBJECTIVE, drift.METRICS, report.LEADER),
    ):
        for name, meaning in one.items():
            assert found.setdefault(name, meaning) == meaning, f"{name} has two meanings"
    order = {group: number for number, group in enumerate(GROUPS)}
    return dict(
        sorted(found.items(), key=lambda item: order.get(item[0].split("/")[0], len(order)))
    )


DESCRIPTIONS: Final[Mapping[str, str]] = _gather()
"""Every metric of a round with what it means; units are the task's where none are given."""


def unknown_metrics() -> Metrics:
    """Returns every metric as NaN: not known this round."""
    return dict.fromkeys(DESCRIPTIONS, math.nan)


def document() -> str:
    """Returns ``docs/metrics.md``."""
    rows = (f"| `{name}` | {meaning} |\n" for name, meaning in DESCRIPTIONS.items())
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(document(), end="")
