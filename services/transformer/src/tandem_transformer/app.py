"""Builds and wires the transformer, runs it, and shuts it down."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry

from tandem import cpus
from tandem.doors import grpc_server
from tandem.doors.grpc_server import Listen
from tandem.doors.http_server import HttpServer
from tandem.doors.ledger import Ledger
from tandem.doors.rest import RestDoor
from tandem.doors.servicer import InferenceServicer
from tandem.lifecycle import Fatal, Readiness
from tandem.metrics import TransformerMetrics
from tandem_transformer import __version__
from tandem_transformer.link import Link
from tandem_transformer.pipeline import Pipeline
from tandem_transformer.predictor import Address, GrpcPredictor
from tandem_transformer.settings import GRPC, Settings, options, target
from tandem_transformer.transformer import find

log = logging.getLogger("tandem.transformer")


class Gateway:
    """The running service. `http_port` and `grpc_port` are the real ones once it is started."""

    def __init__(self, settings: Settings) -> None:
        if settings.hop_protocol != GRPC:
            raise Fatal(f"the predictor protocol {settings.hop_protocol} is not in this release yet; expected {GRPC}")
        self.settings = settings
        self.readiness = Readiness()
        self._fit = self.readiness.part("pipeline", "the predictor has not answered yet")
        self._metrics = TransformerMetrics(CollectorRegistry(), __version__)
        self._metrics.watch_ready(lambda: self.readiness.ready)
        self._executor = ThreadPoolExecutor(settings.max_threads or cpus.available(), thread_name_prefix="pipeline")
        self._predictor = GrpcPredictor(
            Address(
                target(settings.predictor_host),
                max_receive=max(settings.max_message_bytes, settings.max_send),
                max_send=max(settings.max_message_bytes, settings.max_receive),
                retries=settings.predictor_request_retries,
            )
        )
        self._pipeline = Pipeline(settings.model_name, self._predictor, self._executor, self._metrics)
        self._ledger = Ledger(
            self._metrics,
            self._pipeline.models,
            max_in_flight=settings.max_in_flight,
            default_timeout=settings.predictor_request_timeout_seconds or None,
            access_log=settings.enable_latency_logging,
        )
        self._link = Link(
            self._predictor,
            settings.model_name,
            find(settings.transformer),
            self._pipeline.fit,
            options(settings.transformer_options),
            pending=lambda: self._ledger.in_flight > 0,
        )
        self._metrics.channel_ready.set_function(lambda: float(self._link.up))
        rest = RestDoor(self._pipeline, self.readiness, self._ledger, self._metrics, settings.max_receive)
        self._http = HttpServer(rest.application(), settings.grace)
        self._grpc = grpc_server.make(
            InferenceServicer(self._pipeline, self.readiness, self._ledger),
            self.readiness,
            max_receive=settings.max_receive,
            max_send=settings.max_send,
        )
        self._watching: asyncio.Task[None] | None = None  # asks the predictor until the drain is over
        self.http_port = self.grpc_port = 0

    async def start(self) -> None:
        """Open both doors and begin to watch the predictor, which decides readiness. Raises PortTaken."""
        settings = self.settings
        self.grpc_port = grpc_server.bind(self._grpc, Listen(settings.host, settings.grpc_port))
        self.http_port = await self._http.start(Listen(settings.host, settings.http_port))
        await self._grpc.start()
        log.info("listening", extra={"http_port": self.http_port, "grpc_port": self.grpc_port})
        self._watching = asyncio.current_task()
        await self._link.watch(self._fit)

    async def shutdown(self) -> None:
        """Not ready -> serve on for the delay -> refuse and drain both doors -> close the channel last."""
        self.readiness.stop()
        await asyncio.sleep(self.settings.drain_delay)
        await asyncio.gather(self._grpc.stop(self.settings.grace), self._http.stop())
        if self._watching:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._predictor.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._pipeline.close()
        log.info("stopped")
