"""A policy as a graph that other runtimes execute: StableHLO by JAX, ONNX node by node.

Both take observations ``[N, obs]`` in single precision, N of any size, and return actions
``[N, act]`` in the environment's units.
"""

import importlib.util
import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from duopoly.export.policy import Policy
from duopoly.networks import ACTIVATIONS
from duopoly.runs.errors import UsageError

OPSET, IR_VERSION = 17, 8
"""Of ONNX: old enough for the runtimes in use."""


def as_stablehlo(policy: Policy) -> bytes:
    """The policy as `jax.export` writes it; `jax.export.deserialize` reads it.

    Raises:
        UsageError: a package for it is missing.
    """
    require("stablehlo", "flatbuffers")
    from jax import export

    network, spec = policy.network, policy.spec
    numbers = [(jnp.asarray(weight), jnp.asarray(bias)) for weight, bias in _layers(policy)]
    shift, scale = _single(network.shift), _single(network.scale)
    low, high = spec.action_low, spec.action_high
    angles = np.asarray(network.angles, int)

    def act(obs: jax.Array) -> jax.Array:
        x = (obs - shift) / scale
        if network.angles:
            x = jnp.concatenate([x.at[angles].set(jnp.sin(obs[angles])), jnp.cos(obs[angles])])
        for number, (weight, bias) in enumerate(numbers):
            x = ACTIVATIONS[policy.activation](x) if number else x
            x = x @ weight + bias
        x = x[: spec.action_dim]
        x = jnp.tanh(x) if policy.is_squashed else jnp.clip(x, -1.0, 1.0)
        return jnp.clip((high + low) / 2 + (high - low) / 2 * x, low, high)

    (num,) = export.symbolic_shape("N")
    shape = jax.ShapeDtypeStruct((num, spec.obs_dim), jnp.float32)
    exported = export.export(jax.jit(jax.vmap(act)), platforms=("cpu", "cuda", "tpu"))(shape)
    return bytes(exported.serialize())


def as_onnx(policy: Policy) -> bytes:
    """The policy as an ONNX model.

    Raises:
        UsageError: the package for it is missing.
    """
    require("onnx", "onnx")
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    network, spec = policy.network, policy.spec
    graph = _Graph(helper, numpy_helper)
    x = graph.add("Sub", "obs", graph.number(network.shift))
    x = graph.add("Div", x, graph.number(network.scale))
    if network.angles:
        is_angle = np.isin(np.arange(spec.obs_dim), network.angles)
        x = graph.add("Where", graph.constant(is_angle), graph.add("Sin", "obs"), x)
        chosen = graph.constant(np.asarray(network.angles, np.int64))
        angle = graph.add("Gather", "obs", chosen, axis=1)
        x = graph.add("Concat", x, graph.add("Cos", angle), axis=1)
    for number, (weight, bias) in enumerate(_layers(policy)):
        x = graph.activate(policy.activation, x) if number else x
        x = graph.add("Gemm", x, graph.number(weight), graph.number(bias))
    begin, end, axis = (graph.constant(np.array([i], np.int64)) for i in (0, spec.action_dim, 1))
    x = graph.add("Slice", x, begin, end, axis)
    low, high = graph.number(spec.action_low), graph.number(spec.action_high)
    if policy.is_squashed:
        x = graph.add("Tanh", x)
    else:
        ones = np.ones(spec.action_dim)
        x = graph.add("Min", graph.add("Max", x, graph.number(-ones)), graph.number(ones))
    x = graph.add("Mul", x, graph.number((spec.action_high - spec.action_low) / 2))
    x = graph.add("Add", x, graph.number((spec.action_high + spec.action_low) / 2))
    x = graph.add("Min", graph.add("Max", x, low), high)
    graph.nodes.append(helper.make_node("Identity", [x], ["action"]))
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "policy",
            [value("obs", TensorProto.FLOAT, ["N", spec.obs_dim])],
            [value("action", TensorProto.FLOAT, ["N", spec.action_dim])],
            graph.numbers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="duopoly",
        doc_string=f"{policy.config.task}, {policy.config.algorithm}",
    )
    onnx.checker.check_model(model, full_check=True)
    file = io.BytesIO()
    onnx.save_model(model, file)
    return file.getvalue()


class _Graph:
    """Nodes and constants of an ONNX graph, named in the order in which they come."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self.nodes: list[Any] = []
        self.numbers: list[Any] = []
        self._helper, self._numpy_helper = helper, numpy_helper

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Appends a node and returns the name of its output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(kind, [*inputs], [name], **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        """Keeps an array and returns its name."""
        name = f"constant_{len(self.numbers)}"
        self.numbers.append(self._numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, array: np.ndarray) -> str:
        """Keeps an array in single precision and returns its name."""
        return self.constant(_single(array))

    def activate(self, activation: str, x: str) -> str:
        """Appends what a hidden layer does to its outputs."""
        match activation:
            case "silu":
                return self.add("Mul", x, self.add("Sigmoid", x))
            case other:
                return self.add({"relu": "Relu", "tanh": "Tanh"}[other], x)


def _layers(policy: Policy) -> list[tuple[np.ndarray, np.ndarray]]:
    network = policy.network
    pairs = zip(network.weights, network.biases, strict=True)
    return [(_single(weight), _single(bias)) for weight, bias in pairs]


def _single(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32)


def require(format_: str, package: str) -> None:
    """Refuses a format whose package is missing.

    Raises:
        UsageError: naming the package, and how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise UsageError(
            f"{format_} needs {package}, which is not installed: pip install 'duopoly[export]'"
        )
