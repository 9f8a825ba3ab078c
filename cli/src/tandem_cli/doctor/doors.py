"""Checks of the doors: whether each is open, what is spoken there, who answers, and whether it lets us in."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tandem.doors.grpc_server import SERVICE
from tandem.oip import inference_pb2 as pb

from tandem_cli.doctor import probe
from tandem_cli.doctor.probe import Heard
from tandem_cli.doctor.report import NotChecked, Problem
from tandem_cli.doctor.service import Service, told

_REFUSED = "it refuses us"
_PORTS = {"HTTP": ("HOST:PORT", "--http_port"), "gRPC": ("--grpc_port", "--grpc_port")}
_TOKEN = (
    "give --token_file with a token of the service's --auth_token_file (--predictor_token_file for the predictor's)"  # noqa: S105 - a hint
)


async def http_door(service: Service) -> str:
    """HTTP is spoken on the HTTP port, by the service that it should be; else nothing more is asked there."""
    hello = f"GET /v2/health/live HTTP/1.1\r\nHost: {service.target.http}\r\nConnection: close\r\n\r\n".encode()
    try:
        await _door(service, "HTTP", hello)
        return f"{await _http_identity(service)} at {service.target.http}{_by(service)}"
    except Problem as problem:
        raise _perhaps(service, problem, away=True) from None


async def grpc_door(service: Service) -> str:
    """HTTP/2, and so gRPC, is spoken on the gRPC port, by the same service; else nothing more is asked there."""
    try:
        await _door(service, "gRPC", probe.PREFACE)
    except Problem as problem:
        raise _perhaps(service, problem, away=False) from None
    return f"{await _grpc_identity(service)} at {service.target.grpc}{_by(service)}"


def _by(service: Service) -> str:
    return " over TLS" if service.target.tls else ""


async def _http_identity(service: Service) -> str:
    """Who answers; raises Problem unless it is the Tandem service that it should be."""
    wanted = f"tandem-{service.target.role}"
    try:
        reply = await service.get("/v2")
        name = reply.json.get("name") if reply.status == 200 else None
        if reply.status in (401, 403):
            service.refused["HTTP"] = _REFUSED
            raise Problem(f"GET /v2 is {reply.error}", _TOKEN)
        if name != wanted:
            what = f"'{name}'" if name else f"no {wanted}: GET /v2 is {reply.error}"
            raise Problem(f"it is {what}", _other(service, str(name)))
    except Problem:
        if not service.refused["HTTP"]:
            service.closed["HTTP"] = "it is not the service that it should be"
        raise
    return f"{name} {reply.json.get('version')}"


async def _grpc_identity(service: Service) -> str:
    """Who answers; raises Problem unless it is the same service."""
    try:
        found, _ = await service.call(f"/{SERVICE}/ServerMetadata", b"", pb.ServerMetadataResponse.FromString)
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            service.refused["gRPC"] = _REFUSED
            raise Problem(told(error), _TOKEN) from None
        service.closed["gRPC"] = "it does not answer as it should"
        raise Problem(told(error), f"is {service.target.grpc} the door of a Tandem service?") from None
    if found.name != f"tandem-{service.target.role}":
        service.closed["gRPC"] = "it is not the service that it should be"
        raise Problem(f"it is '{found.name}', not tandem-{service.target.role}", _other(service, found.name))
    return f"{found.name} {found.version}"


async def ready(service: Service) -> str:
    """It takes requests, or says why not."""
    reply = await service.get("/v2/health/ready")
    if reply.status != 200:
        raise Problem(reply.error, _unready(service, reply.error))
    return "it takes requests"


async def health(service: Service) -> str:
    """grpc.health.v1 says the same as HTTP."""
    service.need("gRPC", "/v2/health/ready")
    parse = health_pb2.HealthCheckResponse.FromString
    names = []
    for name in ("", SERVICE):
        try:
            request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
            answer, _ = await service.call("/grpc.health.v1.Health/Check", request, parse)
        except grpc.aio.AioRpcError as error:
            raise Problem(f"Check('{name}') is {told(error)}") from None
        names.append(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    says = "/".join(dict.fromkeys(names))
    serving = service.closed["HTTP"] == "" and (await service.get("/v2/health/ready")).status == 200
    if not service.closed["HTTP"] and says != ("SERVING" if serving else "NOT_SERVING"):
        ours = "ready" if serving else "not ready"
        raise Problem(f"{says}, but HTTP says {ours}", "are the two ports of one process?")
    return says if serving or service.closed["HTTP"] else f"{says}, as HTTP says"


async def reflection(service: Service) -> str:
    """Reflection lists the inference service, so that grpcurl needs no .proto."""
    service.need("gRPC")
    request = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    parse = reflection_pb2.ServerReflectionResponse.FromString
    try:  # as a call of one message each way: a stream that is refused may end before it has learnt why
        answer, _ = await service.call(method, request, parse)
    except grpc.aio.AioRpcError as error:
        raise Problem(f"no reflection: {told(error)}", "a proxy between may have to let it through") from None
    listed = [item.name for item in answer.list_services_response.service]
    if SERVICE not in listed:
        raise Problem(f"{SERVICE} is not among {', '.join(listed) or 'nothing'}")
    return f"lists {SERVICE}"


async def _door(service: Service, door: str, hello: bytes) -> None:
    """Raise Problem unless at a door is spoken what should be."""
    target = service.target
    address = target.http if door == "HTTP" else target.grpc
    context = None if not target.tls else target.tls.for_http if door == "HTTP" else target.tls.for_grpc
    heard = await probe.hear(address, hello, context, service.timeout)
    if heard.kind == door:
        service.closed[door] = ""
        return
    service.closed[door] = f"the {door} door is not open to us"
    if context is None and heard.kind in (probe.TLS, probe.CLOSED, probe.OTHER):
        if await probe.encrypts(address, service.timeout):
            raise Problem(f"TLS is spoken at {address}", "give --cacert, or an https:// address")
    elif context and heard.kind == probe.CLOSED:
        plain = await probe.hear(address, hello, None, service.timeout)
        if plain.kind in (probe.HTTP, probe.GRPC):
            raise Problem(
                f"plain {plain.kind}, and no TLS, is spoken at {address}",
                "give an http:// address, or start it with --ssl_certfile and --ssl_keyfile",
            )
    raise _wrong(service, door, heard)


def _perhaps(service: Service, problem: Problem, *, away: bool) -> Problem:
    """`problem`, unless the user has not said that the service should be there: `away` then ends its examination."""
    if service.target.named:
        return problem
    service.away = away
    return NotChecked(f"{problem.text}; name the predictor with --predictor if it can be reached from here")


def _wrong(service: Service, door: str, heard: Heard) -> Problem:
    address = service.target.http if door == "HTTP" else service.target.grpc
    argument, flag = _PORTS[door]
    if service.target.role == "predictor":
        argument = "--predictor" if door == "HTTP" else "--predictor_grpc_port"
    if heard.kind in (probe.HTTP, probe.GRPC):
        return Problem(
            f"{heard.kind} is spoken at {address}", f"give the {door} port here ({argument}); are two ports swapped?"
        )
    if heard.kind == probe.NOBODY:
        return Problem(heard.reason, f"start the {service.target.role}, or give its {door} port here as {argument}")
    if heard.kind == probe.UNTRUSTED:
        return Problem(
            f"its certificate is refused: {heard.reason}",
            "give its authority with --cacert, and a name that it holds as HOST",
        )
    if heard.kind == probe.SILENT:
        return Problem(
            f"{heard.reason} at {address}", "is the process stuck or stopped, or a packet filter between? see its log"
        )
    if heard.kind == probe.CLOSED:
        hint = (
            "it may demand a client's certificate: give --cert and --key"
            if service.target.tls
            else f"is it a Tandem service? its port is {flag}"
        )
        return Problem(f"{heard.reason} at {address}", hint)
    return Problem(f"neither HTTP nor gRPC is spoken at {address}", f"give the port of {flag} here ({argument})")


def _unready(service: Service, text: str) -> str:
    if service.target.role == "predictor":
        return "wait until its model is loaded; its log says what became of it"
    if "setup failed" in text:
        return "--transformer does not suit the predictor's model; the transformer's log has the reason"
    if "not found" in text:
        return "give both services the same --model_name"
    return "see that the predictor runs, and that the transformer's --predictor_host is its gRPC door"


def _other(service: Service, name: str) -> str:
    ours = service.target.role
    if name in ("tandem-transformer", "tandem-predictor"):
        return f"give the {ours}'s door here; the transformer's are 8000 and 8081, the predictor's 8080 and 8082"
    return f"give the address of a tandem-{ours}"
