"""`tandem doctor` on real pairs: a healthy one is all ok, and each planted fault is found by its check's name."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from contract.client import ask
from harness import DIGITS, ROOT, Pair, Service, running_pair, start_predictor, start_transformer
from impostors import fetched, grpc_server_without_reflection, http_server, raw_server, unused_port
from rich.console import Console
from security import Authority
from tandem import TensorSpec
from tandem_cli.__main__ import parser
from tandem_cli.doctor import examine, options, probe
from tandem_cli.doctor.model import made_up, unequal
from tandem_cli.doctor.report import NOT_CHECKED, WARN, Finding, printable, show

ECHO = ROOT / "tests" / "contract" / "echo"
IDENTITY = ("--transformer=identity",)
SMALL = 4_000_000  # bytes; a message of the default size takes a second to be made
HOSTS = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor said."""

    status: int
    checks: dict[str, dict[str, str]]

    def __getitem__(self, check: str) -> tuple[str, str]:
        return self.checks[check]["mark"], self.checks[check]["text"]

    def marked(self, mark: str) -> list[str]:
        return [name for name, finding in self.checks.items() if finding["mark"] == mark]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tandem_cli", "doctor", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def doctor(*arguments: object) -> Diagnosis:
    """The findings, in this process: its start would take most of the time."""
    shown = io.StringIO()
    with redirect_stdout(shown):
        status = doctor_in_this_process("--json", "--timeout=15", *arguments)
    document = json.loads(shown.getvalue())
    assert document["healthy"] == (status == 0)
    for finding in document["checks"]:
        assert "nothing was prepared" not in finding["text"], finding
        assert finding["mend"] or finding["mark"] in ("ok", "not checked"), finding
    return Diagnosis(status, {finding["check"]: finding for finding in document["checks"]})


def doctor_in_this_process(*arguments: object) -> int:
    known, rest = parser().parse_known_args(["doctor", *map(str, arguments)])
    status: int = known.run(known, rest)
    return status


def at(transformer: Service, predictor: Service) -> list[str]:
    """The arguments that name a pair."""
    return [
        f"127.0.0.1:{transformer.http_port}",
        f"--grpc_port={transformer.grpc_port}",
        f"--predictor=127.0.0.1:{predictor.http_port}",
        f"--predictor_grpc_port={predictor.grpc_port}",
    ]


@contextmanager
def predictor(*flags: str, model: Path = DIGITS) -> Iterator[Service]:
    service = start_predictor(
        "--model_name=digits", f"--model_dir={model}", "--allow_python_models", f"--max_message_bytes={SMALL}", *flags
    )
    try:
        yield service
    finally:
        service.process.stop()


@contextmanager
def transformer(port: int, *flags: str, wait: bool = True) -> Iterator[Service]:
    service = start_transformer(port, "--model_name=digits", f"--max_message_bytes={SMALL}", *flags, wait=wait)
    try:
        yield service
    finally:
        service.process.stop()


