"""The rows of the error matrix that are refused in whatever form they come, on either service."""

from __future__ import annotations

from dataclasses import dataclass, replace

from contract.asks import FORMS, HTTP, Ask, Tensor


@dataclass(frozen=True)
class Row:
    """A request that is refused, and the words that its refusal must have."""

    name: str
    ask: Ask
    words: tuple[str, ...]
    status: int = 400
    forms: tuple[str, ...] = FORMS


def tensor(**changes: object) -> Ask:
    return Ask((replace(Tensor(), **changes),))


def shaped(*shape: object) -> Ask:
    return tensor(shape=shape)


def number(datatype: str, value: float) -> Ask:
    return tensor(datatype=datatype, shape=(1,), values=(value,))


VALUES = ("json", "typed")
BLOCKS = ("binary", "raw")
ROWS = [
    Row("an unknown model", Ask(model="nobody"), ("model 'nobody' is not found",), 404),
    Row("an unknown version", Ask(version="7"), ("version '7' of model 'digits' is not found",), 404),
    Row("a version that is no number", Ask(version="newest"), ("version 'newest'", "is not found"), 404),
    Row("an empty list of inputs", Ask(()), ("no inputs",)),
    Row("too few elements", tensor(values=(0.0,) * 63), ("'image'", "63 elements, expected 64"), forms=VALUES),
    Row("too many elements", tensor(values=(0.0,) * 65), ("'image'", "65 elements, expected 64"), forms=VALUES),
    Row("too few bytes", tensor(values=(0.0,) * 63), ("'image'", "252 bytes", "expected 256"), forms=BLOCKS),
    Row("too many bytes", tensor(values=(0.0,) * 65), ("'image'", "260 bytes", "expected 256"), forms=BLOCKS),
    Row("no elements at all", tensor(values=()), ("'image'", "expected")),
    Row("a negative dimension", shaped(-1, 8, 8), ("'image'", "[-1, 8, 8]", "negative")),
    Row("a dimension that overflows a product", shaped(2**62, 8, 8), ("'image'", "--max_elements")),
    Row("dimensions whose product overflows", shaped(2**32, 2**32), ("'image'", "--max_elements")),
    Row("an overflow behind a zero", shaped(0, 2**62), ("'image'", "too large")),
    Row("a dimension beyond 64 bits", shaped(2**63, 8, 8), ("'image'", "shape"), forms=HTTP),
    Row("a dimension beyond all integers", shaped(10**40, 8, 8), ("'image'", "shape"), forms=HTTP),
    Row("more dimensions than any tensor has", shaped(*[1] * 40), ("'image'", "40 dimensions")),
    Row("a float in the shape", shaped(1.0, 8, 8), ("'image'", "[1.0,8,8]", "array of integers"), forms=HTTP),
    Row("a bool in the shape", shaped(True, 8, 8), ("'image'", "[true,8,8]", "array of integers"), forms=HTTP),
    Row("a string in the shape", shaped("1", 8, 8), ("'image'", '["1",8,8]', "array of integers"), forms=HTTP),
    Row("a list in the shape", shaped([1], 8, 8), ("'image'", "[[1],8,8]", "array of integers"), forms=HTTP),
    Row("null in the shape", shaped(None, 8, 8), ("'image'", "[null,8,8]", "array of integers"), forms=HTTP),
    Row("another shape than the model's", shaped(2, 8, 4), ("'image'", "[2, 8, 4]", "expected [-1, 8, 8]")),
    Row("another rank than the model's", shaped(1, 64), ("'image'", "[1, 64]", "expected [-1, 8, 8]")),
    Row("an unknown datatype", tensor(datatype="FLOAT32"), ("'image'", "'FLOAT32'", "expected one of BOOL, ")),
    Row("a lower-case datatype", tensor(datatype="fp32"), ("'image'", "'fp32'", "expected one of BOOL, ")),
    Row("an empty datatype", tensor(datatype=""), ("'image'", "''", "expected one of BOOL, ")),
    Row("another datatype than the model's", tensor(datatype="FP64"), ("'image'", "FP64, expected FP32")),
    Row("300 in INT8", number("INT8", 300), ("'image'", "300 is out of range for INT8"), forms=VALUES),
    Row("-129 in INT8", number("INT8", -129), ("'image'", "-129 is out of range for INT8"), forms=VALUES),
    Row("65536 in UINT16", number("UINT16", 65536), ("'image'", "65536 is out of range for UINT16"), forms=VALUES),
    Row("an unknown output", Ask(outputs=("labels",)), ("unknown output 'labels'", "probabilities")),
    Row("an output asked for twice", Ask(outputs=("probabilities",) * 2), ("output 'probabilities' is given twice",)),
    Row("an input given twice", Ask((Tensor(), Tensor())), ("input 'image' is given twice",)),
    Row("an input too many", Ask((Tensor(), Tensor("other"))), ("unknown input 'other'", "are: image")),
    Row("a name that is too long", tensor(name="n" * 257), ("too long, at most 256", "--max_name_length")),
    Row("an id that is too long", Ask(id="i" * 257), ("too long, at most 256", "--max_name_length")),
    Row("an output's name that is too long", Ask(outputs=("o" * 257,)), ("too long, at most 256",)),
    Row("a parameter's name that is too long", Ask(parameters={"p" * 257: 1}), ("too long, at most 256",)),
    Row(
        "more inputs than are let in",
        Ask([Tensor(f"t{index}", shape=(1,), values=(0.0,)) for index in range(257)]),
        ("257 inputs, at most 256", "--max_tensors"),
    ),
    Row(
        "more outputs than are let in",
        Ask(outputs=[f"o{index}" for index in range(257)]),
        ("257 outputs, at most 256", "--max_tensors"),
    ),
    Row("a timeout below zero", Ask(parameters={"timeout": -1}), ("'timeout' is -1", "microseconds")),
    Row("a timeout that is text", Ask(parameters={"timeout": "1s"}), ("'timeout' is '1s'", "microseconds")),
    Row("a priority that is a float", Ask(parameters={"priority": 0.5}), ("'priority' is 0.5", "expected")),
]

