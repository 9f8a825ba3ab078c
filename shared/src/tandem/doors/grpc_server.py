"""The gRPC server of either service: its services, its channel arguments, its ports."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_channelz.v1 import channelz_pb2
from grpc_channelz.v1.channelz import add_channelz_servicer
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tandem.doors.health import HealthServicer
from tandem.doors.servicer import InferenceServicer
from tandem.doors.settings import DoorSettings
from tandem.doors.translation import Translating
from tandem.lifecycle import Fatal, Readiness
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc
from tandem.security.tls import ServerTls
from tandem.security.tokens import Guard, Tokens
from tandem.workers import worker

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
CHANNELZ = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name


# Of one connection, those that were reset and not yet looked at among them. With 1,000 calls that wait to be looked at,
# gRPC begins to cancel new ones by chance, whosesoever they are: one who floods must not get there.
STREAMS = 900


class PortTaken(Fatal):
    """An address that cannot be listened on; the text names it."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a server listens: a port on a host (empty: every interface) and perhaps a Unix socket."""

    host: str
    port: int
    unix: str = ""


def make(
    servicer: InferenceServicer, readiness: Readiness, settings: DoorSettings, tokens: Tokens | None = None
) -> grpc.aio.Server:
    """A server with inference, health, reflection and perhaps Channelz, bound to nothing yet."""
    options = [
        # with it, a second server on a taken port starts without an error
        ("grpc.so_reuseport", int(worker.is_worker())),
        ("grpc.max_receive_message_length", settings.max_receive),
        ("grpc.max_send_message_length", settings.max_send),
        ("grpc.max_metadata_size", settings.max_header_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.keepalive_permit_without_calls", 1),  # a client may probe an idle connection ...
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # ... as often as this
    ]
    server = grpc.aio.server(options=options, interceptors=[Guard(tokens)] if tokens else None)
    registrar = Translating(server, settings.max_tensors)  # has what registering needs of a server
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, registrar)  # type: ignore[arg-type]
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(readiness, frozenset({SERVICE})), server)
    if settings.enable_channelz:
        add_channelz_servicer(server)
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME, *([CHANNELZ] if settings.enable_channelz else []))
    reflection.enable_server_reflection(names, server)
    return server


def bind(server: grpc.aio.Server, listen: Listen, tls: ServerTls | None = None) -> int:
    """Listen there, on the port with TLS if given; returns the port, the system's choice for 0. Raises PortTaken."""
    probe(listen, f"gRPC on port {listen.port} (--grpc_port)")  # gRPC itself tells the reason only to its own log
    if listen.unix:
        _bind(server, f"unix://{Path(listen.unix).absolute()}", f"--grpc_socket {listen.unix}", None)
    return _bind(server, address(listen.host, listen.port), f"port {listen.port} (--grpc_port)", tls)


def address(host: str, port: int) -> str:
    """The gRPC address of a host and port; the empty host is every interface, IPv6 too where the machine has it."""
    host = host or ("::" if socket.has_dualstack_ipv6() else "0.0.0.0")  # noqa: S104 - pods are reached from outside
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(server: grpc.aio.Server, target: str, name: str, tls: ServerTls | None) -> int:
    try:
        if tls:
            return server.add_secure_port(target, tls.credentials())
        return server.add_insecure_port(target)
    except RuntimeError as error:
        raise PortTaken(f"cannot listen for gRPC on {name}: {error}") from error


def probe(listen: Listen, what: str) -> None:
    """Take the port for a moment, so that a taken one is told with its reason; raises PortTaken naming `what`.

    A worker shares its port with others; the supervisor has looked.
    """
    if worker.is_worker():
        return
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        socket.create_server((listen.host, listen.port), family=family).close()
    except OSError as error:
        reason = "it is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise PortTaken(f"cannot listen for {what}: {reason}") from error