@pytest.fixture(autouse=True)
def _nothing_is_traced_back(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture(scope="module")
def digits() -> Iterator[Pair]:
    small = f"--max_message_bytes={SMALL}"
    with running_pair("digits", (f"--model_dir={DIGITS}", small), (*IDENTITY, small)) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[Pair]:
    """A pair that demands certificates and tokens on all its doors."""
    token = authority.folder / "token"
    token.write_text("a-token\n")
    demand = (f"--ssl_ca_certs={authority.file}", f"--auth_token_file={token}")
    with (
        predictor(*demand, *authority.issue("predictor", *HOSTS).flags()) as back,
        transformer(
            back.grpc_port,
            *(*IDENTITY, *demand, f"--predictor_ssl_ca_certs={authority.file}", f"--predictor_auth_token_file={token}"),
            *authority.issue("transformer", *HOSTS).flags(),
            *authority.issue("hop", "transformer.test").flags("predictor_"),
        ) as front,
    ):
        yield Pair(front, back, "digits")


def test_a_healthy_image_pair_is_all_ok(pair: Pair) -> None:
    done = run("--json", "--timeout=15", *at(pair.transformer, pair.predictor))
    assert (done.returncode, done.stderr) == (0, "")
    found = {finding["check"]: finding["text"] for finding in json.loads(done.stdout)["checks"]}
    assert json.loads(done.stdout)["counts"] == {"ok": len(found), "warn": 0, "FAIL": 0, "not checked": 0}
    assert len(found) > 25
    assert "preprocess" in found["inference: HTTP"]
    assert "tensors of its own" in found["pair: same model"]


def test_a_healthy_pair_whose_transformer_has_no_tensors_of_its_own_is_all_ok(digits: Pair) -> None:
    found = doctor(*at(digits.transformer, digits.predictor), "--model-name=digits")
    assert (found.status, set(found.marked("ok"))) == (0, set(found.checks)), found.checks
    assert found["pair: same model"] == ("ok", "the same versions and tensors")


def test_a_healthy_pair_behind_certificates_and_tokens_is_all_ok(secured: Pair, authority: Authority) -> None:
    client = authority.issue("client", "client.test")
    found = doctor(
        *at(secured.transformer, secured.predictor),
        *(f"--cacert={authority.file}", f"--cert={client.certificate}", f"--key={client.key}"),
        f"--token_file={authority.folder / 'token'}",
    )
    assert (found.status, set(found.marked("ok"))) == (0, set(found.checks)), found.checks
    for service in ("transformer", "predictor"):
        assert all(found[f"{service}: {door} door"][1].endswith(" over TLS") for door in ("HTTP", "gRPC"))


def test_for_people_each_check_is_a_line_and_those_that_could_not_be_made_are_one_a_reason(digits: Pair) -> None:
    done = run(*at(digits.transformer, digits.predictor), "--model_name=faces")
    lines = done.stdout.splitlines()
    (problem,) = [number for number, line in enumerate(lines) if line.startswith("FAIL")]
    assert "model name" in lines[problem]
    assert "it serves 'digits', not 'faces'" in lines[problem]
    assert lines[problem + 1].strip() == "mend: give the pair's --model_name here, or another one to both services"
    unmade = [line.removeprefix("not checked").strip() for line in lines if line.startswith("not checked")]
    assert unmade[0] == "transformer: model, predictor: model: it needs the model's name"
    counted = [sum(line.startswith(mark) for line in lines) for mark in ("ok ", "warn ", "FAIL ")]
    names = sum(line.rpartition(": ")[0].count(", ") + 1 for line in unmade)
    assert lines[-1] == "{} ok, {} warn, {} FAIL, {} not checked".format(*counted, names)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("width", [30, 80])
def test_at_a_terminal_no_line_is_wider_than_it_and_no_word_is_lost(width: int) -> None:
    text = "zeros are refused: 400: input 'image' has 4 dimensions, expected 2, and so on for a while longer"
    findings = [
        Finding("inference: HTTP", WARN, text, "send a request of your own"),
        Finding("pair: same model", NOT_CHECKED, "it needs the descriptions of both"),
        Finding("pair: requests arrive", NOT_CHECKED, "it needs the descriptions of both"),
    ]
    shown = io.StringIO()
    show(findings, Console(file=shown, width=width, force_terminal=True, color_system=None))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= max(width, 13 + len("inference: HTTP") + 2 + 20)
    words = " ".join(shown.getvalue().split())
    assert text in words
    assert "pair: same model, pair: requests arrive: it needs the descriptions of both" in words


def test_a_door_at_which_nothing_listens_is_found(digits: Pair) -> None:
    port = unused_port()
    found = doctor(*at(replace_ports(digits.transformer, http_port=port), digits.predictor))
    assert found["transformer: HTTP door"] == ("FAIL", f"nothing listens at 127.0.0.1:{port}")
    assert found["transformer: gRPC door"][0] == "ok"
    assert found.status == 1


def test_swapped_ports_are_found(digits: Pair) -> None:
    front = digits.transformer
    found = doctor(*at(replace_ports(front, front.grpc_port, front.http_port), digits.predictor))
    assert found["transformer: HTTP door"] == ("FAIL", f"gRPC is spoken at {front.target}")
    assert found["transformer: gRPC door"] == ("FAIL", f"HTTP is spoken at 127.0.0.1:{front.http_port}")


def test_a_predictor_in_the_transformers_place_is_found(digits: Pair) -> None:
    found = doctor(*at(digits.predictor, digits.predictor))
    assert found["transformer: HTTP door"] == ("FAIL", "it is 'tandem-predictor'")
    assert "8000" in found.checks["transformer: HTTP door"]["mend"]


def test_another_model_name_than_the_pairs_is_found(digits: Pair) -> None:
    found = doctor(*at(digits.transformer, digits.predictor), "--model_name=faces")
    assert found.marked("FAIL") == ["model name"]


def test_a_predictor_that_has_gone_is_found() -> None:
    with predictor() as back, transformer(back.grpc_port, *IDENTITY) as front:
        back.process.kill()
        front.process.wait_for(lambda line: "cannot be reached" in line)
        found = doctor(*at(front, back))
    assert found["transformer: ready"][0] == "FAIL"
    assert "the predictor cannot be reached" in found["transformer: ready"][1]
    assert found["transformer: health"] == ("ok", "NOT_SERVING, as HTTP says")
    assert found["predictor: HTTP door"][1].startswith("nothing listens")
    assert found["inference: HTTP"][0] == found["inference: gRPC"][0] == "FAIL"
    assert found["pair: hop"][0] == "FAIL"
    assert "tandem_predictor_channel_ready is 0" in found["pair: hop"][1]
    assert "--predictor_host" in found.checks["pair: hop"]["mend"]


def test_a_predictor_that_never_came_is_found() -> None:
    with transformer(unused_port(), *IDENTITY, wait=False) as front:
        found = doctor(*at(front, replace_ports(front, unused_port(), unused_port())))
    assert found["transformer: ready"][0] == "FAIL"
    assert "--predictor_host" in found.checks["transformer: ready"]["mend"]


def test_another_predictor_than_the_one_behind_the_transformer_is_found(digits: Pair) -> None:
    with predictor(model=ECHO) as other:
        found = doctor(*at(digits.transformer, other))
    assert found["pair: same model"][0] == found["pair: requests arrive"][0] == "FAIL"
    assert found["predictor: model"][0] == "ok"


def test_another_predictor_of_the_same_model_is_found_by_the_requests_that_do_not_arrive(digits: Pair) -> None:
    with predictor() as other:
        found = doctor(*at(digits.transformer, other))
    assert found.marked("FAIL") == ["pair: requests arrive"]


def test_a_predictor_that_has_no_such_model_is_found(digits: Pair) -> None:
    with predictor("--model_name=faces") as other:
        found = doctor(*at(digits.transformer, other))
    assert "404" in found["predictor: model"][1]


def test_a_transformer_that_does_not_suit_the_model_is_found(digits: Pair) -> None:
    with transformer(digits.predictor.grpc_port, "--transformer=image-classification", wait=False) as front:
        front.process.wait_for(lambda line: "setup failed" in line)
        found = doctor(*at(front, digits.predictor))
    assert "setup failed" in found["transformer: ready"][1]
    assert "--transformer" in found.checks["transformer: ready"]["mend"]


def test_a_missing_reflection_service_is_found(digits: Pair) -> None:
    with grpc_server_without_reflection() as port:
        found = doctor(*at(replace_ports(digits.transformer, grpc_port=port), digits.predictor))
    assert found["transformer: gRPC door"][0] == "ok"
    assert found["transformer: reflection"][0] == "FAIL"
    assert found["transformer: reflection"][1].startswith("no reflection: UNIMPLEMENTED")


@pytest.mark.parametrize(("front", "back", "mark"), [(3_000_000, 2_000_000, "FAIL"), (2_000_000, 3_000_000, "warn")])
def test_size_limits_that_differ_are_found(front: int, back: int, mark: str) -> None:
    with (
        predictor(f"--max_message_bytes={back}") as behind,
        transformer(behind.grpc_port, *IDENTITY, f"--max_message_bytes={front}") as before,
    ):
        found = doctor(*at(before, behind))
    assert found["pair: size limits"][0] == mark
    assert f"{front} bytes" in found["pair: size limits"][1]
    assert f"{back}" in found["pair: size limits"][1]
    assert found.marked(mark) == ["pair: size limits"]


@pytest.mark.parametrize(("limit", "told"), [(SMALL + 1, f"gRPC {SMALL}"), (SMALL - 1, "gRPC more")])
def test_doors_of_one_service_whose_size_limits_differ_are_found(digits: Pair, limit: int, told: str) -> None:
    with http_server(partial(fetched, digits.predictor.http_port), limit) as port:  # as a proxy before one of them
        found = doctor(*at(digits.transformer, replace_ports(digits.predictor, http_port=port)))
    assert found["predictor: gRPC size limit"] == ("warn", f"HTTP takes {limit} bytes, {told}")


def test_tls_that_was_expected_and_is_not_spoken_is_found(digits: Pair, authority: Authority) -> None:
    found = doctor(*at(digits.transformer, digits.predictor), f"--cacert={authority.file}")
    for door in ("HTTP", "gRPC"):
        mark, text = found[f"transformer: {door} door"]
        assert (mark, text.startswith(f"plain {door}, and no TLS")) == ("FAIL", True), text


def test_tls_that_was_not_expected_is_found(secured: Pair) -> None:
    found = doctor(*at(secured.transformer, secured.predictor))
    for door in ("HTTP", "gRPC"):
        mark, text = found[f"transformer: {door} door"]
        assert (mark, text.startswith("TLS is spoken")) == ("FAIL", True), text
        assert "--cacert" in found.checks[f"transformer: {door} door"]["mend"]


def test_a_certificate_of_an_authority_that_is_not_trusted_is_found(secured: Pair, tmp_path: Path) -> None:
    found = doctor(*at(secured.transformer, secured.predictor), f"--cacert={Authority(tmp_path).file}")
    for door in ("HTTP", "gRPC"):
        mark, text = found[f"transformer: {door} door"]
        assert (mark, text.startswith("its certificate is refused")) == ("FAIL", True), text


def test_a_clients_certificate_that_is_missing_is_found(secured: Pair, authority: Authority) -> None:
    found = doctor(*at(secured.transformer, secured.predictor), f"--cacert={authority.file}")
    assert found["transformer: HTTP door"][0] == found["transformer: gRPC door"][0] == "FAIL"
    assert "--cert and --key" in found.checks["transformer: HTTP door"]["mend"]
    assert "--cert and --key" in found.checks["transformer: gRPC door"]["mend"]


@pytest.mark.parametrize("token", ["", "another"])
def test_a_token_that_is_missing_or_wrong_is_found(
    secured: Pair, authority: Authority, tmp_path: Path, token: str
) -> None:
    client = authority.issue("client", "client.test")
    given = tmp_path / "token"
    given.write_text(token)
    found = doctor(
        *at(secured.transformer, secured.predictor),
        *(f"--cacert={authority.file}", f"--cert={client.certificate}", f"--key={client.key}"),
        *([f"--token_file={given}"] if token else []),
    )
    for door in ("HTTP", "gRPC"):
        assert found[f"transformer: {door} door"][0] == "FAIL"
        assert "--token_file" in found.checks[f"transformer: {door} door"]["mend"]
    assert found["transformer: ready"][0] == "ok"
    assert found["inference: HTTP"][0] == "not checked"


def test_a_server_that_is_no_tandem_is_found(digits: Pair) -> None:
    with http_server(lambda _path: (200, {"Content-Type": "text/html"}, b"<p>hello</p>")) as port:
        found = doctor(*at(replace_ports(digits.transformer, http_port=port), digits.predictor))
    assert found["transformer: HTTP door"][0] == "FAIL"
    assert found["transformer: gRPC door"][0] == "ok"
    assert found["model name"][0] == "not checked"


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"[]", b"null", b"{", b'{"name": 5}', b"\xff\xfe", b"[" * 100_000),
        b'{"name": "tandem-transformer", "models": ["m"], "ready": true}',
        b'{"name": "tandem-transformer", "models": 5, "inputs": 7, "outputs": [{}]}',
        b'{"name": "tandem-transformer", "models": ["m"], "versions": ["1"], "outputs": [],'
        b' "inputs": [{"name": "x", "datatype": "FP99", "shape": [-7]}]}',
        b'{"name": "tandem-transformer", "models": ["\\u001b[2J\\r\\n"], "versions": [], "outputs": [],'
        b' "inputs": [{"name": "x", "datatype": "FP32", "shape": [9223372036854775807, 9]}]}',
    ],
)
@pytest.mark.parametrize("status", [200, 302, 500])
def test_whatever_a_server_answers_it_is_told_and_nothing_breaks(
    digits: Pair, status: int, document: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with http_server(lambda _path: (status, {"Location": "http://127.0.0.1:1/"}, document)) as port:
        target = at(replace_ports(digits.transformer, http_port=port), digits.predictor)
        assert doctor_in_this_process(*target, "--timeout=15") == 1
    shown = capfd.readouterr()
    assert "FAIL" in shown.out
    assert "nothing was prepared" not in shown.out
    assert "\x1b[2J" not in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "closes"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "neither HTTP nor gRPC"),
        (bytes(range(256)), "neither HTTP nor gRPC"),
        (b"HTTP/1.1 2", ""),
        (probe.PREFACE[24:], ""),
    ],
)
def test_a_server_that_is_no_server_of_ours_at_all_is_found(answer: bytes, told: str) -> None:
    with raw_server(answer) as port:
        found = doctor(f"127.0.0.1:{port}", f"--grpc_port={port}", f"--predictor=127.0.0.1:{port}")
    assert found.status == 1
    doors = [found[f"transformer: {door}"] for door in ("HTTP door", "gRPC door")]
    assert ("FAIL", told) in [(mark, told if told in text else text) for mark, text in doors]


