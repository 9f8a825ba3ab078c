"""Who may call: bearer tokens on both doors and the hop, cross-origin pages, headers that go on, bytes in flight."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from contract.client import ask
from faults.test_tls import INFER, body, message
from foreign import environment
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import DIGITS, Pair, Process, metric, start_predictor, start_transformer
from security import replace
from tandem.oip import handoff_pb2, handoff_pb2_grpc
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

OUTER, INNER = "outer-token", "inner-token"
PAGE = "https://page.example"
MOST = 200_000  # bytes in flight


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokens")
    replace(made / "outer", f"{OUTER}\nsecond\n".encode())
    replace(made / "inner", f"{INNER}\n".encode())
    return made


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[Pair]:
    predictor = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits", f"--auth_token_file={folder}/inner")
    try:
        transformer = start_transformer(
            predictor.grpc_port,
            *("--model_name=digits", "--transformer=identity", f"--cors_origins={PAGE}"),
            *(f"--auth_token_file={folder}/outer", f"--predictor_auth_token_file={folder}/inner"),
            *(f"--max_message_bytes={MOST}", f"--max_bytes_in_flight={MOST}"),
        )
        try:
            transformer.process.entry("small calls go over a local socket")
            yield Pair(transformer, predictor, "digits")
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("token", [OUTER, "second"])
def test_a_request_with_a_token_is_answered_through_the_pair(pair: Pair, token: str) -> None:
    assert ask(pair.infer_url, "POST", body(), bearer(token)).status == 200
    with grpc.insecure_channel(pair.transformer.target) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(message(), timeout=30, metadata=(("authorization", f"bearer {token}"),)).outputs


@pytest.mark.parametrize("name", ["transformer", "predictor"])
@pytest.mark.parametrize("header", [{}, bearer("wrong"), {"Authorization": "Basic b3V0ZXI="}, bearer("")])
@pytest.mark.parametrize("path", [INFER, "/v2", "/v2/models/digits", "/openapi.json", "/nowhere"])
def test_without_one_every_route_but_health_and_metrics_is_401(
    pair: Pair, name: str, header: dict[str, str], path: str
) -> None:
    reply = ask(f"{getattr(pair, name).url}{path}", headers=header)
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert "bearer token" in reply.json["error"]
    for open_path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
        assert ask(f"{getattr(pair, name).url}{open_path}", headers=header).status == 200


@pytest.mark.parametrize("name", ["transformer", "predictor"])
def test_without_one_every_rpc_but_health_is_unauthenticated(pair: Pair, name: str) -> None:
    with grpc.insecure_channel(getattr(pair, name).target) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        handoff = handoff_pb2_grpc.HandoffStub(channel)
        refused = (
            lambda: stub.ModelInfer(message(), timeout=30),
            lambda: stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=30),
            lambda: next(stub.ModelStreamInfer(iter(()), timeout=30)),
            lambda: handoff.Locate(handoff_pb2.LocateRequest(), timeout=30),
            lambda: next(handoff.Attach(handoff_pb2.AttachRequest(key="x"), timeout=30)),
        )
        for call in refused:
            with pytest.raises(grpc.RpcError) as error:
                call()
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert stub.ServerReady(pb.ServerReadyRequest(), timeout=30).ready
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=30).status == 1
    command = [environment("grpcurl") / "grpcurl", "-plaintext", getattr(pair, name).target, "list"]
    assert "bearer token" in subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr


def test_grpcurl_lists_with_a_token(pair: Pair) -> None:
    header = ["-H", f"authorization: Bearer {OUTER}"]
    command = [environment("grpcurl") / "grpcurl", "-plaintext", *header, pair.transformer.target, "list"]
    assert "GRPCInferenceService" in subprocess.check_output(command, text=True, timeout=60)


def test_a_file_of_other_tokens_counts_from_the_next_request_on(pair: Pair, folder: Path) -> None:
    try:
        replace(folder / "outer", b"third\n")
        assert ask(pair.infer_url, "POST", body(), bearer("third")).status == 200
        assert ask(pair.infer_url, "POST", body(), bearer(OUTER)).status == 401
        (folder / "outer").unlink()
        assert ask(pair.infer_url, "POST", body(), bearer("third")).status == 200
        assert ask(pair.infer_url, "POST", body()).status == 401
    finally:
        replace(folder / "outer", f"{OUTER}\nsecond\n".encode())


def test_a_transformer_with_a_wrong_token_says_so_and_is_not_ready(pair: Pair, folder: Path) -> None:
    (folder / "wrong").write_text("wrong\n")
    flags = ("--model_name=digits", "--transformer=identity", f"--predictor_auth_token_file={folder}/wrong")
    service = start_transformer(pair.predictor.grpc_port, *flags, wait=False)
    try:
        service.process.entry("predictor: the bearer token is not one that is known here")
        assert ask(f"{service.url}/v2/health/ready").status == 503
    finally:
        service.process.stop()


@pytest.mark.parametrize("content", [None, "", "\n\n", "töken"])
def test_a_file_without_a_token_is_told_in_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    process = Process.python("tandem_transformer", "--host=127.0.0.1", f"--auth_token_file={path}")
    assert process.end() == 2
    assert "--auth_token_file: " in process.log
    assert len(process.lines) == 1


def test_a_page_of_an_allowed_origin_may_call_and_another_may_not(pair: Pair) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    allowed = ask(pair.infer_url, "OPTIONS", headers={"Origin": PAGE, **asked})
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "AUTHORIZATION" in allowed.headers["access-control-allow-headers"].upper()
    other = ask(pair.infer_url, "OPTIONS", headers={"Origin": "https://other.example", **asked})
    assert (other.status, other.headers.get("access-control-allow-origin")) == (403, None)
    reply = ask(pair.infer_url, "POST", body(), {"Origin": PAGE, **bearer(OUTER)})
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, PAGE)
    refused = ask(pair.infer_url, "POST", body(), {"Origin": PAGE})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, PAGE)


def test_without_the_flag_no_page_of_another_origin_may_call(pair: Pair) -> None:
    reply = ask(f"{pair.predictor.url}/v2/health/live", headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in reply.headers


def test_bodies_over_the_bytes_in_flight_are_429_and_taken_again_afterwards(pair: Pair) -> None:
    whole = json.dumps(body()).encode()
    padded = whole + b" " * (MOST - len(whole))
    with closing(http.client.HTTPConnection("127.0.0.1", pair.transformer.http_port, timeout=30)) as first:
        first.putrequest("POST", INFER)
        for name, value in {**bearer(OUTER), "Content-Length": str(MOST)}.items():
            first.putheader(name, value)
        first.endheaders()
        first.send(padded[:-1])
        refused = ask(pair.infer_url, "POST", whole, bearer(OUTER))
        while refused.status == 200:  # until the first one's bytes have been read
            refused = ask(pair.infer_url, "POST", whole, bearer(OUTER))
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert "bytes" in refused.json["error"]
        with grpc.insecure_channel(pair.transformer.target) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            with pytest.raises(grpc.RpcError) as no:
                stub.ModelInfer(message(), timeout=30, metadata=(("authorization", f"Bearer {OUTER}"),))
        assert no.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.send(padded[-1:])
        assert first.getresponse().status == 200
    assert ask(pair.infer_url, "POST", whole, bearer(OUTER)).status == 200
    exposition = ask(f"{pair.transformer.url}/metrics").body.decode()
    assert metric(exposition, "tandem_rejected_total", reason="bytes") >= 2


@pytest.mark.parametrize(
    "given", ["host", "x-request-timeout-ms", "content-type", "grpc-timeout", "a b", "x-thing-bin", "sec-fetch-mode"]
)
def test_a_header_that_cannot_go_on_is_told_in_one_line(given: str) -> None:
    process = Process.python("tandem_transformer", "--host=127.0.0.1", f"--forward_headers=x-tenant,{given}")
    assert process.end() == 2
    assert "--forward_headers: got" in process.log
    assert len(process.lines) == 1
