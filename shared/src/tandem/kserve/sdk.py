"""KServe's SDK in a process of Tandem's.

Its generated messages have the same names on the wire as Tandem's, and two modules that define the same messages cannot
be loaded together: so the SDK is given Tandem's in their place.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from tandem import settings
from tandem.lifecycle import Fatal
from tandem.oip import inference_pb2, inference_pb2_grpc, repository_pb2

_MESSAGES = "kserve.protocol.grpc.grpc_predict_v2_pb2"


@dataclass(frozen=True, slots=True)
class Setting:
    """What the SDK's own server would have told the class: its name, its predictor, and arguments of its own."""

    model_name: str
    predictor_host: str = ""  # a transformer's
    predictor_protocol: str = "grpc-v2"
    predictor_use_ssl: bool = False
    predictor_request_timeout_seconds: int = 600
    predictor_request_retries: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()  # of the command line: those that Tandem does not know

    @property
    def known(self) -> Mapping[str, object]:
        """By the names that constructors have for them."""
        own: dict[str, object] = {"name": self.model_name, "model_name": self.model_name}
        if self.predictor_host:
            own["protocol"] = self.predictor_protocol
            for name in ("host", "protocol", "use_ssl", "request_timeout_seconds", "request_retries"):
                own[f"predictor_{name}"] = getattr(self, f"predictor_{name}")
        return own | dict(self.options)

    @property
    def argv(self) -> list[str]:
        """The command line that the SDK's parser, and a module's own, find at their import."""
        own = {name: value for name, value in self.known.items() if name not in ("name", "protocol")}
        return [sys.argv[0], *self.arguments, *(f"--{name}={value}" for name, value in own.items())]


def load(flag: str, setting: Setting) -> Any:
    """The module kserve, which knows its predictor; raises Fatal if it is not installed."""
    if _MESSAGES not in sys.modules:
        messages = ModuleType(_MESSAGES)
        for module in (inference_pb2, repository_pb2):
            vars(messages).update({name: value for name, value in vars(module).items() if name[:2] != "__"})
        sys.modules[_MESSAGES] = messages
        sys.modules[f"{_MESSAGES}_grpc"] = inference_pb2_grpc
    try:
        with command_line(setting.argv):
            return importlib.import_module("kserve")
    except (ImportError, SystemExit) as error:
        raise Fatal(
            f"{flag}: KServe's SDK cannot be imported ({error}); install it: pip install 'tandem-shared[kserve]'"
        ) from error


def tell(setting: Setting) -> None:
    """Tell the code that runs in this context of its predictor, as the SDK's server does."""
    if setting.predictor_host:
        kserve = sys.modules["kserve"]
        names = ("host", "protocol", "use_ssl", "request_timeout_seconds", "request_retries")
        config = kserve.PredictorConfig(*[getattr(setting, f"predictor_{name}") for name in names])
        sys.modules["kserve.context"].set_predictor_config(config)


def unknown(argv: Sequence[str], cls: type[object]) -> list[str]:
    """The arguments in `argv` that are no flags of the settings `cls`: a module may have its own parser for them."""
    kept, known, mine = [], settings.flags(cls), False
    for argument in argv:
        if argument.startswith("--"):
            mine = settings.normalise(argument)[2:].partition("=")[0] not in known
        if mine:
            kept.append(argument)
    return kept


@contextmanager
def command_line(argv: list[str]) -> Iterator[None]:
    """Show `argv` to code that reads the command line where it is imported."""
    own, sys.argv = sys.argv, argv
    try:
        yield
    finally:
        sys.argv = own
