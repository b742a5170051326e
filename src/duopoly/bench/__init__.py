"""How fast duopoly is, against what the machine's matrix products can do and against itself.

Each of the `PATHS` is prepared and run in a process of its own (`worker`), whose peak memory is its
own then. Two revisions run in turn, pair by pair (`measure`), so that a noisy neighbour slows both
alike.
"""

from typing import Final

PATHS: Final = {
    "fit": "the model's fit, at the sizes of the released configuration",
    "imagine": "rollouts through the ensemble",
    "natural-gradient": "one natural gradient step, with the Fisher matrix of every sample",
    "actor-critic": "updates of svg at the sizes of its presets",
    "plan": "the cross-entropy method's plan for one action",
    "step": "the simulator alone, actions at random",
    "collect": "the same steps, as a policy's collection",
    "evaluate": "one episode of a policy's mean action",
    "round": "a whole round of PAL by natural gradients, Hopper-v5",
    "round-svg": "a whole round of PAL by an actor-critic, Hopper-v5",
    "import": "import duopoly, in a new process",
    "help": "duopoly --help, in a new process",
    "first-round": "a start of duopoly train to the end of its first round, programs kept",
}
"""What is measured, by the name that is typed."""

AXES: Final = {
    "imagine-rollouts": tuple(50 * 4**n for n in range(4)),
    "imagine-horizon": tuple(25 * 4**n for n in range(4)),
    "imagine-members": tuple(2**n for n in range(5)),
    "imagine-obs": tuple(8 * 4**n for n in range(5)),
    "fit-rows": tuple(1_000 * 8**n for n in range(4)),
    "fit-members": tuple(2**n for n in range(5)),
    "fit-obs": tuple(8 * 4**n for n in range(5)),
    "round-seeds": tuple(2**n for n in range(4)),
}
"""Sizes at which the growth of cost is measured: a path, and what of it grows.

A process each, most of which takes seconds to start and to compile: all of them together should
take no more than six minutes on two cores.
"""