def test_a_server_that_hangs_is_found_in_bounded_time() -> None:
    with raw_server(None) as port:
        started = time.monotonic()
        found = doctor(f"127.0.0.1:{port}", f"--grpc_port={port}", f"--predictor=127.0.0.1:{port}", "--timeout=0.5")
        taken = time.monotonic() - started
    assert found["transformer: HTTP door"] == ("FAIL", f"it says nothing for 0.5 s at 127.0.0.1:{port}")
    assert found["transformer: gRPC door"][0] == "FAIL"
    assert taken < 6 * 0.5 + 15  # the start of a process on a busy machine


def test_a_server_that_hangs_after_its_first_bytes_takes_no_more_than_the_total(digits: Pair) -> None:
    released = threading.Event()

    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        if path not in ("/v2/health/live", "/v2"):
            released.wait(60)
        return 200, {}, b'{"name": "tandem-transformer"}'

    started = time.monotonic()
    with http_server(answer) as port:
        try:
            found = doctor(*at(replace_ports(digits.transformer, http_port=port), digits.predictor), "--timeout=1")
        finally:
            released.set()
    assert time.monotonic() - started < 6 * 1 + 10  # other work on a busy machine
    assert found["transformer: ready"][0] == "FAIL"
    assert "not answered within 1 s" in found["transformer: ready"][1]
    assert "the time is up; give more with --timeout" in [found[check][1] for check in found.marked("not checked")]


