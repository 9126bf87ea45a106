"""A network as one ONNX file, for programs without JAX.

The graph is `forward.forward` for float32, written operation by operation from the parameters. Its
constants are the arrays of `model.safetensors`, unchanged and under the same names, and its
operations are named after the layer that they belong to.

    input   tokens         int8 [batch, length, features], as `observe.Observation.tokens`
    input   mask           bool [batch, length], as `observe.Observation.mask`
    output  policy_logits  float32 [batch, 7]
    output  value          float32 [batch]
    output  belief_logits  float32 [batch, 28, 3], if the network has a belief head
    output  moves          float32 [batch, 7, 2], if it has a head for the values of moves

The length and the features are those of the tokenizer: 36 and 8 for `v1`, 36 and 12 for `v2`. A
token whose mask is False changes nothing but the logit of its own slot, and a feature must be below
its cardinality. The metadata says the same inside the file, see `metadata`.

Importing this module needs the extra `onnx`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import onnx
from onnx import TensorProto, helper

import zebjax
from zebjax import tiles
from zebjax.network.config import MARGINAL, ZebConfig
from zebjax.network.forward import LAYER_NORM_EPSILON, N_MOVE_OUTPUTS, N_OPPONENTS
from zebjax.network.model import Params
from zebjax.network.storage import array_names
from zebjax.observe import tokenizer

_OPSET, _IR_VERSION = 17, 8
"""The oldest operator set with LayerNormalization, and its file format: runtimes from 2022 on read
them."""
_POINTS = "1: the team ends with more points than the other, -1: with fewer, 0: with as many"
_MAKE_SET = "1: the team makes its own contract or sets the other team's, -1: it does not"


def to_bytes(
    config: ZebConfig, params: Params, name: str, training: Mapping[str, Any] | None = None
) -> bytes:
    """Return a network as the bytes of an ONNX file; equal arguments give equal bytes.

    Args:
        config: the network. The file computes in float32, whatever its `compute_dtype`.
        params: its parameters.
        name: of the network, for the metadata.
        training: facts about its training, for the metadata.

    Raises:
        onnx.checker.ValidationError: if the file breaks ONNX's rules: this module is wrong then.
    """
    leaves = map(_float32, jax.tree.leaves(params))
    graph = _Graph(dict(zip(array_names(params), leaves, strict=True)))
    outputs = _forward(graph, config)
    made = helper.make_graph(
        graph.nodes,
        "ZebNet",
        _inputs(config),
        outputs,
        [onnx.numpy_helper.from_array(array, key) for key, array in graph.constants.items()],
        doc_string="A network for Texas 42; the metadata says what goes in and comes out.",
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="zebjax",
        producer_version=zebjax.__version__,
    )
    helper.set_model_props(model, metadata(config, name, training or {}))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def metadata(config: ZebConfig, name: str, training: Mapping[str, Any]) -> dict[str, str]:
    """Return what the file says of itself; values that are not prose are JSON.

    Args:
        config: the network.
        name: of the network.
        training: facts about its training, plain values.
    """
    features = {key: size for key, (size, _) in tokenizer(config.tokenizer).features.items()}
    slots = tokenizer(config.tokenizer).hand
    facts = {
        "name": name,
        "zebjax_version": zebjax.__version__,
        "tokenizer": config.tokenizer,
        "config": json.dumps(config.stored_fields()),
        "features": json.dumps(features),
        "tokens": "the view of the player to move, as zebjax.observe makes it: the declaration, "
        f"the seven slots of the mover's hand (tokens {slots.start} to {slots.stop - 1}), the "
        "plays in order. `features` has the number of values of each feature, in order, from 0.",
        "mask": "true for valid tokens: the declaration, tiles still in hand, plays so far",
        "policy_logits": "raw logits by slot 0 to 6 of the mover's original hand, unmasked: "
        "leave out played and illegal slots, then softmax",
        "value": "in [-1, 1], expected for the team of the player to move. "
        + (_MAKE_SET if config.plays_contracts else _POINTS),
        "value_definition": config.value,
        "training": json.dumps(dict(training)),
    }
    if config.belief_head:
        facts["belief_logits"] = (
            "raw logits of who was dealt each tile (softmax over the last axis): left, partner or "
            "right of the player to move. The tile of pips high, low has the index "
            "high * (high + 1) / 2 + low. Tiles of the mover's own hand mean nothing."
        )
        if config.belief_prior == MARGINAL:
            facts["belief_prior"] = (
                "before the softmax add, for each hidden tile, the logarithm of the probability of "
                "each holder by hand sizes and voids, all consistent deals equally likely"
            )
    if config.move_values:
        facts["moves"] = (
            "by slot, for the team of the player to move: the value of the move, in [-1, 1], and "
            f"(our points - theirs) at the end / {tiles.POINTS_SCALE}. Those of played and illegal "
            "slots mean nothing."
        )
    return facts


def _float32(leaf: Any) -> np.ndarray:
    return np.ascontiguousarray(leaf, np.float32)


def _inputs(config: ZebConfig) -> list[Any]:
    spec = tokenizer(config.tokenizer)
    length = spec.length
    return [
        helper.make_tensor_value_info(
            "tokens", TensorProto.INT8, ["batch", length, len(spec.features)]
        ),
        helper.make_tensor_value_info("mask", TensorProto.BOOL, ["batch", length]),
    ]


class _Graph:
    """A graph that grows by one operation after another."""

    def __init__(self, constants: dict[str, np.ndarray]) -> None:
        self.constants = constants
        self.nodes: list[Any] = []
        self.scope = ""
        """The part that operations are named after."""

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add an operation with one output, and return the name of the output."""
        return self.ops(kind, *inputs, n=1, name=name, **attributes)[0]

    def ops(self, kind: str, *inputs: str, n: int, name: str = "", **attributes: Any) -> list[str]:
        """Add an operation with n outputs, and return their names."""
        node = f"{self.scope}/{kind}_{len(self.nodes)}"
        outputs = [name] if name else [f"{node}:{i}" for i in range(n)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=node, **attributes))
        return outputs

    def constant(self, value: Any, dtype: Any) -> str:
        """Return the name of a constant; equal ones are one."""
        array = np.asarray(value, dtype)
        name = f"{array.dtype}_{'x'.join(map(str, array.ravel()))}_{array.ndim}d"
        self.constants[name] = array
        return name

    def integers(self, *values: int) -> str:
        """A list of integers, such as a shape or axes."""
        return self.constant(values, np.int64)

    def affine(self, x: str, weights: str) -> str:
        """`x @ kernel + bias`, with the parameters under the name `weights`."""
        return self.op("Add", self.op("MatMul", x, f"{weights}.kernel"), f"{weights}.bias")

    def norm(self, x: str, weights: str) -> str:
        """LayerNorm over the last axis."""
        scale, bias = f"{weights}.scale", f"{weights}.bias"
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def gelu(self, x: str) -> str:
        """The exact GELU: `x * (1 + erf(x / sqrt(2))) / 2`. The operator Gelu is of opset 20."""
        erf = self.op("Erf", self.op("Div", x, self.constant(math.sqrt(2), np.float32)))
        twice = self.op("Mul", x, self.op("Add", erf, self.constant(1, np.float32)))
        return self.op("Mul", twice, self.constant(0.5, np.float32))


