"""KServe's V1 protocol <-> InferRequest and InferResponse.

    {"instances": [...]} or {"inputs": ...} -> InferRequest ... InferResponse -> {"predictions": [...]}

An instance is a value for the one input, or an object of values by input name; {"b64": "..."} stands for bytes.
Source: KServe, "Data Plane: V1 Protocol"; TensorFlow Serving's REST API, row and column formats.
"""

from __future__ import annotations

import binascii
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import orjson
import pybase64

from tandem import tensors
from tandem.errors import InvalidInput
from tandem.inference import Arrays, InferRequest, InferResponse, Limits
from tandem.metadata import ModelMetadata, TensorSpec

_LIMITS = Limits()
_MOST_EMPTY = 65_536  # lists without an element that a tensor becomes: some bytes of shape could ask for any number
_EXPECTED = 'expected {"instances": [...]} or {"inputs": ...}'


def decode_request(body: bytes, model: ModelMetadata, limits: Limits = _LIMITS) -> InferRequest:
    """The request in `body` for `model`, whose tensors decide names and datatypes; raises InvalidInput."""
    if model.documents:
        return InferRequest(model_name=model.name, model_version="", inputs={}, raw=False, document=body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict) or ("instances" in document) == ("inputs" in document):
        raise InvalidInput(f"the body has neither or both of instances and inputs; {_EXPECTED}")
    if "instances" in document:
        columns = _columns(document["instances"], model.inputs)
    else:
        columns = _named(document["inputs"], model.inputs)
    if not columns:
        raise InvalidInput(f"the request is empty; {_EXPECTED}")
    limits.check_count("input", len(columns))
    limits.check_names(*columns)
    inputs = {name: _array(name, values, _spec(name, model.inputs)) for name, values in columns.items()}
    for name, array in inputs.items():
        limits.check_elements(name, array.shape)
    return InferRequest(model_name=model.name, model_version="", inputs=inputs, raw=False)


def encode_request(inputs: Arrays) -> bytes:
    """The body that asks a V1 predictor: one instance a row; bytes that are no text become {"b64": "..."}.

    A scalar is a row. Raises InvalidInput if the tensors differ in their rows, or have no V1 form.
    """
    if len(inputs) == 1:
        return orjson.dumps({"instances": _plain(next(iter(inputs.values())))})
    columns = {name: _plain(array) for name, array in inputs.items()}
    rows = {name: len(values) for name, values in columns.items()}
    if len(set(rows.values())) > 1:
        raise InvalidInput(f"the tensors differ in their first dimension, for V1 the instances: {rows}")
    instances = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return orjson.dumps({"instances": instances})


def encode_response(response: InferResponse) -> bytes:
    """The body that answers: the rows of the one output, or an object a row where there are several."""
    if response.document is not None:
        return response.document
    columns = {name: _plain(array) for name, array in response.outputs.items()}
    if len(columns) == 1:
        return orjson.dumps({"predictions": next(iter(columns.values()))})
    rows = min((len(values) if isinstance(values, list) else 1 for values in columns.values()), default=0)
    return orjson.dumps(
        {"predictions": [{name: values[row] for name, values in columns.items()} for row in range(rows)]}
    )


def decode_response(body: bytes) -> Arrays:
    """The predictions of a V1 predictor as arrays: `predictions`, or one by name where they are objects."""
    document = orjson.loads(body)
    predictions = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(predictions, list):
        raise ValueError("the predictor's answer has no predictions")
    if predictions and isinstance(predictions[0], dict) and not _is_bytes(predictions[0]):
        return {name: _array(name, [row[name] for row in predictions], None) for name in predictions[0]}
    return {"predictions": _array("predictions", predictions, None)}


def _columns(instances: object, specs: Sequence[TensorSpec]) -> Mapping[str, list[object]]:
    if not isinstance(instances, list) or not instances:
        raise InvalidInput("instances is not an array of one or more")
    if not all(isinstance(row, dict) and not _is_bytes(row) for row in instances):
        return {_only(specs): instances}
    names = list(instances[0])
    if any(set(row) != set(names) for row in instances):
        raise InvalidInput("the instances differ in their keys")
    if len(names) == len(specs) == 1:
        return {specs[0].name: [row[names[0]] for row in instances]}
    return {name: [row[name] for row in instances] for name in names}


