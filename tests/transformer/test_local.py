"""Both ends of the local socket: answers, refusals, deadlines, cancellations, and what happens when either end goes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from tandem.codec import wire
from tandem.codec.wire import Frame
from tandem.deadline import Deadline
from tandem.doors import local as door_module
from tandem.doors.local import LocalDoor
from tandem.errors import DeadlineExceeded, InvalidInput, Overloaded, PayloadTooLarge, Unavailable
from tandem.oip import inference_pb2 as pb
from tandem.timings import Timings
from tandem_transformer.hop.local import Answer, Connection, Refused, connect

FOREVER = Deadline()
MOST = 2**20


class Model:
    """Answers with the request's id; what it does before is up to the test."""

    def __init__(self):
        self.asked: list[tuple[str, dict[str, str], float | None]] = []
        self.error: BaseException | None = None
        self.started, self.go, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.go.set()

    async def infer(self, frame, headers, seconds):
        self.asked.append((frame.message.id, headers, seconds))
        self.started.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error:
            raise self.error
        timings = Timings()
        timings.add("queue", 0.25)
        answer = pb.ModelInferResponse(id=frame.message.id)
        return Frame(answer, frame.raw), timings


@pytest.fixture
async def model() -> Model:
    return Model()


@pytest.fixture
async def door(model: Model) -> AsyncIterator[LocalDoor]:
    made = LocalDoor(model.infer, MOST)
    await made.open()
    yield made
    await made.close(1)


@pytest.fixture
async def connection(door: LocalDoor) -> AsyncIterator[Connection]:
    made = await connect(door.name, door.token, MOST)
    yield made
    made.close()


def request(name: str = "a", size: int = 3) -> bytes:
    return wire.encode_request(Frame(pb.ModelInferRequest(id=name), [bytes(size)]))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")


async def test_an_answer_comes_with_its_tensors_and_phases(model, connection):
    frame, phases = await connection.call(request("a", 50_000), {"traceparent": "t"}, FOREVER)
    assert (frame.message.id, [bytes(raw) for raw in frame.raw]) == ("a", [bytes(50_000)])
    assert phases == {"queue": 0.25}
    assert model.asked == [("a", {"traceparent": "t"}, None)]


async def test_many_calls_share_the_connection_and_each_gets_its_own_answer(model, connection):
    model.go.clear()
    calls = [asyncio.ensure_future(connection.call(request(str(n), n), {}, FOREVER)) for n in range(100)]
    await model.started.wait()
    model.go.set()
    for number, (frame, _) in enumerate(await asyncio.gather(*calls)):
        assert (frame.message.id, len(frame.raw[0])) == (str(number), number)


async def test_the_deadline_is_carried(model, connection):
    await connection.call(request(), {}, Deadline.after(60))
    assert 59 < model.asked[0][2] <= 60


@pytest.mark.parametrize(
    ("error", "status", "details", "after"),
    [
        (InvalidInput("wrong"), 3, "wrong", 0),
        (Overloaded("full", retry_after=7), 8, "full", 7),
        (ZeroDivisionError("secret"), 13, "internal error; the server's log says more", 0),
    ],
)
async def test_a_refusal_comes_with_its_status(model, connection, error, status, details, after):
    model.error = error
    with pytest.raises(Refused) as refused:
        await connection.call(request(), {}, FOREVER)
    head = refused.value.head
    assert (head.status, head.details, head.retry_after) == (status, details, after)


async def test_an_answer_over_the_predictors_limit_is_refused(door, connection):
    door.max_send = 100
    with pytest.raises(Refused) as refused:
        await connection.call(request(size=200), {}, FOREVER)
    assert refused.value.head.status == 8
    assert "larger than max 100" in refused.value.head.details


async def test_an_answer_over_the_transformers_limit_fails_its_call_alone(door):
    small = await connect(door.name, door.token, 100)
    with pytest.raises(PayloadTooLarge):
        await small.call(request(size=200), {}, FOREVER)
    assert (await small.call(request(size=20), {}, FOREVER))[0].message.id == "a"
    small.close()


