"""Ask the running pair where the text of a photo is, and draw it.

.venv/bin/python examples/text-detection/draw.py PHOTO DRAWING [URL]
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
from prepare import request


def main(photo: str, drawing: str, url: str = "http://localhost:8000") -> None:
    """Draw each box on the photo."""
    picture = np.array(cv2.imread(photo))
    height, width = picture.shape[:2]
    boxes = ask(Path(photo), url) * [width, height]
    cv2.polylines(picture, list(boxes.round().astype(np.int32)), isClosed=True, color=(0, 0, 255))
    cv2.imwrite(drawing, picture)
    print(f"{len(boxes)} boxes drawn in {drawing}")


def ask(photo: Path, url: str) -> np.ndarray:
    """The boxes that the pair finds: [n,4,2], in parts of the sides."""
    address = f"{url}/v2/models/text-detection/infer"
    with urllib.request.urlopen(address, json.dumps(request(photo)).encode()) as reply:
        outputs = {output["name"]: output for output in json.load(reply)["outputs"]}
    return np.reshape(outputs["boxes"]["data"], outputs["boxes"]["shape"])


if __name__ == "__main__":
    main(*sys.argv[1:])
