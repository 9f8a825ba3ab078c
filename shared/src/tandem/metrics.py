"""Every metric that Tandem exports, for both services. Names end in their unit; label values are bounded.

The three `request_*_seconds` are KServe's own names, so that its dashboard works unchanged.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVarTuple, Unpack

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, multiprocess
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as with_exemplars

from tandem.timings import Timings
from tandem.workers import worker

log = logging.getLogger("tandem.metrics")

SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025),  # the hop, the queue and small models live below KServe's first bucket
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),  # KServe's own
    *(30.0, 60.0),
)
MOST_STEPS = 32  # names of an author's timers that become label values
ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
Args = TypeVarTuple("Args")
UNKNOWN_MODEL = "unknown"  # what a client calls a model that does not exist never becomes a label value


def afterwards(count: Callable[[Unpack[Args]], object], *args: *Args) -> None:
    """Call `count` when the event loop is through with what it does now: an answer goes out before it is counted."""
    asyncio.get_running_loop().call_soon(count, *args)


class ServerMetrics:
    """What both services count. The registry is injected, so that two services can live in one process."""

    def __init__(self, registry: CollectorRegistry, service: str, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # `_created` series double the scrape for nothing
        self.registry = registry
        self.requests = Counter(
            "tandem_requests_total",
            "Inference requests by outcome; code is the gRPC status name on both doors.",
            ["model_name", "protocol", "code"],
            registry=registry,
        )
        self.request_seconds = self._histogram(
            "tandem_request_seconds", "Time from a request's first byte to its answer.", "model_name", "protocol"
        )
        self.in_flight = Gauge(
            "tandem_in_flight_requests",
            "Inference requests being worked on.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.rejected = Counter(
            "tandem_rejected_total", "Inference requests refused before any work.", ["reason"], registry=registry
        )
        self.ready = Gauge(
            "tandem_ready", "1 while the service takes requests.", registry=registry, multiprocess_mode="livemin"
        )
        for reason in ("in_flight", "bytes", "queue_full", "too_late"):
            self.rejected.labels(reason)  # from the start, so that a rate over it is 0 and not absent
        self.predict_seconds = self._histogram(
            "request_predict_seconds", "Time in the predictor, or waiting for it.", "model_name"
        )
        Gauge(
            "tandem_build_info",
            "1; the labels say what runs.",
            ["service", "version", "python_version"],
            registry=registry,
            multiprocess_mode="livemax",
        ).labels(service, version, platform.python_version()).set(1)

    def exposition(self, *, openmetrics: bool = False) -> bytes:
        """All metrics, of every worker if there are several: in text format 0.0.4, or with exemplars in OpenMetrics."""
        registry = self.registry
        if worker.is_worker():
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        if openmetrics:
            return bytes(with_exemplars(registry))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """One model's children of the predictor's metrics, looked up once and not at every batch."""

    queue_seconds: Histogram
    queue_rows: Gauge
    queue_full: Counter
    too_late: Counter
    batch_rows: Histogram
    inference_seconds: Histogram


class PredictorMetrics(ServerMetrics):
    """What the predictor counts beside that."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        super().__init__(registry, "predictor", version)
        self.queue_seconds = self._histogram(
            "tandem_queue_seconds", "Time a request waited for its batch.", "model_name"
        )
        self.queue_rows = Gauge("tandem_queue_rows", "Rows waiting for a batch.", ["model_name"], registry=registry)
        self.batch_rows = self._histogram("tandem_batch_rows", "Rows in a batch that ran.", "model_name", buckets=ROWS)
        self.inference_seconds = self._histogram(
            "tandem_inference_seconds", "Time the engine took for a batch.", "model_name"
        )

        self.device_seconds = self._histogram(
            "tandem_device_seconds",
            "Time of a batch on its device: copy_in with what prepares it, compute, copy_out with what reduces it.",
            *("model_name", "phase"),
        )

    def on_device(self, name: str, phase: str, seconds: float) -> None:
        """A phase of one batch; may be called from any thread."""
        self.device_seconds.labels(name, phase).observe(seconds)

    def for_model(self, name: str) -> ModelMetrics:
        """The children for one model."""
        return ModelMetrics(
            queue_seconds=self.queue_seconds.labels(name),
            queue_rows=self.queue_rows.labels(name),
            queue_full=self.rejected.labels("queue_full"),
            too_late=self.rejected.labels("too_late"),
            batch_rows=self.batch_rows.labels(name),
            inference_seconds=self.inference_seconds.labels(name),
        )


class TransformerMetrics(ServerMetrics):
    """What the transformer counts beside that."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        super().__init__(registry, "transformer", version)
        self.preprocess_seconds = self._histogram("request_preprocess_seconds", "Time in preprocess.", "model_name")
        self.postprocess_seconds = self._histogram("request_postprocess_seconds", "Time in postprocess.", "model_name")
        self.step_seconds = self._histogram(
            "tandem_step_seconds", "Time in an author's own timer, summed for a request.", "model_name", "step"
        )
        self.hop_seconds = self._histogram(
            "tandem_hop_seconds", "Time between the two services: the predictor call less the predictor's own phases."
        )
        self.hop_total = Counter("tandem_hop_total", "Calls to the predictor.", ["transport"], registry=registry)
        self.channel_ready = Gauge(
            "tandem_predictor_channel_ready",
            "1 while the predictor answers.",
            registry=registry,
            multiprocess_mode="livemin",
        )


class StepSeconds:
    """Counts the timers of one model's author. Names beyond the first 32 are counted together, as `other`."""

    def __init__(self, histogram: Histogram, model: str) -> None:
        self._histogram = histogram
        self._model = model
        self._children: dict[str, Histogram] = {}

    def count(self, timings: Timings) -> None:
        """Observe each timer that one request has used."""
        for name in timings.steps:
            self._child(name).observe(timings.get(name))

    def _child(self, name: str) -> Histogram:
        if (child := self._children.get(name)) is not None:
            return child
        if len(self._children) >= MOST_STEPS:
            if "other" not in self._children:
                log.warning("over %d timer names: tandem_step_seconds has the rest as `other`", MOST_STEPS)
            name = "other"
        return self._children.setdefault(name, self._histogram.labels(self._model, name))
