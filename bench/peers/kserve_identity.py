"""y = x on KServe's SDK: a predictor, or with --predictor_host a transformer that adds nothing to it."""

import argparse

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server


class Identity(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True


class Predictor(Identity):
    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        x = payload.inputs[0].as_numpy()
        y = InferOutput("y", list(x.shape), "FP32")
        y.set_data_from_numpy(x, binary_data=True)
        return InferResponse(payload.id or "none", self.name, [y])


if __name__ == "__main__":
    arguments, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    kind = Identity if arguments.predictor_host else Predictor
    ModelServer().start([kind(arguments.model_name)])
