"""Runs beside tritonclient: asks a predictor about preprocessed pixels over gRPC and prints the scores as JSON."""

import json
import sys

import numpy as np
import tritonclient.grpc as triton

target, file = sys.argv[1:]
pixels = np.load(file)
client = triton.InferenceServerClient(target)
assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("custom-model")
metadata = client.get_model_metadata("custom-model", as_json=True)
tensor = triton.InferInput("image", list(pixels.shape), "UINT8")
tensor.set_data_from_numpy(pixels)
result = client.infer("custom-model", [tensor], outputs=[triton.InferRequestedOutput("probabilities")])
scores = result.as_numpy("probabilities")
print(json.dumps({"metadata": metadata, "scores": scores.tolist()}))
