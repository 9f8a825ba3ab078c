"""What authors write for KServe's SDK: transformers and predictors in the shapes that its documentation shows."""

import argparse

import numpy as np
from fastapi import HTTPException
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.errors import InferenceError, InvalidInput, ModelMissingError, ModelNotReady
from kserve.model import PredictorProtocol

FAILURES = {
    "invalid": InvalidInput("colder than absolute zero"),
    "inference": InferenceError("the sensor is broken"),
    "missing": ModelMissingError("no such sensor"),
    "unready": ModelNotReady("sums"),
    "unoffered": NotImplementedError("not yet"),
    "http": HTTPException(status_code=429, detail="too many sensors"),
    "bug": KeyError("sensor"),
}


def answer(name, array, ident=""):
    output = InferOutput(name=name, shape=list(array.shape), datatype="FP32")
    output.set_data_from_numpy(array.astype(np.float32))
    return InferResponse(response_id=ident, model_name="sums", infer_outputs=[output])


class Doubling(Model):
    """v1 and v2 in, headers added: KServe's own transformer sample without its pictures."""

    def __init__(self, name: str):
        super().__init__(name, return_response_headers=True)
        self.ready = True

    def preprocess(self, payload, headers=None):
        if isinstance(payload, InferRequest):
            x = payload.inputs[0].as_numpy()
        else:
            headers["request-type"] = "v1"
            x = np.array([row["values"] for row in payload["instances"]])
        data = np.asarray(x * 2, np.float32)
        if self.predictor_config.predictor_protocol == PredictorProtocol.REST_V1.value:
            return {"instances": data.tolist()}
        return InferRequest(self.name, [InferInput("x", list(data.shape), "FP32", data=data)])

    def postprocess(self, result, headers=None, response_headers=None):
        response_headers.update({"x-sensor": "7"})
        if headers.get("request-type") != "v1":
            return result
        sums = result["predictions"] if isinstance(result, dict) else result.outputs[0].as_numpy().tolist()
        return {"predictions": [{"sum": value, "unit": "K"} for value in sums]}


class Twice(Model):
    """async, with a predict of its own that asks the predictor twice; load is left to the server."""

    async def preprocess(self, payload, headers):
        failure = (payload.parameters or {}).get("fail")
        if failure:
            raise FAILURES[failure]
        return await super().preprocess(payload, headers)

    async def predict(self, payload, headers=None, response_headers=None):
        first = await super().predict(payload, headers)
        second = await super().predict(payload, headers)
        return answer("sums", first.outputs[0].as_numpy() + second.outputs[0].as_numpy(), payload.id), {"x-asked": "2"}


class Texts(Model):
    """Reads text as JSON brings it, and answers with text."""

    def __init__(self, name, prefix, predictor_host, protocol, suffix="!"):
        super().__init__(name)
        self.words = [prefix, predictor_host.partition(":")[0], protocol, suffix, args.greeting]
        self.ready = True

    def preprocess(self, payload):
        data = payload.inputs[0].data
        assert all(isinstance(element, str) for element in data), data
        lengths = np.array([[len(element)] * 3 for element in data], np.float32)
        tensor = InferInput("x", list(lengths.shape), "FP32")
        tensor.set_data_from_numpy(lengths)
        return InferRequest(self.name, [tensor])

    def postprocess(self, result, headers):
        words = np.array([" ".join([*self.words, str(v)]) for v in result.outputs[0].as_numpy()], object)
        output = InferOutput("text", [len(words)], "BYTES")
        output.set_data_from_numpy(words)
        return InferResponse(result.id, self.name, [output])


class Summing(Model):
    """A predictor: async, a dict for an answer, declared tensors, an engine."""

    def __init__(self, name: str):
        super().__init__(name)
        self.engine = True

    async def start_engine(self):
        self.scale = 10.0
        self.ready = True

    def load(self):
        self.ready = True
        return True

    def get_input_types(self):
        return [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]

    def get_output_types(self):
        return [{"name": "sums", "datatype": "FP32", "shape": [-1]}]

    async def predict(self, payload, headers=None):
        if payload.inputs[0].shape[0] == 0:
            raise InvalidInput("no rows")
        sums = payload.inputs[0].as_numpy().sum(axis=1) * self.scale
        tensor = {"name": "sums", "datatype": "FP32", "shape": list(sums.shape)}
        return {"id": "1", "outputs": [{**tensor, "contents": {"fp32_contents": sums.tolist()}}]}


class Unready(Model):
    """Its load does not make it ready."""

    def load(self):
        return False


parser = argparse.ArgumentParser(parents=[model_server.parser])
parser.add_argument("--greeting", default="hello")
args, _ = parser.parse_known_args()

if __name__ == "__main__":
    ModelServer().start([Doubling(args.model_name)])
