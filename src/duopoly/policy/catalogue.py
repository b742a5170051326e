"""The policy players there are, one row each.

No JAX here: the command line asks what a player can do before anything heavy is loaded.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from duopoly.settings import Improver

if TYPE_CHECKING:
    from duopoly.policy.player import PolicyPlayer


class Row(NamedTuple):
    """What is known of a policy player without loading it, and how to load it."""

    load: Callable[[], "PolicyPlayer"]
    has_parameters: bool
    """Moves step by step, and acts without the model; else it plans in the model it is given."""
    can_lead: bool = False
    """Its gradient takes an implicit term, and its state is one that `game.leader` knows."""


def _npg() -> "PolicyPlayer":
    from duopoly.policy.gradient.player import NPG

    return NPG


def _trpo() -> "PolicyPlayer":
    from duopoly.policy.gradient.player import TRPO

    return TRPO


def _pg() -> "PolicyPlayer":
    from duopoly.policy.gradient.player import PG

    return PG


def _svg() -> "PolicyPlayer":
    from duopoly.policy.actor_critic.player import SVG

    return SVG


def _sac() -> "PolicyPlayer":
    from duopoly.policy.actor_critic.player import SAC

    return SAC


def _mppi() -> "PolicyPlayer":
    from duopoly.policy.planner.player import MPPI

    return MPPI


def _cem() -> "PolicyPlayer":
    from duopoly.policy.planner.player import CEM

    return CEM


PLAYERS: Final[Mapping[Improver, Row]] = {
    "npg": Row(_npg, has_parameters=True, can_lead=True),
    "trpo": Row(_trpo, has_parameters=True, can_lead=True),
    "pg": Row(_pg, has_parameters=True, can_lead=True),
    "svg": Row(_svg, has_parameters=True),
    "sac": Row(_sac, has_parameters=True),
    "mppi": Row(_mppi, has_parameters=False),
    "cem": Row(_cem, has_parameters=False),
}
"""By the name that `policy.improver` has for it."""
