"""What goes on inside, for whoever debugs it: GET /admin with --enable_admin. It reads, and changes nothing.

requests in flight, readiness, gauges, settings, the log's last warnings, tasks and threads -> one JSON document
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import platform
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import PurePath
from types import CoroutineType, FrameType
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from tandem.doors.endpoint import ServerInfo
from tandem.doors.ledger import Ledger
from tandem.doors.settings import DoorSettings
from tandem.lifecycle import Readiness
from tandem.logs import JsonFormatter

_SHOWN = 100  # requests, and other tasks, at most
_LINES = 50  # warnings and errors that are remembered
_PACKAGES = ("grpcio", "protobuf", "aiohttp", "uvloop", "numpy", "onnxruntime", "opencv-python-headless")


log = logging.getLogger("tandem.http")


class Recent(logging.Handler):
    """The log's last warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(JsonFormatter())
        self.lines: deque[str] = deque(maxlen=_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        try:
            self.lines.append(self.format(record))
        except Exception:  # whoever logs must not fail over it
            self.handleError(record)


class Admin:
    """The page. It is made once a process."""

    def __init__(
        self,
        info: ServerInfo,
        settings: DoorSettings,
        ledger: Ledger,
        readiness: Readiness,
        registry: CollectorRegistry,
    ) -> None:
        self._info = info
        self._settings = settings
        self._ledger = ledger
        self._readiness = readiness
        self._registry = registry
        self._started = time.monotonic()
        self._recent = Recent()
        logging.getLogger().addHandler(self._recent)
        if not settings.auth_token_file:
            log.warning("--enable_admin without --auth_token_file: whoever reaches a port sees what goes on inside")

    async def answer(self, _http: web.Request) -> web.Response:
        """The document, indented for people."""
        text = json.dumps(self._document(), indent=2)  # unlike orjson, it takes whatever a caller has for an id
        return web.Response(text=f"{text}\n", content_type="application/json")

    def _document(self) -> dict[str, object]:
        requests = list(self._requests())
        return {
            "service": self._info.name,
            "version": self._info.version,
            "pid": os.getpid(),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "ready": self._readiness.reason or True,
            "parts": self._readiness.parts,
            "in_flight": len(requests),
            "requests": requests[:_SHOWN],
            "gauges": self._gauges(),
            "log": [json.loads(line) for line in self._recent.lines.copy()],
            "settings": shown(self._settings),
            "packages": dict(packages()),
            "tasks": self._tasks(),
            "threads": dict(threads()),
        }

    def _requests(self) -> Iterator[dict[str, object]]:
        """Those in flight, the oldest first."""
        now = time.perf_counter()
        for call, task in self._ledger.calls.values():
            left = call.deadline.remaining
            yield {
                "id": call.id,
                "model": call.model,
                "protocol": call.protocol,
                "seconds": round(now - call.started, 3),
                "seconds_left": None if left is None else round(left, 3),
                "bytes": call.size,
                "phases_ms": {name: round(seconds * 1e3, 3) for name, seconds in call.timings.items()},
                "at": waiting(task) if task else [],
            }

    def _tasks(self) -> list[dict[str, object]]:
        """Where the tasks are that are no requests, and how many are there."""
        requests = {task for _, task in self._ledger.calls.values()} | {asyncio.current_task()}
        counts = Counter(tuple(waiting(task)) for task in asyncio.all_tasks() - requests)
        return [{"count": count, "at": at} for at, count in counts.most_common(_SHOWN) if at]

    def _gauges(self) -> dict[str, float]:
        """The gauges of this process, as /metrics names them."""
        samples = (sample for family in self._registry.collect() if family.type == "gauge" for sample in family.samples)
        return {f"{sample.name}{_labels(sample.labels)}": sample.value for sample in samples}


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""


def shown(settings: DoorSettings) -> dict[str, object]:
    """The settings in effect. Of options for somebody else's code the names alone: a value may be a secret."""
    values = asdict(settings)
    if options := str(values.get("transformer_options", "")):
        values["transformer_options"] = ",".join(f"{option.partition('=')[0]}=..." for option in options.split(","))
    return values


def packages() -> Iterator[tuple[str, str]]:
    """The versions of what matters, Python's own first."""
    yield "python", platform.python_version()
    for name in _PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def waiting(task: asyncio.Task[Any]) -> list[str]:
    """Where a task is: its functions from the outermost to the one that waits."""
    found: list[str] = []
    step: object = task.get_coro()
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "ag_frame", None) or getattr(step, "gi_frame", None)
        if isinstance(frame, FrameType) and frame.f_lineno:  # compiled code has no lines
            found.append(place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        step = _inner(step)
    return found


def _inner(step: object) -> object:
    """What a coroutine or generator waits for; None at the end."""
    if type(step).__name__ == "coroutine_wrapper":  # by which gRPC's compiled code awaits; it does not say whom
        return next((one for one in gc.get_referents(step) if isinstance(one, CoroutineType)), None)
    awaited = (getattr(step, name, None) for name in ("cr_await", "ag_await", "gi_yieldfrom"))
    return next((one for one in awaited if one is not None), None)


def threads() -> Iterator[tuple[str, list[str]]]:
    """Where each thread is, from the outermost function to the innermost."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        summary = traceback.extract_stack(frames.get(thread.ident or 0))
        yield thread.name, [place(frame.filename, frame.lineno or 0, frame.name) for frame in summary]


def place(file: str, line: int, function: str) -> str:
    """A place in the code, short: no more of the path than the folder."""
    return f"{'/'.join(PurePath(file).parts[-2:])}:{line} {function}"
