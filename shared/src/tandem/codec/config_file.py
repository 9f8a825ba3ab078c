"""Triton's config.pbtxt -> Declared.

Source: Triton's model_configuration document. What is not served here is refused by name; what changes nothing but
speed, or is not known, is told as a warning.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import text_format

from tandem.codec import text_proto
from tandem.errors import InvalidInput
from tandem.metadata import TensorSpec
from tandem.model.config import Batching, Declared, InstanceGroup, VersionPolicy
from tandem.oip import model_config_pb2 as pb

_BACKENDS = ("", "onnxruntime", "python", "pytorch")
_PLATFORMS = ("", "onnxruntime_onnx", "pytorch_libtorch")
_TYPES = {"STRING": "BYTES"}


def decode(text: str) -> tuple[Declared, list[str]]:
    """What the file says, and the warnings about it; raises InvalidInput naming the field that is wrong."""
    message, warnings = _parsed(text)
    if message.HasField("ensemble_scheduling"):
        raise InvalidInput("ensemble_scheduling is not served by Tandem")
    if message.HasField("sequence_batching"):
        raise InvalidInput("sequence_batching is not served by Tandem")
    if message.platform == "ensemble" or message.platform not in _PLATFORMS:
        raise InvalidInput(
            f"platform '{message.platform}' is not served by Tandem, only onnxruntime_onnx and pytorch_libtorch"
        )
    if message.backend not in _BACKENDS:
        raise InvalidInput(f"backend '{message.backend}' is not served by Tandem, only onnxruntime, pytorch and python")
    if message.model_transaction_policy.decoupled:
        raise InvalidInput("model_transaction_policy.decoupled is not served by Tandem")
    if message.max_batch_size < 0:
        raise InvalidInput(f"max_batch_size is {message.max_batch_size}, expected a number of rows, or 0")
    warnings += _advice(message)
    tensors: list[pb.ModelInput | pb.ModelOutput] = [*message.input, *message.output]
    return Declared(
        name=message.name,
        platform=message.platform,
        backend=message.backend,
        max_batch_size=message.max_batch_size,
        inputs=tuple(map(_spec, message.input)),
        outputs=tuple(map(_spec, message.output)),
        reshapes={tensor.name: tuple(tensor.reshape.shape) for tensor in tensors if tensor.HasField("reshape")},
        label_files={output.name: output.label_filename for output in message.output if output.label_filename},
        batching=_batching(message.dynamic_batching) if message.HasField("dynamic_batching") else None,
        instances=tuple(_group(group) for group in message.instance_group),
        versions=_versions(message),
        filename=message.default_model_filename,
        parameters={name: value.string_value for name, value in message.parameters.items()},
    ), warnings


def _parsed(text: str) -> tuple[pb.ModelConfig, list[str]]:
    message = pb.ModelConfig()
    try:
        known, unknown = text_proto.known(text, message.DESCRIPTOR)
        text_format.Parse(known, message)
    except text_format.ParseError as error:
        raise InvalidInput(str(error)) from None
    except RecursionError:
        raise InvalidInput("its messages are nested too deeply") from None
    return message, [f"{name} is not known to Tandem and has no effect" for name in dict.fromkeys(unknown)]


def _advice(message: pb.ModelConfig) -> list[str]:
    """What is read and has no effect."""
    found = []
    batching = message.dynamic_batching
    if batching.preferred_batch_size:
        found.append("preferred_batch_size has no effect: an idle instance takes what is queued, up to max_batch_size")
    if batching.default_queue_policy.default_timeout_microseconds:
        found.append("default_timeout_microseconds has no effect: requests bring their own (the parameter `timeout`)")
    if any(group.kind == pb.ModelInstanceGroup.KIND_MODEL for group in message.instance_group):
        found.append("instance_group: KIND_MODEL is taken as KIND_AUTO")
    if any(len(group.gpus) > 1 for group in message.instance_group):
        found.append("instance_group: gpus has several; the first that ONNX Runtime finds is used")
    return found


def _spec(tensor: pb.ModelInput | pb.ModelOutput) -> TensorSpec:
    name = pb.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    if name == "INVALID":
        raise InvalidInput(f"'{tensor.name}' has no data_type")
    if not tensor.dims:
        raise InvalidInput(f"'{tensor.name}' has no dims")
    return TensorSpec(tensor.name, _TYPES.get(name, name), tuple(tensor.dims))


def _batching(message: pb.ModelDynamicBatching) -> Batching:
    return Batching(
        preferred_batch_sizes=tuple(message.preferred_batch_size),
        max_queue_delay_us=message.max_queue_delay_microseconds,
        max_queue_size=message.default_queue_policy.max_queue_size,
        priority_levels=message.priority_levels,
        default_priority=message.default_priority_level,
    )


def _group(message: pb.ModelInstanceGroup) -> InstanceGroup:
    kind = pb.ModelInstanceGroup.Kind.Name(message.kind)
    return InstanceGroup(kind, message.count, tuple(message.gpus), message.name)


def _versions(message: pb.ModelConfig) -> VersionPolicy:
    policy = message.version_policy
    if policy.HasField("all"):
        return VersionPolicy(0)
    if policy.HasField("specific"):
        return VersionPolicy(0, _positive(policy.specific.versions))
    return VersionPolicy(policy.latest.num_versions or 1)


def _positive(versions: Sequence[int]) -> tuple[int, ...]:
    if not versions or min(versions) < 1:
        raise InvalidInput("version_policy.specific: expected versions, by number")
    return tuple(versions)
