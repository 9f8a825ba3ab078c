"""Runs beside kserve: a predictor on KServe's own SDK, whose model sums each row.

python kserve_predictor.py --model_name=sums --http_port=P --grpc_port=Q
"""

import argparse

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server


class Sums(Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        if not isinstance(payload, InferRequest):
            return {"predictions": [float(np.sum(row)) for row in payload["instances"]]}
        sums = payload.inputs[0].as_numpy().sum(axis=1).astype(np.float32)
        output = InferOutput(name="sums", shape=list(sums.shape), datatype="FP32")
        output.set_data_from_numpy(sums, binary_data=False)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])


parser = argparse.ArgumentParser(parents=[model_server.parser])
arguments, _ = parser.parse_known_args()
ModelServer(workers=1).start([Sums(arguments.model_name)])
