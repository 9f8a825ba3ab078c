"""The flags that both services have."""

from __future__ import annotations

from dataclasses import dataclass

from tandem.inference import Limits
from tandem.settings import boolean, choice, flag, integer, number, text

PORT = integer(0, 65535)
LENGTH = integer(0, 2**31 - 1)
SECONDS = number(0, 86_400)


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """Ports, limits, shutdown and logs. The services add their own flags and port numbers."""

    host: str = flag("", text, "address to listen on; empty: every interface", "ports")
    http_port: int = flag(8080, PORT, "port of REST, health and /metrics", "ports")
    grpc_port: int = flag(8081, PORT, "port of gRPC", "ports")
    max_message_bytes: int = flag(
        64 * 2**20, integer(1, 2**31 - 1), "largest request or response, everywhere", "limits"
    )
    grpc_max_receive_message_length: int = flag(0, LENGTH, "largest gRPC request; 0: as above", "limits")
    grpc_max_send_message_length: int = flag(0, LENGTH, "largest gRPC response; 0: as above", "limits")
    max_in_flight: int = flag(1024, integer(1, 1_000_000), "requests worked on; more are refused with 429", "limits")
    max_connections: int = flag(4096, integer(1, 1_000_000), "open on each port; more are closed at once", "limits")
    max_tensors: int = flag(256, integer(1, 65_536), "inputs, or requested outputs, of a request", "limits")
    max_elements: int = flag(2**28, integer(1, 2**40), "elements of one tensor", "limits")
    max_name_length: int = flag(256, integer(1, 65_536), "characters of a tensor's name or a request's id", "limits")
    max_header_bytes: int = flag(16_384, integer(1024, 2**20), "largest header line, or gRPC metadata in all", "limits")
    max_bytes_in_flight: int = flag(
        512 * 2**20, integer(1, 2**40), "bytes of all requests worked on; more are refused with 429", "limits"
    )
    ssl_certfile: str = flag("", text, "PEM certificate, with its chain: TLS on both ports", "security")
    ssl_keyfile: str = flag("", text, "PEM key of the certificate", "security")
    ssl_ca_certs: str = flag("", text, "PEM authorities, one of which must have signed a client's", "security")
    auth_token_file: str = flag("", text, "bearer tokens, one a line; health and /metrics need none", "security")
    cors_origins: str = flag("", text, "origins whose pages may call, with commas between; *: all", "security")
    grace: float = flag(30.0, SECONDS, "seconds that a stopping service waits for its calls at most", "shutdown")
    log_level: str = flag("info", choice("debug", "info", "warning", "error"), "least severe lines to log", "logs")
    log_format: str = flag("auto", choice("auto", "json", "console"), "json, console, or auto: by the terminal", "logs")
    enable_latency_logging: bool = flag(True, boolean, "log a line a request, with its phases", "logs")
    enable_docs_url: bool = flag(False, boolean, "serve a page on the REST interface at /docs", "other")
    enable_channelz: bool = flag(False, boolean, "serve gRPC's own view of its channels and calls, Channelz", "other")
    enable_admin: bool = flag(
        False, boolean, "show at /admin what goes on inside: requests, tasks, threads, settings, last errors", "other"
    )
    workers: int = flag(1, integer(1, 1024), "processes behind both ports, at most the CPUs; transformer only", "other")
    print_config: bool = flag(False, boolean, "print every setting and its source, then end", "other")
    version: bool = flag(False, boolean, "print the version, then end", "other")

    @property
    def limits(self) -> Limits:
        """What one request may bring."""
        return Limits(self.max_tensors, self.max_elements, self.max_name_length)

    @property
    def max_receive(self) -> int:
        """The largest message taken from a client, in bytes."""
        return self.grpc_max_receive_message_length or self.max_message_bytes

    @property
    def max_bytes(self) -> int:
        """The most that all requests may hold; the largest one has room when it is alone."""
        return max(self.max_bytes_in_flight, self.max_receive)

    @property
    def max_send(self) -> int:
        """The largest message given to a client, in bytes."""
        return self.grpc_max_send_message_length or self.max_message_bytes