def test_services_of_different_versions_are_found(digits: Pair) -> None:
    def older(path: str) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = fetched(digits.predictor.http_port, path)
        return status, headers, body.replace(b'version="0.1.0"', b'version="0.0.9"')

    with http_server(older, SMALL) as port:
        found = doctor(*at(digits.transformer, replace_ports(digits.predictor, http_port=port)))
    assert found["pair: versions"] == ("warn", "the transformer is 0.1.0, the predictor 0.0.9")
    assert found.marked("warn") == ["pair: versions"]


@pytest.mark.parametrize(("seconds", "told"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_clock_that_is_wrong_is_found(digits: Pair, seconds: int, told: str) -> None:
    def skewed(path: str) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = fetched(digits.predictor.http_port, path)
        return status, headers | {"Date": formatdate(time.time() + seconds, usegmt=True)}, body

    with http_server(skewed, SMALL) as port:
        found = doctor(*at(digits.transformer, replace_ports(digits.predictor, http_port=port)))
    assert found["predictor: clock"][0] == "warn"
    assert told in found["predictor: clock"][1]
    assert found.marked("warn") == ["predictor: clock"]


def test_many_failed_requests_are_found() -> None:
    failing = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [-3]}]}
    with predictor(model=ECHO) as back, transformer(back.grpc_port, *IDENTITY) as front:
        for _ in range(12):
            assert ask(f"{front.url}/v2/models/digits/infer", "POST", failing).status == 500
        found = doctor(*at(front, back))
    assert set(found.marked("warn")) == {"transformer: traffic", "predictor: traffic"}
    assert "12 failed" in found["transformer: traffic"][1]


