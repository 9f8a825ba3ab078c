"""Where a model runs: on the CPU, or on one of the machine's NVIDIA GPUs.

--device -> probe of the engine's -> Device -> one Lane an instance
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from tandem_predictor.runtime import LoadError

log = logging.getLogger("tandem.predictor")


@dataclass(frozen=True, slots=True)
class Device:
    """The CPU, or the GPU of that number."""

    kind: str  # cpu or cuda
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"

    @staticmethod
    def names(count: int) -> str:
        """The GPUs of a machine that has `count`, for a person."""
        return ", ".join(str(Device("cuda", index)) for index in range(count))


CPU = Device("cpu")
AUTO = "auto"
WANTED = "wanted"  # a config.pbtxt's KIND_GPU: as auto, but it is told if there is none


class NotInstalled(LoadError):
    """What CUDA needs is not installed, which is nothing to wonder at where nobody asks for it."""


def parse(wanted: str) -> str:
    """The parser of --device; raises ValueError."""
    kind, colon, index = wanted.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and (kind != "cuda" or not (index.isascii() and index.isdigit()))):
        raise ValueError("auto, cpu, cuda or cuda:N")
    return wanted


def choose(wanted: str, probe: Callable[[int], None]) -> Device:
    """The device for `wanted`: a value of --device, or WANTED[:N]. Raises LoadError if that is cuda and cannot be.

    `probe` raises LoadError saying why the engine cannot use the GPU of that number.
    """
    if wanted == CPU.kind:
        return CPU
    index = int(wanted.partition(":")[2] or 0)
    try:
        probe(index)
    except LoadError as error:
        fall_back(wanted, error)
        return CPU
    return Device("cuda", index)


def fall_back(wanted: str, error: LoadError) -> None:
    """Say that the CPU is used and why; raises LoadError where a GPU was asked for."""
    if wanted.partition(":")[0] not in (AUTO, WANTED):
        raise LoadError(f"--device={wanted}: {error}") from error
    unsurprising = wanted == AUTO and isinstance(error, NotInstalled)
    log.log(logging.DEBUG if unsurprising else logging.WARNING, "the CPU is used", extra={"reason": str(error)})
