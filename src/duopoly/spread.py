"""Work spread over all devices there are: members, imagined rollouts, games side by side.

What is spread along an axis is computed where its part lies; XLA adds what the parts must tell one
another. Where there is one device, nothing of this is compiled.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Final, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")

_MESH: Final[contextvars.ContextVar[Mesh | None]] = contextvars.ContextVar("mesh", default=None)


@contextlib.contextmanager
def over(num_devices: int) -> Iterator[None]:
    """Within this context what is compiled is spread over so many devices; 1: over none."""
    token = _MESH.set(_mesh_of(num_devices))
    try:
        yield
    finally:
        _MESH.reset(token)


def spread(tree: Tree, axis: int = 0) -> Tree:
    """Asks that all arrays of a tree lie spread over the devices along an axis that they share.

    Where its length and the number of devices have no factor in common, they stay whole. To be
    called in what is compiled.
    """
    mesh = _mesh()
    if mesh.size == 1:
        return tree
    lengths = {leaf.shape[axis] for leaf in jax.tree.leaves(tree)}
    names = _names(mesh, math.gcd(*lengths))
    if not names:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec(*(None,) * axis, names))
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), tree)


def gather(tree: Tree) -> Tree:
    """Asks that all arrays of a tree lie whole on every device.

    To be called in what is compiled.
    """
    mesh = _mesh()
    if mesh.size == 1:
        return tree
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, whole), tree)


def filled(size: int) -> int:
    """The next size that all devices have an equal share of."""
    return -(-size // _mesh().size) * _mesh().size


def _mesh() -> Mesh:
    return _MESH.get() or _mesh_of(jax.device_count())


def _mesh_of(num_devices: int) -> Mesh:
    """Devices with an axis for each prime factor of their number: any divisor of it is a part."""
    factors, rest = [], num_devices
    for candidate in range(2, num_devices + 1):
        while rest % candidate == 0:
            factors.append(candidate)
            rest //= candidate
    devices = np.array(jax.devices()[:num_devices]).reshape(factors)
    return Mesh(devices, tuple(f"d{i}" for i in range(len(factors))))


def _names(mesh: Mesh, length: int) -> tuple[str, ...]:
    """The axes of the mesh among which a length can be divided."""
    names = []
    for name, factor in mesh.shape.items():
        if length % factor == 0:
            names.append(name)
            length //= factor
    return tuple(names)
