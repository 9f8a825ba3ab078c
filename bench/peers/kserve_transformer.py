"""KServe's image transformer, as its examples have it: base64 in, decoded and resized by PIL, FP32 to the predictor."""

import argparse
import base64
import io

import numpy as np
from kserve import InferInput, InferRequest, Model, ModelServer, model_server
from PIL import Image


def pixels(data: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    values = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
    return ((values - 127) / 128).transpose(2, 0, 1)


class Images(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    def preprocess(self, payload: InferRequest, headers=None) -> InferRequest:
        batch = np.stack([pixels(data) for data in payload.inputs[0].data])
        tensor = InferInput("x", list(batch.shape), "FP32")
        tensor.set_data_from_numpy(batch)
        return InferRequest(self.name, [tensor], payload.id)


if __name__ == "__main__":
    arguments, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    ModelServer(workers=1).start([Images(arguments.model_name)])
