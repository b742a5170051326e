"""Arrays as the content of a safetensors file, without a copy of them.

What the safetensors package itself gives is the same, byte for byte, but takes two copies.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

Chunks = Sequence[bytes | memoryview]
"""What a file holds, piece after piece."""

_KINDS: Final[Mapping[str, str]] = {
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
"""What the format calls each type of number, in the order in which it has them."""

_ORDER: Final = tuple(_KINDS)

_ALIGNED: Final = 8
"""Bytes that the header's length is a multiple of."""


def packed(arrays: Mapping[str, np.ndarray]) -> Chunks:
    """The content of a file of named arrays."""
    names = sorted(arrays, key=lambda name: (_ORDER.index(str(arrays[name].dtype)), name))
    header, offset = {}, 0
    for name in names:
        array, end = arrays[name], offset + arrays[name].nbytes
        kind, shape = _KINDS[str(array.dtype)], list(array.shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return [len(text).to_bytes(8, "little"), text, *(_bytes_of(arrays[name]) for name in names)]


def _bytes_of(array: np.ndarray) -> memoryview:
    """The bytes of an array, row by row, where they lie if they lie so."""
    return np.asarray(array, order="C").reshape(-1).view(np.uint8).data
