"""What may be seen in one run's metrics (docs/tuning.md): each with the threshold from which it is.

A function is given the record of a run and says in words what it saw, or None; the threshold
stands in what it says.
"""

import math
from typing import Final

import numpy as np

from duopoly.lab.report.readings import (
    ENOUGH,
    MIN_ROUNDS,
    STD,
    SUCCESS,
    imagined_share,
    last_third,
    number,
    real_returns,
    share,
    thirds,
    unit_of_returns,
)
from duopoly.lab.report.record import Record
from duopoly.runs.metrics import RETURN, STEPS

GAP: Final = 0.25
"""Difference of imagined and real return, in units of the range of the real ones."""
RISE_OF_ERROR: Final = 1.5
"""The model's error in the last third of the rounds over that in the middle third."""
REFUSED: Final = 0.05
"""Share of policy steps that were refused."""
FAR_ROUND: Final = 3.0
"""KL divergence in nats by which a round of an actor-critic moves its policy."""
LONG_STEP: Final = 2.0
"""KL divergence of a policy step over the one that it aims at."""
SHORT_STEP: Final = 0.25
"""The same, from below."""
SWING: Final = 0.2
"""Change of the return from one round to the next, in units of the range of the real ones."""
FALLEN_STD: Final = 0.25
"""Standard deviation of the policy in the middle of the run over the first."""
STILL: Final = 0.05
"""Rise of the return from the middle third to the last, in units of the range, that is none."""
RISING: Final = 0.1
"""Rise within the last third that shows that the run is not at its end."""
SUCCEEDS: Final = 0.9
"""Success rate from which on nothing is missing."""
BIAS: Final = 0.1
"""Bias of Q over the distance of its bounds."""
CLIPPED: Final = 0.01
"""Share of predicted components that are cut to the data's range."""
CLIPPED_TARGETS: Final = 0.05
"""Share of the critics' targets that lie beyond the bounds of Q."""
BELOW_BEST: Final = 0.25
"""Fall of the last evaluation below the best one, in units of the range."""

RETURN_GAP: Final = "game/return_gap"
POLICY_STD: Final = "train/std"


def _gap(record: Record) -> tuple[float, float] | None:
    """Imagined less real return in the last third of the rounds, and the same in units."""
    gap, unit = last_third(record, RETURN_GAP), unit_of_returns(record)
    if gap is None or unit is None:
        return None
    return gap, gap / (unit * imagined_share(record))


def _in_words(gap: float, units: float) -> str:
    return (
        f"by {number(abs(gap))} in the last third of the rounds, {share(abs(units))} of the range "
        f"of its real returns (threshold {share(GAP)})"
    )


def imagined_above(record: Record) -> str | None:
    """Imagined returns far above real ones, round after round."""
    found = _gap(record)
    return _in_words(*found) if found and found[1] >= GAP else None


def imagined_below(record: Record) -> str | None:
    """Imagined returns far below real ones."""
    found = _gap(record)
    return _in_words(*found) if found and found[1] <= -GAP else None


def error_rises(record: Record) -> str | None:
    """The model's error on what it has not fitted yet rises."""
    found = thirds(record, "game/model_objective")
    if found is None or not 0.0 < found.middle * RISE_OF_ERROR <= found.last:
        return None
    changed = "; the world has changed on the way" if record.config.perturb else ""
    return (
        f"from {number(found.middle)} in the middle third of the rounds to {number(found.last)} in "
        f"the last, {found.last / found.middle:.1f} times as much (threshold {RISE_OF_ERROR})"
        f"{changed}"
    )


def drifted(record: Record) -> str | None:
    """The referee found that the world had changed."""
    steps = record.column(STEPS)
    found = {
        what: [number(float(one)) for one in steps[record.column(f"game/{metric}") > 0.0]]
        for what, metric in (("its dynamics", "dynamics_drift"), ("its goals", "goal_drift"))
    }
    said = [f"{what} by {', '.join(when)} steps" for what, when in found.items() if when]
    return "; ".join(said) or None


def refused(record: Record) -> str | None:
    """Steps and fits whose numbers broke down."""
    steps, taken = (
        float(record.known(f"policy/{name}").sum()) for name in ("refused_steps", "num_steps")
    )
    fits = {
        "fits of the model": float(record.known("model/refused_fits").sum()),
        "fits of the value function": float(record.known("train/refused_value_fits").sum()),
    }
    said = [f"{number(count)} {what}" for what, count in fits.items() if count > 0]
    if steps > 0 and steps >= REFUSED * taken:
        of = f"{number(steps)} of {number(taken)} policy steps"
        said.insert(0, f"{of} (threshold {share(REFUSED)})")
    return ", ".join(said) or None


def far_round(record: Record) -> str | None:
    """A round moves an actor-critic's policy far."""
    kl = last_third(record, "policy/round_kl")
    if kl is None or kl < FAR_ROUND:
        return None
    return f"by {number(kl)} nats in the last third of the rounds (threshold {FAR_ROUND:g})"


