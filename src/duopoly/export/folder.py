"""The folder that ``duopoly export`` writes, and how near it comes to the policy."""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from rich.table import Table

from duopoly.export import FORMATS, Format, reader
from duopoly.export.graphs import as_onnx, as_stablehlo, require
from duopoly.export.policy import Policy
from duopoly.runs import atomic
from duopoly.runs.errors import FailureError, UsageError

TOLERANCE = 1e-5
"""Most by which an exported action may differ from the policy's, in halves of the action range."""
NUM_TRIED, NUM_TIMED = 1_000, 200

ActFn = Callable[[Float[np.ndarray, "N obs"]], Float[np.ndarray, "N act"]]


class Tried(NamedTuple):
    """How an exported policy does what the policy does."""

    file: str
    difference: float
    """The largest there was, in halves of the action range."""
    microseconds: float
    """Of one action for one observation, the median."""


def write(policy: Policy, formats: Sequence[Format], folder: Path) -> None:
    """Writes the policy in these formats; what was exported there before is replaced.

    Raises:
        UsageError: a package for a format is missing, or the folder holds something else.
        DamageError: the disk takes no more.
    """
    files = {"policy.json": atomic.dump_json(_about(policy))}
    if "numpy" in formats:
        files[FORMATS["numpy"]] = Path(reader.__file__).read_bytes()
        files["policy.npz"] = _arrays(policy)
    if "stablehlo" in formats:
        files[FORMATS["stablehlo"]] = as_stablehlo(policy)
    if "onnx" in formats:
        files[FORMATS["onnx"]] = as_onnx(policy)
    check_replaceable(folder)
    atomic.write_directory(folder, {name: [data] for name, data in files.items()})


def check_replaceable(folder: Path) -> None:
    """Finds out whether a folder may be written.

    Raises:
        UsageError: something else is there.
    """
    if atomic.exists(folder):
        ours = {"policy.json", "policy.npz", "__pycache__", *FORMATS.values()}
        found = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
        if not found <= ours:
            raise UsageError(f"{folder} holds something else: export elsewhere, by --out")


def compare(policy: Policy, formats: Sequence[Format], folder: Path) -> list[Tried]:
    """Lets what was written act on observations, beside the policy itself.

    Raises:
        FailureError: one of them acts otherwise.
    """
    obs = _observations(policy).astype(np.float32)
    expected = policy.act(obs.astype(np.float64)).astype(np.float64)
    half = (policy.spec.action_high - policy.spec.action_low).astype(np.float64) / 2
    found = []
    for format_ in formats:
        act = load(format_, folder)
        difference = float(np.max(np.abs(act(obs) - expected) / half))
        if not difference <= TOLERANCE:
            raise FailureError(
                f"{folder / FORMATS[format_]} acts otherwise than the policy, by {difference:.1e} "
                f"of half the action range"
            )
        found.append(Tried(FORMATS[format_], difference, _microseconds(act, obs)))
    return found


def load(format_: Format, folder: Path) -> ActFn:
    """What was written, as a function of observations.

    Raises:
        UsageError: the package that runs it is missing.
    """
    path = folder / FORMATS[format_]
    if format_ == "numpy":
        return reader.load(folder)
    if format_ == "stablehlo":
        import jax
        from jax import export

        call = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
        return lambda obs: np.asarray(call(obs))
    require("onnx", "onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda obs: np.asarray(session.run(["action"], {"obs": obs})[0])


def as_table(policy: Policy, tried: Sequence[Tried]) -> Table:
    """One row a format."""
    table = Table(title=f"{policy.config.task}, {policy.env_steps:,} environment steps")
    table.add_column("file")
    table.add_column("difference from predict", justify="right")
    table.add_column("µs an action", justify="right")
    for one in tried:
        table.add_row(one.file, f"{one.difference:.1e}", f"{one.microseconds:.0f}")
    return table


def _about(policy: Policy) -> dict[str, Any]:
    spec, network = policy.spec, policy.network
    return {
        "task": policy.config.task,
        "algorithm": policy.config.algorithm,
        "seed": policy.config.seed,
        "env_steps": policy.env_steps,
        "obs_dim": spec.obs_dim,
        "obs_names": [spec.obs_name(i) for i in range(spec.obs_dim)],
        "action_low": [float(x) for x in spec.action_low],
        "action_high": [float(x) for x in spec.action_high],
        "action_dtype": np.dtype(spec.action_dtype).name,
        "activation": policy.activation,
        "angles": list(network.angles),
        "is_squashed": policy.is_squashed,
        "num_layers": len(network.weights),
    }


def _arrays(policy: Policy) -> bytes:
    spec, network = policy.spec, policy.network
    layers = zip(network.weights, network.biases, strict=True)
    arrays = {"action_low": spec.action_low, "action_high": spec.action_high}
    arrays |= {"shift": network.shift, "scale": network.scale}
    for number, (weight, bias) in enumerate(layers):
        arrays |= {f"weight_{number}": weight, f"bias_{number}": bias}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _observations(policy: Policy) -> Float[np.ndarray, "N obs"]:
    """Some that the run has met; where it has met none, some like those that the policy expects."""
    rng, network = np.random.default_rng(0), policy.network
    if len(policy.seen):
        return policy.seen[rng.integers(len(policy.seen), size=NUM_TRIED)]
    return network.shift + network.scale * rng.standard_normal((NUM_TRIED, len(network.shift)))


def _microseconds(act: ActFn, obs: Float[np.ndarray, "N obs"]) -> float:
    act(obs[:1])  # where it compiles
    taken = []
    for number in range(NUM_TIMED):
        begin = time.perf_counter()
        act(obs[number : number + 1])
        taken.append(time.perf_counter() - begin)
    return 1e6 * float(np.median(taken))
