"""A stream of requests -> a stream of answers: several worked on at the same time, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

AHEAD = 16  # requests of one stream that are worked on, or wait to be written


async def ordered(requests: AsyncIterator[Q], answer: Callable[[Q], Awaitable[A]]) -> AsyncGenerator[A, None]:
    """The answer to each request. Reading pauses while AHEAD answers are due; leaving the loop cancels them."""
    due: asyncio.Queue[asyncio.Task[A] | None] = asyncio.Queue()
    room = asyncio.Semaphore(AHEAD)

    async def work(request: Q) -> A:
        return await answer(request)

    async def read(group: asyncio.TaskGroup) -> None:
        async for request in requests:
            await room.acquire()
            due.put_nowait(group.create_task(work(request)))
        due.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read(group))
        try:
            while (task := await due.get()) is not None:
                yield await task
                room.release()
        except GeneratorExit:  # the caller has left: what is due is for nobody; raised on, the group would wrap it
            reading.cancel()
            while not due.empty():
                if task := due.get_nowait():
                    task.cancel()
