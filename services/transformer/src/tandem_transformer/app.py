"""Builds and wires the transformer, runs it, and shuts it down."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from prometheus_client import CollectorRegistry
from tandem import cpus
from tandem.doors.doors import Doors
from tandem.doors.rest.door import alone
from tandem.kserve import PREFIX
from tandem.lifecycle import Fatal
from tandem.metrics import TransformerMetrics
from tandem.security.tls import ClientTls, require_pair
from tandem.security.tokens import Tokens
from tandem.workers import worker

from tandem_transformer import __version__
from tandem_transformer.exposition import Merged
from tandem_transformer.hop.channel import Address
from tandem_transformer.hop.forwarding import Forwarding
from tandem_transformer.link import INTERVAL, Link
from tandem_transformer.pipeline import Pipeline
from tandem_transformer.predictor import GrpcPredictor
from tandem_transformer.rest_predictor import V1Predictor, V2Predictor
from tandem_transformer.settings import GRPC, Settings, base_url, metrics_url, options, target
from tandem_transformer.transformer import Transformer, find
from tandem_transformer.ui.pages import pages

log = logging.getLogger("tandem.transformer")

QUIET = INTERVAL / 2  # seconds after a call for which the predictor need not hear of others


class Gateway:
    """The running service."""

    def __init__(self, settings: Settings, make: Callable[[], Transformer] | None = None) -> None:
        """`make` stands for what --transformer names. Raises Fatal."""
        self._settings = settings
        metrics = TransformerMetrics(CollectorRegistry(), __version__)
        workers = settings.workers if worker.is_worker() else 1
        threads = settings.max_threads or max(1, cpus.available() // workers)
        self._executor = ThreadPoolExecutor(threads, "pipeline", cpus.stand_back)
        self._predictor = predictor(settings, self._executor)
        self._pipeline = Pipeline(settings.model_name, self._predictor, self._executor, metrics)
        self.doors = Doors(
            self._pipeline,
            metrics,
            settings,
            default_timeout=settings.predictor_request_timeout_seconds,
            exposition=exposition(settings),
            pages=pages() if settings.enable_ui else None,
        )
        self._fitted = self.doors.readiness.part("predictor", "the predictor has not answered yet")
        self._link = Link(
            self._predictor,
            settings.model_name,
            make=make or transformer(settings),
            fit=self._pipeline.fit,
            options=options(settings.transformer_options),
            pending=self._pending,
            tell=metrics.channel_ready.set,
            executor=self._executor,
        )
        self._watching: asyncio.Task[None] | None = None  # asks the predictor until the drain is over

    @property
    def failure(self) -> Exception | None:
        """What the latest setup of the transformer raised; None if it did not, or was not called yet."""
        return self._link.failure

    def _pending(self) -> bool:
        """Whether there are requests that will need the predictor, and none lately that has told it so."""
        return self.doors.ledger.in_flight > 0 and time.perf_counter() - self._pipeline.called > QUIET

    async def start(self) -> None:
        """Open both doors and watch the predictor, which decides readiness, until cancelled. Raises PortTaken."""
        await self.doors.open()
        log.info("listening", extra={"http_port": self.doors.http_port, "grpc_port": self.doors.grpc_port})
        self._watching = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            if isinstance(self._predictor, GrpcPredictor):
                group.create_task(self._predictor.keep())
            await self._link.watch(self._fitted, follow=self._settings.enable_predictor_health_check)

    async def shutdown(self) -> None:
        """Not ready -> serve on for the delay -> refuse and drain both doors -> close the channel last."""
        self.doors.readiness.stop()
        await asyncio.sleep(self._settings.drain_delay)
        await self.doors.close()
        if self._watching:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        self._executor.shutdown(wait=False, cancel_futures=True)
        await self._pipeline.close()
        await self._predictor.close()
        log.info("stopped")


def transformer(settings: Settings) -> Callable[[], Transformer]:
    """What makes the transformer; raises Fatal."""
    if not settings.transformer.startswith(PREFIX):
        return find(settings.transformer)
    from tandem_transformer.transformers import kserve  # noqa: PLC0415 - only who asks for it pays for it

    return partial(kserve.KServeTransformer, kserve.author(settings, sys.argv[1:]))


def predictor(settings: Settings, executor: Executor) -> GrpcPredictor | V1Predictor | V2Predictor:
    """The predictor, by the protocol that it speaks. Raises Fatal on an address that does not suit it."""
    forwarding = Forwarding(settings.forward_headers)
    if settings.hop_protocol == GRPC:
        return GrpcPredictor(address(settings), executor, forwarding)
    if settings.predictor_host.startswith("unix:"):
        raise Fatal(f"--predictor_host={settings.predictor_host}: a Unix socket is for --predictor_protocol={GRPC}")
    kind = V1Predictor if settings.hop_protocol == "v1" else V2Predictor
    most = max(settings.max_message_bytes, settings.max_send)
    tls = client_tls(settings)
    return kind(base_url(settings.predictor_host, tls is not None), most, forwarding, tls, tokens(settings))


def address(settings: Settings) -> Address:
    """Where the predictor is. What fits through a door fits through the hop, in both directions."""
    return Address(
        target(settings.predictor_host),
        max_receive=max(settings.max_message_bytes, settings.max_send),
        max_send=max(settings.max_message_bytes, settings.max_receive),
        retries=settings.predictor_request_retries,
        shared_memory=settings.shared_memory,
        local_socket=settings.local_socket,
        tls=client_tls(settings),
        tokens=tokens(settings),
    )


def exposition(settings: Settings) -> Callable[[bytes], Awaitable[bytes]]:
    """What /metrics shows beside the transformer's own."""
    if not settings.merge_predictor_metrics:
        return alone
    tls = client_tls(settings)
    return Merged(metrics_url(settings, tls=tls is not None), tls)


def client_tls(settings: Settings) -> ClientTls | None:
    """How the hop is encrypted, if it is; raises Fatal."""
    certificate, key = settings.predictor_ssl_certfile, settings.predictor_ssl_keyfile
    require_pair("predictor_ssl_", certificate, key, [])
    https = settings.hop_protocol != GRPC and settings.predictor_host.startswith("https://")
    if not (https or settings.predictor_use_ssl or certificate or settings.predictor_ssl_ca_certs):
        return None
    return ClientTls(certificate, key, settings.predictor_ssl_ca_certs, settings.predictor_ssl_server_name)


def tokens(settings: Settings) -> Tokens | None:
    """What proves to the predictor who calls, if anything; raises Fatal."""
    path = settings.predictor_auth_token_file
    return Tokens(path, "predictor_auth_token_file") if path else None
