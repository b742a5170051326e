"""Rules for reading one run's metrics: when each speaks, and what to try then (docs/tuning.md).

A rule is given the record of a run and says in words what it saw, or None. Its threshold stands
beside it, and in what it says.
"""

import math
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np

from duopoly.lab.report.readings import (
    MIN_ROUNDS,
    STD,
    imagined_share,
    last_third,
    number,
    real_returns,
    share,
    thirds,
    unit_of_returns,
)
from duopoly.lab.report.record import Record
from duopoly.runs.metrics import RETURN

Weight = Literal["trouble", "warning", "note"]


class Rule(NamedTuple):
    """What may stand out of a run."""

    headline: str
    weight: Weight
    see: str
    """The metric whose curve shows it, or nothing."""
    remedy: str
    speak: Callable[[Record], str | None]
    """What was seen, where it was."""


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

_GAP_TAG: Final = "game/return_gap"
_STD_TAG: Final = "train/std"


def _gap(record: Record) -> tuple[float, float] | None:
    """Imagined less real return in the last third of the rounds, and the same in units."""
    gap, unit = last_third(record, _GAP_TAG), unit_of_returns(record)
    if gap is None or unit is None:
        return None
    return gap, gap / (unit * imagined_share(record))


def _in_words(gap: float, units: float) -> str:
    return (
        f"by {number(abs(gap))} in the last third of the rounds, {share(abs(units))} of the range "
        f"of its real returns (told from {share(GAP)} on)"
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
    changed = " The world has changed on the way." if record.config.perturb else ""
    return (
        f"from {number(found.middle)} in the middle third of the rounds to {number(found.last)} in "
        f"the last, {found.last / found.middle:.1f} times as much (told from {RISE_OF_ERROR} on)."
        f"{changed}"
    )


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
        said.insert(0, f"{of} (told from {share(REFUSED)} on)")
    return ", ".join(said) or None


def far_round(record: Record) -> str | None:
    """A round moves an actor-critic's policy far."""
    kl = last_third(record, "policy/round_kl")
    if kl is None or kl < FAR_ROUND:
        return None
    return f"by {number(kl)} nats in the last third of the rounds (told from {FAR_ROUND:g} on)"


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
        f"(policy.target_kl; told from {LONG_STEP:g} times on, and below {SHORT_STEP:g})"
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
        f"of its returns (told from {share(SWING)} on)"
    )


def stopped_exploring(record: Record) -> str | None:
    """The policy lost its noise early, and then learned no more."""
    std, rise, unit = thirds(record, _STD_TAG), thirds(record, RETURN), unit_of_returns(record)
    if std is None or rise is None or unit is None or _succeeds(record):
        return None
    first = float(record.known(_STD_TAG)[0])
    if std.middle > FALLEN_STD * first or rise.last - rise.middle > STILL * unit:
        return None
    return (
        f"its standard deviation was {number(first)} at first and {number(std.middle)} in the "
        f"middle third (told below {share(FALLEN_STD)}), and the return rose by less than "
        f"{share(STILL)} of its range from there on"
    )


def _succeeds(record: Record) -> bool:
    success = last_third(record, "eval/success_rate")
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
    if bias is None or low is None or high is None or abs(bias) < BIAS * (high - low):
        return None
    return (
        f"by {number(abs(bias))} too {'high' if bias > 0 else 'low'} in the last third of the "
        f"rounds, {share(abs(bias) / (high - low))} of the distance of its bounds (told from "
        f"{share(BIAS)} on)"
    )


def clipped(record: Record) -> str | None:
    """Imagination runs into the bounds of the data."""
    cut = last_third(record, "imagined/clipped_share")
    if cut is None or cut < CLIPPED:
        return None
    return f"{cut:.1%} of the predicted components (told from {share(CLIPPED)} on)"


def clipped_targets(record: Record) -> str | None:
    """The critics learn towards values that their bounds do not hold."""
    cut = last_third(record, "critic/clipped_targets")
    if cut is None or cut < CLIPPED_TARGETS:
        return None
    return f"{cut:.1%} of them (told from {share(CLIPPED_TARGETS)} on)"


def below_best(record: Record) -> str | None:
    """The policy that is kept is not the one that was best."""
    returns, unit = record.known(RETURN), unit_of_returns(record)
    if returns.size < 2 or unit is None or returns.max() - returns[-1] < BELOW_BEST * unit:
        return None
    steps = record.column("time/total_timesteps")[np.nanargmax(record.column(RETURN))]
    after = f" after {number(float(steps))} steps" if math.isfinite(steps) else ""
    return (
        f"the last evaluation has {number(returns[-1])}, the best {number(returns.max())}{after}: "
        f"{share((returns.max() - returns[-1]) / unit)} of the range (told from "
        f"{share(BELOW_BEST)} on)"
    )


def still_rising(record: Record) -> str | None:
    """The last rounds are better than those just before."""
    returns, unit = real_returns(record), unit_of_returns(record)
    late = np.array_split(returns, 6)[-2:]
    if returns.size < 2 * MIN_ROUNDS or unit is None or _succeeds(record):
        return None
    rise = float(np.median(late[1]) - np.median(late[0]))
    if rise < RISING * unit:
        return None
    return (
        f"by {number(rise)} from the last sixth but one to the last, {share(rise / unit)} of the "
        f"range of its returns (told from {share(RISING)} on)"
    )


