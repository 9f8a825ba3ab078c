"""How a model is served: by the flags that were given, else by its config.pbtxt, else by the flags' defaults."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from tandem.model.config import Declared

from tandem_predictor.runtimes.onnx import has_cuda
from tandem_predictor.settings import Settings

log = logging.getLogger("tandem.predictor")


@dataclass(frozen=True, slots=True)
class Terms:
    """The limits of one model. `instances` is 0 where the CPUs decide."""

    max_batch_size: int
    max_queue_delay_us: int
    max_queue_size: int
    instances: int
    device: str
    default_priority: int = 0


def terms(settings: Settings, given: Collection[str], declared: Declared | None) -> Terms:
    """The terms of a model; `given` names the flags that its user has set."""
    own = Terms(
        settings.max_batch_size,
        settings.max_queue_delay_us,
        settings.max_queue_size,
        settings.instances,
        settings.device,
    )
    if declared is None:
        return own
    batching, flags = declared.batching, frozenset(given)
    return Terms(
        own.max_batch_size if "max_batch_size" in flags else declared.max_batch_size or own.max_batch_size,
        own.max_queue_delay_us if "max_queue_delay_us" in flags or not batching else batching.max_queue_delay_us,
        own.max_queue_size
        if "max_queue_size" in flags or not batching
        else batching.max_queue_size or own.max_queue_size,
        own.instances if "instances" in flags else sum(group.count for group in declared.instances),
        own.device if "device" in flags else _device(declared, own.device),
        batching.default_priority if batching else 0,
    )


def _device(declared: Declared, device: str) -> str:
    """The device that all groups agree on, if this machine has it."""
    kinds = {group.kind for group in declared.instances}
    if kinds == {"KIND_CPU"}:
        return "cpu"
    if "KIND_GPU" not in kinds:
        return device
    if not has_cuda():
        log.warning("instance_group: KIND_GPU, but this ONNX Runtime has no CUDA provider: the CPU is used")
    elif len(kinds) > 1:
        log.warning("instance_group has several kinds: all instances run where ONNX Runtime finds best")
    return device