def test_many_rejected_requests_are_found(digits: Pair) -> None:
    def overloaded(path: str) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = fetched(digits.predictor.http_port, path)
        none = b'tandem_rejected_total{reason="queue_full"} 0.0'
        assert path != "/metrics" or none in body
        return status, headers, body.replace(none, none.replace(b" 0.0", b" 900.0"))

    with http_server(overloaded, SMALL) as port:
        found = doctor(*at(digits.transformer, replace_ports(digits.predictor, http_port=port)))
    assert found.marked("warn") == ["predictor: traffic"]
    assert "900 rejected" in found["predictor: traffic"][1]


def test_doors_of_two_services_are_found(digits: Pair) -> None:
    with predictor(model=ECHO) as back, transformer(back.grpc_port, *IDENTITY) as other:
        found = doctor(*at(replace_ports(digits.transformer, grpc_port=other.grpc_port), digits.predictor))
    assert found["transformer: model"][0] == "FAIL"
    assert found["transformer: model"][1].startswith("HTTP and gRPC differ in platform: ")


def test_an_answer_without_server_timing_is_found(digits: Pair) -> None:
    with grpc_server_without_reflection(forward_to=digits.transformer.target) as port:
        found = doctor(*at(replace_ports(digits.transformer, grpc_port=port), digits.predictor))
    assert found["inference: gRPC"] == ("warn", "answered, without Server-Timing")


