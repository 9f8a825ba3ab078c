"""What Tandem exports, from its registries: metrics by the name that Prometheus knows, with their labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from tandem.metrics import PredictorMetrics, ServerMetrics, TransformerMetrics
from tandem.model import triton
from tandem_predictor.devices import nvml
from tandem_transformer.exposition import UP

SERVICES = (TransformerMetrics(CollectorRegistry(), "1"), PredictorMetrics(CollectorRegistry(), "1"))


def exported() -> dict[str, tuple[str, ...]]:
    """Every metric of both services, the one of a merged scrape, Triton's, and those of GPUs."""
    found = {name: labels for service in SERVICES for name, labels in _of(service).items()}
    tritons = [line.split()[2] for line in triton.exposition([]).decode().splitlines() if line.startswith("# TYPE")]
    gpus = dict.fromkeys((name for name, *_ in (*nvml.OWN, *nvml.TRITON)), ("gpu_uuid",))
    return {**found, UP: (), **dict.fromkeys(tritons, ()), **gpus}


def _of(service: ServerMetrics) -> dict[str, tuple[str, ...]]:
    """A counter is known by the name with _total; the labels are read where prometheus_client keeps them."""
    found = {}
    for collector in service.registry._collector_to_names:
        assert isinstance(collector, MetricWrapperBase)
        [family] = collector.describe()
        found[family.name + ("_total" if family.type == "counter" else "")] = tuple(collector._labelnames)
    return found
