"""How a model is served: by the flags that were given, else by its config.pbtxt, else by the flags' defaults."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from tandem.model.config import Declared

from tandem_predictor import devices
from tandem_predictor.devices import scale
from tandem_predictor.runtime import LoadError
from tandem_predictor.settings import BATCH, Settings

log = logging.getLogger("tandem.predictor")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terms:
    """The limits of one model. `instances` and `max_batch_size` are 0 where its device decides."""

    max_batch_size: int
    max_queue_delay_us: int
    max_queue_size: int
    instances: int
    device: str
    default_priority: int = 0
    normalize: str = ""
    top_k: int = 0


def terms(settings: Settings, given: Collection[str], declared: Declared | None) -> Terms:
    """The terms of a model; `given` names the flags that its user has set."""
    usual = "max_batch_size" not in given and settings.max_batch_size == BATCH[devices.CPU.kind]
    own = Terms(
        0 if usual else settings.max_batch_size,
        settings.max_queue_delay_us,
        settings.max_queue_size,
        settings.instances,
        settings.device,
        normalize=settings.normalize,
        top_k=settings.top_k,
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
        own.normalize if "normalize" in flags else _parameter(declared, "normalize", scale.checked, own.normalize),
        own.top_k if "top_k" in flags else _parameter(declared, "top_k", int, own.top_k),
    )


def _device(declared: Declared, device: str) -> str:
    """The device that all groups agree on, if this machine has it."""
    kinds = {group.kind for group in declared.instances}
    if kinds == {"KIND_CPU"}:
        return "cpu"
    if "KIND_GPU" not in kinds:
        return device
    if len(kinds) > 1:
        log.warning("instance_group has several kinds: all instances run on a GPU if there is one")
    numbers = [number for group in declared.instances for number in group.gpus]
    return f"{devices.WANTED}:{numbers[0]}" if numbers else devices.WANTED


def _parameter(declared: Declared, name: str, parse: Callable[[str], T], default: T) -> T:
    """A parameter of the file's that has a flag's name; raises LoadError."""
    if name not in declared.parameters:
        return default
    try:
        return parse(declared.parameters[name])
    except ValueError as error:
        raise LoadError(f"parameter '{name}' of the config.pbtxt: {error}") from error