def step_length(record: Record) -> str | None:
    """Natural gradient steps are longer or shorter than they aim to be."""
    policy = record.config.settings.policy
    kl = last_third(record, "policy/kl")
    if kl is None or policy.improver not in ("npg", "trpo"):
        return None
    times = kl / policy.target_kl
    if SHORT_STEP < times < LONG_STEP:
        return None
    return (
        f"a KL divergence of {number(kl)} where {policy.target_kl:g} is asked for "
        f"(thresholds: {LONG_STEP:g} times as much, and {SHORT_STEP:g} times)"
    )


def swings(record: Record) -> str | None:
    """The return goes up and down from round to round."""
    returns, unit = record.known(RETURN), unit_of_returns(record)
    late = returns[returns.size // 2 :]
    if late.size < MIN_ROUNDS or unit is None:
        return None
    swing = float(np.median(np.abs(np.diff(late))))
    if swing < SWING * unit:
        return None
    return (
        f"by {number(swing)} in the median of the second half, {share(swing / unit)} of the range "
        f"of its returns (threshold {share(SWING)})"
    )


def stopped_exploring(record: Record) -> str | None:
    """The policy lost its noise early, and then learned no more."""
    std, rise, unit = thirds(record, POLICY_STD), thirds(record, RETURN), unit_of_returns(record)
    if std is None or rise is None or unit is None or _succeeds(record):
        return None
    first = float(record.known(POLICY_STD)[0])
    if std.middle > FALLEN_STD * first or rise.last - rise.middle > STILL * unit:
        return None
    return (
        f"its standard deviation was {number(first)} at first and {number(std.middle)} in the "
        f"middle third (threshold {share(FALLEN_STD)} of that), and the return rose by less than "
        f"{share(STILL)} of its range from there on"
    )


def _succeeds(record: Record) -> bool:
    success = last_third(record, SUCCESS)
    return success is not None and success >= SUCCEEDS


def learned_nothing(record: Record) -> str | None:
    """The return is where it began."""
    found = thirds(record, RETURN)
    spread = last_third(record, STD)
    if found is None or _succeeds(record):
        return None
    first = float(record.known(RETURN)[0])
    best = max(found)
    if best - first > (spread or 0.0):
        return None
    return (
        f"the first evaluation has {number(first)}, the best third of the rounds "
        f"{number(best)}, which is within the spread of the episodes ({number(spread or 0.0)})"
    )


def biased_q(record: Record) -> str | None:
    """Critics expect more or less than long imagined rollouts earn."""
    bias = last_third(record, "critic/bias")
    low, high = last_third(record, "critic/low"), last_third(record, "critic/high")
    if bias is None or low is None or high is None or low >= high:
        return None
    if abs(bias) < BIAS * (high - low):
        return None
    return (
        f"by {number(abs(bias))} too {'high' if bias > 0 else 'low'} in the last third of the "
        f"rounds, {share(abs(bias) / (high - low))} of the distance of its bounds (threshold "
        f"{share(BIAS)})"
    )


def clipped(record: Record) -> str | None:
    """Imagination runs into the bounds of the data."""
    cut = last_third(record, "imagined/clipped_share")
    if cut is None or cut < CLIPPED:
        return None
    return f"{100.0 * cut:.1f} % of the predicted components (threshold {share(CLIPPED)})"


def clipped_targets(record: Record) -> str | None:
    """The critics learn towards values that their bounds do not hold."""
    cut = last_third(record, "critic/clipped_targets")
    if cut is None or cut < CLIPPED_TARGETS:
        return None
    return f"{100.0 * cut:.1f} % of them (threshold {share(CLIPPED_TARGETS)})"


def below_best(record: Record) -> str | None:
    """The policy that is kept is not the one that was best."""
    returns, unit = record.known(RETURN), unit_of_returns(record)
    if returns.size < 2 or unit is None or returns.max() - returns[-1] < BELOW_BEST * unit:
        return None
    steps = record.column(STEPS)[np.nanargmax(record.column(RETURN))]
    after = f" after {number(float(steps))} steps" if math.isfinite(steps) else ""
    return (
        f"the last evaluation has {number(returns[-1])}, the best {number(returns.max())}{after}: "
        f"{share((returns.max() - returns[-1]) / unit)} of the range (threshold "
        f"{share(BELOW_BEST)})"
    )


def still_rising(record: Record) -> str | None:
    """The last rounds are better than those just before."""
    returns, unit = real_returns(record), unit_of_returns(record)
    late = np.array_split(returns, 6)[-2:]
    is_going_on = record.env_steps < ENOUGH * record.config.steps
    if returns.size < 2 * MIN_ROUNDS or unit is None or is_going_on or _succeeds(record):
        return None
    rise = float(np.median(late[1]) - np.median(late[0]))
    if rise < RISING * unit:
        return None
    return (
        f"by {number(rise)} from the last sixth but one to the last, {share(rise / unit)} of the "
        f"range of its returns (threshold {share(RISING)})"
    )


def diverged(record: Record) -> str | None:
    """The simulator broke down in some episodes."""
    tags = ("rollout/sim_divergence", "eval/sim_divergence")
    dropped = sum(float(record.known(tag).sum()) for tag in tags)
    return f"{number(dropped)} of its episodes were dropped" if dropped > 0 else None
