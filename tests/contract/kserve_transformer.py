"""Runs beside kserve: a transformer on KServe's own SDK, which doubles what goes to the predictor.

python kserve_transformer.py --model_name=sums --predictor_host=H:P --predictor_protocol=grpc-v2 --http_port=P
"""

import argparse

import numpy as np
from kserve import InferInput, InferRequest, Model, ModelServer, model_server


class Doubling(Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    def preprocess(self, payload, headers=None):
        if not isinstance(payload, InferRequest):
            return {"instances": (np.array(payload["instances"]) * 2).tolist()}
        x = payload.inputs[0].as_numpy() * np.float32(2)
        doubled = InferInput(name="x", shape=list(x.shape), datatype="FP32")
        doubled.set_data_from_numpy(x, binary_data=False)
        return InferRequest(model_name=self.name, request_id=payload.id, infer_inputs=[doubled])


parser = argparse.ArgumentParser(parents=[model_server.parser])
arguments, _ = parser.parse_known_args()
ModelServer(workers=1).start([Doubling(arguments.model_name)])
