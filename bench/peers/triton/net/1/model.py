"""Triton's engine, on its Python backend, as the wheel has no other: the requests of a batch in one run."""

import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, _: dict) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def execute(self, requests: list) -> list:
        images = [triton.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        batch = ((np.concatenate(images).astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
        scores = self.session.run(None, {self.input: np.ascontiguousarray(batch)})[0]
        classes = np.argsort(-scores, axis=1)[:, :5]
        best, ends = np.take_along_axis(scores, classes, 1), np.cumsum([len(image) for image in images])[:-1]
        rows = zip(np.split(best, ends), np.split(classes, ends), strict=True)
        return [triton.InferenceResponse([_tensor("output-0", b), _tensor("classes", c)]) for b, c in rows]


def _tensor(name: str, values: np.ndarray) -> object:
    return triton.Tensor(name, np.ascontiguousarray(values))
