"""What user code may know of the request that it works on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tandem.deadline import Deadline
from tandem.inference import Parameter
from tandem.timings import Timings


@dataclass(frozen=True, slots=True)
class Context:
    """The request around the tensors, for `preprocess` and `postprocess`.

    `headers` are the HTTP headers or gRPC metadata with lower-case names; `parameters` those of the request.
    """

    id: str = ""
    model_name: str = ""
    model_version: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    deadline: Deadline = field(default_factory=Deadline)
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger] = field(
        default_factory=lambda: logging.getLogger("tandem.user")
    )
    timings: Timings = field(default_factory=Timings)

    def timer(self, name: str) -> AbstractContextManager[None]:
        """Time a step of your own: `with context.timer("lookup"): ...`.

        It shows in Server-Timing, and a request's sum of it in the histogram tandem_step_seconds. Raises ValueError
        unless the name is of letters, digits and `_.-`, 64 at most, and none of Tandem's own phases.
        """
        return self.timings.step(name)
