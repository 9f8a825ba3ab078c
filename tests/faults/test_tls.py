"""TLS and mTLS on all four ports and the hop; certificates that are replaced while connections live."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from faults.test_hanging_model import ECHO, WAIT
from faults.test_shutdown import IMAGE
from foreign import environment
from gates import Gates
from harness import DIGITS, Pair, Process, Service, start_predictor, start_transformer
from parts import require
from security import Authority, Identity, ask_tls, replace
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

HOSTS = ("localhost", "127.0.0.1")
PREDICTOR = "predictor.test"  # the name in the predictor's certificate, which the hop is told
INFER = "/v2/models/digits/infer"
RENEWED = "the predictor is called with other certificates from now on"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client(authority: Authority) -> Identity:
    return authority.issue("client", "client.test")


@pytest.fixture(scope="module")
def pair(authority: Authority, client: Identity) -> Iterator[Pair]:
    """Everything demands certificates of everyone."""
    with mutual(authority) as running:
        yield running


@contextmanager
def mutual(authority: Authority, *hop: str, name: str = "digits", folder: Path = DIGITS) -> Iterator[Pair]:
    demand = f"--ssl_ca_certs={authority.file}"
    predictor = start_predictor(
        *(f"--model_dir={folder}", f"--model_name={name}", "--allow_python_models", demand),
        *authority.issue("predictor", *HOSTS, PREDICTOR).flags(),
    )
    try:
        rest = "--predictor_protocol=v2" in hop
        transformer = start_transformer(
            predictor.http_port if rest else predictor.grpc_port,
            *(f"--model_name={name}", "--transformer=identity", demand, *hop),
            *authority.issue("transformer", *HOSTS).flags(),
            *authority.issue("hop", "transformer.test").flags("predictor_"),
            f"--predictor_ssl_ca_certs={authority.file}",
            f"--predictor_ssl_server_name={PREDICTOR}",
        )
        try:
            yield Pair(transformer, predictor, name)
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


def body() -> dict[str, object]:
    return {"inputs": [{"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": IMAGE.ravel().tolist()}]}


def message() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="digits", raw_input_contents=[IMAGE.tobytes()])
    request.inputs.add(name="image", datatype="FP32", shape=[1, 8, 8])
    return request


def channel(service: Service, authority: Authority, identity: Identity | None) -> grpc.Channel:
    files = [path.read_bytes() for path in (identity.key, identity.certificate)] if identity else [None, None]
    return grpc.secure_channel(
        f"localhost:{service.grpc_port}", grpc.ssl_channel_credentials(authority.file.read_bytes(), *files)
    )


@pytest.mark.parametrize("name", ["transformer", "predictor"])
def test_both_doors_answer_a_client_that_shows_its_certificate(
    pair: Pair, authority: Authority, client: Identity, name: str
) -> None:
    service: Service = getattr(pair, name)
    assert ask_tls(service.http_port, INFER, authority.trusting(client), body()).status == 200
    with channel(service, authority, client) as opened:
        answer = pb_grpc.GRPCInferenceServiceStub(opened).ModelInfer(message(), timeout=30)
    assert answer.outputs


@pytest.mark.parametrize("name", ["transformer", "predictor"])
def test_both_doors_refuse_a_client_without_one_or_with_anothers(
    pair: Pair, authority: Authority, tmp_path: Path, name: str
) -> None:
    service: Service = getattr(pair, name)
    stranger = Authority(tmp_path).issue("stranger", "client.test")
    for identity in (None, stranger):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask_tls(service.http_port, "/v2/health/live", authority.trusting(identity))
        with channel(service, authority, identity) as opened, pytest.raises(grpc.RpcError) as refused:
            pb_grpc.GRPCInferenceServiceStub(opened).ServerLive(pb.ServerLiveRequest(), timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", ["transformer", "predictor"])
def test_grpcurl_lists_with_a_client_certificate_and_not_without(
    pair: Pair, authority: Authority, client: Identity, name: str
) -> None:
    target = f"localhost:{getattr(pair, name).grpc_port}"
    shown = ["-cert", str(client.certificate), "-key", str(client.key)]
    for arguments, works in ((shown, True), ([], False)):
        trust = ["-connect-timeout", "3", "-cacert", authority.file]
        command = [environment("grpcurl") / "grpcurl", *trust, *arguments, target, "list"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode == 0) == works, done.stderr
        assert ("inference.GRPCInferenceService" in done.stdout) == works


def test_curl_infers_over_tls(pair: Pair, authority: Authority, client: Identity) -> None:
    url = f"https://localhost:{pair.transformer.http_port}{INFER}"
    identity = ["--cert", client.certificate, "--key", client.key]
    command = [require("curl"), "-sS", "--cacert", authority.file, *identity, "-d", json.dumps(body()), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"]


def test_a_client_that_speaks_no_tls_is_refused_and_others_are_served(
    pair: Pair, authority: Authority, client: Identity
) -> None:
    with closing(socket.create_connection(("127.0.0.1", pair.transformer.http_port), timeout=30)) as plain:
        plain.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(2**16).startswith(b"HTTP")
    assert ask_tls(pair.transformer.http_port, "/v2/health/ready", authority.trusting(client)).status == 200


@pytest.mark.parametrize("hop", [("--predictor_protocol=v2",), ("--local_socket=off", "--shared_memory=off")])
def test_the_hop_shows_its_certificate_over_every_protocol(
    authority: Authority, client: Identity, hop: tuple[str, ...]
) -> None:
    with mutual(authority, *hop) as running:
        assert ask_tls(running.transformer.http_port, INFER, authority.trusting(client), body()).status == 200


def test_the_hop_trusts_no_other_authority(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    identity = authority.issue("predictor", *HOSTS)
    predictor = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits", *identity.flags())
    try:
        transformer = start_transformer(
            predictor.grpc_port,
            *("--model_name=digits", "--transformer=identity", f"--predictor_ssl_ca_certs={other.file}"),
            wait=False,
        )
        try:
            transformer.process.entry("predictor: the predictor cannot be reached")
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


@pytest.mark.parametrize("name", ["transformer", "predictor"])
def test_a_new_certificate_is_shown_to_new_connections_and_old_ones_stay(
    pair: Pair, authority: Authority, client: Identity, name: str
) -> None:
    service: Service = getattr(pair, name)
    context = authority.trusting(client)
    old = http.client.HTTPSConnection("localhost", service.http_port, timeout=30, context=context)
    with closing(old), channel(service, authority, client) as opened:
        stub = pb_grpc.GRPCInferenceServiceStub(opened)
        before = serials(service, context)
        assert (live(old), stub.ServerLive(pb.ServerLiveRequest(), timeout=30).live) == (200, True)
        connected = old.sock
        authority.issue(name, *HOSTS, PREDICTOR)
        after = serials(service, context)
        assert before[0] == before[1] != after[0] == after[1]
        assert (live(old), stub.ServerLive(pb.ServerLiveRequest(), timeout=30).live) == (200, True)
        assert old.sock is connected


def test_a_certificate_whose_key_has_not_come_yet_changes_nothing_until_it_has(
    pair: Pair, authority: Authority, client: Identity
) -> None:
    context = authority.trusting(client)
    service = pair.transformer
    identity = Identity(authority.folder / "transformer.crt", authority.folder / "transformer.key")
    before = serials(service, context)
    newer = authority.issue("newer", *HOSTS)
    replace(identity.certificate, newer.certificate.read_bytes())
    assert serials(service, context) == before
    service.process.entry("the old files stay in use")
    replace(identity.key, newer.key.read_bytes())
    assert len({*before, *serials(service, context)}) == 2


def test_the_hops_new_certificate_is_used_without_a_failed_request(
    pair: Pair, authority: Authority, client: Identity
) -> None:
    context = authority.trusting(client)
    authority.issue("hop", "transformer.test")
    statuses = []
    while not any(RENEWED in line for line in list(pair.transformer.process.lines)):
        statuses.append(ask_tls(pair.transformer.http_port, INFER, context, body()).status)
    statuses += [ask_tls(pair.transformer.http_port, INFER, context, body()).status for _ in range(20)]
    assert set(statuses) == {200}


@pytest.mark.parametrize(
    ("size", "hop", "used"),
    [
        (1, (), "small calls go over a local socket"),
        (10_000, ("--local_socket=off",), "large tensors go through shared memory"),
        (1, ("--local_socket=off", "--shared_memory=off"), "predictor: ready"),
    ],
)
def test_a_request_that_the_predictor_has_in_hand_outlives_the_hops_old_certificate(
    authority: Authority, client: Identity, tmp_path: Path, size: int, hop: tuple[str, ...], used: str
) -> None:
    context = authority.trusting(client)
    shutil.copy(ECHO, tmp_path)
    gates = Gates(tmp_path)

    def echo(first: float) -> int:
        tensor = {"name": "x", "shape": [size], "datatype": "FP32", "data": [first] * size}
        return ask_tls(port, "/v2/models/echo/infer", context, {"inputs": [tensor]}).status

    with mutual(authority, *hop, name="echo", folder=tmp_path) as running, ThreadPoolExecutor(1) as pool:
        port = running.transformer.http_port
        running.transformer.process.entry(used)
        with closing(gates):
            slow = pool.submit(echo, WAIT)
            gates.wait_until_started(1)
            authority.issue("hop", "transformer.test")
            running.transformer.process.entry(RENEWED)
            assert ask_tls(port, "/v2/health/ready", context).status == 200
            gates.let_through()
            assert slow.result(30) == 200
        assert echo(1.0) == 200


def encrypted(identity: Identity) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - it comes with trustme

    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    kind = serialization.BestAvailableEncryption(b"secret")
    replace(
        identity.key,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind),
    )


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda identity: identity.key.unlink(), "No such file"),
        (lambda identity: replace(identity.key, b"nonsense"), "no certificate and the key that belongs to it"),
        (lambda identity: replace(identity.certificate, b""), "no certificate and the key that belongs to it"),
        (encrypted, "the key is encrypted"),
    ],
)
def test_files_that_are_no_certificate_are_told_in_one_line(
    tmp_path: Path, spoil: Callable[[Identity], None], told: str
) -> None:
    identity = Authority(tmp_path).issue("it", "localhost")
    spoil(identity)
    process = Process.python(
        "tandem_transformer", "--host=127.0.0.1", "--http_port=0", "--grpc_port=0", *identity.flags()
    )
    assert process.end() == 2
    assert told in process.log
    assert len(process.lines) == 1


@pytest.mark.parametrize("flag", ["--ssl_certfile=x", "--ssl_ca_certs=x", "--predictor_ssl_keyfile=x"])
def test_half_of_a_pair_of_files_is_told_in_one_line(flag: str) -> None:
    process = Process.python("tandem_transformer", "--host=127.0.0.1", flag)
    assert process.end() == 2
    assert "go together" in process.log
    assert len(process.lines) == 1


def serials(service: Service, context: ssl.SSLContext) -> tuple[object, object]:
    """The certificates' serial numbers that new connections are shown on both ports."""
    shown = []
    for port in (service.http_port, service.grpc_port):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            certificate = wrapped.getpeercert()
            assert certificate
            shown.append(certificate["serialNumber"])
    return shown[0], shown[1]


def live(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/v2/health/live")
    answer = connection.getresponse()
    answer.read()
    return answer.status
