"""Make the default model, as `make run` does, and a request for a photo.

.cache/models/efficientnet-lite0/1/model.onnx, .cache/examples/image-classification/request.json
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REQUEST = ROOT / ".cache" / "examples" / "image-classification" / "request.json"


def main() -> None:
    """Make what is missing."""
    subprocess.run([sys.executable, ROOT / "tools" / "default_model.py"], check=True)
    photo = base64.b64encode((HERE / "photos" / "cat_chelsea.jpg").read_bytes()).decode()
    REQUEST.parent.mkdir(parents=True, exist_ok=True)
    tensor = {"name": "input-0", "datatype": "BYTES", "shape": [1], "data": [photo]}
    REQUEST.write_text(json.dumps({"inputs": [tensor]}))


if __name__ == "__main__":
    main()
