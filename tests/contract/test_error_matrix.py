"""wire.md's error matrix, row by row, over both doors of both services: the digits model behind the identity."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from contract.asks import FORMS, HTTP, JSON_SIZE, Ask, Tensor
from contract.client import Reply
from contract.doors import doors, refusal_of, refused
from contract.refusals import BODIES, ROWS, Row
from harness import DIGITS, Pair, Service, running_pair
from tandem.oip import inference_pb2 as pb

PATH = Ask().path
IMAGE = np.zeros(64, np.float32).tobytes()


@pytest.fixture(scope="session")
def digits() -> Iterator[Pair]:
    with running_pair("digits", (f"--model_dir={DIGITS}",), ("--transformer=identity",)) as running:
        yield running


@pytest.fixture(params=["transformer", "predictor"])
def service(request: pytest.FixtureRequest, digits: Pair) -> Service:
    return getattr(digits, request.param)


def answered(service: Service, ask: Ask, form: str) -> tuple[str, str]:
    """The id and the version of the right answer to a zero image; fails on any other."""
    with doors(service) as (over_http, over_grpc):
        if form in HTTP:
            return answer_of(over_http.infer(ask, form))
        message = over_grpc.infer(ask.grpc(form))
    assert list(message.outputs[0].shape) == [1, 10]
    assert bool(message.raw_output_contents) == (form == "raw")
    return message.id, message.model_version


def answer_of(reply: Reply) -> tuple[str, str]:
    assert reply.status == 200, reply
    output = reply.json["outputs"][0]
    assert (output["name"], output["shape"], len(output["data"])) == ("probabilities", [1, 10], 10)
    return reply.json["id"], reply.json["model_version"]


@pytest.mark.parametrize(
    ("row", "form"), [pytest.param(row, form, id=f"{row.name}, {form}") for row in ROWS for form in row.forms]
)
def test_what_is_refused_is_refused_in_every_form_with_the_reason(service: Service, row: Row, form: str) -> None:
    told = refused(service, row.ask, form, row.status)
    for word in row.words:
        assert word in told.text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("version", ["", "1"])
def test_an_empty_and_an_equal_version_serve(service: Service, form: str, version: str) -> None:
    assert answered(service, Ask(version=version), form)[1] == "1"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [0.5, True, 7, -7, "text"])
def test_a_parameter_of_any_type_is_let_through(service: Service, form: str, value: object) -> None:
    assert answered(service, Ask(id="mine", parameters={"own": value}), form)[0] == "mine"


@pytest.mark.parametrize("form", FORMS)
def test_without_an_id_one_is_made_and_echoed_and_logged_by_whoever_works_on_it(
    digits: Pair, service: Service, form: str
) -> None:
    first, second = (answered(service, Ask(), form)[0] for _ in range(2))
    assert len(first) == 32
    assert first != second
    for worker in {id(s): s for s in (service, digits.predictor)}.values():
        entry = worker.process.wait_for(lambda line: f'"id":"{first}"' in line and json.loads(line))
        assert entry["code"] == "OK"


def test_nested_data_is_flattened(service: Service) -> None:
    nested = Tensor(values=np.zeros((1, 8, 8)).tolist())
    answered(service, Ask([nested]), "json")


@pytest.mark.parametrize(("body", "words"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
@pytest.mark.parametrize("form", HTTP)
def test_json_that_is_no_request_is_refused_with_the_reason(
    service: Service, form: str, body: bytes, words: tuple[str, ...]
) -> None:
    headers = {} if form == "json" or not body else {JSON_SIZE: str(len(body))}
    with doors(service) as (http, _):
        told = http.refusal(http.ask("POST", PATH, body, headers), 400)
    for word in words:
        assert word in told.text


BLOCK = {"name": "image", "datatype": "FP32", "shape": [1, 8, 8]}


@pytest.mark.parametrize(
    ("size", "block", "words"),
    [
        (256, IMAGE + b"\0", "1 bytes are left after the last"),
        (257, IMAGE, "'image': binary_data_size is 257, expected an integer from 0 to 256"),
        (255, IMAGE, "'image': 255 bytes of data, expected 256"),
        (0, IMAGE, "'image': 0 bytes of data, expected 256"),
        (-1, IMAGE, "'image': binary_data_size is -1, expected"),
        (256.0, IMAGE, "'image': binary_data_size is 256.0, expected"),
        (True, IMAGE, "'image': binary_data_size is True, expected"),
        ("256", IMAGE, "'image': binary_data_size is '256', expected"),
        (256, b"", "'image': binary_data_size is 256, expected an integer from 0 to 0"),
    ],
)
def test_binary_sizes_that_do_not_add_up_are_refused(service: Service, size: object, block: bytes, words: str) -> None:
    head = json.dumps({"inputs": [BLOCK | {"parameters": {"binary_data_size": size}}]}).encode()
    with doors(service) as (http, _):
        told = http.refusal(http.ask("POST", PATH, head + block, {JSON_SIZE: str(len(head))}), 400)
    assert words in told.text


def test_data_beside_a_binary_block_is_refused(service: Service) -> None:
    both = BLOCK | {"data": [0] * 64, "parameters": {"binary_data_size": 256}}
    head = json.dumps({"inputs": [both]}).encode()
    with doors(service) as (http, _):
        told = http.refusal(http.ask("POST", PATH, head + IMAGE, {JSON_SIZE: str(len(head))}), 400)
    assert "'image': both data and binary_data_size" in told.text


@pytest.mark.parametrize("size", ["-1", "x", "1.5", "1000000", "9" * 30, ""])
def test_a_header_length_that_is_none_is_refused(service: Service, size: str) -> None:
    with doors(service) as (http, _):
        told = http.refusal(http.ask("POST", PATH, b"{}" + IMAGE, {JSON_SIZE: size}), 400)
    assert JSON_SIZE in told.text


def mixed(message: pb.ModelInferRequest) -> None:
    message.inputs[0].contents.fp32_contents.extend([0.0] * 64)


def one_too_many(message: pb.ModelInferRequest) -> None:
    message.raw_input_contents.append(IMAGE)


def one_too_few(message: pb.ModelInferRequest) -> None:
    message.inputs.add(name="other", datatype="FP32", shape=[1])


def wrong_field(message: pb.ModelInferRequest) -> None:
    del message.raw_input_contents[:]
    message.inputs[0].contents.int64_contents.extend([0] * 64)


def typed_half(message: pb.ModelInferRequest) -> None:
    wrong_field(message)
    message.inputs[0].datatype = "FP16"


def torn_text(message: pb.ModelInferRequest) -> None:
    message.inputs[0].datatype, message.inputs[0].shape[:] = "BYTES", [1]
    message.raw_input_contents[0] = b"\x05\0\0\0abc"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (mixed, ("'image'", "both contents and raw_input_contents")),
        (one_too_many, ("'image'", "2 entries, expected 1")),
        (one_too_few, ("'image', 'other'", "1 entries, expected 2")),
        (wrong_field, ("'image'", "int64_contents, expected fp32_contents")),
        (typed_half, ("'image'", "FP16 travels only as raw_input_contents")),
        (torn_text, ("'image'", "element 0 of 1 reaches past the end")),
    ],
)
def test_a_message_that_breaks_the_rules_of_contents_is_refused(service: Service, change, words) -> None:
    message = Ask().grpc("raw")
    change(message)
    with doors(service) as (_, over_grpc):
        told = over_grpc.refused(message, "INVALID_ARGUMENT")
    for word in words:
        assert word in told.text


def test_bytes_that_are_no_message_are_the_callers_mistake(service: Service) -> None:
    with doors(service) as (_, over_grpc):
        told = over_grpc.refused(b"\xff\xff\xff", "INVALID_ARGUMENT")
    assert "not a valid protobuf message" in told.text


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
@pytest.mark.parametrize("form", HTTP)
def test_compressed_bodies_are_read(service: Service, form: str, coding: str, pack) -> None:
    body, headers = Ask(id="packed").http(form)
    with doors(service) as (http, _):
        reply = http.ask("POST", PATH, pack(body), headers | {"Content-Encoding": coding})
    assert answer_of(reply)[0] == "packed"


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "nonsense"])
@pytest.mark.parametrize("form", HTTP)
def test_an_unknown_coding_is_415(service: Service, form: str, coding: str) -> None:
    body, headers = Ask().http(form)
    with doors(service) as (http, _):
        told = http.refusal(http.ask("POST", PATH, body, headers | {"Content-Encoding": coding}), 415)
    assert "expected gzip, deflate or none" in told.text


@pytest.mark.parametrize(
    "body",
    [b"{}", gzip.compress(b"{}" * 100)[:12], gzip.compress(b"{}") + b"more"],
    ids=["no gzip", "half a body", "more behind its end"],  # gzip writes down when it was
)
def test_a_body_that_is_not_what_its_coding_says_is_refused(service: Service, body: bytes) -> None:
    with doors(service) as (http, _):
        http.refusal(http.ask("POST", PATH, body, {"Content-Encoding": "gzip"}), 400)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PATH, "POST"),
        ("PUT", PATH, "POST"),
        ("DELETE", "/v2/models/digits", "GET,HEAD"),
        ("POST", "/v2", "GET,HEAD"),
        ("POST", "/v2/health/live", "GET,HEAD"),
        ("PATCH", "/metrics", "GET,HEAD"),
        ("GET", "/v2/repository/index", "POST"),
        ("GET", "/v1/models/digits:predict", "POST"),
    ],
)
def test_a_wrong_method_is_told_which_are_allowed(service: Service, method: str, path: str, allowed: str) -> None:
    with doors(service) as (http, _):
        told = http.refusal(http.ask(method, path), 405)
    assert told.headers["allow"] == allowed
    assert f"{method} is not allowed here, expected" in told.text


@pytest.mark.parametrize("path", ["/", "/nope", "/v2/nope", "/v2/models/digits/nope", "/v3", "/%00", "/v2/../etc"])
def test_an_unknown_route_is_404(service: Service, path: str) -> None:
    with doors(service) as (http, _):
        assert "no such route" in http.refusal(http.ask("GET", path), 404).text


@pytest.mark.parametrize("path", ["", "/versions/1", "/ready", "/config", "/stats"])
def test_an_unknown_model_is_404_on_every_route(service: Service, path: str) -> None:
    with doors(service) as (http, _):
        assert "'nobody'" in http.refusal(http.ask("GET", f"/v2/models/nobody{path}"), 404).text


def test_an_expectation_that_nobody_meets_is_417(service: Service) -> None:
    with doors(service) as (http, _):
        http.refusal(http.ask("POST", PATH, Ask().http("json")[0], {"Expect": "wonders"}), 417)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",  # TLS
        b"BREW /v2 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % index for index in range(500)) + b"\r\n",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_refused_in_the_same_form_and_the_connection_closed(service: Service, sent: bytes) -> None:
    reply = spoken(service, sent)
    assert reply.status == 400
    assert "not valid HTTP" in refusal_of(reply).text


@pytest.mark.parametrize("line", [b"GET /" + b"a" * 20_000, b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 20_000])
def test_a_header_that_is_too_long_is_431(service: Service, line: bytes) -> None:
    reply = spoken(service, line + b" HTTP/1.1\r\n\r\n")
    assert reply.status == 431
    assert "16384 bytes (--max_header_bytes)" in refusal_of(reply).text


def spoken(service: Service, sent: bytes) -> Reply:
    """What comes back for `sent` until the service closes the connection, which it says that it does."""
    with socket.create_connection(("127.0.0.1", service.http_port), timeout=10) as connection:
        connection.sendall(sent)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert headers["connection"] == "close"
    return Reply(int(first.split()[1]), headers, body)


def test_metadata_over_the_limit_is_resource_exhausted(service: Service) -> None:
    with doors(service) as (_, over_grpc):
        told = over_grpc.refused(Ask().grpc("raw"), "RESOURCE_EXHAUSTED", metadata=[("x-long", "a" * 20_000)])
    assert "16384" in told.text
