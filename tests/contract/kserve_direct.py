"""Runs beside kserve alone: the sample pair's methods called one after the other; prints the scores as JSON.

python kserve_direct.py FOLDER_OF_THE_SAMPLES INPUT.json
"""

import base64
import json
import sys
from pathlib import Path

folder, body = sys.argv[1:]
sys.argv = sys.argv[:1]
sys.path.insert(0, folder)

import ks_predictor  # noqa: E402 - it lies in that folder
import ks_transformer  # noqa: E402 - the same
from kserve import InferInput, InferRequest  # noqa: E402 - after the command line is cleared, which it reads

image = base64.b64decode(json.loads(Path(body).read_bytes())["inputs"][0]["data"][0])
request = InferRequest("custom-model", [InferInput("input-0", [1], "BYTES", data=[image])])
pixels = ks_transformer.ImageTransformer("custom-model").preprocess(request)
print(json.dumps(ks_predictor.OnnxModel("custom-model").predict(pixels).outputs[0].data))