def _named(inputs: object, specs: Sequence[TensorSpec]) -> Mapping[str, list[object]]:
    if isinstance(inputs, list):
        return {_only(specs): inputs}
    if not isinstance(inputs, dict) or not all(isinstance(values, list) for values in inputs.values()):
        raise InvalidInput("inputs is neither an array nor an object of arrays")
    return inputs


def _only(specs: Sequence[TensorSpec]) -> str:
    if len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise InvalidInput(f"the model has several inputs ({names}): each instance must be an object of them")
    return specs[0].name if specs else "input-0"


def _spec(name: str, specs: Sequence[TensorSpec]) -> TensorSpec | None:
    found = next((spec for spec in specs if spec.name == name), None)
    if specs and found is None:
        raise InvalidInput(f"unknown input '{name}'; the model's inputs are: {', '.join(s.name for s in specs)}")
    return found


def _array(name: str, values: list[object], spec: TensorSpec | None) -> tensors.Array:
    if spec is None:
        return _guessed([_bytes(name, value) if isinstance(value, dict) else value for value in values])
    dtype = tensors.dtype_of(name, spec.datatype)  # whatever the predictor has said
    if dtype.hasobject:
        return tensors.read_only(tensors.objects([_bytes(name, value) for value in values]))
    try:
        wide = _numbers(values)
    except ValueError:
        raise InvalidInput(f"input '{name}': the instances differ in their shape") from None
    if wide is None or wide.dtype.kind not in {"f": "iuf", "V": "iuf", "i": "iu", "u": "iu", "b": "b"}[dtype.kind]:
        raise InvalidInput(f"input '{name}': a value is no {spec.datatype}")
    return tensors.read_only(tensors.narrow(name, spec.datatype, wide))


def _bytes(name: str, value: object) -> object:
    if isinstance(value, dict) and len(value) == 1 and not _is_bytes(value):  # {"image": {...}} for the one input
        value = next(iter(value.values()))
    if isinstance(value, dict) and _is_bytes(value):
        try:
            return pybase64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise InvalidInput(f"input '{name}': b64 is not valid base64") from None
    if isinstance(value, str):
        return value.encode()
    raise InvalidInput(f"input '{name}': a value is neither a string nor {{\"b64\": ...}}")


def _is_bytes(value: Mapping[str, object]) -> bool:
    return set(value) == {"b64"}


def _plain(array: tensors.Array) -> list[object]:
    if math.prod(itertools.takewhile(bool, array.shape)) > max(array.size, _MOST_EMPTY):
        raise InvalidInput(f"a tensor of shape {list(array.shape)}, without an element, has no V1 form")
    if not array.dtype.hasobject:
        array = array.astype(np.float32) if array.dtype.kind == "V" else array
        plain: list[object] = array.tolist() if array.ndim else [array.tolist()]
        return plain
    texts = tensors.objects([_text(tensors.as_bytes(element)) for element in array.ravel()])
    nested: list[object] = texts.reshape(array.shape).tolist() if array.ndim else texts.tolist()
    return nested


def _text(data: bytes) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"b64": pybase64.b64encode(data).decode()}


def _guessed(values: list[object]) -> tensors.Array:
    """An array of values whose datatype nobody has declared: FP32, INT64, BOOL, or BYTES."""
    if values and all(isinstance(value, (bytes, str)) for value in values):
        return tensors.objects([value.encode() if isinstance(value, str) else value for value in values])
    try:
        array = _numbers(values)
    except ValueError:
        raise InvalidInput("the values differ in their shape") from None
    if array is None or array.dtype.kind not in "fiub":
        raise InvalidInput("the values are neither numbers, truth values nor strings")
    with np.errstate(over="ignore"):  # as tensors.narrow: what is beyond FP32 is infinite
        return array.astype({"f": np.float32, "i": np.int64, "u": np.uint64, "b": np.bool_}[array.dtype.kind])


def _numbers(values: list[object]) -> tensors.Array | None:
    """`values` as NumPy sees them; None if one is no number or truth value. Raises ValueError if their shapes differ.

    Looked at first, as one text would have NumPy make each number a text of the same length: gigabytes from megabytes.
    """
    level: Sequence[object] = values
    while level:
        kinds = set(map(type, level))
        if not kinds <= {bool, int, float, list}:
            return None
        inner = [value for value in level if isinstance(value, list)] if list in kinds else []
        level = list(itertools.chain.from_iterable(inner))
    return np.array(values)
