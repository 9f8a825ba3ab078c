"""Bodies made to hurt, on the HTTP door of either service: refused like any mistake, soon and at little cost."""

from __future__ import annotations

import itertools
import json
import string
from collections.abc import Callable
from typing import Any

import pytest
from faults.hostile import INFER, Ask, everywhere, head, post, statuses, unharmed
from harness import Pair

MILLION = 1_000_000
DEEP = 100_000
SOUND = b'{"name":"image","shape":[1,8,8],"datatype":"FP32","data":[' + b"0," * 63 + b"0]}"


def described(**changes: Any) -> bytes:
    tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": [0]} | changes
    return json.dumps({"inputs": [{key: value for key, value in tensor.items() if value is not None}]}).encode()


def shaped(*shape: int, data: str = "[0]") -> bytes:
    return b'{"inputs":[{"name":"image","shape":%s,"datatype":"FP32","data":%s}]}' % (
        json.dumps(shape).encode(),
        data.encode(),
    )


def beside(more: bytes) -> bytes:
    """A right request with `more` fields beside its inputs."""
    return b'{"inputs":[' + SOUND + b"]," + more + b"}"


def nested(opening: str, closing: str) -> bytes:
    return (opening * DEEP + "1" + closing * DEEP).encode()


def tensor(more: bytes) -> bytes:
    """A right tensor with one field more."""
    return b'{"inputs":[' + SOUND[:-1] + b"," + more + b"}]}"


