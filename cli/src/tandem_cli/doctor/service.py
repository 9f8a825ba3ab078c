"""One of the two services as its clients see it: questions over HTTP and gRPC, each bounded in time and size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import aiohttp
import grpc
import orjson
from prometheus_client.parser import text_string_to_metric_families

from tandem_cli.doctor.options import Target
from tandem_cli.doctor.report import NotChecked, Problem

INFER = "/inference.GRPCInferenceService/ModelInfer"
_MOST = 2**24  # bytes of an answer
_OPEN = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})  # to all, whoever has a token
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", _MOST),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]
_Rpc: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"  # generic in the stubs only
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]  # lower-case names
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object in the body; raises Problem."""
        try:
            document = orjson.loads(self.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Problem(f"the answer, of status {self.status}, is no JSON object")
        return document

    @property
    def error(self) -> str:
        """The status, with the text of an error if there is one."""
        try:
            return f"{self.status}: {self.json['error']}"
        except (Problem, KeyError):
            return str(self.status)


class Service:
    """A service, examined while the context lasts. The checks of the doors say which of them can be asked."""

    def __init__(self, target: Target, timeout: float) -> None:
        self.target = target
        self.timeout = timeout
        self.closed: dict[str, str] = {"HTTP": "not looked at yet", "gRPC": "not looked at yet"}  # why, by door
        self.refused = {"HTTP": "", "gRPC": ""}  # why all is refused there except what is open to all
        self.away = False  # out of reach, and the user has not said that it should not be

    @property
    def headers(self) -> dict[str, str]:
        """What shows who asks."""
        return {"authorization": f"Bearer {self.target.token}"} if self.target.token else {}

    async def __aenter__(self) -> Service:
        connector = aiohttp.TCPConnector(ssl=self.target.tls.for_http if self.target.tls else True, force_close=True)
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        address, tls = str(self.target.grpc), self.target.tls
        self.channel = (
            grpc.aio.secure_channel(address, tls.credentials, _OPTIONS)
            if tls
            else grpc.aio.insecure_channel(address, _OPTIONS)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self.channel.close()

    def need(self, door: str, path: str = "") -> None:
        """Raise NotChecked unless the door can be asked, for `path` if it is HTTP's."""
        if reason := self.closed[door] or (self.refused[door] if path not in _OPEN else ""):
            raise NotChecked(reason)

    async def get(self, path: str) -> Reply:
        """The answer to a GET; raises Problem if there is none."""
        return await self._ask("GET", path, b"")

    async def post(self, path: str, body: bytes) -> Reply:
        """The answer to a POST of JSON; raises Problem if there is none."""
        return await self._ask("POST", path, body)

    async def call(
        self, method: str, data: bytes, parse: Callable[[bytes], T], compression: grpc.Compression | None = None
    ) -> tuple[T, dict[str, str]]:
        """The answer to a unary call, and its trailing metadata; raises grpc.aio.AioRpcError or Problem."""
        rpc: _Rpc = self.channel.unary_unary(method)
        metadata = tuple(self.headers.items())
        calling = rpc(data, timeout=self.timeout, metadata=metadata, compression=compression)
        answer = await calling
        try:
            parsed = parse(answer)
        except Exception:  # protobuf's and ours
            raise Problem(f"the answer to {method} is no message of it") from None
        return parsed, {key: str(value) for key, value in await calling.trailing_metadata() or ()}

    async def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """Name, labels and value of each of its metrics; raises Problem."""
        reply = await self.get("/metrics")
        if reply.status != 200:
            raise Problem(f"GET /metrics is {reply.error}", "ask the service's own HTTP door, not one of a proxy")
        try:
            families = list(text_string_to_metric_families(reply.body.decode()))
        except (ValueError, KeyError, IndexError) as error:
            raise Problem(f"/metrics does not parse: {error}") from None
        found = [sample for family in families for sample in family.samples]
        others = "kserve-container" if self.target.role == "transformer" else None  # beside it if they are merged
        return [(s.name, s.labels, s.value) for s in found if others is None or s.labels.get("container") != others]

    async def _ask(self, method: str, path: str, body: bytes) -> Reply:
        self.need("HTTP", path)
        url = f"{'https' if self.target.tls else 'http'}://{self.target.http}{path}"
        headers = (
            self.headers | {"accept-encoding": "identity"} | ({"content-type": "application/json"} if body else {})
        )
        try:
            # a redirect could lead the token elsewhere
            async with self._session.request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as reply:
                content = bytearray()
                async for part in reply.content.iter_any():
                    content += part
                    if len(content) > _MOST:
                        raise Problem(f"{method} {path} answers with over {_MOST} bytes")
                return Reply(reply.status, {k.lower(): v for k, v in reply.headers.items()}, bytes(content))
        except TimeoutError:
            raise Problem(
                f"{method} {path} is not answered within {self.timeout:g} s", "is it overloaded? see its log"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Problem(f"{method} {path} is not answered: {error or type(error).__name__}") from None


def total(samples: list[tuple[str, dict[str, str], float]], name: str, **labels: str) -> float | None:
    """The sum of a metric's samples that have `labels`; None if there are none."""
    found = [v for n, had, v in samples if n == name and all(had.get(key) == text for key, text in labels.items())]
    return sum(found) if found else None


def told(error: grpc.aio.AioRpcError) -> str:
    """A failed call in words."""
    return f"{error.code().name}: {error.details()}"
