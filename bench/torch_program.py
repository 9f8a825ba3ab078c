"""The default model as a program of torch.export's: model.onnx -> a module of the same nodes -> model.pt2.

    .venv/bin/python -m bench.torch_program

Needs PyTorch (pip install torch). Both files have the same weights, so that their answers can be compared.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch.nn import functional

from bench.compare.places import CACHE, MODELS

SOURCE = MODELS["pixels"]
FILE = CACHE / "variants" / "efficientnet-lite0-torch" / "1" / "model.pt2"


def _convolution(shape: dict[str, Any], x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    top, left, bottom, right = shape["pads"]
    padded = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(padded, weight, bias, stride=shape["strides"], groups=shape["group"])


_OPERATORS: dict[str, Callable[..., torch.Tensor]] = {
    "Add": lambda _, x, y: x + y,
    "Cast": lambda _, x: x.to(torch.float32),
    "Clip": lambda _, x, low, high: x.clamp(low, high),
    "Conv": _convolution,
    "Flatten": lambda shape, x: x.flatten(shape["axis"]),
    "Gemm": lambda _, x, weight, bias: functional.linear(x, weight, bias),
    "GlobalAveragePool": lambda _, x: x.mean((2, 3), keepdim=True),
    "Mul": lambda _, x, y: x * y,
    "Softmax": lambda shape, x: x.softmax(shape["axis"]),
    "Sub": lambda _, x, y: x - y,
    "Transpose": lambda shape, x: x.permute(shape["perm"]),
}


class Network(torch.nn.Module):  # type: ignore[misc]  # mypy does not follow into PyTorch
    """An ONNX graph with one input and one output, of the operators above; raises KeyError on others."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = model.graph
        self._input, self._output = graph.input[0].name, graph.output[0].name
        self._constants = {tensor.name: f"constant_{index}" for index, tensor in enumerate(graph.initializer)}
        for tensor in graph.initializer:
            self.register_buffer(self._constants[tensor.name], torch.from_numpy(numpy_helper.to_array(tensor).copy()))
        self._nodes = [
            (
                _OPERATORS[node.op_type],
                {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute},
                list(node.input),
                node.output[0],
            )
            for node in graph.node
        ]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Pixels UINT8 [N,224,224,3] -> probabilities FP32 [N,1000]."""
        values = {name: getattr(self, buffer) for name, buffer in self._constants.items()} | {self._input: image}
        for operator, attributes, inputs, output in self._nodes:
            values[output] = operator(attributes, *[values[name] for name in inputs])
        return values[self._output]


def program(source: Path) -> torch.export.ExportedProgram:
    """The model in `source` for batches of any size."""
    network = Network(onnx.load(source)).eval()
    example = torch.zeros((2, 224, 224, 3), dtype=torch.uint8)
    return torch.export.export(network, (example,), dynamic_shapes={"image": {0: torch.export.Dim("batch")}})


def main() -> int:
    """Make what is missing."""
    if not FILE.exists():
        FILE.parent.mkdir(parents=True, exist_ok=True)
        fresh = FILE.with_name("part.pt2")  # so that an interrupted write never looks like a model
        torch.export.save(program(SOURCE), fresh)
        fresh.rename(FILE)
        print(f"torch program: ready, {FILE.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
