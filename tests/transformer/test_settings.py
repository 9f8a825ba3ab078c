"""The transformer's flags, and what is derived from them."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
from tandem import settings
from tandem.lifecycle import Fatal
from tandem_transformer.app import Gateway, address, predictor
from tandem_transformer.predictor import GrpcPredictor
from tandem_transformer.rest_predictor import V1Predictor, V2Predictor
from tandem_transformer.settings import Settings, base_url, metrics_url, options, target


def read(*flags: str, **variables: str) -> Settings:
    """The settings of these flags and variables; every problem or warning fails the test."""
    environ = {f"TANDEM_TRANSFORMER_{name.upper()}": value for name, value in variables.items()}
    parsed, problems = settings.parse(Settings, "tandem-transformer", "", flags, environ)
    assert not problems
    assert not parsed.warnings
    return Settings(**parsed.values)


def problems_of(*flags: str) -> list[str]:
    return settings.parse(Settings, "tandem-transformer", "", flags, {})[1]


def test_the_defaults_are_those_of_the_card():
    got = read()
    assert (got.http_port, got.grpc_port, got.host) == (8000, 8081, "")
    assert (got.model_name, got.transformer, got.predictor_host) == ("model", "image-classification", "localhost:8082")
    assert (got.hop_protocol, got.max_message_bytes, got.drain_delay) == ("grpc-v2", 64 * 2**20, 0)
    assert (got.predictor_request_retries, got.enable_predictor_health_check) == (0, True)


def test_the_arguments_of_kserves_manifest_are_taken_verbatim():
    got = read(
        *("--model_name=custom-model", "--protocol=grpc-v2", "--http_port=8000", "--grpc_port=8081"),
        "--predictor_host=localhost:8082",
    )
    assert (got.model_name, got.hop_protocol, got.predictor_host) == ("custom-model", "grpc-v2", "localhost:8082")


def test_flags_win_over_variables_and_either_spelling_is_read():
    got = read("--predictor-host", "a:1", "--enable-predictor-health-check=false", model_name="x", predictor_host="b:2")
    assert (got.predictor_host, got.enable_predictor_health_check, got.model_name) == ("a:1", False, "x")


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().model_name = "other"


@pytest.mark.parametrize(
    ("flags", "protocol"),
    [
        ((), "grpc-v2"),
        (("--protocol=v1",), "v1"),
        (("--predictor_protocol=v2",), "v2"),
        (("--protocol=v1", "--predictor_protocol=grpc-v2"), "grpc-v2"),
    ],
)
def test_the_predictor_protocol_is_its_own_flag_else_protocol_else_grpc(flags, protocol):
    assert read(*flags).hop_protocol == protocol


@pytest.mark.parametrize(("protocol", "kind"), [("grpc-v2", GrpcPredictor), ("v1", V1Predictor), ("v2", V2Predictor)])
async def test_each_protocol_has_its_client(protocol, kind):
    made = predictor(read(f"--predictor_protocol={protocol}"), ThreadPoolExecutor(1))
    assert type(made) is kind
    await made.close()


@pytest.mark.parametrize("protocol", ["v1", "v2"])
async def test_a_unix_socket_for_rest_ends_the_start_with_the_flag(protocol):
    with pytest.raises(Fatal, match=r"^--predictor_host=unix:///p: a Unix socket is for --predictor_protocol=grpc-v2$"):
        Gateway(read(f"--predictor_protocol={protocol}", "--predictor_host=unix:///p"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", "http://localhost:8080"),
        ("localhost:8082", "http://localhost:8082"),
        ("http://127.0.0.1", "http://127.0.0.1:8080"),
        ("predictor.ns.svc.cluster.local", "http://predictor.ns.svc.cluster.local:80"),
        ("http://predictor:81/", "http://predictor:81"),
        ("https://predictor/", "https://predictor"),
        ("https://predictor:8443", "https://predictor:8443"),
        ("::1", "http://[::1]:8080"),
    ],
)
def test_a_rest_host_without_a_port_means_8080_on_this_machine_and_80_elsewhere(host, expected):
    assert base_url(host) == expected


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--predictor_protocol=grpc", "one of grpc-v2, v1, v2"),
        ("--http_port=65536", "an integer from 0 to 65535"),
        ("--predictor_request_retries=-1", "an integer from 0 to 100"),
        ("--predictor_request_timeout_seconds=nan", "a number from 0 to 86400"),
        ("--max_threads=many", "an integer from 0 to 1024"),
        ("--enable_predictor_health_check=maybe", "true or false"),
        ("--drain_delay", "a number from 0 to 86400"),
    ],
)
def test_a_bad_value_is_one_line_with_what_was_expected(flag, expected):
    (line,) = problems_of(flag)
    name, _, value = flag.partition("=")
    wrong = f"got {repr(value) if value else 'no value'}, expected {expected}"
    assert line == f"{name}: {wrong} (also read from TANDEM_TRANSFORMER_{name[2:].upper()})"


def test_all_problems_are_told_at_once():
    assert len(problems_of("--http_port=x", "--grpc_port=y", "--protocol=z")) == 3


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", "localhost:8082"),
        ("127.0.0.1", "127.0.0.1:8082"),
        ("[::1]", "[::1]:8082"),
        ("localhost:9000", "localhost:9000"),
        ("[::1]:9000", "[::1]:9000"),
        ("predictor.ns.svc.cluster.local", "predictor.ns.svc.cluster.local:80"),
        ("10.0.0.3:8033", "10.0.0.3:8033"),
        ("http://predictor", "predictor:80"),
        ("http://localhost/", "localhost:8082"),
        ("grpc://predictor:81/", "predictor:81"),
        ("dns:///predictor:81", "dns:///predictor:81"),
        ("unix:///run/tandem.sock", "unix:///run/tandem.sock"),
        ("unix:tandem.sock", "unix:tandem.sock"),
    ],
)
def test_a_host_without_a_port_means_8082_on_this_machine_and_80_elsewhere(host, expected):
    assert target(host) == expected


@pytest.mark.parametrize(("host", "expected"), [("::1", "[::1]:8082"), ("fd00::7", "[fd00::7]:80")])
def test_a_bare_ipv6_address_is_put_in_brackets(host, expected):
    assert target(host) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", {}),
        ("top_k=3", {"top_k": "3"}),
        (" top_k = 3 , labels=/a b.txt,", {"top_k": "3", "labels": "/a b.txt"}),
        ("query=a=b,empty=", {"query": "a=b", "empty": ""}),
    ],
)
def test_options_are_pairs(given, expected):
    assert options(given) == expected


def test_an_option_without_a_value_is_named():
    with pytest.raises(Fatal, match=r"^--transformer_options: 'verbose' is not of the form name=value$"):
        options("top_k=3,verbose,loud")


@pytest.mark.parametrize(
    ("flags", "receive", "send"),
    [
        ((), 64 * 2**20, 64 * 2**20),
        (("--max_message_bytes=1000",), 1000, 1000),
        (("--grpc_max_receive_message_length=99000000",), 64 * 2**20, 99_000_000),
        (("--grpc_max_send_message_length=99000000",), 99_000_000, 64 * 2**20),
        (("--grpc_max_receive_message_length=10", "--grpc_max_send_message_length=10"), 64 * 2**20, 64 * 2**20),
    ],
)
def test_what_fits_through_a_door_fits_through_the_hop(flags, receive, send):
    got = address(read(*flags, "--predictor_host=p:1", "--predictor_request_retries=2"))
    assert (got.target, got.retries) == ("p:1", 2)
    assert (got.max_receive, got.max_send) == (receive, send)


@pytest.mark.parametrize(
    ("given", "tls", "url"),
    [
        ({}, False, "http://localhost:8080/metrics"),
        ({}, True, "https://localhost:8080/metrics"),
        ({"predictor_host": "10.0.0.7:9000"}, False, "http://10.0.0.7:8080/metrics"),
        ({"predictor_host": "unix:///s"}, False, "http://localhost:8080/metrics"),
        ({"predictor_host": "predictor", "predictor_protocol": "v2"}, False, "http://predictor:80/metrics"),
        ({"predictor_host": "localhost", "predictor_protocol": "v1"}, False, "http://localhost:8080/metrics"),
        ({"predictor_metrics_url": "http://x:1/m"}, False, "http://x:1/m"),
    ],
)
def test_the_predictors_metrics_are_asked_at_its_http_door(given, tls, url):
    assert metrics_url(Settings(**given), tls=tls) == url
