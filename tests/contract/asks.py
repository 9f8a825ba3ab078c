"""One inference request in each of the four forms in which it can travel: HTTP JSON and binary, gRPC raw and typed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tandem.codec.message import FIELDS
from tandem.oip import inference_pb2 as pb
from tandem.tensors import DTYPES

HTTP, GRPC = ("json", "binary"), ("raw", "typed")
FORMS = HTTP + GRPC
JSON_SIZE = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Tensor:
    """An input, right for the digits model unless told otherwise."""

    name: str = "image"
    datatype: str = "FP32"
    shape: Sequence[Any] = (1, 8, 8)
    values: Sequence[Any] = (0.0,) * 64

    @property
    def raw(self) -> bytes:
        return np.array(self.values, DTYPES.get(self.datatype, "<f4")).tobytes()


@dataclass(frozen=True)
class Ask:
    """A request, in no form yet."""

    inputs: Sequence[Tensor] = (Tensor(),)
    outputs: Sequence[str] = ()
    id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str = "digits"
    version: str = ""

    @property
    def path(self) -> str:
        return f"/v2/models/{self.model}{f'/versions/{self.version}' if self.version else ''}/infer"

    def http(self, form: str) -> tuple[bytes, dict[str, str]]:
        """The body and the headers."""
        inputs: list[dict[str, Any]] = []
        for tensor in self.inputs:
            data = (
                {"data": list(tensor.values)}
                if form == "json"
                else {"parameters": {"binary_data_size": len(tensor.raw)}}
            )
            inputs.append({"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)} | data)
        document: dict[str, Any] = {"inputs": inputs, "parameters": dict(self.parameters)}
        document |= {"id": self.id} if self.id else {}
        document |= {"outputs": [{"name": name} for name in self.outputs]} if self.outputs else {}
        head = json.dumps(document).encode()
        if form == "json":
            return head, {}
        return head + b"".join(tensor.raw for tensor in self.inputs), {JSON_SIZE: str(len(head))}

    def grpc(self, form: str) -> pb.ModelInferRequest:
        message = pb.ModelInferRequest(model_name=self.model, model_version=self.version, id=self.id)
        for name, value in self.parameters.items():
            kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(value)]
            setattr(message.parameters[name], kind, value)
        for tensor in self.inputs:
            described = message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            if form == "raw":
                message.raw_input_contents.append(tensor.raw)
            else:
                contents = getattr(described.contents, FIELDS.get(tensor.datatype, "fp32_contents"))
                contents.extend(tensor.values)
        for name in self.outputs:
            message.outputs.add(name=name)
        return message