def test_of_merged_metrics_the_transformers_own_are_read(digits: Pair) -> None:
    flags = (
        "--merge_predictor_metrics",
        f"--predictor_metrics_url=http://127.0.0.1:{digits.predictor.http_port}/metrics",
    )
    with transformer(digits.predictor.grpc_port, *IDENTITY, *flags) as front:
        assert "kserve-container" in ask(f"{front.url}/metrics").body.decode()
        found = doctor(*at(front, digits.predictor))
    assert (found.status, set(found.marked("ok"))) == (0, set(found.checks)), found.checks
    assert found["transformer: traffic"][1].startswith("0 requests")
    assert not found["predictor: traffic"][1].startswith("0 requests")


def test_a_predictor_that_nobody_named_may_be_out_of_reach(digits: Pair) -> None:
    known = parser().parse_args(["doctor", *at(digits.transformer, digits.predictor)[:2], "--timeout=15"])
    chosen = options.read(known)
    assert (str(chosen.predictor.http), str(chosen.predictor.grpc)) == ("127.0.0.1:8080", "127.0.0.1:8082")
    away = replace(chosen.predictor, http=options.Address("127.0.0.1", unused_port()))
    findings = asyncio.run(examine(replace(chosen, predictor=away)))
    assert [(f.check, f.mark) for f in findings if f.mark != "ok"] == [("predictor: HTTP door", "not checked")]


@pytest.mark.parametrize("answer", [None, b"", b"SSH-2.0-OpenSSH_9.2\r\n", probe.PREFACE[24:]])
def test_whatever_is_where_the_predictor_would_be_is_no_failure_if_nobody_named_it(
    digits: Pair, answer: bytes | None
) -> None:
    known = parser().parse_args(["doctor", *at(digits.transformer, digits.predictor)[:2], "--timeout=2"])
    chosen = options.read(known)
    with raw_server(answer) as port:
        other = replace(chosen.predictor, http=options.Address("127.0.0.1", port))
        findings = asyncio.run(examine(replace(chosen, predictor=other)))
    assert [f.check for f in findings if f.check.startswith("predictor")] == ["predictor: HTTP door"]
    assert all(f.mark == "not checked" for f in findings if f.check == "predictor: HTTP door")


