"""Builds and wires the predictor, runs it, and shuts it down."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from tandem import cpus
from tandem.doors.doors import Doors
from tandem.doors.rest.door import alone
from tandem.errors import InvalidInput, NotFound
from tandem.kserve import PREFIX
from tandem.lifecycle import Fatal
from tandem.memory.regions import Regions
from tandem.metadata import ModelMetadata
from tandem.metrics import PredictorMetrics
from tandem.model import triton
from tandem.model.config import ModelConfig
from tandem.model.statistics import Statistics

from tandem_predictor import __version__, devices
from tandem_predictor.batcher import Batcher, Limits
from tandem_predictor.devices import nvml
from tandem_predictor.devices.scale import scale
from tandem_predictor.foreign.described import Described
from tandem_predictor.foreign.description import NAME
from tandem_predictor.foreign.terms import Terms
from tandem_predictor.foreign.terms import terms as make_terms
from tandem_predictor.models import Models
from tandem_predictor.repository import LoadedModel, ModelFile, Repository, discover
from tandem_predictor.runtime import LoadError, Runtime, batchable
from tandem_predictor.runtimes import Plan, device_for, open_runtimes
from tandem_predictor.runtimes.python import PythonRuntime, named
from tandem_predictor.settings import BATCH, Settings
from tandem_predictor.worker import Worker

log = logging.getLogger("tandem.predictor")

T = TypeVar("T")


class Predictor:
    """The running service."""

    def __init__(self, settings: Settings, folder: Path, given: Collection[str] = ()) -> None:
        self._settings = settings
        self._given = given  # the flags that the user has set, which win over a config.pbtxt
        self._folder = folder
        self._files = self._discover(settings.model_name)
        self._repository = Repository(self._files)
        self._metrics = PredictorMetrics(CollectorRegistry(), __version__)
        reload = self._reload if settings.model_control == "explicit" else None
        extensions = ["system_shared_memory"] if settings.enable_system_shared_memory else []
        models = Models(self._repository, self._metrics, reload, extensions)
        regions = Regions(public=settings.enable_system_shared_memory)
        self.doors = Doors(
            models,
            self._metrics,
            settings,
            default_timeout=settings.request_timeout_seconds,
            regions=regions,
            exposition=partial(_with_triton, models) if settings.enable_triton_metrics else alone,
        )
        shared = regions if settings.shared_memory != "off" else None
        if shared or settings.local_socket != "off":
            self.doors.offer_handoff(shared, local_socket=settings.local_socket != "off")
        self._loop = asyncio.get_running_loop()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._watches_gpus = False
        self._hanging: dict[str, str] = {}  # models that cannot answer, and why
        self._health = self.doors.readiness.part("health", None)
        self._loaded = self.doors.readiness.part("models", "the models are still loading")

    async def start(self) -> None:
        """Open both doors, then load and warm the models; ready when it returns. Raises PortTaken or LoadError."""
        await self.doors.open(self._settings.grpc_socket)
        try:
            await self._add_all()
        except Fatal:
            await self.doors.close()  # gRPC's server does not survive the event loop in silence
            raise
        self._loaded.set(None)
        ports = {"http_port": self.doors.http_port, "grpc_port": self.doors.grpc_port}
        log.info("ready", extra=ports | {"models": self._repository.names})

    async def shutdown(self) -> None:
        """Not ready, but serving, until the transformer has no more calls; then close the doors, the models last."""
        self.doors.readiness.stop()
        await self.doors.ledger.idle(self._settings.drain_idle, self._settings.grace)
        await self.doors.close()
        self._repository.close()
        self._loader.shutdown(wait=False, cancel_futures=True)
        log.info("stopped")

    async def _add_all(self) -> None:
        """Load every model. One with a config.pbtxt may fail while others are served; raises LoadError."""
        failure = None
        for file in self._files:
            try:
                await self._add(file)
            except LoadError as error:
                if file.description is None:
                    raise
                log.error("loading failed", extra={"model": file.name, "reason": str(error)})
                self._repository.fail(file.name, file.version)
                failure = failure or error
        if failure and not self._repository.loaded():
            raise failure

    async def _add(self, file: ModelFile) -> None:
        runtimes = await asyncio.get_running_loop().run_in_executor(self._loader, self._load, file)
        self._repository.add(self._model(file, runtimes))
        if runtimes[0].device != devices.CPU and not self._watches_gpus:
            self._watches_gpus = True
            nvml.watch(self._metrics.registry, triton=self._settings.enable_triton_metrics)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives on the event loop, for the loader's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _reload(self, name: str) -> None:
        """Look for the model's files again and load each; raises NotFound or, if it cannot be loaded, InvalidInput."""
        try:
            files = self._discover("")
            chosen = [file for file in files if file.name == name]
            if len({file.name for file in files}) == 1 and self._settings.model_name == name:
                chosen = [replace(file, name=name) for file in files]
            if not chosen:
                raise NotFound(f"model '{name[:100]}' is not in the repository")
            self._files = [file for file in self._files if file.name != name] + chosen
            for file in chosen:
                await self._add(file)
            self._repository.keep(name, [file.version for file in chosen])
        except LoadError as error:
            log.error("loading failed", extra={"model": name, "reason": str(error)})
            raise InvalidInput(f"model '{name}' cannot be loaded; the predictor's log says why") from error

    def _discover(self, name: str) -> list[ModelFile]:
        """The models of the folder, or the class in its place; raises LoadError."""
        settings = self._settings
        if not settings.model_class:
            return discover(self._folder, name, allow_python=settings.allow_python_models)
        if not settings.allow_python_models:
            raise LoadError(f"--model_class={settings.model_class} is only run with --allow_python_models")
        return [ModelFile(settings.model_name or "model", "1", Path(settings.model_class))]

    def _load(self, file: ModelFile) -> list[Runtime]:
        """The runtimes of a model, warmed up; blocking. Raises LoadError."""
        if file.description and file.description.problem:
            raise LoadError(file.description.problem)
        plan = self._plan(file)
        if self._settings.model_class:
            runtimes = self._open_class(plan)
        else:
            runtimes = open_runtimes(file.file, plan, file.description.declared if file.description else None)
        if file.description:
            source = str(file.description.folder / NAME)
            runtimes = [Described(runtime, file.description.declared, source) for runtime in runtimes]
        rows = _max_rows(runtimes[0], self._terms(file)) if batchable(runtimes[0]) else 1
        try:
            runtimes[0].warm_up(rows)
        except Exception as error:  # zeros in a guessed shape may not suit the model: that is no fault
            log.info("warm-up skipped", extra={"model": file.name, "rows": rows, "reason": repr(error)[:200]})
        how = {"instances": plan.instances, "threads": plan.threads, "device": str(runtimes[0].device)}
        log.info("loaded", extra={"model": file.name, "version": file.version} | how)
        return runtimes

    def _plan(self, file: ModelFile) -> Plan:
        """How a model is to run; raises LoadError. A GPU has two instances: one copies while the other computes."""
        settings, terms, available = self._settings, self._terms(file), cpus.available()
        wanted = devices.CPU.kind if settings.model_class else terms.device
        device = device_for(file.file, wanted)
        if file.backend == "python" and (terms.normalize or terms.top_k):
            raise LoadError(f"--normalize and --top_k are for models of ONNX and PyTorch, and {file.name} is Python")
        usual = 1 if file.backend == "python" else 2 if device != devices.CPU else min(2, available)
        instances = terms.instances or usual
        return Plan(
            instances=instances,
            threads=settings.threads or max(1, available // instances),
            lonely_threads=0 if terms.instances or settings.threads else available,
            device=device,
            wanted=wanted,
            gpu_mem_limit=settings.gpu_mem_limit,
            allow_tf32=settings.allow_tf32,
            scale=scale(terms.normalize) if terms.normalize else None,
            top_k=terms.top_k,
            observe=partial(self._metrics.on_device, file.name),
            wait=self._wait,
        )

    def _open_class(self, plan: Plan) -> list[Runtime]:
        if not self._settings.model_class.startswith(PREFIX):
            file, name = named(self._settings.model_class)
            return [PythonRuntime(file, name, plan.wait) for _ in range(plan.instances)]
        from tandem_predictor.foreign import kserve  # noqa: PLC0415 - only who asks for it pays for it

        return kserve.open_runtimes(self._settings, sys.argv[1:], instances=plan.instances)

    def _model(self, file: ModelFile, runtimes: list[Runtime]) -> LoadedModel:
        first, terms, description = runtimes[0], self._terms(file), file.description
        max_rows = _max_rows(first, terms)
        name = f"{file.name}/{file.version}"
        rows = max_rows if batchable(first) else 1
        workers = [Worker(runtime, f"{name}#{index}", rows) for index, runtime in enumerate(runtimes)]
        delay = terms.max_queue_delay_us / 1e6
        limits = Limits(max_rows, terms.max_queue_size, delay, self._settings.inference_timeout)
        metrics = self._metrics.for_model(file.name)
        statistics = Statistics()
        batcher = Batcher(
            workers,
            batchable=batchable(first),
            limits=limits,
            metrics=metrics,
            statistics=statistics,
            changed=partial(self._changed, file.name),
        )
        versions = tuple(other.version for other in self._files if other.name == file.name)
        metadata = ModelMetadata(file.name, versions, first.platform, tuple(first.inputs), tuple(first.outputs))
        config = ModelConfig(
            name=file.name,
            platform=first.platform,
            backend=file.backend,
            max_batch_size=max_rows if batchable(first) else 0,
            max_queue_delay_us=terms.max_queue_delay_us,
            inputs=metadata.inputs,
            outputs=metadata.outputs,
            declared=description.declared if description else None,
        )
        labels = description.labels() if description else {}
        return LoadedModel(metadata, file.version, config, statistics, batcher, labels, terms.default_priority)

    def _terms(self, file: ModelFile) -> Terms:
        return make_terms(self._settings, self._given, file.description.declared if file.description else None)

    def _changed(self, name: str, reason: str | None) -> None:
        """A model hangs, or does so no longer."""
        self._hanging = {other: why for other, why in self._hanging.items() if other != name}
        if reason:
            self._hanging[name] = reason
        self._health.set(next((f"model '{other}': {why}" for other, why in self._hanging.items()), None))


def _max_rows(runtime: Runtime, terms: Terms) -> int:
    own, allowed = runtime.max_batch_size, terms.max_batch_size or BATCH[runtime.device.kind]
    return allowed if own is None else max(1, min(own, allowed))


async def _with_triton(models: Models, own: bytes) -> bytes:
    return own + triton.exposition(models.statistics("", ""))
