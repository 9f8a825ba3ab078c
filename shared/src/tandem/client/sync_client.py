"""The client for threads: the async one, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from tandem.client.async_client import AsyncClient
from tandem.client.settings import Tls
from tandem.errors import Cancelled

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """`method`, waited for."""

    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(method(self._client, *args, **kwargs))

    call.__name__, call.__qualname__, call.__doc__ = method.__name__, f"Client.{method.__name__}", method.__doc__
    call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]  # as `inspect` and documentation find it
    return call


class Client:
    """The same as AsyncClient, for code without an event loop; any number of threads may share one.

    It has a thread of its own, so it does not survive a fork: make one in each process. Close it, or use `with`.
    """

    infer = _blocking(AsyncClient.infer)
    live = _blocking(AsyncClient.live)
    ready = _blocking(AsyncClient.ready)
    model_ready = _blocking(AsyncClient.model_ready)
    server = _blocking(AsyncClient.server)
    metadata = _blocking(AsyncClient.metadata)
    models = _blocking(AsyncClient.models)
    config = _blocking(AsyncClient.config)
    statistics = _blocking(AsyncClient.statistics)
    load = _blocking(AsyncClient.load)
    unload = _blocking(AsyncClient.unload)

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None = 60.0,
        retries: int = 2,
        retry_budget: float = 10.0,
        headers: Mapping[str, str] | None = None,
        token: str = "",
        tls: Tls | None = None,
        max_message_bytes: int = 64 * 1024 * 1024,
        max_connections: int = 100,
    ) -> None:
        self._client = AsyncClient(
            url,
            timeout=timeout,
            retries=retries,
            retry_budget=retry_budget,
            headers=headers,
            token=token,
            tls=tls,
            max_message_bytes=max_message_bytes,
            max_connections=max_connections,
        )
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(self._loop,), name="tandem-client", daemon=True)
        thread.start()
        self._scheduling = threading.RLock()  # no call slips in behind the end of the loop
        self._end = weakref.finalize(self, _end, self._client, self._loop, thread, self._process, self._scheduling)

    def close(self) -> None:
        """Close the connections; calls under way fail. A second time does nothing."""
        self._end()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if os.getpid() != self._process:
            work.close()
            raise RuntimeError("this client does not survive a fork: make one in each process")
        with self._scheduling:
            if not self._end.alive:
                work.close()
                raise RuntimeError("this client is closed")
            waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result()
        except concurrent.futures.CancelledError:
            raise Cancelled("the client was closed during the call") from None
        finally:
            waiting.cancel()  # of effect if it was Ctrl-C that ended the waiting


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _end(
    client: AsyncClient,
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
    process: int,
    scheduling: threading.RLock,
) -> None:
    """Close everything; in the thread of the loop itself, where a garbage collector may be, without waiting."""

    async def close() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await client.close()
        loop.stop()

    if os.getpid() == process:
        with scheduling:
            asyncio.run_coroutine_threadsafe(close(), loop)
        if threading.current_thread() is not thread:
            thread.join()