def test_a_stranger_where_the_predictor_would_be_is_no_failure_if_nobody_named_it(digits: Pair) -> None:
    known = parser().parse_args(["doctor", *at(digits.transformer, digits.predictor)[:2], "--timeout=15"])
    chosen = options.read(known)
    with http_server(lambda _path: (404, {}, b"not here")) as port:
        other = replace(chosen.predictor, http=options.Address("127.0.0.1", port))
        findings = asyncio.run(examine(replace(chosen, predictor=other)))
    assert [(f.check, f.mark) for f in findings if f.mark != "ok"] == [("predictor: HTTP door", "not checked")]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["localhost:0"], ["localhost:65536"], ["localhost:http"], ["a b:80"], ["ftp://localhost:80"]),
        *(["--grpc_port=0"], ["--grpc_port=x"], ["--predictor=:8080"], ["--predictor_grpc_port=70000"]),
        *(["--timeout=0"], ["--timeout=nan"], ["--timeout=soon"], ["--unheard_of"], ["localhost:1", "localhost:2"]),
        *(["--cert=/nowhere"], ["--cacert=/nowhere"], ["--cert=/nowhere", "--key=/nowhere"], ["--token_file=/nowhere"]),
    ],
)
def test_bad_use_is_told_with_status_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    try:
        status = doctor_in_this_process(*arguments)
    except SystemExit as ended:  # argparse's way
        status = ended.code
    assert status == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err


@pytest.mark.parametrize(
    ("text", "http", "tls"),
    [
        ("localhost:8000", "localhost:8000", False),
        ("example.test", "example.test:8000", False),
        ("http://10.0.0.1:80/", "10.0.0.1:80", False),
        ("https://example.test:443", "example.test:443", True),
        ("[::1]:8000", "[::1]:8000", False),
    ],
)
def test_an_address_is_a_host_and_a_port_or_a_url(text: str, http: str, tls: bool) -> None:
    chosen = options.read(parser().parse_args(["doctor", text]))
    assert (str(chosen.transformer.http), chosen.transformer.tls is not None) == (http, tls)
    assert (chosen.predictor.http.host, chosen.predictor.tls is not None) == (chosen.transformer.http.host, tls)


def test_each_service_may_be_encrypted_by_itself(authority: Authority) -> None:
    given = ["doctor", "http://a.test:1", "--predictor=https://b.test:2", f"--cacert={authority.file}"]
    chosen = options.read(parser().parse_args(given))
    assert (chosen.transformer.tls, chosen.predictor.tls is not None) == (None, True)


@pytest.mark.parametrize("content", ["", "\n", "a\x00b", "\u00e9"])
def test_a_file_without_a_token_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(options.BadUse, match="no token"):
        options.read(parser().parse_args(["doctor", f"--token_file={file}"]))


def test_a_made_up_request_has_zeros_and_ones_for_dimensions_and_a_picture_for_a_lone_text() -> None:
    several = made_up([TensorSpec("x", "INT8", (-1, 3)), TensorSpec("t", "BYTES", (2,))])
    assert (several["x"].dtype, several["x"].tolist(), several["t"].tolist()) == (np.int8, [[0, 0, 0]], [b"", b""])
    (picture,) = made_up([TensorSpec("input-0", "BYTES", (-1,))])["input-0"].tolist()
    assert picture.startswith(b"/9j/")  # a JPEG's first bytes in base64


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"y": np.float32([1, 2])}, ""),
        ({"y": np.float32([1, 2.00001])}, ""),
        ({"y": np.float32([1, 3])}, "y"),
        ({"y": np.float64([1, 2])}, "y"),
        ({"y": np.float32([[1, 2]])}, "y"),
        ({}, "y"),
        ({"y": np.float32([1, 2]), "z": np.int8([1])}, "z"),
    ],
)
def test_outputs_are_equal_in_name_datatype_shape_and_nearly_in_value(other: dict[str, np.ndarray], name: str) -> None:
    assert unequal({"y": np.float32([1, 2])}, other) == name


def test_what_a_stranger_says_is_one_printable_line_of_bounded_length() -> None:
    assert printable("a\x1b[2J\nb") == "a [2J b"
    assert len(printable("x" * 10_000)) < 400


def replace_ports(service: Service, http_port: int | None = None, grpc_port: int | None = None) -> Service:
    return Service(service.process, http_port or service.http_port, grpc_port or service.grpc_port)
