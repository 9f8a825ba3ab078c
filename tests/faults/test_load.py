"""64 clients at once, each with an image of its own, a third of them leaving at random: every answer is right."""

from __future__ import annotations

import asyncio
import random
import time

import cv2
import grpc
import numpy as np
from contract.client import PHOTOS, Scores, ask, over_grpc, raw_request
from harness import Pair, metric
from tandem.oip import inference_pb2_grpc as pb_grpc

CLIENTS, SECONDS = 64, 8.0


def distinct_images(count: int) -> list[bytes]:
    """Crops of a photo, no two the same."""
    photo = cv2.imread(str(PHOTOS / "palace_china.jpg"))
    crops = [photo[index : index + 300, 2 * index : 2 * index + 400] for index in range(count)]
    return [cv2.imencode(".jpg", crop)[1].tobytes() for crop in crops]


async def client(
    stub: pb_grpc.GRPCInferenceServiceStub, image: bytes, expected: Scores, end: float, leaves: bool
) -> int:
    """Ask until `end`; returns how many answers came, each checked."""
    answers, request, chance = 0, raw_request([image]), random.Random(len(image))
    while time.monotonic() < end:
        call = stub.ModelInfer(request, timeout=30)
        if leaves and chance.random() < 0.5:
            await asyncio.wait([asyncio.ensure_future(call.code())], timeout=chance.uniform(0, 0.5))
            call.cancel()
        try:
            response = await call
        except asyncio.CancelledError:
            continue
        got = np.frombuffer(response.raw_output_contents[0], np.float32)
        assert np.abs(got - expected.probabilities[0]).max() <= 1e-4
        assert np.array_equal(np.frombuffer(response.raw_output_contents[2], np.int64), expected.classes[0])
        answers += 1
    return answers


async def test_every_client_gets_its_own_answer_while_others_leave(pair: Pair) -> None:
    images = distinct_images(CLIENTS)
    expected = [over_grpc(pair, raw_request([image])) for image in images]
    before = ask(f"{pair.predictor.url}/metrics").body.decode()
    end = time.monotonic() + SECONDS
    async with grpc.aio.insecure_channel(pair.transformer.target) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        answers = await asyncio.gather(
            *[client(stub, images[i], expected[i], end, leaves=i % 3 == 0) for i in range(CLIENTS)]
        )
    assert all(count > 0 for count in answers)
    after = ask(f"{pair.predictor.url}/metrics").body.decode()
    rows = metric(after, "tandem_batch_rows_sum") - metric(before, "tandem_batch_rows_sum")
    batches = metric(after, "tandem_batch_rows_count") - metric(before, "tandem_batch_rows_count")
    assert rows / batches > 1
    assert rows >= sum(answers)
    assert metric(after, "tandem_queue_rows") == 0
    codes = ask(f"{pair.transformer.url}/metrics").body.decode()
    assert metric(codes, "tandem_in_flight_requests") == 0
    assert 'code="INTERNAL"' not in codes
