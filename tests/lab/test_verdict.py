"""Each rule speaks where it should and is silent where it should be; runs in words."""

import re
from typing import Any

import numpy as np
import pytest
from report_runs import evaluation, record

from duopoly.lab.report.record import Diagnosed, Record, Status
from duopoly.lab.report.rules import RULES
from duopoly.lab.report.verdict import Finding, Group, findings, outcome
from duopoly.runs.metrics import RETURN, STEPS
from duopoly.world.perturb import Change

LEARNS = np.array([0, 200, 500, 800, 900, 950, 980, 990, 1000, 995, 1000, 1000.0])
"""Returns that rise and stay."""
GAP, STD, SUCCESS = "game/return_gap", "train/std", "eval/success_rate"
PERTURBED = (Change("wind", 5_000),)


def late(before: float, after: float) -> np.ndarray:
    """One number in the first two thirds of the rounds, another in the last."""
    return np.repeat([before, after], [8, 4])


# By headline: runs of which the rule speaks, and of which it is silent, with what it must name.
CASES: dict[str, tuple[list[tuple[dict[str, Any], str]], list[dict[str, Any]]]] = {
    "Imagined far above real": (
        [
            ({"columns": {RETURN: LEARNS, GAP: late(0, 300)}}, "by 300 .* 30 % .*threshold 25 %"),
            # Over a fifth of the episode the same gap weighs five times as much.
            (
                {"columns": {RETURN: LEARNS, GAP: late(0, 60), "imagined/horizon_share": 0.2}},
                "by 60 .* 30 %",
            ),
        ],
        [
            {"columns": {RETURN: LEARNS, GAP: late(300, 100)}},
            {"columns": {RETURN: LEARNS, GAP: -300.0}},
            {"columns": {RETURN: LEARNS}},
            # One wild round among the last is not round after round.
            {"columns": {RETURN: LEARNS, GAP: [*np.zeros(11), 5_000]}},
        ],
    ),
    "Imagined far below real": (
        [({"columns": {RETURN: LEARNS, GAP: late(0, -300)}}, "by 300 .* 30 %")],
        [{"columns": {RETURN: LEARNS, GAP: late(0, 300)}}, {"columns": {RETURN: LEARNS}}],
    ),
    "The model's error rises": (
        [
            ({"columns": {"game/model_objective": late(0.1, 0.2)}}, "from 0.1 .* 2.0 times"),
            (
                {"columns": {"game/model_objective": late(0.1, 0.2)}, "perturb": PERTURBED},
                "the world has changed",
            ),
        ],
        [
            {"columns": {"game/model_objective": late(0.2, 0.1)}},
            {"columns": {"game/model_objective": late(0.1, 0.14)}},
            {"columns": {"game/model_objective": 0.0}},
        ],
    ),
    "The world was found to have changed": (
        [
            ({"columns": {"game/goal_drift": [*np.zeros(8), 1, 0, 0, 0]}}, "its goals by .* steps"),
            (
                {"columns": {"game/dynamics_drift": late(0, 1), "game/goal_drift": late(0, 1)}},
                "its dynamics by .*; its goals by",
            ),
        ],
        [{"columns": {"game/goal_drift": 0.0, "game/dynamics_drift": np.nan}}],
    ),
    "Refused steps or fits": (
        [
            (
                {"columns": {"policy/refused_steps": 1, "policy/num_steps": 5}},
                "12 of 60 policy steps",
            ),
            ({"columns": {"model/refused_fits": [1, *np.zeros(11)]}}, "1 fits of the model"),
            ({"columns": {"train/refused_value_fits": 1}}, "12 fits of the value function"),
        ],
        [
            {"columns": {"policy/refused_steps": [1, *np.zeros(11)], "policy/num_steps": 5}},
            {"columns": {"policy/refused_steps": 0, "model/refused_fits": 0}},
        ],
    ),
    "A round moves the policy far": (
        [({"columns": {"policy/round_kl": late(1, 4)}}, "by 4 nats")],
        [{"columns": {"policy/round_kl": late(9, 2)}}],
    ),
    "Policy steps miss their length": (
        [
            ({"columns": {"policy/kl": 0.06}}, "0.06 where 0.025 is asked for"),
            ({"columns": {"policy/kl": 0.001}, "changes": {"policy.improver": "trpo"}}, "0.001"),
        ],
        [
            {"columns": {"policy/kl": 0.026}},
            # Plain gradients do not ask for a length.
            {"columns": {"policy/kl": 0.5}, "changes": {"policy.improver": "pg"}},
        ],
    ),
    "The return swings from round to round": (
        [({"columns": {RETURN: np.tile([0.0, 1_000.0], 6)}}, "by 1,000 .* 100 %")],
        [{"columns": {RETURN: LEARNS}}, {"columns": {RETURN: [*LEARNS[:10], 200, 1000]}}],
    ),
    "It stopped exploring": (
        [({"columns": {RETURN: LEARNS, STD: np.geomspace(1, 0.01, 12)}}, "was 1 at first")],
        [
            {"columns": {RETURN: LEARNS, STD: np.linspace(1, 0.3, 12)}},
            {"columns": {RETURN: LEARNS, STD: np.geomspace(1, 0.01, 12), SUCCESS: 0.95}},
            # It learns on without noise.
            {"columns": {RETURN: np.arange(12.0), STD: np.geomspace(1, 0.01, 12)}},
        ],
    ),
    "Nothing was learned": (
        [
            ({"columns": {RETURN: 100.0, "eval/std_reward": 5.0}}, "the first evaluation has 100"),
            ({"columns": {RETURN: np.linspace(1000, 0, 12)}}, "1,000"),
        ],
        [{"columns": {RETURN: LEARNS}}, {"columns": {RETURN: 100.0, SUCCESS: 1.0}}],
    ),
    "Q is biased": (
        [
            (
                {"columns": {"critic/bias": late(0, b), "critic/low": 0, "critic/high": 500}},
                f"by 100 too {way} .* 20 %",
            )
            for b, way in ((100, "high"), (-100, "low"))
        ],
        [{"columns": {"critic/bias": late(100, 10), "critic/low": 0, "critic/high": 500}}],
    ),
    "Predictions are cut to the data's range": (
        [({"columns": {"imagined/clipped_share": late(0, 0.03)}}, "3.0 %")],
        [{"columns": {"imagined/clipped_share": late(0.03, 0.002)}}],
    ),
    "Targets lie beyond the bounds of Q": (
        [({"columns": {"critic/clipped_targets": late(0, 0.2)}}, "20.0 %")],
        [{"columns": {"critic/clipped_targets": late(0.2, 0.01)}}],
    ),
    "The last policy is far below the best round's": (
        [
            (
                {"columns": {RETURN: [*LEARNS[:8], 1_200, 1_000, 900, 600]}},
                "has 600, the best 1,200 after 9,000 steps: 50 %",
            )
        ],
        [{"columns": {RETURN: LEARNS}}, {"columns": {RETURN: [*LEARNS[:11], 900]}}],
    ),
    "Still rising at the end": (
        [({"columns": {RETURN: np.arange(12.0)}}, "18 % .*threshold 10 %")],
        [
            {"columns": {RETURN: LEARNS}},
            {"columns": {RETURN: np.arange(12.0), SUCCESS: 1.0}},
            {"columns": {RETURN: np.arange(12.0)}, "steps": 50_000},  # it is still on its way
        ],
    ),
    "The simulation diverged": (
        [({"columns": {"rollout/sim_divergence": 1, "eval/sim_divergence": 1}}, "24 of its")],
        [{"columns": {"rollout/sim_divergence": 0, "eval/sim_divergence": 0}}],
    ),
}


