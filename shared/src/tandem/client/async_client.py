"""The client for asyncio, which the other one is made of.

arguments -> InferRequest -> transport, again if nothing was done -> InferResult
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from numpy.typing import ArrayLike

from tandem.client.inputs import request_of
from tandem.client.over_grpc import OverGrpc
from tandem.client.over_http import OverHttp
from tandem.client.result import Document, InferResult, ServerMetadata
from tandem.client.settings import Tls, settings
from tandem.client.terms import NotSent, Terms
from tandem.deadline import Deadline
from tandem.errors import Overloaded, TandemError, Unavailable
from tandem.inference import Parameter
from tandem.metadata import ModelMetadata
from tandem.model.config import ModelIndex
from tandem.peer.retries import RetryBudget, pause

T = TypeVar("T")
_DEFAULT = -1.0  # the client's own timeout


class AsyncClient:
    """A client of the server at `url`: http://, https://, grpc:// or grpcs://, host and port.

    `timeout` is in seconds for each call, retries and their pauses included, and goes on to the server as the call's
    deadline; None waits for ever. A call is made again, up to `retries` times, only if the server was not reached,
    refused it because it is full (429, RESOURCE_EXHAUSTED) or asks to come again (503 with Retry-After): after the
    seconds that it names, else after 0.1 s, doubled each time. All calls share `retry_budget` retries, of which each
    success gives back a tenth. `headers` (over gRPC: metadata) and the bearer `token` go with every call;
    `max_message_bytes` bounds an answer.

    An HTTP client belongs to the event loop that first uses it.
    """

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
        chosen = settings(
            url, headers, token, tls, max_message_bytes=max_message_bytes, max_connections=max_connections
        )
        self._transport: OverGrpc | OverHttp = (
            OverGrpc(chosen) if chosen.scheme.startswith("grpc") else OverHttp(chosen)
        )
        self._timeout = timeout
        self._retries = retries
        self._budget = RetryBudget(retry_budget)

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        version: str = "",
        outputs: Sequence[str] = (),
        classification: int = 0,
        id: str = "",  # noqa: A002 - the protocol's name
        parameters: Mapping[str, Parameter] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = _DEFAULT,
    ) -> InferResult:
        """The model's outputs for `inputs`: NumPy arrays, or what NumPy makes arrays of.

        The array's dtype is the datatype; bytes and text, alone or in lists or arrays, are BYTES. `outputs` names those
        wanted (none: all), of each of which `classification` asks for that many best classes instead.

        Raises TandemError: InvalidInput, NotFound, Overloaded, Unavailable, DeadlineExceeded, ...
        """
        request = request_of(
            model,
            inputs,
            version=version,
            outputs=outputs,
            classification=classification,
            id=id,
            parameters=parameters,
        )
        return await self._call(lambda terms: self._transport.infer(request, terms), timeout, headers)

    async def live(self, *, timeout: float | None = _DEFAULT) -> bool:
        """Whether the server runs; False too if nobody can be reached."""
        return await self._whether(self._transport.live, timeout)

    async def ready(self, *, timeout: float | None = _DEFAULT) -> bool:
        """Whether the server takes requests; False too if nobody can be reached."""
        return await self._whether(self._transport.ready, timeout)

    async def model_ready(self, model: str, version: str = "", *, timeout: float | None = _DEFAULT) -> bool:
        """Whether a model takes requests; False too if nobody can be reached."""
        return await self._whether(lambda terms: self._transport.model_ready(model, version, terms), timeout)

    async def server(self, *, timeout: float | None = _DEFAULT) -> ServerMetadata:
        """The server's name, version and extensions."""
        return await self._call(self._transport.server, timeout)

    async def metadata(self, model: str, version: str = "", *, timeout: float | None = _DEFAULT) -> ModelMetadata:
        """A model's versions, inputs and outputs."""
        return await self._call(lambda terms: self._transport.metadata(model, version, terms), timeout)

    async def models(self, *, ready: bool = False, timeout: float | None = _DEFAULT) -> Sequence[ModelIndex]:
        """The model versions that the server's repository has, or only those that are ready."""
        return await self._call(lambda terms: self._transport.models(terms, ready=ready), timeout)

    async def config(self, model: str, version: str = "", *, timeout: float | None = _DEFAULT) -> Document:
        """A model's configuration, as Triton has it."""
        return await self._call(lambda terms: self._transport.config(model, version, terms), timeout)

    async def statistics(
        self, model: str = "", version: str = "", *, timeout: float | None = _DEFAULT
    ) -> Sequence[Document]:
        """What model versions have done, as Triton has it; of all models if none is named."""
        return await self._call(lambda terms: self._transport.statistics(model, version, terms), timeout)

    async def load(self, model: str, *, timeout: float | None = _DEFAULT) -> None:
        """Load a model, again if it is loaded; on a predictor with --model_control=explicit."""
        await self._call(lambda terms: self._transport.load(model, terms), timeout)

    async def unload(self, model: str, *, timeout: float | None = _DEFAULT) -> None:
        """Unload a model; on a predictor with --model_control=explicit."""
        await self._call(lambda terms: self._transport.unload(model, terms), timeout)

    async def close(self) -> None:
        """Close the connections; calls under way fail."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _whether(self, ask: Callable[[Terms], Awaitable[bool]], timeout: float | None) -> bool:
        try:
            return await ask(self._terms(timeout, None))  # once: who asks this asks again
        except Unavailable:
            return False

    async def _call(
        self,
        ask: Callable[[Terms], Awaitable[T]],
        timeout: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """What `ask` gives, asked again where that is safe and there is time."""
        terms, attempt = self._terms(timeout, headers), 0
        while True:
            try:
                answer = await ask(terms)
            except (Overloaded, Unavailable) as error:
                wait, left = _pause(error, attempt), terms.deadline.remaining
                too_late = left is not None and wait >= left
                if attempt == self._retries or not _undone(error) or too_late or not self._budget.take():
                    raise
            else:
                self._budget.refill()
                return answer
            await asyncio.sleep(wait)
            attempt += 1

    def _terms(self, timeout: float | None, headers: Mapping[str, str] | None) -> Terms:
        own = {name.lower(): value for name, value in (headers or {}).items()}
        return Terms(Deadline.after(self._timeout if timeout == _DEFAULT else timeout), own)


def _undone(error: TandemError) -> bool:
    """Whether the server has certainly done nothing, or says itself when to come again."""
    return isinstance(error, (NotSent, Overloaded)) or error.retry_after is not None


def _pause(error: TandemError, attempt: int) -> float:
    """Seconds; a little more than told, so that not all come back at once."""
    return (error.retry_after or pause(attempt)) * random.uniform(1.0, 1.25)  # noqa: S311 - no secret
