"""What is sent: 64 photos of the seed request's size, all different, so that no cache can win; and tensors."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import orjson
from numpy.typing import NDArray

from bench.compare.places import PHOTO, WORK

COUNT = 64
WIDTH, HEIGHT, JPEG_BYTES = 700, 577, 79_000  # of the JPEG in KServe's page on collocation
TENSORS = 4  # different ones of a size, in turn
EXPECTED_CLASS = 967  # espresso, in ImageNet's order
SHAPES = {"16 B": (1, 1, 2, 2), "602 kB": (1, 3, 224, 224), "6.2 MB": (1, 3, 720, 720)}
_SHIFT = 12  # pixels, either way


def photos() -> dict[str, Path]:
    """Folders of the same 64 requests, made on first use: as the seed has them, and in the shape Triton insists on."""
    folders = {"seed": WORK / "bodies" / "seed", "triton": WORK / "bodies" / "triton"}
    if len(list(folders["triton"].glob("*.json"))) < COUNT:
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        for index, jpeg in enumerate(_jpegs()):
            (folders["seed"] / f"{index:03}.json").write_text(_body(jpeg, []))
            (folders["triton"] / f"{index:03}.json").write_text(_body(jpeg, [1, 1]))
    return folders


def tensors(payload: str, count: int) -> list[NDArray[np.float32]]:
    """Different FP32 tensors of a size named in SHAPES."""
    random = np.random.default_rng(5)
    return [random.random(SHAPES[payload], np.float32) for _ in range(count)]


def tensor_files(payload: str) -> dict[str, Path]:
    """Folders of the requests for a size over HTTP, "JSON" and "binary", made on first use."""
    folders = {form: WORK / "bodies" / f"{form} {payload}" for form in ("JSON", "binary")}
    for form, folder in folders.items():
        if not folder.exists():
            folder.mkdir(parents=True)
            for index, values in enumerate(tensors(payload, TENSORS)):
                body = json_tensor(values) if form == "JSON" else binary_tensor(values)[0]
                (folder / str(index)).write_bytes(body)
    return folders


def json_tensor(values: NDArray[np.float32]) -> bytes:
    """A request with its numbers in JSON."""
    entry = {"name": "x", "shape": values.shape, "datatype": "FP32", "data": values.ravel()}
    return orjson.dumps({"inputs": [entry]}, option=orjson.OPT_SERIALIZE_NUMPY)


def binary_tensor(values: NDArray[np.float32]) -> tuple[bytes, int]:
    """A request of the binary data extension, answer included, and the length of its JSON."""
    parameters = {"binary_data_size": values.nbytes}
    entry = {"name": "x", "shape": values.shape, "datatype": "FP32", "parameters": parameters}
    head = orjson.dumps({"parameters": {"binary_data_output": True}, "inputs": [entry]})
    return head + values.tobytes(), len(head)


def _body(jpeg: bytes, shape: list[int]) -> str:
    data = [base64.b64encode(jpeg).decode()]
    return json.dumps({"inputs": [{"name": "input-0", "shape": shape, "datatype": "BYTES", "data": data}]})


def _jpegs() -> list[bytes]:
    """Shifted and brightened copies of one photo, as progressive JPEGs of about the seed's size."""
    source, random, found = _fitted(), np.random.default_rng(7), []
    for _ in range(COUNT):
        left, top = random.integers(0, 2 * _SHIFT + 1, 2)
        picture = source[top : top + HEIGHT, left : left + WIDTH].astype(np.int16) + random.integers(-8, 9)
        found.append(_encode(np.clip(picture, 0, 255).astype(np.uint8)))
    return found


def _fitted() -> NDArray[np.uint8]:
    """The photo, large enough to be shifted about, with the fine grain that enlarging took from it."""
    photo = cv2.imread(str(PHOTO), cv2.IMREAD_COLOR)
    if photo is None:
        raise FileNotFoundError(PHOTO)
    scale = max((WIDTH + 2 * _SHIFT) / photo.shape[1], (HEIGHT + 2 * _SHIFT) / photo.shape[0])
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(3).normal(0, 4, large.shape[:2])[:, :, None]
    noisy: NDArray[np.uint8] = np.clip(large + grain, 0, 255).astype(np.uint8)
    return noisy


def _encode(picture: NDArray[np.uint8]) -> bytes:
    """The smallest quality that reaches the seed's size."""
    for quality in range(50, 100):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
        jpeg = cv2.imencode(".jpg", picture, options)[1].tobytes()
        if len(jpeg) >= JPEG_BYTES:
            return jpeg
    return jpeg
