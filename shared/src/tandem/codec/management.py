"""Configuration, statistics and the repository index -> their messages and their JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf import json_format

from tandem.errors import InvalidInput
from tandem.memory.regions import Known
from tandem.model.config import Batching, ModelConfig, ModelIndex, VersionPolicy
from tandem.model.statistics import ModelStatistics
from tandem.oip import model_config_pb2 as config_pb
from tandem.oip import repository_pb2 as repository_pb
from tandem.oip import shared_memory_pb2 as memory_pb
from tandem.oip import statistics_pb2 as statistics_pb

_TYPES = {"BYTES": "TYPE_STRING"}


def data_type(datatype: str) -> str:
    """Triton's name for an OIP datatype."""
    return _TYPES.get(datatype, f"TYPE_{datatype}")


def config_message(config: ModelConfig) -> config_pb.ModelConfig:
    """A configuration as its message."""
    message = config_pb.ModelConfig(
        name=config.name,
        platform=config.platform,
        backend=config.backend,
        max_batch_size=config.max_batch_size,
        model_transaction_policy=config_pb.ModelTransactionPolicy(decoupled=False),
    )
    for spec in config.inputs:
        number = config_pb.DataType.Value(data_type(spec.datatype))
        message.input.add(name=spec.name, data_type=number, dims=config.dims(spec))
    for spec in config.outputs:
        number = config_pb.DataType.Value(data_type(spec.datatype))
        message.output.add(name=spec.name, data_type=number, dims=config.dims(spec))
    if config.max_batch_size:
        message.dynamic_batching.max_queue_delay_microseconds = config.max_queue_delay_us
    if config.declared:
        json_format.ParseDict(_declared(config), message)
        for given in message.input:
            json_format.ParseDict(_declared_of(config, given.name), given)
        for answered in message.output:
            json_format.ParseDict(_declared_of(config, answered.name), answered)
    return message


def config_document(config: ModelConfig) -> dict[str, object]:
    """A configuration as Triton's JSON."""
    document: dict[str, object] = {
        "name": config.name,
        "platform": config.platform,
        "backend": config.backend,
        "max_batch_size": config.max_batch_size,
        "input": [_tensor(config, index, outputs=False) for index in range(len(config.inputs))],
        "output": [_tensor(config, index, outputs=True) for index in range(len(config.outputs))],
        "model_transaction_policy": {"decoupled": False},
    }
    if config.max_batch_size:
        document["dynamic_batching"] = {"max_queue_delay_microseconds": config.max_queue_delay_us}
    return document | _declared(config)


def statistics_message(statistics: Sequence[ModelStatistics]) -> statistics_pb.ModelStatisticsResponse:
    """Statistics as their message."""
    response = statistics_pb.ModelStatisticsResponse()
    for model in statistics:
        counts = model.statistics
        message = response.model_stats.add(
            name=model.name,
            version=model.version,
            last_inference=counts.last_inference,
            inference_count=counts.inference_count,
            execution_count=counts.execution_count,
        )
        for name, tally in counts.tallies():
            getattr(message.inference_stats, name).MergeFrom(
                statistics_pb.StatisticDuration(count=tally.count, ns=tally.ns)
            )
        for rows, batches in sorted(counts.batches.items()):
            entry = message.batch_stats.add(batch_size=rows)
            for name in ("compute_input", "compute_infer", "compute_output"):
                tally = getattr(batches, name)
                getattr(entry, name).MergeFrom(statistics_pb.StatisticDuration(count=tally.count, ns=tally.ns))
    return response


def regions_message(regions: Sequence[Known]) -> memory_pb.SystemSharedMemoryStatusResponse:
    """The registered regions as their message."""
    response = memory_pb.SystemSharedMemoryStatusResponse()
    for known in regions:
        entry = response.regions[known.name]
        entry.name, entry.key = known.name, known.region.key
        entry.offset, entry.byte_size = known.region.offset, known.region.size
    return response


def regions_document(regions: Sequence[Known]) -> list[dict[str, object]]:
    """The registered regions as Triton's JSON."""
    return [
        {"name": k.name, "key": k.region.key, "offset": k.region.offset, "byte_size": k.region.size} for k in regions
    ]


def refuse_overrides(parameters: Iterable[str]) -> None:
    """Raise InvalidInput for what Triton's load may bring with it: here the repository's own files decide."""
    if own := sorted(name for name in parameters if name == "config" or name.startswith("file:")):
        raise InvalidInput(f"parameter '{own[0][:100]}' is not supported: models are loaded as the repository has them")


def index_message(models: Sequence[ModelIndex]) -> repository_pb.RepositoryIndexResponse:
    """The repository index as its message."""
    response = repository_pb.RepositoryIndexResponse()
    for model in models:
        response.models.add(name=model.name, version=model.version, state=model.state, reason=model.reason)
    return response


def index_document(models: Sequence[ModelIndex]) -> list[dict[str, str]]:
    """The repository index as Triton's JSON."""
    return [
        {"name": model.name, "version": model.version, "state": model.state}
        | ({"reason": model.reason} if model.reason else {})
        for model in models
    ]


def _tensor(config: ModelConfig, index: int, *, outputs: bool) -> dict[str, object]:
    spec = (config.outputs if outputs else config.inputs)[index]
    tensor = {"name": spec.name, "data_type": data_type(spec.datatype), "dims": config.dims(spec)}
    return tensor | _declared_of(config, spec.name)


def _declared_of(config: ModelConfig, name: str) -> dict[str, object]:
    """What a config.pbtxt says of a tensor beyond its type and dimensions."""
    found: dict[str, object] = {}
    if config.declared and name in config.declared.reshapes:
        found["reshape"] = {"shape": list(config.declared.reshapes[name])}
    if config.declared and name in config.declared.label_files:
        found["label_filename"] = config.declared.label_files[name]
    return found


def _declared(config: ModelConfig) -> dict[str, object]:
    """What a config.pbtxt says of a model beyond its tensors and its batches' size, as Triton's JSON."""
    if not (declared := config.declared):
        return {}
    groups = [
        {"name": group.name or f"{config.name}_{index}", "kind": group.kind, "count": group.count}
        | ({"gpus": list(group.gpus)} if group.gpus else {})
        for index, group in enumerate(declared.instances)
    ]
    parameters = {name: {"string_value": value} for name, value in declared.parameters.items()}
    return {
        "version_policy": _policy(declared.versions),
        **({"instance_group": groups} if groups else {}),
        **({"default_model_filename": declared.filename} if declared.filename else {}),
        **({"parameters": parameters} if parameters else {}),
        **({"dynamic_batching": _dynamic(config, declared.batching)} if config.max_batch_size else {}),
    }


def _policy(policy: VersionPolicy) -> dict[str, object]:
    if policy.specific:
        return {"specific": {"versions": list(policy.specific)}}
    return {"latest": {"num_versions": policy.latest}} if policy.latest else {"all": {}}


def _dynamic(config: ModelConfig, batching: Batching | None) -> dict[str, object]:
    found: dict[str, object] = {"max_queue_delay_microseconds": config.max_queue_delay_us}
    if batching:
        queue = {"max_queue_size": batching.max_queue_size}
        found |= (
            {"preferred_batch_size": list(batching.preferred_batch_sizes)} if batching.preferred_batch_sizes else {}
        )
        found |= {"priority_levels": batching.priority_levels} if batching.priority_levels else {}
        found |= {"default_priority_level": batching.default_priority} if batching.default_priority else {}
        found |= {"default_queue_policy": queue} if batching.max_queue_size else {}
    return found
