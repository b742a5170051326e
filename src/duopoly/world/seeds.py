"""Seeds of episodes, each made from (seed, stream, round, episode).

An episode comes out the same whatever ran before it, in this process or another.
"""

from typing import Final, Literal, NamedTuple

import numpy as np

Stream = Literal["collect", "evaluate", "show", "final", "diagnose", "diagnose_mean"]
"""What episodes are played for: a game's data, its evaluations and films; afterwards, the last
evaluation of a policy, and the diagnosis of a model with the policy's noise and without."""

_KEYS: Final = {"collect": 0, "evaluate": 1, "show": 2}
_PLACES: Final[dict[Stream, tuple[str, int]]] = {
    "collect": ("collect", 0),
    "evaluate": ("evaluate", 0),
    "show": ("show", 0),
    "final": ("evaluate", 10**9),
    "diagnose": ("evaluate", 10**9 + 1),
    "diagnose_mean": ("evaluate", 10**9 + 2),
}
"""Where the rounds of each stream begin among a seed's episodes.

What is played after a game lies beyond its evaluations, at rounds that no game reaches, so that
these episodes are never the game's.
"""


class EpisodeSeed(NamedTuple):
    """The address of an episode, from which all its randomness comes."""

    seed: int
    stream: Stream
    round_index: int
    """Round of the game; 0 in the other streams."""
    episode: int

    def spawn(self) -> tuple[int, np.random.Generator]:
        """The seed of the environment's reset, and the generator of the policy's noise."""
        kind, first_round = _PLACES[self.stream]
        key = (_KEYS[kind], first_round + self.round_index, self.episode)
        world, noise = np.random.SeedSequence(self.seed, spawn_key=key).spawn(2)
        return int(world.generate_state(1)[0]), np.random.default_rng(noise)

    def __str__(self) -> str:
        return f"episode {self.episode} ({self.stream}, round {self.round_index}, seed {self.seed})"
