"""What stands out of a run: how it is called, how much it weighs, and what to try then.

The remedies are those of docs/tuning.md; what stands between backticks is typed.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from duopoly.lab.report import symptoms
from duopoly.lab.report.record import Record
from duopoly.runs.metrics import RETURN

Weight = Literal["trouble", "warning", "note"]


class Rule(NamedTuple):
    """What may stand out of a run."""

    headline: str
    weight: Weight
    see: str
    """The metric whose curve shows it."""
    remedy: str
    speak: Callable[[Record], str | None]
    """What was seen, where it was."""


RULES: Final = (
    Rule(
        "Imagined far above real",
        "trouble",
        symptoms.RETURN_GAP,
        "The model promises what is not there, and the policy believes it. Try more epochs "
        "(`model.epochs`) or more of the past (`model.window`). A lower one-step error need not "
        "help: it is a mean over all components, and the policy looks for the one that errs. "
        "`duopoly diagnose` shows which that is.",
        symptoms.imagined_above,
    ),
    Rule(
        "Imagined far below real",
        "warning",
        symptoms.RETURN_GAP,
        "What is imagined is worse than the world, and hides what a step gains. Where the model's "
        "noise is drawn (`model.loss` likelihood or noise_level), draw a share of it "
        "(`model.noise_share`); pessimism (`robustness.*`) lowers imagined returns on purpose.",
        symptoms.imagined_below,
    ),
    Rule(
        "The model's error rises",
        "warning",
        "game/model_objective",
        "The policy goes where the data do not tell yet, or the world has changed. Collect more "
        "often and take fewer policy steps for it; after a change, a shorter memory "
        "(`model.window`) forgets the old world, and `--algorithm auto` finds out by itself.",
        symptoms.error_rises,
    ),
    Rule(
        "The world was found to have changed",
        "note",
        "game/surprise",
        "From there on the referee has let the game forget what no longer holds, and explore anew "
        "(docs/who_leads.md). Where nothing has changed, it was mistaken.",
        symptoms.drifted,
    ),
    Rule(
        "Refused steps or fits",
        "warning",
        "policy/refused_steps",
        "Numbers broke down, or TRPO found no step. Look for rewards or observations that grow "
        "without bound; shorter steps (`policy.target_kl`, `policy.learning_rate`, "
        "`model.learning_rate`) keep numbers finite.",
        symptoms.refused,
    ),
    Rule(
        "A round moves the policy far",
        "warning",
        "policy/round_kl",
        "What it moves to was never tried. Hold it near to the round's first policy "
        "(`policy.actor_critic.proximal`), let the step size fall over the run "
        "(`policy.actor_critic.halving_updates`), or take fewer updates a round (`policy.steps`).",
        symptoms.far_round,
    ),
    Rule(
        "Policy steps miss their length",
        "warning",
        "policy/kl",
        "Too long: more samples for the Fisher matrix (`policy.fisher_samples`) or more damping "
        "(`policy.cg_damping`). Too short: TRPO shortens them where the step is worse than it "
        "promised, mostly for noise (`imagination.num_rollouts`).",
        symptoms.step_length,
    ),
    Rule(
        "The return swings from round to round",
        "warning",
        RETURN,
        "The policy moves too far between collections. Collect less at a time "
        "(`collection.steps_per_round`) and take fewer steps for it (`policy.steps`); the product "
        "of the two costs the same. Of an actor-critic, `policy.actor_critic.proximal` and "
        "`halving_updates` make it steady.",
        symptoms.swings,
    ),
    Rule(
        "It stopped exploring",
        "warning",
        symptoms.POLICY_STD,
        "Take fewer policy steps between collections (`policy.steps`), begin wider "
        "(`policy.initial_log_std`), or keep noise by a floor (`policy.min_log_std`) or a bonus "
        "(`policy.entropy_bonus`).",
        symptoms.stopped_exploring,
    ),
    Rule(
        "Nothing was learned",
        "trouble",
        RETURN,
        "If imagined and real returns agree, the model is not the trouble: the policy's gradient "
        "may be mostly noise (two or three times the rollouts, `imagination.num_rollouts`, cost no "
        "real step), or the policy sits in a local optimum that pays, such as standing still.",
        symptoms.learned_nothing,
    ),
    Rule(
        "Q is biased",
        "warning",
        "critic/bias",
        "The critics do not know what their policy earns in the model. `duopoly diagnose` draws "
        "what was expected of real states against what they earned; more critics, of which the "
        "lowest is believed (`policy.actor_critic.num_critics`, `num_lowest`), expect less.",
        symptoms.biased_q,
    ),
    Rule(
        "Predictions are cut to the data's range",
        "warning",
        "imagined/clipped_share",
        "Imagination leaves what was seen, or the bounds are too narrow for what the policy "
        "has learned to do: widen them (`model.clip_sigmas`) or imagine less far.",
        symptoms.clipped,
    ),
    Rule(
        "Targets lie beyond the bounds of Q",
        "warning",
        "critic/clipped_targets",
        "The bounds follow what a step earns too slowly: raise `policy.actor_critic.bounds_rate`.",
        symptoms.clipped_targets,
    ),
    Rule(
        "The last policy is far below the best round's",
        "warning",
        RETURN,
        "The best is kept: `duopoly evaluate RUN --best` plays it, and `RUN/best` stands wherever "
        "an agent is asked for. It was chosen by few episodes, so evaluate it on fresh ones.",
        symptoms.below_best,
    ),
    Rule(
        "Still rising at the end",
        "note",
        RETURN,
        "It is not at its end: train on with more `--steps` and `--resume`.",
        symptoms.still_rising,
    ),
    Rule(
        "The simulation diverged",
        "note",
        "rollout/sim_divergence",
        "Episodes whose numbers broke down in the simulator are not learned from. Many of them "
        "mean actions that it cannot bear: a narrower start (`policy.initial_log_std`) helps.",
        symptoms.diverged,
    ),
)
"""In the order in which they are told among those of the same weight."""