def _forward(graph: _Graph, config: ZebConfig) -> list[Any]:
    """Add all operations; return the outputs of the graph."""
    graph.scope = "embed"
    x = _embed(graph, config)
    # [batch, length] to [batch, heads, queries, keys] and to [batch, length, width].
    keys = graph.op("Unsqueeze", "mask", graph.integers(1, 2))
    valid = graph.op("Unsqueeze", "mask", graph.integers(2))
    for layer in range(config.n_layers):
        graph.scope = f"layers.{layer:02d}"
        x = _layer(graph, config, x, keys)
    return _heads(graph, config, x, valid)


def _embed(graph: _Graph, config: ZebConfig) -> str:
    """The first activations, `[batch, length, width]`."""
    tokens = graph.op("Cast", "tokens", to=TensorProto.INT32)
    parts = []
    for i, feature in enumerate(tokenizer(config.tokenizer).features):
        # A scalar index takes the axis away.
        values = graph.op("Gather", tokens, graph.constant(i, np.int64), axis=2)
        parts.append(graph.op("Gather", f"embed.{feature}.embedding", values, axis=0))
    joined = graph.op("Concat", *parts, axis=-1)
    return graph.op("Add", graph.affine(joined, "embed_project"), "position.embedding")


def _layer(graph: _Graph, config: ZebConfig, x: str, keys: str) -> str:
    """Pre-LN transformer layer: x + attention(norm(x)), then x + feed-forward(norm(x))."""
    here, heads = graph.scope, config.n_heads
    size = config.embed_dim // heads
    qkv = graph.affine(graph.norm(x, f"{here}.norm1"), f"{here}.qkv")
    # From [batch, length, width] to [batch, heads, length, size]; 0 in a shape keeps the axis.
    shape = graph.integers(0, 0, heads, size)
    query, key, value = (
        graph.op("Reshape", part, shape) for part in graph.ops("Split", qkv, n=3, axis=-1)
    )
    query, value = (graph.op("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
    key = graph.op("Transpose", key, perm=[0, 2, 3, 1])
    scores = graph.op("MatMul", query, key)
    scores = graph.op("Div", scores, graph.constant(math.sqrt(size), np.float32))
    scores = graph.op("Where", keys, scores, graph.constant(-math.inf, np.float32))
    attended = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    attended = graph.op("Transpose", attended, perm=[0, 2, 1, 3])
    attended = graph.op("Reshape", attended, graph.integers(0, 0, config.embed_dim))
    x = graph.op("Add", x, graph.affine(attended, f"{here}.attention_out"))
    hidden = graph.op("Relu", graph.affine(graph.norm(x, f"{here}.norm2"), f"{here}.ff_in"))
    return graph.op("Add", x, graph.affine(hidden, f"{here}.ff_out"))


def _heads(graph: _Graph, config: ZebConfig, x: str, valid: str) -> list[Any]:
    """All heads of `[batch, length, width]`; return the outputs of the graph."""

    def output(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    graph.scope = "heads"
    hand = tokenizer(config.tokenizer).hand
    slots = graph.op("Slice", x, *(graph.integers(place) for place in (hand.start, hand.stop, 1)))
    last = graph.integers(-1)
    graph.op("Squeeze", graph.affine(slots, "policy"), last, name="policy_logits")
    outputs = [output("policy_logits", tiles.HAND_SIZE)]
    # The mean over valid tokens.
    kept = graph.op("Where", valid, x, graph.constant(0, np.float32))
    total = graph.op("ReduceSum", kept, graph.integers(1), keepdims=0)
    count = graph.op("Cast", valid, to=TensorProto.FLOAT)
    pooled = graph.op("Div", total, graph.op("ReduceSum", count, graph.integers(1), keepdims=0))

    def head(name: str) -> str:
        return graph.affine(graph.gelu(graph.affine(pooled, f"{name}_hidden")), f"{name}_out")

    graph.op("Squeeze", graph.op("Tanh", head("value")), last, name="value")
    outputs.append(output("value"))
    if config.belief_head:
        shape = (tiles.N_TILES, N_OPPONENTS)
        graph.op("Reshape", head("belief"), graph.integers(-1, *shape), name="belief_logits")
        outputs.append(output("belief_logits", *shape))
    if config.move_values:
        value, points = graph.ops("Split", graph.affine(slots, "move_values"), n=2, axis=-1)
        graph.op("Concat", graph.op("Tanh", value), points, axis=-1, name="moves")
        outputs.append(output("moves", tiles.HAND_SIZE, N_MOVE_OUTPUTS))
    return outputs
