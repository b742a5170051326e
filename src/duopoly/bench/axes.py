"""What is measured along each of the axes of growth.

Every size is prepared and run in a process of its own, as a hot path is.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final

from duopoly.bench import kernels, whole
from duopoly.bench.kernels import Prepared
from duopoly.settings import ModelSettings

# Networks of the presets, and short rollouts, so that the largest sizes take seconds.
_MODEL: Final = dataclasses.replace(kernels.MODEL, hidden=(256, 256))
_HORIZON: Final = 100

PREPARE: Final[Mapping[str, Callable[[int], Prepared]]] = {
    "imagine-rollouts": lambda n: kernels.imagine_path(_MODEL, n, _HORIZON),
    "imagine-horizon": lambda n: kernels.imagine_path(_MODEL, horizon=n),
    "imagine-members": lambda n: kernels.imagine_path(_of(n), horizon=_HORIZON),
    "imagine-obs": lambda n: kernels.imagine_path(_MODEL, horizon=_HORIZON, num_obs=n),
    "fit-rows": lambda n: kernels.fit_path(_MODEL, n, 1),
    "fit-members": lambda n: kernels.fit_path(_of(n), num_epochs=1),
    "fit-obs": lambda n: kernels.fit_path(_MODEL, num_epochs=1, num_obs=n),
    "round-seeds": whole.seeds_path,
}
"""What is measured along each of the `AXES`."""


def _of(num_members: int) -> ModelSettings:
    return dataclasses.replace(_MODEL, num_members=num_members)