IMAGE = b'"name":"image","shape":[1,8,8],"datatype":"FP32"'
ZEROS = b"0," * 63


def data(values: bytes) -> bytes:
    return b'{"inputs":[{' + IMAGE + b',"data":' + values + b"}]}"


BODIES = [  # of JSON: name, body, words
    ("nothing", b"", ("empty",)),
    ("white space", b"  \n", ("JSON",)),
    ("half an object", b'{"inputs": [', ("not valid JSON",)),
    ("text after the object", b"{} {}", ("not valid JSON",)),
    ("invalid UTF-8", b'{"id": "\xff"}', ("not valid JSON",)),
    ("half a surrogate pair", b'{"id": "\\ud800"}', ("not valid JSON",)),
    ("an array", b"[]", ("not a JSON object",)),
    ("a number", b"7", ("not a JSON object",)),
    ("no inputs", b"{}", ("no inputs",)),
    ("null for inputs", b'{"inputs": null}', ("no inputs",)),
    ("text for inputs", b'{"inputs": "image"}', ("'inputs' is not an array of objects",)),
    ("numbers for inputs", b'{"inputs": [1]}', ("'inputs' is not an array of objects",)),
    ("an input without a name", b'{"inputs": [{"shape": [1]}]}', ("'name'", "expected a string")),
    ("an input without a datatype", b'{"inputs": [{"name": "image"}]}', ("'image'", "'datatype'", "a string")),
    ("an input without a shape", b'{"inputs": [{"name": "image", "datatype": "FP32"}]}', ("'image'", "shape is miss")),
    ("an input without data", b'{"inputs": [{' + IMAGE + b"}]}", ("'image'", "data is missing")),
    ("null for data", data(b"null"), ("'image'", "data is missing or not an array")),
    ("a number for data", data(b"7"), ("'image'", "data is missing or not an array")),
    ("null in the data", data(b"[" + ZEROS + b"null]"), ("'image'", "null, expected FP32")),
    ("a string in the data", data(b"[" + ZEROS + b'"0"]'), ("'image'", '"0", expected FP32')),
    ("a bool in the data", data(b"[" + ZEROS + b"true]"), ("'image'", "true, expected FP32")),
    ("an object in the data", data(b"[" + ZEROS + b"{}]"), ("'image'", "expected FP32")),
    ("NaN in the data", data(b"[" + ZEROS + b"NaN]"), ("not valid JSON",)),
    ("Infinity in the data", data(b"[" + ZEROS + b"-Infinity]"), ("not valid JSON",)),
    ("data nested otherwise", data(b"[[" + ZEROS + b"0]]"), ("'image'", "nested otherwise than shape [1, 8, 8]")),
    ("arrays nested deep", data(b"[" * 5000 + b"]" * 5000), ("not valid JSON",)),
    ("objects nested deep", b'{"a":' * 5000 + b"1" + b"}" * 5000, ("not valid JSON",)),
    ("arrays never closed", b"[" * 100_000, ("not valid JSON",)),
    ("a number for the id", b'{"id": 7, "inputs": [{' + IMAGE + b',"data":[' + ZEROS + b"0]}]}", ("'id'", "a string")),
    ("a list for a parameter", b'{"parameters": {"a": []}, ' + data(b"[" + ZEROS + b"0]")[1:], ("'a'", "expected")),
    ("text for outputs", b'{"outputs": "y", ' + data(b"[" + ZEROS + b"0]")[1:], ("'outputs' is not an array",)),
]
