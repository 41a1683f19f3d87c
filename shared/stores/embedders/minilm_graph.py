"""all-MiniLM-L6-v2 as an ONNX graph with weights of 8 bits: built once, from the weights as they were published.

Architecture: BERT (Devlin et al. 2019) with 6 layers of 384, 12 heads; mean pooling and length 1, as
sentence-transformers has it. Products are those of onnxruntime's MatMulNBits, which brings values to 8 bits in blocks
of a token: what else is in a batch changes nothing, and the result is nearer to 32 bits than with one scale for a whole
batch (cosine .997 and up against .986 and up), in the same time.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Weights = dict[str, NDArray[np.float32]]

LAYERS: Final = 6
WIDTH: Final = 384
HEADS: Final = 12
_HEAD: Final = WIDTH // HEADS
_EPSILON: Final = 1e-12
_ZERO: Final = 128
_LEVELS: Final = 127
# What is added where a text has ended: e to this is 0.
_NOTHING: Final = -1e4
_MICROSOFT: Final = "com.microsoft"
_OPSETS: Final = (helper.make_opsetid("", 17), helper.make_opsetid(_MICROSOFT, 1))
_BLOCK: Final = 128
_INT8: Final = 4
_IR: Final = 8


def build(weights: Weights) -> bytes:
    """Inputs `ids` and `mask` (int64, texts x tokens), output `vectors` (float32, texts x 384, each of length 1)."""
    graph = _Graph(weights)
    mask = graph.node("Cast", "mask", to=TensorProto.FLOAT)
    hidden = graph.embedded()
    # Texts x heads x tokens x tokens: the two in the middle are the same for all.
    away = graph.node("Mul", graph.node("Sub", graph.constant("one", 1.0), mask), graph.constant("nothing", _NOTHING))
    away = graph.node("Unsqueeze", away, graph.shape("middle", 1, 2))
    for number in range(LAYERS):
        hidden = graph.layer(f"encoder.layer.{number}", hidden, away)
    graph.pooled(hidden, mask)
    written: bytes = graph.model().SerializeToString(deterministic=True)
    return written


class _Graph:
    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """The name of its output; a tuple where there are several."""
        names = [f"n{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        self._constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value, dtype=dtype), name))
        return name

    def shape(self, name: str, *sizes: int) -> str:
        return self.constant(name, sizes, np.int64)

    def embedded(self) -> str:
        """Words, their places and the one kind of text there is, added up."""
        prefix = "embeddings"
        words, scales = _quantized(self._weights[f"{prefix}.word_embeddings.weight"], axis=1)
        raw = self.node("Gather", self.constant("words", words, np.uint8), "ids")
        centred = self.node("Sub", self.node("Cast", raw, to=TensorProto.FLOAT), self.constant("zero", float(_ZERO)))
        looked_up = self.node("Mul", centred, self.node("Gather", self.constant("word_scales", scales), "ids"))
        kind = self._weights[f"{prefix}.token_type_embeddings.weight"][0]
        places = self.constant("places", self._weights[f"{prefix}.position_embeddings.weight"] + kind)
        tokens = self.node("Gather", self.node("Shape", "ids"), self.shape("second", 1))
        here = self.node("Slice", places, self.shape("start", 0), tokens, self.shape("along", 0))
        return self._normed(f"{prefix}.LayerNorm", self.node("Add", looked_up, here))

    def layer(self, prefix: str, hidden: str, away: str) -> str:
        attention = f"{prefix}.attention"
        parts = [f"{attention}.self.{name}" for name in ("query", "key", "value")]
        # A query that is divided by the root of its width divides all of its products.
        scale = np.float32(_HEAD**-0.5)
        weight = np.concatenate([self._weights[f"{p}.weight"] * (scale if i == 0 else 1) for i, p in enumerate(parts)])
        bias = np.concatenate([self._weights[f"{p}.bias"] * (scale if i == 0 else 1) for i, p in enumerate(parts)])
        mixed = self._linear(f"{attention}.self", weight, bias, hidden)
        query, key, value = self.node("Split", mixed, outputs=3, axis=2)
        scores = self.node("MatMul", self._heads(query, 0, 2, 1, 3), self._heads(key, 0, 2, 3, 1))
        shares = self.node("Softmax", self.node("Add", scores, away), axis=-1)
        seen = self.node("Transpose", self.node("MatMul", shares, self._heads(value, 0, 2, 1, 3)), perm=(0, 2, 1, 3))
        seen = self.node("Reshape", seen, self.shape("joined", 0, 0, WIDTH))
        hidden = self._joined(f"{attention}.output", hidden, seen)
        inner = self._dense(f"{prefix}.intermediate.dense", hidden)
        return self._joined(f"{prefix}.output", hidden, self._gelu(inner))

    def pooled(self, hidden: str, mask: str) -> None:
        """The mean over a text's own tokens, at length 1."""
        column = self.node("Unsqueeze", mask, self.shape("last", 2))
        total = self.node("ReduceSum", self.node("Mul", hidden, column), self.shape("tokens", 1), keepdims=0)
        # A mean and a sum have the same direction.
        length = self.node("ReduceL2", total, axes=[1], keepdims=1)
        self._nodes.append(helper.make_node("Div", [total, length], ["vectors"]))

    def model(self) -> ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in ("ids", "mask")],
            [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", WIDTH])],
            initializer=list(self._constants.values()),
        )
        return helper.make_model(graph, opset_imports=list(_OPSETS), ir_version=_IR)

    def _joined(self, prefix: str, before: str, after: str) -> str:
        return self._normed(f"{prefix}.LayerNorm", self.node("Add", self._dense(f"{prefix}.dense", after), before))

    def _heads(self, mixed: str, *order: int) -> str:
        split = self.node("Reshape", mixed, self.shape("split", 0, 0, HEADS, _HEAD))
        return str(self.node("Transpose", split, perm=order))

    def _gelu(self, inner: str) -> str:
        """x / 2 * (1 + erf(x / sqrt 2)), in the order that runtimes know it by."""
        share = self.node("Erf", self.node("Div", inner, self.constant("root", np.sqrt(2.0))))
        product = self.node("Mul", inner, self.node("Add", share, self.constant("one", 1.0)))
        return str(self.node("Mul", product, self.constant("half", 0.5)))

    def _normed(self, prefix: str, value: str) -> str:
        scale, bias = (self.constant(f"{prefix}.{n}", self._weights[f"{prefix}.{n}"]) for n in ("weight", "bias"))
        return str(self.node("LayerNormalization", value, scale, bias, axis=-1, epsilon=_EPSILON))

    def _dense(self, prefix: str, value: str) -> str:
        return self._linear(prefix, self._weights[f"{prefix}.weight"], self._weights[f"{prefix}.bias"], value)

    def _linear(self, prefix: str, weight: NDArray[np.float32], bias: NDArray[np.float32], value: str) -> str:
        """A row of weights is in blocks, each with a scale of its own."""
        rows, columns = weight.shape
        blocks = weight.reshape(rows, columns // _BLOCK, _BLOCK)
        levels, scales = _quantized(blocks, axis=2)
        return str(
            self.node(
                "MatMulNBits",
                value,
                self.constant(f"{prefix}.levels", levels, np.uint8),
                self.constant(f"{prefix}.scales", scales.reshape(-1)),
                "",
                "",
                self.constant(f"{prefix}.bias", bias),
                domain=_MICROSOFT,
                K=columns,
                N=rows,
                bits=8,
                block_size=_BLOCK,
                accuracy_level=_INT8,
            )
        )


def _quantized(weight: NDArray[np.float32], *, axis: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Levels around 128, and what one of them is worth, for each row."""
    scales = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), np.float32(1e-12)) / np.float32(_LEVELS)
    return (np.rint(weight / scales) + _ZERO).astype(np.uint8), scales.astype(np.float32)
