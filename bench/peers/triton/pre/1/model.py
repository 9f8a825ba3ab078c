"""Triton's preprocessing, on its Python backend: base64 in JSON -> decode -> resize -> UINT8."""

import base64

import cv2
import numpy as np
import triton_python_backend_utils as triton

cv2.setNumThreads(1)


def crop(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    scale = 256 / min(image.shape[:2])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    top, left = (image.shape[0] - 224) // 2, (image.shape[1] - 224) // 2
    return cv2.cvtColor(image[top : top + 224, left : left + 224], cv2.COLOR_BGR2RGB)


class TritonPythonModel:
    def execute(self, requests: list) -> list:
        return [self.answer(triton.get_input_tensor_by_name(request, "input-0").as_numpy()) for request in requests]

    def answer(self, elements: np.ndarray) -> object:
        images = np.stack([crop(element) for element in elements.ravel()])
        return triton.InferenceResponse([triton.Tensor("image", images)])