def diverged(record: Record) -> str | None:
    """The simulator broke down in some episodes."""
    tags = ("rollout/sim_divergence", "eval/sim_divergence")
    dropped = sum(float(record.known(tag).sum()) for tag in tags)
    return f"{number(dropped)} of its episodes were dropped" if dropped > 0 else None


RULES: Final = (
    Rule(
        "Imagined far above real",
        "trouble",
        _GAP_TAG,
        "The model promises what is not there, and the policy believes it. Try more epochs "
        "(model.epochs) or more of the past (model.window). A lower one-step error need not help: "
        "it is a mean over all components, and the policy looks for the one that errs. duopoly "
        "diagnose shows which that is.",
        imagined_above,
    ),
    Rule(
        "Imagined far below real",
        "warning",
        _GAP_TAG,
        "What is imagined is worse than the world, and hides what a step gains. Where the model's "
        "noise is drawn (model.loss likelihood or noise_level), draw a share of it "
        "(model.noise_share); pessimism (robustness.*) lowers imagined returns on purpose.",
        imagined_below,
    ),
    Rule(
        "The model's error rises",
        "warning",
        "game/model_objective",
        "The policy goes where the data do not tell yet, or the world has changed. Collect more "
        "often and take fewer policy steps for it; after a change, a shorter memory "
        "(model.window) forgets the old world.",
        error_rises,
    ),
    Rule(
        "Refused",
        "warning",
        "policy/refused_steps",
        "Numbers broke down, or TRPO found no step. Look for rewards or observations that grow "
        "without bound; shorter steps (policy.target_kl, policy.learning_rate, "
        "model.learning_rate) keep numbers finite.",
        refused,
    ),
    Rule(
        "A round moves the policy far",
        "warning",
        "policy/round_kl",
        "What it moves to was never tried. Hold it near to the round's first policy "
        "(policy.actor_critic.proximal), let the step size fall over the run "
        "(policy.actor_critic.halving_updates), or take fewer updates a round (policy.steps).",
        far_round,
    ),
    Rule(
        "Policy steps miss their length",
        "warning",
        "policy/kl",
        "Too long: more samples for the Fisher matrix (policy.fisher_samples) or more damping "
        "(policy.cg_damping). Too short: TRPO shortens them where the step is worse than it "
        "promised, mostly for noise (imagination.num_rollouts).",
        step_length,
    ),
    Rule(
        "The return swings from round to round",
        "warning",
        RETURN,
        "The policy moves too far between collections. Collect less at a time "
        "(collection.steps_per_round) and take fewer steps for it (policy.steps); the product of "
        "the two costs the same. Of an actor-critic, policy.actor_critic.proximal and "
        "halving_updates make it steady.",
        swings,
    ),
    Rule(
        "It stopped exploring",
        "warning",
        _STD_TAG,
        "Take fewer policy steps between collections (policy.steps), begin wider "
        "(policy.initial_log_std), or keep noise by a floor (policy.min_log_std) or a bonus "
        "(policy.entropy_bonus).",
        stopped_exploring,
    ),
    Rule(
        "Nothing was learned",
        "trouble",
        RETURN,
        "If imagined and real returns agree, the model is not the trouble: the policy's gradient "
        "may be mostly noise (two or three times the rollouts, imagination.num_rollouts, cost no "
        "real step), or the policy sits in a local optimum that pays, such as standing still.",
        learned_nothing,
    ),
    Rule(
        "Q is biased",
        "warning",
        "critic/bias",
        "The critics do not know what their policy earns in the model. duopoly diagnose draws what "
        "was expected of real states against what they earned; more critics, of which the lowest "
        "is believed (policy.actor_critic.num_critics, num_lowest), expect less.",
        biased_q,
    ),
    Rule(
        "Predictions are cut to the data's range",
        "warning",
        "imagined/clipped_share",
        "Imagination leaves what was seen, or the bounds are too narrow for what the policy "
        "has learned to do: widen them (model.clip_sigmas) or imagine less far.",
        clipped,
    ),
    Rule(
        "Targets lie beyond the bounds of Q",
        "warning",
        "critic/clipped_targets",
        "The bounds follow what a step earns too slowly: raise policy.actor_critic.bounds_rate.",
        clipped_targets,
    ),
    Rule(
        "The last policy is far below the best round's",
        "warning",
        RETURN,
        "The best is kept: duopoly evaluate RUN --best plays it, and RUN/best stands wherever an "
        "agent is asked for. It was chosen by few episodes, so evaluate it on fresh ones.",
        below_best,
    ),
    Rule(
        "Still rising at the end",
        "note",
        RETURN,
        "It is not at its end: train on with more --steps and --resume.",
        still_rising,
    ),
    Rule(
        "The simulation diverged",
        "note",
        "rollout/sim_divergence",
        "Episodes whose numbers broke down in the simulator are not learned from. Many of them "
        "mean actions that it cannot bear: a narrower start (policy.initial_log_std) helps.",
        diverged,
    ),
)
"""In the order in which they are told among those of the same weight."""
