"""What NVIDIA's management library says of the GPUs, asked at each scrape.

Source: NVML's API reference; Triton, "Metrics", GPU metrics, for the names with nv_ (--enable_triton_metrics).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

log = logging.getLogger("tandem.predictor")

_Ask = Callable[[Any, Any], float]  # of the library and one GPU
OWN: tuple[tuple[str, str, _Ask], ...] = (
    ("tandem_gpu_memory_used_bytes", "Memory of the GPU in use, by anybody.", lambda ml, gpu: _memory(ml, gpu).used),
    ("tandem_gpu_memory_total_bytes", "Memory of the GPU.", lambda ml, gpu: _memory(ml, gpu).total),
)
TRITON: tuple[tuple[str, str, _Ask], ...] = (
    ("nv_gpu_utilization", "GPU utilization, 0 to 1.", lambda ml, gpu: ml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100),
    ("nv_gpu_memory_used_bytes", "GPU memory in use.", lambda ml, gpu: _memory(ml, gpu).used),
    ("nv_gpu_memory_total_bytes", "GPU memory.", lambda ml, gpu: _memory(ml, gpu).total),
    ("nv_gpu_power_usage", "GPU power usage in watts.", lambda ml, gpu: ml.nvmlDeviceGetPowerUsage(gpu) / 1000),
    ("nv_gpu_power_limit", "GPU power limit in watts.", lambda ml, gpu: ml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000),
    (
        "nv_energy_consumption",
        "GPU energy since the driver was loaded, in joules.",
        lambda ml, gpu: ml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
    ),
)


class Gpus(Collector):
    """The gauges of every GPU that the library shows, by `gpu_uuid`. What a GPU cannot tell is left out."""

    def __init__(self, library: Any, *, triton: bool) -> None:
        self._library = library
        self._metrics = (*OWN, *TRITON) if triton else OWN
        self._gpus: dict[str, Any] = {}
        for index in range(library.nvmlDeviceGetCount()):
            gpu = library.nvmlDeviceGetHandleByIndex(index)
            self._gpus[library.nvmlDeviceGetUUID(gpu)] = gpu

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask for each gauge of each GPU."""
        for name, text, ask in self._metrics:
            family = GaugeMetricFamily(name, text, labels=["gpu_uuid"])
            for uuid, gpu in self._gpus.items():
                try:
                    family.add_metric([uuid], ask(self._library, gpu))
                except self._library.NVMLError:  # not supported by this one
                    continue
            yield family


def watch(registry: CollectorRegistry, *, triton: bool) -> None:
    """Add the gauges to `registry` where the library can be had; else say why they are missing."""
    try:
        import pynvml  # noqa: PLC0415 - an extra's

        pynvml.nvmlInit()
        registry.register(Gpus(pynvml, triton=triton))
    except ImportError:
        log.warning("no metrics of the GPU: nvidia-ml-py is missing; install tandem-predictor[cuda]")
    except pynvml.NVMLError as error:
        log.warning("no metrics of the GPU", extra={"reason": str(error)})


def _memory(library: Any, gpu: Any) -> Any:
    return library.nvmlDeviceGetMemoryInfo(gpu)
