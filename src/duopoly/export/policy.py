"""The policy of a run as numbers, without its simulator."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Float

from duopoly.policy.catalogue import PLAYERS
from duopoly.policy.host import HostNetwork
from duopoly.policy.player import Spaces
from duopoly.runs import checkpoint, snapshot, spaces
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.rundir import RunDirectory
from duopoly.settings import Activation
from duopoly.world.task import Spec


@dataclasses.dataclass(frozen=True)
class Policy:
    """What acts, and what it was trained for."""

    config: RunConfig
    env_steps: int
    """Real environment steps that it was trained for."""
    network: HostNetwork
    """From observations in the environment's units to actions, the first outputs, not yet bounded.
    """
    is_squashed: bool
    """Whether tanh bounds them; else they are cut."""
    spec: Spec
    seen: Float[np.ndarray, "N obs"]
    """Observations of the run."""

    @property
    def activation(self) -> Activation:
        """Of the hidden layers."""
        return self.network.activation

    def act(self, obs: Float[np.ndarray, "N obs"]) -> Float[np.ndarray, "N act"]:
        """The actions that `Agent.predict` takes without noise."""
        u = self.network(obs)[..., : self.spec.action_dim]
        action = np.tanh(u) if self.is_squashed else u
        return self.spec.for_env(action.astype(np.float32))


def read_policy(run: RunDirectory) -> Policy:
    """The policy of a run's newest sound checkpoint; its task is not needed.

    Raises:
        UsageError: there is no run, no finished round, or no network, for it plans.
        DamageError: what is there is not as it was written.
    """
    config = run.read_config()
    row = PLAYERS[config.settings.policy.improver]
    player = row.load()
    if player.network_fn is None:
        raise UsageError(
            f"{run.path} plans its actions ({config.settings.policy.improver}) in the learned "
            f"model, so there is no network to export: act by duopoly.load_agent(...).predict"
        )
    found = checkpoint.load_newest(run.checkpoints, config)
    if found is None:
        raise UsageError(f"{run.path} has no finished round yet")
    known = spaces.read(run, config.task)
    spec = known.spec
    of_player = Spaces(spec.obs_dim, spec.action_dim, known.angles)
    template = player.init(jax.random.key(0), of_player, config.settings)
    state = snapshot.restore_policy(found, template)
    acting = player.network_fn(state)
    network = HostNetwork.of(acting.network, acting.inputs)
    seen = found.groups["buffer"]["obs"]
    return Policy(config, found.env_steps, network, acting.is_squashed, spec, seen)
