"""A predictor on KServe's SDK: normalised FP32 images in, the best five classes out. MODEL=FILE python this [flags]"""

import argparse
import os

import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server


class Network(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.ready = True

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        scores = self.session.run(None, {self.input: payload.inputs[0].as_numpy()})[0]
        classes = np.argsort(-scores, axis=1)[:, :5]
        best = InferOutput("output-0", list(classes.shape), "FP32")
        best.set_data_from_numpy(np.take_along_axis(scores, classes, 1), binary_data=False)
        which = InferOutput("classes", list(classes.shape), "INT64")
        which.set_data_from_numpy(classes, binary_data=False)
        return InferResponse(payload.id or "none", self.name, [best, which])


if __name__ == "__main__":
    arguments, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    ModelServer().start([Network(arguments.model_name)])
