"""Runs beside tritonclient: every datatype through one door of a server, and what can be asked of it; prints JSON.

python triton_every_type.py {http|grpc} HOST:PORT {binary|json|unary|stream|async} {control|nocontrol}
"""

import asyncio
import json
import queue
import sys

import ml_dtypes
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

ARRAYS = {
    "BOOL": np.array([[True, False, True]]),
    **{f"UINT{bits}": np.array([[0, 1, 2**bits - 1]], f"u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{
        f"INT{bits}": np.array([[-(2 ** (bits - 1)), 0, 2 ** (bits - 1) - 1]], f"i{bits // 8}")
        for bits in (8, 16, 32, 64)
    },
    "FP16": np.array([[1.5, -2.25, 0]], "f2"),
    "FP32": np.array([[1.5, -2.25, 3e38]], "f4"),
    "FP64": np.array([[1.5, -2.25, 1e300]], "f8"),
    "BF16": np.array([[1.5, -2.25, 0]], ml_dtypes.bfloat16),
    "BYTES": np.array([["é".encode(), b"", b"cat"]], object),
}


def inputs(module, **how):
    made = []
    for name, array in ARRAYS.items():
        tensor = module.InferInput(f"in_{name}", list(array.shape), name)
        tensor.set_data_from_numpy(array, **({} if name == "BF16" else how))
        made.append(tensor)
    return made


def check(result):
    for name, array in ARRAYS.items():
        got = result.as_numpy(f"out_{name}")
        if name == "BYTES":  # tritonclient gives str for what came as JSON
            got = np.array([[e.encode() if isinstance(e, str) else e for e in row] for row in got], object)
        same = np.array_equal(np.asarray(got, np.float32), np.asarray(array, np.float32)) if name == "BF16" else None
        assert np.array_equal(got, array) if same is None else same, (name, got, array)


def over_stream(target):
    client, answers = triton_grpc.InferenceServerClient(target), queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(3):
        client.async_stream_infer("types", inputs(triton_grpc), request_id=str(number))
    client.async_stream_infer("nobody", inputs(triton_grpc), request_id="3")
    for number in range(3):
        result, error = answers.get(timeout=20)
        assert error is None, error
        assert result.get_response().id == str(number)
        check(result)
    assert "not found" in str(answers.get(timeout=20)[1])
    client.stop_stream()


async def over_aio(target):
    async with triton_aio.InferenceServerClient(target) as client:
        for result in await asyncio.gather(*[client.infer("types", inputs(triton_aio)) for _ in range(4)]):
            check(result)


def ask(client, control):
    """What can be asked beside inference; the same calls over HTTP and gRPC."""
    kind = {} if isinstance(client, triton_http.InferenceServerClient) else {"as_json": True}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("types")
    assert client.is_model_ready("types", "1")
    config = client.get_model_config("types", **kind)
    told = {
        "server": client.get_server_metadata(**kind),
        "metadata": client.get_model_metadata("types", **kind),
        "config": config.get("config", config),
        "statistics": client.get_inference_statistics("types", **kind),
        "index": client.get_model_repository_index(**kind),
    }
    if control:
        client.unload_model("types")
        assert not client.is_model_ready("types")
        client.load_model("types")
        assert client.is_model_ready("types")
    else:
        told["refusal"] = refused(client.load_model, "types")
    return told


def refused(call, *arguments):
    try:
        call(*arguments)
    except InferenceServerException as error:
        return str(error)
    raise AssertionError("it was taken")


def main():
    door, target, way, control = sys.argv[1:]
    module = triton_http if door == "http" else triton_grpc
    if way == "stream":
        over_stream(target)
    elif way == "async":
        asyncio.run(over_aio(target))
    else:
        how = {"binary_data": way == "binary"} if door == "http" else {}
        names = [name for name in ARRAYS if not (way == "json" and name == "BF16")]
        outputs = [module.InferRequestedOutput(f"out_{name}", **how) for name in names] if door == "http" else None
        if way == "json":
            outputs.append(module.InferRequestedOutput("out_BF16", binary_data=True))
        client = module.InferenceServerClient(target)
        check(client.infer("types", inputs(module, **how), outputs=outputs))
        print(json.dumps(ask(client, control == "control")))


main()
