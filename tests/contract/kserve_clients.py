"""Runs beside kserve: its own clients, REST (v2 and v1) and gRPC, against a server; prints the scores as JSON.

python kserve_clients.py URL HOST:PORT
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

IMAGE = np.arange(64, dtype=np.float32).reshape(1, 8, 8) / 4


def request(*, binary):
    tensor = InferInput(name="image", shape=[1, 8, 8], datatype="FP32")
    tensor.set_data_from_numpy(IMAGE, binary_data=binary)
    return InferRequest(model_name="digits", infer_inputs=[tensor])


async def main():
    url, target = sys.argv[1:]
    scores = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "digits")
        for binary in (True, False):
            answer = await client.infer(url, request(binary=binary), model_name="digits")
            scores[f"rest v2 binary={binary}"] = answer.outputs[0].as_numpy().ravel().tolist()
    async with InferenceRESTClient(RESTConfig(protocol="v1", retries=0)) as client:
        assert await client.is_model_ready(url, "digits")
        answer = await client.infer(url, {"instances": IMAGE.tolist()}, model_name="digits")
        scores["rest v1"] = answer["predictions"][0]
    async with InferenceGRPCClient(url=target) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("digits")
        for binary in (True, False):
            answer = await client.infer(request(binary=binary))
            scores[f"grpc raw={binary}"] = answer.outputs[0].as_numpy().ravel().tolist()
    print(json.dumps(scores))


asyncio.run(main())
