"""examples/text-detection: text that was drawn is found where it was drawn, and its map goes through shared memory."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from contract import client
from examples.running import INSTALLING, ask, running
from harness import PHOTOS, ROOT, Pair, metric

pytestmark = [pytest.mark.system, pytest.mark.timeout(INSTALLING)]

SIZE = 800, 600
LINES = {"Departures": (60, 120), "Platform seven": (300, 300), "Mind the gap": (100, 520)}  # left, baseline


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running("text-detection") as pair:
        yield pair


def test_drawn_text_is_found_where_it_was_drawn(pair: Pair) -> None:
    picture = np.full((SIZE[1], SIZE[0], 3), 235, np.uint8)
    for text, place in LINES.items():
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.6, (40, 20, 20), 3, cv2.LINE_AA)
    answer = detect(pair, cv2.imencode(".png", picture)[1].tobytes())
    found = np.reshape(answer["boxes"], (-1, 4, 2)) * SIZE
    assert len(found) == len(answer["scores"]) == len(LINES)
    for box, (text, (left, baseline)) in zip(found, LINES.items(), strict=True):  # from top to bottom
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.6, 3)
        drawn = np.array([[left, baseline - height], [left + width, baseline]])
        assert np.abs(np.stack([box.min(axis=0), box.max(axis=0)]) - drawn).max() < 0.6 * height


def test_a_photo_without_text_has_no_boxes(pair: Pair) -> None:
    answer = detect(pair, (PHOTOS / "palace_china.jpg").read_bytes())
    assert answer == {"boxes": [], "scores": []}


def test_the_tensors_go_through_shared_memory(pair: Pair) -> None:
    before = hops(pair)
    detect(pair, (ROOT / "examples/text-detection/photo.png").read_bytes())
    assert hops(pair) == before + 1


def detect(pair: Pair, photo: bytes) -> dict:
    return ask(pair, "text-detection", "photo", "BYTES", [1], [base64.b64encode(photo).decode()])


def hops(pair: Pair) -> float:
    exposition = client.ask(f"{pair.transformer.url}/metrics").body.decode()
    return metric(exposition, "tandem_hop_total", transport="shm")