def test_every_rule_has_its_cases():
    assert set(CASES) == {rule.headline for rule in RULES}
    assert all(speaks and silent for speaks, silent in CASES.values())


@pytest.mark.parametrize("headline", CASES)
def test_a_rule_speaks_where_it_should_and_nowhere_else(headline):
    rule = next(rule for rule in RULES if rule.headline == headline)
    speaks, silent = CASES[headline]
    for run, wanted in speaks:
        said = rule.speak(record(**run))
        assert said is not None, run
        assert re.search(wanted, said), said
    for run in silent:
        assert rule.speak(record(**run)) is None, run
    # Of nothing and of next to nothing no rule says anything.
    assert rule.speak(record(num_rounds=0)) is None
    assert rule.speak(record(num_rounds=1, columns={RETURN: 5.0, GAP: 100.0})) is None


def found_in(*records: Record, label: str = "PAL") -> dict[str, Finding]:
    return {one.headline: one for one in findings([Group(label, records)])}


def test_nothing_stands_out_of_an_unremarkable_run():
    assert (
        findings([Group("PAL", (record(columns={RETURN: LEARNS}, evaluation=evaluation(1000.0)),))])
        == []
    )


def test_runs_of_which_a_rule_speaks_share_a_finding():
    exploited = {RETURN: LEARNS, GAP: late(0, 300)}
    runs = [record(seed, columns=exploited if seed else {RETURN: LEARNS}) for seed in range(3)]
    (found,) = [one for one in findings([Group("PAL", tuple(runs))]) if one.weight == "trouble"]
    assert found.headline == "Imagined far above real"
    assert [one.who for one in found.seen] == ["PAL, seed 1", "PAL, seed 2"]
    assert "`model.window`" in found.remedy
    assert found.see == GAP


