"""The same pair on mosec: two workers for the pictures, one for the engine. MODEL=FILE python this --port N"""

import base64
import os
from typing import Any

import cv2
import numpy as np
import onnxruntime
from mosec import Server, Worker

cv2.setNumThreads(1)


class Pictures(Worker):
    def forward(self, data: Any) -> np.ndarray:
        jpeg = base64.b64decode(data["inputs"][0]["data"][0])
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        scale = 256 / min(image.shape[:2])
        size = round(image.shape[1] * scale), round(image.shape[0] * scale)
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        top, left = (image.shape[0] - 224) // 2, (image.shape[1] - 224) // 2
        return cv2.cvtColor(image[top : top + 224, left : left + 224], cv2.COLOR_BGR2RGB)


class Network(Worker):
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def forward(self, data: list[np.ndarray]) -> list[dict[str, Any]]:
        batch = ((np.stack(data).astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
        scores = self.session.run(None, {self.input: np.ascontiguousarray(batch)})[0]
        classes = np.argsort(-scores, axis=1)[:, :5]
        best = np.take_along_axis(scores, classes, 1)
        return [_answer(*row) for row in zip(best, classes, strict=True)]


def _answer(scores: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    return {"outputs": [_output("output-0", "FP32", scores), _output("classes", "INT64", classes)]}


def _output(name: str, datatype: str, row: np.ndarray) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [1, len(row)], "data": row.tolist()}


if __name__ == "__main__":
    server = Server()
    server.append_worker(Pictures, num=2)
    server.append_worker(Network, num=1, max_batch_size=16, max_wait_time=2)
    server.run()
