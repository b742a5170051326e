"""Copies of networks for the host, in NumPy: a compiled call costs more than the physics."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float

from duopoly.networks import MLP, Normaliser
from duopoly.settings import Activation

Host = Float[np.ndarray, "..."]


def softplus(x: Host) -> Host:
    """Returns log(1 + eˣ) without overflow."""
    return np.logaddexp(0.0, x)


def _silu(x: Host) -> Host:
    return x * np.exp(-softplus(-x))


ACTIVATIONS: Final[Mapping[Activation, Callable[[Host], Host]]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": _silu,
    "tanh": np.tanh,
}


@dataclasses.dataclass(frozen=True)
class HostNetwork:
    """A copy of a network and of the normaliser of its inputs, in double precision."""

    weights: tuple[Float[np.ndarray, "_ _"], ...]
    """Input-major, one per layer."""
    biases: tuple[Float[np.ndarray, " _"], ...]
    activation: Activation
    shift: Float[np.ndarray, " obs"]
    scale: Float[np.ndarray, " obs"]
    angles: tuple[int, ...] = ()
    """Components seen as sine, in their place, and cosine, at the end."""

    @staticmethod
    def of(network: MLP, inputs: Normaliser) -> "HostNetwork":
        """Copies a network without layer normalisation."""
        assert not network.layer_norm, "layer normalisation has no copy for the host"
        to_host = lambda x: np.asarray(x, np.float64)  # noqa: E731
        return HostNetwork(
            weights=tuple(to_host(layer.weight) for layer in network.layers),
            biases=tuple(to_host(layer.bias) for layer in network.layers),
            activation=network.activation,
            shift=to_host(inputs.mean),
            scale=to_host(inputs.std),
            angles=inputs.angles,
        )

    def __call__(self, obs: Float[np.ndarray, "*batch obs"]) -> Float[np.ndarray, "*batch out"]:
        """Returns the network's outputs for one observation or for a batch of them."""
        x = (obs - self.shift) / self.scale
        if self.angles:
            angle = obs[..., list(self.angles)]
            x[..., list(self.angles)] = np.sin(angle)
            x = np.concatenate([x, np.cos(angle)], axis=-1)
        function = ACTIVATIONS[self.activation]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = function(x @ weight + bias)
        return x @ self.weights[-1] + self.biases[-1]