def test_what_weighs_most_comes_first():
    columns = {RETURN: np.arange(12.0), GAP: 300.0, "policy/round_kl": 9.0}
    weights = [one.weight for one in findings([Group("PAL", (record(columns=columns),))])]
    assert weights == sorted(weights, key=("trouble", "warning", "note").index)
    assert set(weights) == {"trouble", "warning", "note"}


@pytest.mark.parametrize(
    ("state", "is_worked_on", "headline"),
    [
        ("finished", False, None),
        ("running", True, "Still running"),
        ("running", False, "Ended without a word"),
        ("stopped", False, "Stopped"),
        ("failed", False, "Failed"),
    ],
)
def test_how_a_run_ended(state, is_worked_on, headline):
    status = Status(state, "its message")
    run = record(
        columns={RETURN: LEARNS},
        status=status,
        is_worked_on=is_worked_on,
        evaluation=evaluation(1000.0),
        steps=12_100,
    )
    found = found_in(run)
    assert set(found) == ({headline} if headline else set())
    for one in found.values():
        assert one.seen[0].what == "after 12,000 of 12,100 steps: its message"


def test_seeds_that_end_far_apart():
    ends = (0.2, 1.0, 1.1)
    runs = [record(i, columns={RETURN: end * LEARNS}) for i, end in enumerate(ends)]
    said = found_in(*runs)["The seeds differ widely"].seen[0].what
    assert "from 200 (seed 0) to 1,100 (seed 2), 90 %" in said
    assert "The seeds differ widely" not in found_in(*runs[1:], record(5, columns={RETURN: LEARNS}))
    assert "The seeds differ widely" not in found_in(*runs[:2])  # of two it cannot be told
    # What a run is worth in the end, its evaluation knows better than its last rounds.
    alike = [
        record(i, columns={RETURN: e * LEARNS}, evaluation=evaluation(1e3))
        for i, e in enumerate(ends)
    ]
    assert "The seeds differ widely" not in found_in(*alike)