def many_keys() -> bytes:
    """Half a million names of two characters, 7,921 of which differ; simdjson takes ten times their bytes for them."""
    letters = sorted(set(string.printable) - set(string.whitespace) - set('"\\'))[:89]
    names = itertools.islice(itertools.cycle(itertools.product(letters, repeat=2)), MILLION // 2)
    return ",".join('"' + "".join(name) + '":1' for name in names).encode()


SHAPES: dict[str, Callable[[], bytes]] = {
    "a dimension of 2**63": lambda: shaped(2**63, 8, 8),
    "a dimension of 2**63 - 1": lambda: shaped(2**63 - 1),
    "a product that overflows to 64": lambda: shaped(2**32, 2**32, 64),
    "a product that overflows to nothing": lambda: shaped(2**32, 2**32),
    "32 dimensions of 2**62": lambda: shaped(*[2**62] * 32),
    "one value for 2**28 of them": lambda: shaped(2**28),
    "one value for 2**27 of them in three dimensions": lambda: shaped(2**21, 8, 8),
    "nothing for 2**40 of them": lambda: shaped(2**40, data="[]"),
    "a zero beside a huge dimension": lambda: shaped(0, 2**62, data="[]"),
    "a zero behind a huge dimension": lambda: shaped(2**40, 0, 8, data="[]"),
    "a zero between huge dimensions": lambda: shaped(2**62, 0, 2**62, data="[]"),
    "a million dimensions": lambda: shaped(*[1] * MILLION),
    "a million negative dimensions": lambda: shaped(*[-1] * MILLION),
    "a huge integer for a dimension": lambda: b'{"inputs":[{"name":"image","shape":[' + b"9" * MILLION + b"]}]}",
    "empty rows by the million": lambda: shaped(MILLION, 0, data="[" + "[]," * (MILLION - 1) + "[]]"),
    "rows of one by the million": lambda: shaped(MILLION, 8, 8, data="[" + "[1]," * (MILLION - 1) + "[1]]"),
}

JSON: dict[str, Callable[[], bytes]] = {
    "arrays nested deep": lambda: nested("[", "]"),
    "arrays nested deep in data": lambda: shaped(1, 8, 8, data=nested("[", "]").decode()),
    "arrays nested deep, never closed": lambda: b"[" * DEEP,
    "objects nested deep": lambda: nested('{"a":', "}"),
    "objects nested deep, never closed": lambda: b'{"inputs":' * DEEP,
    "nested deep in a parameter": lambda: beside(b'"parameters":{"a":' + nested("[", "]") + b"}"),
    "nested deep behind a long integer": lambda: b'{"id":18446744073709552000,"a":' + nested("[", "]") + b"}",
    "nested less deep than the parser refuses": lambda: shaped(1, 8, 8, data="[" * 1000 + "]" * 1000),
    "half a million keys in a parameter": lambda: beside(b'"parameters":{' + many_keys() + b"}"),
    "half a million keys in a tensor's parameters": lambda: tensor(b'"parameters":{' + many_keys() + b"}"),
    "half a million keys and no inputs": lambda: b"{" + many_keys() + b"}",
    "a million equal keys": lambda: b"{" + b'"inputs":[],' * (MILLION // 2) + b'"inputs":[]}',
    "a long integer beside empty lists": lambda: b'{"id":18446744073709552000,"a":[' + b"[]," * 2_500_000 + b"[]]}",
    "a long integer beside texts": lambda: b'{"id":18446744073709552000,"a":[' + b'"ab",' * 1_500_000 + b'""]}',
    "a million inputs": lambda: b'{"inputs":[' + b"{}," * MILLION + b"{}]}",
    "thousands of sound inputs": lambda: b'{"inputs":[' + (SOUND + b",") * 30_000 + SOUND + b"]}",
    "a million outputs": lambda: beside(b'"outputs":[' + b"{}," * MILLION + b"{}]"),
    "a thousand outputs of one name": lambda: beside(b'"outputs":[' + b'{"name":"a"},' * 1000 + b'{"name":"a"}]'),
    "a name of control characters": lambda: described(name="\x00\x01\x1b[2J\r\n"),
    "a name of a megabyte": lambda: described(name="n" * MILLION),
    "a name of a megabyte beyond the first plane": lambda: described(name="\U0001f600" * 100_000),
    "a name that turns the writing around": lambda: described(name="\u202eimage\u202c"),
    "a raw control character": lambda: b'{"inputs":[{"name":"ima\x01ge"}]}',
    "an overlong UTF-8 slash": lambda: b'{"inputs":[{"name":"\xc0\xaf"}]}',
    "a surrogate in UTF-8": lambda: b'{"inputs":[{"name":"\xed\xa0\x80"}]}',
    "an id of a megabyte": lambda: beside(b'"id":"' + b"i" * MILLION + b'"'),
    "a datatype of a megabyte": lambda: described(datatype="F" * MILLION),
    "a number of a megabyte": lambda: described(data=None)[:-3] + b',"data":[' + b"1" * MILLION + b"]}]}",
    "an exponent of a megabyte": lambda: shaped(1, data="[1e" + "9" * MILLION + "]"),
    "texts by the million for one": lambda: described(datatype="BYTES", shape=[1], data=["ab"] * MILLION),
    "deep texts for BYTES": lambda: (
        described(datatype="BYTES", shape=[1], data=None)[:-3] + b',"data":' + b"[" * 500 + b'"a"' + b"]" * 500 + b"}]}"
    ),
    "UTF-16": lambda: beside(b'"a":1').decode().encode("utf-16"),
    "zeros": lambda: bytes(MILLION),
}

BINARY: dict[str, tuple[object, object, bytes]] = {  # binary_data_size, length of the JSON, bytes behind it
    "a size of 2**63": (2**63, None, b"1234"),
    "a size of 2**64 - 1": (2**64 - 1, None, b"1234"),
    "a negative size": (-4, None, b"1234"),
    "a size that is a float": (4.0, None, b"1234"),
    "a size that is text": ("256", None, bytes(256)),
    "a size that is true": (True, None, b"1"),
    "a size over what is there": (256, None, bytes(255)),
    "a size under what is there": (256, None, bytes(257)),
    "no bytes at all": (256, None, b""),
    "JSON longer than the body": (256, 10**9, bytes(256)),
    "JSON of 10**18 bytes": (256, 10**18, bytes(256)),
    "JSON of 10**30 bytes": (256, 10**30, bytes(256)),
    "JSON of less than nothing": (256, -1, bytes(256)),
    "JSON of one byte": (256, 1, bytes(256)),
    "JSON in hexadecimal": (256, "0x100", bytes(256)),
    "JSON of a Unicode digit": (256, "\u0664", bytes(256)),
    "JSON of a length with a sign": (256, "+100", bytes(256)),
    "JSON of two lengths": (256, "100, 100", bytes(256)),
    "JSON of no bytes": (256, 0, bytes(256)),
}

LIES: dict[str, tuple[int, bytes]] = {  # elements that the shape says, bytes of the BYTES tensor
    "a length of 2**32 - 1": (1, b"\xff\xff\xff\xff1234"),
    "a length of 2**31": (1, b"\x00\x00\x00\x801234"),
    "a length one too long": (1, b"\x05\0\0\x001234"),
    "a length one too short": (1, b"\x03\0\0\x001234"),
    "half a length": (1, b"\x03\0"),
    "lengths that add up to more": (3, b"\x02\0\0\0ab" * 2 + b"\x03\0\0\0ab"),
    "no elements for a million": (MILLION, b""),
    "one element for a million": (MILLION, b"\x04\0\0\x001234"),
    "a million empty elements for 2**28": (2**28, bytes(4 * MILLION)),
    "a million empty elements for one": (1, bytes(4 * MILLION)),
    "a million empty elements for themselves": (MILLION, bytes(4 * MILLION)),
}


def refused_everywhere(pair: Pair, asks: list[Ask], request: list[bytes]) -> None:
    with unharmed(pair, asks):
        for (status,) in everywhere(pair, lambda: request):
            assert 400 <= status < 500


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_that_claims_much_is_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    refused_everywhere(guarded, asks, post(INFER, SHAPES[name]()))


@pytest.mark.parametrize("name", JSON)
def test_json_made_to_hurt_is_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    refused_everywhere(guarded, asks, post(INFER, JSON[name]()))


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_body_whose_sizes_lie_is_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    size, json_size, data = BINARY[name]
    body = described(data=None, parameters={"binary_data_size": size})
    header = f"Inference-Header-Content-Length: {len(body) if json_size is None else json_size}"
    refused_everywhere(guarded, asks, post(INFER, body + data, header.encode()))


@pytest.mark.parametrize("name", LIES)
def test_bytes_elements_whose_lengths_lie_are_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    count, data = LIES[name]
    body = described(datatype="BYTES", shape=[count], data=None, parameters={"binary_data_size": len(data)})
    header = b"Inference-Header-Content-Length: %d" % len(body)
    refused_everywhere(guarded, asks, post(INFER, body + data, header))


V1, INDEX = "/v1/models/digits:predict", "/v2/repository/index"
OBJECTS = pytest.mark.xfail(strict=True, raises=AssertionError, reason="V1 bodies become Python objects, up to 25 fold")


@pytest.mark.parametrize("path", [V1, INDEX])
@pytest.mark.parametrize("name", ["arrays nested deep", "objects nested deep", "zeros"])
def test_the_other_routes_with_bodies_refuse_them_too(guarded: Pair, asks: list[Ask], path: str, name: str) -> None:
    refused_everywhere(guarded, asks, post(path, JSON[name]()))


def test_keys_by_the_hundred_thousand_that_nobody_asked_for_are_no_matter(guarded: Pair, asks: list[Ask]) -> None:
    with unharmed(guarded, asks):
        assert statuses(guarded.transformer.http_port, post(INDEX, b"{" + many_keys() + b"}")) == [200]


@OBJECTS
def test_a_million_rows_in_a_v1_body_take_no_more_than_others(guarded: Pair, asks: list[Ask]) -> None:
    refused_everywhere(guarded, asks, post(V1, b'{"instances":[' + b"[]," * MILLION + b"[]]}"))


@pytest.mark.parametrize(
    "name", ["..", "../..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "digits%00", "n" * 10_000, "%ff%fe", "%F0%9F"]
)
def test_a_name_that_leads_elsewhere_is_not_found(guarded: Pair, asks: list[Ask], name: str) -> None:
    model, version = f"/v2/models/{name}", f"/v2/models/digits/versions/{name}"
    posts = [
        post(path, beside(b'"a":1')) for path in (f"{model}/infer", f"{version}/infer", f"/v1/models/{name}:predict")
    ]
    gets = [[head(f"GET {path} HTTP/1.1")] for path in (model, f"{version}/ready", f"{model}/config")]
    with unharmed(guarded, asks):
        for request in posts + gets:
            for (status,) in everywhere(guarded, lambda: request):  # noqa: B023 - used at once
                assert status in {400, 404}
