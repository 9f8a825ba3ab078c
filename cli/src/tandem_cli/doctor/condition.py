"""Checks of a service's condition: clock, sizes, metrics, versions."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import grpc

from tandem_cli.doctor import probe
from tandem_cli.doctor.report import Doubt, NotChecked, Problem
from tandem_cli.doctor.service import INFER, Service, total

_SKEW = 5.0  # seconds; the header has whole ones, and an answer takes its time
_CLAIM = 2**50  # bytes that no service takes, and that are never sent
_CHEAP = 2**26  # bytes of zeros, which travel as a thousandth of that
_MANY, _SHARE = 10, 0.01  # so many requests, and so much of all, are worth a word
_FAULTS = ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DATA_LOSS", "UNIMPLEMENTED", "DEADLINE_EXCEEDED")  # 5xx over HTTP
_LIMIT = re.compile(rb"larger than (\d+) bytes")
_GRPC_LIMIT = re.compile(r"vs\. (\d+)\)")
_KEEPS = "has your ingress another? mend --max_message_bytes, or --grpc_max_receive_message_length"


async def clock(service: Service) -> str:
    """Its clock is ours."""
    header = (await service.get("/v2/health/live")).headers.get("date", "")
    try:
        skew = parsedate_to_datetime(header).timestamp() - time.time()
    except ValueError:
        raise Doubt(f"the answer's Date is '{header}'") from None
    if abs(skew) > _SKEW:
        text = f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours"
        raise Doubt(text, "set the clocks by NTP: certificates, tokens and logs rely on them")
    return f"within {_SKEW:g} s of ours"


async def metrics(service: Service) -> str:
    """/metrics parses, and is Tandem's."""
    samples = await service.samples()
    if total(samples, "tandem_ready") is None:
        raise Problem("no tandem_ready at /metrics")
    return f"{len(samples)} samples"


async def hop(transformer: Service) -> str:
    """The transformer reaches its predictor, and which way its requests went there."""
    samples = await transformer.samples()
    if not total(samples, "tandem_predictor_channel_ready"):
        mend = "see that the predictor runs, and that the transformer's --predictor_host is its gRPC door"
        raise Problem("the predictor does not answer the transformer: tandem_predictor_channel_ready is 0", mend)
    ways = {way: total(samples, "tandem_hop_total", transport=way) or 0 for way in ("socket", "shm")}
    return f"open; {ways['socket']:.0f} requests by socket, {ways['shm']:.0f} by shared memory"


async def traffic(service: Service) -> str:
    """Few requests are refused or fail."""
    samples = await service.samples()
    requests = total(samples, "tandem_requests_total") or 0.0
    faults = sum(total(samples, "tandem_requests_total", code=code) or 0.0 for code in _FAULTS)
    refused = total(samples, "tandem_rejected_total") or 0.0
    flying = total(samples, "tandem_in_flight_requests") or 0.0
    text = f"{requests:.0f} requests, {faults:.0f} failed, {refused:.0f} rejected, {flying:.0f} in flight"
    if faults >= _MANY and faults > _SHARE * requests:
        raise Doubt(text, "the log has a line for each that failed, with its code")
    if refused >= _MANY and refused > _SHARE * requests:
        raise Doubt(text, "it is overloaded: add CPUs, instances or replicas (tandem_rejected_total says why)")
    return text


async def versions(transformer: Service, predictor: Service) -> str:
    """Both are of one release."""
    front, back = [await _version(service) for service in (transformer, predictor)]
    if front != back:
        text = f"the transformer is {front}, the predictor {back}"
        raise Doubt(text, "a rollout may pass through this; else give both images one tag")
    return f"both are {front}"


async def sizes(transformer: Service, predictor: Service, model: str) -> str:
    """What one takes the other takes too, told by what they say of a request that only claims to be huge."""
    front, back = [await http_limit(service, model) for service in (transformer, predictor)]
    mend = "give both the same --max_message_bytes"
    if back < front:
        text = f"the transformer takes {front} bytes, the predictor only {back}"
        raise Problem(f"{text}: what lies between is refused behind the door", mend)
    if back > front:
        raise Doubt(f"the transformer takes {front} bytes, the predictor {back}", mend)
    return f"both take {front} bytes"


async def grpc_size(service: Service, model: str) -> str:
    """The gRPC door takes what the HTTP door takes. The message that tells is zeros, compressed to nearly nothing."""
    service.need("gRPC")
    limit = await http_limit(service, model)
    if limit > _CHEAP:
        raise NotChecked(f"a message of over {_CHEAP} bytes would be needed")
    try:
        await service.call(INFER, bytes(limit + 1), bytes, grpc.Compression.Gzip)
    except grpc.aio.AioRpcError as error:
        found = _GRPC_LIMIT.search(error.details() or "")
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:  # it was taken, and it is no message
            raise Doubt(f"HTTP takes {limit} bytes, gRPC more", _KEEPS) from None
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or not found:
            raise NotChecked(f"it does not tell: {error.code().name}") from None
        if int(found[1]) != limit:
            raise Doubt(f"HTTP takes {limit} bytes, gRPC {found[1]}", _KEEPS) from None
        return f"both doors take {limit} bytes"
    raise NotChecked("it does not tell")


async def http_limit(service: Service, model: str) -> int:
    """The largest body that it takes, in bytes; raises NotChecked if it does not say so."""
    service.need("HTTP", "/v2/models")
    lines = [
        f"POST /v2/models/{quote(model, safe='')}/infer HTTP/1.1",
        f"Host: {service.target.http}",
        f"Content-Length: {_CLAIM}",
    ]
    lines += [f"{name}: {value}" for name, value in service.headers.items()]
    hello = "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()
    context = service.target.tls.for_http if service.target.tls else None
    heard = await probe.hear(service.target.http, hello, context, service.timeout, until=b"}")
    if not (found := _LIMIT.search(heard.data)):
        raise NotChecked(f"the {service.target.role} does not tell its limit")
    return int(found[1])


async def _version(service: Service) -> str:
    built = [labels.get("version", "") for name, labels, _ in await service.samples() if name == "tandem_build_info"]
    if not built:
        raise NotChecked(f"the {service.target.role} has no tandem_build_info")
    return built[0]
