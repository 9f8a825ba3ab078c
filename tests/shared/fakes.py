"""Small stand-ins for what stands around a module of tandem."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
from tandem.doors.endpoint import ServerInfo
from tandem.doors.translation import Translating
from tandem.errors import NotFound
from tandem.inference import InferResponse
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.model.config import ModelConfig, ModelIndex
from tandem.model.statistics import ModelStatistics, Statistics


class Clock:
    """A clock that only `sleep` moves, in place of a module's `time` and of `asyncio.sleep`."""

    def __init__(self, now=1000.0):
        self.now = now
        self.slept = []
        self.woken = lambda: None

    def monotonic(self):
        return self.now

    perf_counter = monotonic

    async def sleep(self, seconds):
        """Move on at once; `woken` may then change the world."""
        self.slept.append(seconds)
        self.now += seconds
        self.woken()


class EchoEndpoint:
    """One model, "echo", whose outputs are its inputs. `error` is raised instead, where there is one."""

    info = ServerInfo("fake", "1.2.3", ("one", "two"))
    spec = TensorSpec("x", "FP32", (-1,))

    def __init__(self):
        self.calls = []
        self.control = []  # what was loaded and unloaded
        self.counts = Statistics()
        self.error = None
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()  # closed by `hold`
        self.gate.set()

    def hold(self):
        self.gate.clear()

    def models(self):
        return ["echo"]

    def model_ready(self, name, version):
        self._check(name)
        return True

    async def metadata(self, name, version):
        self._check(name)
        return ModelMetadata(name, ("1",), "fake", (self.spec,), (self.spec,))

    async def config(self, name, version):
        self._check(name)
        return ModelConfig(name, "fake", "fake", 0, 0, (self.spec,), (self.spec,))

    def statistics(self, name, version):
        self._check(name or "echo")
        return [ModelStatistics("echo", "1", self.counts)]

    def index(self):
        return [ModelIndex("echo", "1", True), ModelIndex("next", "2", False, "loading")]

    async def load(self, name):
        self._check(name)
        self.control.append(("load", name))

    async def unload(self, name):
        self._check(name)
        self.control.append(("unload", name))

    async def infer(self, request, call):
        self.calls.append(call)
        self.entered.set()
        await self.gate.wait()
        if self.error:
            raise self.error
        self._check(request.model_name)
        with call.timings.phase("inference"):
            return InferResponse(request.model_name, "1", request.inputs, id=call.id)

    def _check(self, name):
        if name != "echo":
            raise NotFound(f"no model '{name}'")


@asynccontextmanager
async def grpc_channel(add):
    """A channel to a real gRPC server on a free port, with the services that `add` gives it."""
    server = grpc.aio.server()
    add(Translating(server, 256))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)