async def test_what_is_no_message_is_refused_and_harms_no_other(connection):
    with pytest.raises(Refused) as refused:
        await connection.call(b"\xff\xff\xff", {}, FOREVER)
    assert refused.value.head.status == 3
    assert (await connection.call(request(), {}, FOREVER))[0].message.id == "a"


async def test_a_caller_that_leaves_cancels_its_call_alone(model, connection):
    model.go.clear()
    leaving = asyncio.ensure_future(connection.call(request("leaving"), {}, FOREVER))
    await model.started.wait()
    model.started.clear()
    staying = asyncio.ensure_future(connection.call(request("staying"), {}, FOREVER))
    await model.started.wait()
    leaving.cancel()
    await model.cancelled.wait()
    model.go.set()
    assert (await staying)[0].message.id == "staying"


async def test_a_deadline_that_passes_cancels_the_work(model, connection):
    model.go.clear()
    with pytest.raises(DeadlineExceeded):
        await connection.call(request(), {}, Deadline.after(0.01))
    await model.cancelled.wait()


async def test_a_predictor_that_goes_fails_its_calls_at_once(model, door, connection):
    model.go.clear()
    call = asyncio.ensure_future(connection.call(request(), {}, FOREVER))
    await model.started.wait()
    for one in list(door.connections):
        one.transport.abort()
    with pytest.raises(Unavailable):
        await call
    assert not connection.usable
    await connection.over.wait()
    await model.cancelled.wait()  # on the other side too, nobody waits for it


async def test_a_transformer_that_goes_cancels_its_calls(model, connection):
    model.go.clear()
    call = asyncio.ensure_future(connection.call(request(), {}, FOREVER))
    await model.started.wait()
    connection.transport.abort()
    await model.cancelled.wait()
    with pytest.raises(Unavailable):
        await call


async def test_a_stopping_predictor_answers_what_it_has_and_takes_no_more(model, door, connection):
    model.go.clear()
    call = asyncio.ensure_future(connection.call(request(), {}, FOREVER))
    await model.started.wait()
    closing = asyncio.ensure_future(door.close(5))
    await until(lambda: not connection.usable)
    assert not closing.done()
    model.go.set()
    assert (await call)[0].message.id == "a"
    await closing
    await connection.over.wait()


async def test_a_stopping_predictor_waits_no_longer_than_its_grace(model, door, connection):
    model.go.clear()
    call = asyncio.ensure_future(connection.call(request(), {}, FOREVER))
    await model.started.wait()
    await door.close(0.01)
    with pytest.raises(Unavailable):
        await call


async def test_without_the_token_nothing_is_served(model, door):
    stranger = await connect(door.name, b"guess", MOST)
    with pytest.raises(Unavailable):
        await stranger.call(request(), {}, FOREVER)
    assert model.asked == []


async def test_a_silent_stranger_is_shown_out(door, monkeypatch):
    monkeypatch.setattr(door_module, "_INTRODUCTION", 0.01)
    plain = socket.socket(socket.AF_UNIX)
    plain.setblocking(False)
    plain.connect(f"\0{door.name}")
    with contextlib.closing(plain):
        assert await asyncio.get_running_loop().sock_recv(plain, 1) == b""


async def test_a_predictor_that_does_not_read_is_not_given_ever_more(model, door, connection):
    await connection.call(request(), {}, FOREVER)
    for one in list(door.connections):
        one.transport.pause_reading()
    calls: list[asyncio.Future[Answer]] = []
    for _ in range(100):
        calls.append(asyncio.ensure_future(connection.call(request("a", 50_000), {}, FOREVER)))
    await until(lambda: connection.slow)
    for one in list(door.connections):
        one.transport.resume_reading()
    assert {frame.message.id for frame, _ in await asyncio.gather(*calls)} == {"a"}
    assert not connection.slow


async def test_a_transformer_that_does_not_read_gets_no_more_calls_read(model, door, connection):
    connection.transport.pause_reading()
    calls = [asyncio.ensure_future(connection.call(request(str(n), 50_000), {}, FOREVER)) for n in range(200)]
    await until(lambda: any(one.slow for one in door.connections))
    taken = len(model.asked)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(model.asked) - taken < 30  # what had been read already
    connection.transport.resume_reading()
    assert len(await asyncio.gather(*calls)) == 200