def test_seeds_of_different_length():
    short = record(1, num_rounds=6, columns={RETURN: LEARNS[:6]})
    (seen,) = found_in(record(0, columns={RETURN: LEARNS}), short)["Seeds of different length"].seen
    assert seen.what == "seed 1 ends at 6,000, others go on to 12,000"
    assert "Seeds of different length" not in found_in(record(0), record(1))


def test_a_run_that_was_not_evaluated_or_went_on():
    columns = {RETURN: LEARNS}
    never = found_in(record(columns=columns))["Not evaluated in the end"].seen[0].what
    assert never == "12 rounds were, by few episodes each"
    assert "no round was" in found_in(record())["Not evaluated in the end"].seen[0].what
    old = record(columns=columns, evaluation=evaluation(1.0, env_steps=8_000))
    (seen,) = found_in(old)["The evaluation is of an earlier policy"].seen
    assert seen.what == "after 8,000 steps; it has gone on to 12,000"
    assert found_in(record(columns=columns, evaluation=evaluation(1.0))) == {}
    assert found_in(record(columns=columns, is_worked_on=True)) == {}


def diagnosed(**changes: Any) -> Record:
    plain = {
        "env_steps": 12_000,
        "model_error": {1: 0.1, 10: 0.5},
        "still_error": {1: 0.5, 10: 1.0},
        "explained": {"x": 0.9, "y": 0.6},
        "value_bias": 1.0,
        "value_earned": 10.0,
    }
    run = {"columns": {RETURN: LEARNS}, "evaluation": evaluation(1000.0)}
    return record(**run, diagnosed=Diagnosed(**{**plain, **changes}))


@pytest.mark.parametrize(
    ("headline", "speaks", "silent", "said"),
    [
        (
            "The model does not know some components",
            {"explained": {"x": 0.9, "z": -0.2, "y": 0.3}},
            {"explained": {}},
            "z (-0.20), y (0.30)",
        ),
        (
            "The model is no better than standing still",
            {"model_error": {1: 0.1, 10: 1.2}},
            {"model_error": {}},
            "from 10 actions ahead its error is 1.2, that of predicting no change 1",
        ),
        (
            "Values are not what is earned",
            {"value_bias": -4.0},
            {"value_bias": None},
            "expected 4 too little of what earns 10",
        ),
    ],
)
def test_what_a_diagnosis_says(headline, speaks, silent, said):
    assert said in found_in(diagnosed(**speaks))[headline].seen[0].what
    assert found_in(diagnosed()) == found_in(diagnosed(**silent)) == {}


def test_outcomes_are_sentences():
    run = record(columns={RETURN: LEARNS, SUCCESS: 0.25}, evaluation=evaluation(987.0))
    assert outcome(Group("PAL", (run,))) == (
        "PAL: 12,000 real environment steps; mean return 987, success 50 % over 100 fresh episodes."
    )
    only_trained = record(columns={RETURN: LEARNS, SUCCESS: 0.25})
    assert outcome(Group("MAL", (only_trained,))) == (
        "MAL: 12,000 real environment steps; mean return 1,000, success 25 % in the last evaluated "
        "round."
    )
    assert outcome(Group("PAL", (record(num_rounds=0),))) == "PAL: no finished round is recorded."
    assert outcome(Group("PAL", (record(),))).endswith("steps; no round was evaluated.")
    offline = record(steps=0, columns={STEPS: 0.0, RETURN: 500.0})
    assert outcome(Group("PAL", (offline,))) == (
        "PAL: 12 rounds on logged data; mean return 500 in the last evaluated round."
    )
    seeds = tuple(
        record(i, columns={RETURN: LEARNS}, evaluation=evaluation(1000.0 * i)) for i in range(4)
    )
    assert outcome(Group("PAL", seeds)) == (
        "PAL, 4 seeds: 12,000 real environment steps each; mean return 1,500 (0 to 3,000), "
        "success 50 % (50 % to 50 %) over 100 fresh episodes each."
    )
