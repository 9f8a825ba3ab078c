"""Runs beside tritonclient: its own shared memory utilities against a predictor, over one door.

python triton_shared_memory.py {http|grpc} HOST:PORT
"""

import sys

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

X = np.arange(3000, dtype=np.float32).reshape(1000, 3)
SUMS = X.sum(axis=1)


def names(client):
    found = client.get_system_shared_memory_status()
    return set(found.regions) if hasattr(found, "regions") else {region["name"] for region in found}


def main():
    module = {"http": triton_http, "grpc": triton_grpc}[sys.argv[1]]
    client = module.InferenceServerClient(sys.argv[2])
    ins = shm.create_shared_memory_region("ins", "tandem_test_ins", X.nbytes + 64)
    outs = shm.create_shared_memory_region("outs", "tandem_test_outs", SUMS.nbytes)
    try:
        shm.set_shared_memory_region(ins, [X], offset=64)
        client.register_system_shared_memory("ins", "tandem_test_ins", X.nbytes + 64)
        client.register_system_shared_memory("outs", "tandem_test_outs", SUMS.nbytes)
        assert names(client) == {"ins", "outs"}, names(client)
        tensor = module.InferInput("x", list(X.shape), "FP32")
        tensor.set_shared_memory("ins", X.nbytes, offset=64)
        wanted = module.InferRequestedOutput("sums")
        wanted.set_shared_memory("outs", SUMS.nbytes)
        answer = client.infer("sums", [tensor], outputs=[wanted])
        assert np.array_equal(shm.get_contents_as_numpy(outs, np.float32, SUMS.shape), SUMS)
        assert np.array_equal(client.infer("sums", [tensor]).as_numpy("sums"), SUMS)
        assert "outs" in str(answer.get_output("sums")), answer.get_output("sums")
        wanted.set_shared_memory("outs", 10)
        refused(client, tensor, wanted, "has 4000 bytes")
        tensor.set_shared_memory("ins", X.nbytes, offset=128)
        refused(client, tensor, None, "beyond the region")
        client.unregister_system_shared_memory("outs")
        assert names(client) == {"ins"}
        client.unregister_system_shared_memory()
        refused(client, tensor, None, "'ins' is not registered")
    finally:
        shm.destroy_shared_memory_region(ins)
        shm.destroy_shared_memory_region(outs)
    print("all of it")


def refused(client, tensor, wanted, why):
    try:
        client.infer("sums", [tensor], outputs=[wanted] if wanted else None)
    except InferenceServerException as error:
        text = str(error)
    else:
        text = "nothing was refused"
    assert why in text, text


main()
