"""A trained policy, taken where there is no duopoly: NumPy weights, StableHLO, ONNX.

What is written acts without the noise that explores, from observations to actions in the
environment's own units; normaliser, action bounds and dtype are in it.
"""

from typing import Final, Literal

Format = Literal["numpy", "stablehlo", "onnx"]

FORMATS: Final[dict[Format, str]] = {
    "numpy": "policy.py",
    "stablehlo": "policy.stablehlo",
    "onnx": "policy.onnx",
}
"""The file of each format; that of numpy reads policy.json and policy.npz beside it."""
