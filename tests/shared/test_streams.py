"""A stream of requests and its answers: order, bounds, failures, and what a consumer that leaves takes with it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from tandem.doors import streams
from tandem.doors.streams import ordered

PATIENCE = 10.0


class Work:
    """Answers a request with its text doubled, once the gate of that request is open."""

    def __init__(self):
        self.gates: dict[object, asyncio.Event] = {}
        self.begun: list[object] = []
        self.cancelled: list[object] = []
        self.signs = asyncio.Queue()  # one entry for everything that begins

    def gate(self, request):
        return self.gates.setdefault(request, asyncio.Event())

    def open(self, *requests):
        for request in requests:
            self.gate(request).set()

    async def answer(self, request):
        self.begun.append(request)
        self.signs.put_nowait(request)
        try:
            await self.gate(request).wait()
        except asyncio.CancelledError:
            self.cancelled.append(request)
            raise
        if request == "odd":
            raise LookupError("odd")
        return request * 2

    async def until_begun(self, count):
        async with asyncio.timeout(PATIENCE):
            while len(self.begun) < count:
                await self.signs.get()


class Source:
    """Requests that come one by one; with `endless`, nothing follows the last and the stream stays open."""

    def __init__(self, *requests, endless=False):
        self.requests = requests
        self.endless = endless
        self.read = 0
        self.closed = False

    async def __aiter__(self):
        try:
            for request in self.requests:
                self.read += 1
                yield request
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def collect(answers):
    async with asyncio.timeout(PATIENCE):
        return [answer async for answer in answers]


def others():
    """The tasks that live beside the test's own."""
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.fixture(autouse=True)
async def nothing_leaks():
    yield
    assert others() == set()


async def settle():
    """Let everything that is ready on the loop run, a few steps deep."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_answers_come_in_the_order_of_the_requests_whichever_is_ready_first():
    work = Work()
    collecting = asyncio.create_task(collect(ordered(aiter(Source("a", "b", "c")), work.answer)))
    await work.until_begun(3)
    for request in ("c", "b", "a"):
        assert not collecting.done()
        work.open(request)
        await settle()
    assert await collecting == ["aa", "bb", "cc"]
    assert work.begun == ["a", "b", "c"]


async def test_an_answer_is_given_while_later_ones_are_still_worked_on():
    work = Work()
    work.open("a")
    async with aclosing(ordered(aiter(Source("a", "b", endless=True)), work.answer)) as answers:
        assert await anext(answers) == "aa"
        assert not work.gate("b").is_set()


async def test_a_stream_without_requests_has_no_answers():
    assert await collect(ordered(aiter(Source()), Work().answer)) == []


async def test_no_more_is_read_than_may_be_due_until_an_answer_was_taken():
    work = Work()
    source = Source(*range(streams.AHEAD * 3))
    work.open(*range(streams.AHEAD))
    async with aclosing(ordered(aiter(source), work.answer)) as answers:
        assert await anext(answers) == 0
        await settle()
        assert len(work.begun) == streams.AHEAD  # the first answer is still being written
        assert source.read == streams.AHEAD + 1
        assert await anext(answers) == 2
        await settle()
        assert len(work.begun) == streams.AHEAD + 1
        assert source.read == streams.AHEAD + 2


async def test_every_request_of_a_long_stream_is_answered_once():
    work = Work()
    many = range(streams.AHEAD * 4 + 1)
    work.open(*many)
    assert await collect(ordered(aiter(Source(*many)), work.answer)) == [2 * number for number in many]


async def test_an_error_that_is_an_answer_does_not_end_the_stream():
    work = Work()
    work.open("a", "odd", "b")

    async def safe(request):
        try:
            return await work.answer(request)
        except LookupError as error:
            return str(error)

    assert await collect(ordered(aiter(Source("a", "odd", "b")), safe)) == ["aa", "odd", "bb"]


async def test_a_consumer_that_leaves_cancels_what_is_due_and_stops_the_reading():
    work, source = Work(), Source("a", "b", "c", endless=True)
    work.open("a")
    async with aclosing(ordered(aiter(source), work.answer)) as answers:
        assert await anext(answers) == "aa"
        await work.until_begun(3)
        assert work.cancelled == []
    assert sorted(work.cancelled) == ["b", "c"]
    assert source.closed


async def test_a_consumer_cancelled_while_it_waits_takes_the_work_with_it():
    work, source = Work(), Source("a", "b", endless=True)
    collecting = asyncio.create_task(collect(ordered(aiter(source), work.answer)))
    await work.until_begun(2)
    collecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await collecting
    assert sorted(work.cancelled) == ["a", "b"]
    assert source.closed


async def test_a_consumer_that_leaves_while_the_reading_waits_for_room_leaves_nothing_behind():
    work, source = Work(), Source(*range(streams.AHEAD * 2))
    work.open(0)
    async with aclosing(ordered(aiter(source), work.answer)) as answers:
        assert await anext(answers) == 0
        await settle()
        assert source.read == streams.AHEAD + 1
    assert sorted(work.cancelled) == list(range(1, streams.AHEAD))


async def test_a_source_that_breaks_ends_the_stream_with_its_error():
    async def broken():
        yield "a"
        raise ConnectionError("the client is gone")

    work = Work()
    with pytest.raises(ExceptionGroup) as failed:
        await collect(ordered(broken(), work.answer))
    assert failed.group_contains(ConnectionError, match="the client is gone")
    assert work.cancelled in (["a"], [])
