"""Runs beside tritonclient: asks a predictor about the models of a Triton repository; prints what it was told.

python triton_repository.py DOOR HOST:PORT
"""

import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http

door, target = sys.argv[1:]
triton = {"http": tritonclient.http, "grpc": tritonclient.grpc}[door]
as_json = {"as_json": True} if door == "grpc" else {}
client = triton.InferenceServerClient(target)
pixels = np.arange(128, dtype=np.float32).reshape(2, 64) / 8
tensor = triton.InferInput("image", [2, 64], "FP32")
tensor.set_data_from_numpy(pixels)
wanted = triton.InferRequestedOutput("probabilities", class_count=2)
classes = client.infer("digits", [tensor], outputs=[wanted]).as_numpy("probabilities")
config = client.get_model_config("digits", **as_json)
told = {
    "ready": {name: client.is_model_ready(name) for name in ("digits", "pair")},
    "index": client.get_model_repository_index(**as_json),
    "metadata": client.get_model_metadata("digits", **as_json),
    "config": config.get("config", config),
    "classes": [[text.decode() for text in row] for row in classes.tolist()],
}
print(json.dumps(told))
