"""Rows that are appended where they lie: a million of them are not copied for each new one."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, final

import numpy as np

Columns = Mapping[str, np.ndarray]
"""Arrays of as many rows, by name."""

SPARE: Final = 4
"""One over the share of the rows held for which there is room beside them, once all are there."""


@final
class Store:
    """Room for rows of several arrays. Those that are used never change, others may come."""

    def __init__(self, kept: Columns, room: int) -> None:
        """Begins with a copy of these rows, and room for so many in all."""
        self.room = room
        self.used = max((len(array) for array in kept.values()), default=0)
        self.columns = {
            name: np.empty((room, *array.shape[1:]), array.dtype) for name, array in kept.items()
        }
        for name, array in kept.items():
            self.columns[name][: self.used] = array


class Place(NamedTuple):
    """Where in a store the rows of one buffer lie: those before ``end``."""

    store: Store
    end: int


def extended(
    place: Place | None, held: Columns, new: Mapping[str, Sequence[np.ndarray]], most: int
) -> tuple[Place, dict[str, np.ndarray]]:
    """The newest ``most`` of the rows that are held and new ones after them, and where they lie.

    What is held stays as it is. It is copied only where it lies in no store, where the store is
    full, or where others have been appended to it already.

    Args:
        place: where it lies; None: in no store.
        held: its rows.
        new: pieces, by the same names.
        most: rows that are kept.
    """
    num_held = len(next(iter(held.values())))
    num_new = sum(map(len, next(iter(new.values()))))
    if place is None or place.end < place.store.used or place.end + num_new > place.store.room:
        kept = {name: array[max(0, num_held + num_new - most) :] for name, array in held.items()}
        needed = len(next(iter(kept.values()))) + num_new
        room = max(needed, min(2 * needed, most + most // SPARE + num_new))
        store = Store(kept, room)
        place = Place(store, store.used)
    store, begin = place
    end = begin + num_new
    for name, pieces in new.items():
        if num_new:
            np.concatenate(pieces, out=store.columns[name][begin:end])
    store.used = end
    first = end - min(num_held + num_new, most)
    return Place(store, end), {name: x[first:end] for name, x in store.columns.items()}
