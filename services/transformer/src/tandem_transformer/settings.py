"""The transformer's flags. KServe's own names where KServe has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tandem.doors.settings import PORT, SECONDS, DoorSettings
from tandem.lifecycle import Fatal
from tandem.settings import boolean, choice, flag, integer, text

from tandem_transformer.hop.forwarding import names

GRPC = "grpc-v2"


@dataclass(frozen=True, slots=True)
class Settings(DoorSettings):
    """What the transformer adds to the flags of its doors."""

    model_name: str = flag("model", text, "the model served, here and by the predictor", "pipeline")
    transformer: str = flag(
        "image-classification",
        text,
        "a built-in name, [kserve:]module:Class or [kserve:]/path/file.py:Class",
        "pipeline",
    )
    transformer_options: str = flag("", text, "k=v,k=v for the transformer's setup", "pipeline")
    max_threads: int = flag(
        0, integer(0, 1024), "threads for pre- and postprocessing; 0: the cgroup's CPUs", "pipeline"
    )
    predictor_host: str = flag("localhost:8082", text, "host:port of the predictor, or unix:///path", "predictor")
    protocol: str = flag(
        "", choice("grpc-v2", "v1", "v2"), "protocol of the predictor, if the next is not set", "predictor"
    )
    predictor_protocol: str = flag(
        "", choice("grpc-v2", "v1", "v2"), "protocol of the predictor [grpc-v2]", "predictor"
    )
    predictor_request_timeout_seconds: float = flag(
        600.0, SECONDS, "deadline of a request that brings none; 0: none", "predictor"
    )
    predictor_request_retries: int = flag(
        0, integer(0, 100), "retries of a call that could not be sent at all", "predictor"
    )
    enable_predictor_health_check: bool = flag(True, boolean, "be ready only while the predictor is", "predictor")
    shared_memory: str = flag(
        "auto",
        choice("auto", "on", "off"),
        "large tensors by /dev/shm: where it is shared; on: warn if not",
        "predictor",
    )
    local_socket: str = flag(
        "auto", choice("auto", "off"), "small calls by a local socket where there is one; off: by gRPC", "predictor"
    )
    predictor_use_ssl: bool = flag(False, boolean, "TLS to the predictor", "security")
    predictor_ssl_ca_certs: str = flag("", text, "PEM authorities to trust there [the system's]", "security")
    predictor_ssl_certfile: str = flag("", text, "PEM certificate to show there", "security")
    predictor_ssl_keyfile: str = flag("", text, "PEM key of it", "security")
    predictor_ssl_server_name: str = flag("", text, "name in its certificate, if not the host's", "security")
    predictor_auth_token_file: str = flag("", text, "bearer token to send there: the file's first line", "security")
    forward_headers: tuple[str, ...] = flag(
        (), names, "headers to pass on to the predictor beside those of tracing, with commas between", "security"
    )
    merge_predictor_metrics: bool = flag(
        False, boolean, "show the predictor's metrics too at /metrics, with the label container", "metrics"
    )
    predictor_metrics_url: str = flag(
        "", text, "where they are [http(s)://HOST:8080/metrics of --predictor_host]", "metrics"
    )
    http_port: int = flag(8000, PORT, "port of REST, health and /metrics", "ports")
    enable_ui: bool = flag(False, boolean, "serve a page at / to try the model and watch the pair", "other")
    drain_delay: float = flag(0.0, SECONDS, "seconds served on after readiness goes false", "shutdown")

    @property
    def hop_protocol(self) -> str:
        """The protocol of the predictor."""
        return self.predictor_protocol or self.protocol or GRPC


def target(host: str) -> str:
    """The gRPC target of --predictor_host: without a port, 8082 on this machine and 80 elsewhere."""
    if host.startswith("unix:"):
        return host
    bare = host.removeprefix("http://").removeprefix("grpc://").rstrip("/")
    if bare.count(":") > 1 and bare.replace(":", "").isalnum():
        bare = f"[{bare}]"  # an IPv6 address on its own
    name, colon, port = bare.rpartition(":")
    if colon and port.isdigit() and not name.endswith(":"):
        return bare
    return f"{bare}:{8082 if bare in ('localhost', '127.0.0.1', '[::1]') else 80}"


def base_url(host: str, tls: bool = False) -> str:
    """The URL of a REST --predictor_host: without a port, 8080 on this machine and 80 elsewhere."""
    if host.startswith("https://"):
        return host.rstrip("/")
    bare = target(host)
    if bare.endswith(":8082") and ":8082" not in host:
        bare = bare.removesuffix("8082") + "8080"
    return f"{'https' if tls else 'http'}://{bare}"


def metrics_url(settings: Settings, *, tls: bool) -> str:
    """Where the predictor's metrics are: its HTTP door, by default the one of the pair on this machine."""
    if settings.predictor_metrics_url:
        return settings.predictor_metrics_url
    if settings.hop_protocol != GRPC:
        return f"{base_url(settings.predictor_host, tls)}/metrics"
    socket = settings.predictor_host.startswith("unix:")
    host = "localhost" if socket else target(settings.predictor_host).rpartition(":")[0]
    return f"{'https' if tls else 'http'}://{host}:8080/metrics"


def options(given: str) -> Mapping[str, str]:
    """--transformer_options as a mapping; raises Fatal on an entry without `=`."""
    entries = [entry.strip() for entry in given.split(",") if entry.strip()]
    if wrong := [entry for entry in entries if "=" not in entry]:
        raise Fatal(f"--transformer_options: '{wrong[0]}' is not of the form name=value")
    return {name.strip(): value.strip() for name, _, value in (entry.partition("=") for entry in entries)}
