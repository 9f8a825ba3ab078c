"""Where things lie: the repository, the cache, the models and the programs of the peers."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BENCH = ROOT / "bench"
PEERS = BENCH / "peers"
CLIENTS = BENCH / "clients"
CACHE = ROOT / ".cache"
WORK = CACHE / "bench"  # results, request bodies and logs
VENVS = CACHE / "venvs"
PYTHON = ROOT / ".venv" / "bin" / "python"
PHOTO = ROOT / "examples" / "image-classification" / "photos" / "coffee.jpg"

MODELS = {
    "pixels": CACHE / "models" / "efficientnet-lite0" / "1" / "model.onnx",  # UINT8 NHWC in, probabilities out
    "floats": CACHE / "variants" / "efficientnet-lite0-floats" / "1" / "model.onnx",  # normalised FP32 NCHW in
    "int8": CACHE / "variants" / "efficientnet-lite0-int8" / "1" / "model.onnx",  # as pixels, quantised
}


def repository(model: str) -> Path:
    """The folder that `--model_dir` names."""
    return MODELS[model].parent.parent
