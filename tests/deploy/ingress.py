"""An Envoy in front of a transformer, which it tells by the Host, as the gateways do that KServe sets up."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.client import ask
from foreign import environment
from harness import PATIENCE, Process, Service

REST, GRPC = "custom-model.default.example.com", "custom-model-grpc.default.example.com"
_TYPES = "type.googleapis.com/envoy.extensions"
_HTTP2 = {
    f"{_TYPES.removeprefix('type.googleapis.com/').replace('/', '.')}.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


@contextmanager
def ingress(upstream: Service, folder: Path) -> Iterator[int]:
    """The port of an Envoy that listens for both hosts; ended with the block."""
    file = folder / "envoy.json"
    file.write_text(json.dumps(configuration(upstream)))
    flags = ("--admin-address-path", "admin", "--disable-hot-restart", "--concurrency", "1", "-l", "info")
    process = Process(str(environment("envoy") / "envoy"), "-c", str(file), *flags, cwd=folder)
    try:
        process.wait_for(lambda line: "starting main dispatch loop" in line)
        admin = (folder / "admin").read_text().strip()
        listeners = ask(f"http://{admin}/listeners?format=json").json["listener_statuses"]
        port = int(listeners[0]["local_address"]["socket_address"]["port_value"])
        wait_until_listening(port)
        yield port
    finally:
        process.stop()


def wait_until_listening(port: int) -> None:
    """Envoy has bound its port before it listens on it, which it does once it has probed its clusters."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < end, "Envoy does not listen"
            time.sleep(0.01)


def configuration(upstream: Service) -> dict[str, Any]:
    """Two hosts, two clusters; who is not ready is sent nothing, as Kubernetes takes its endpoint away."""
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "codec_type": "AUTO",
        "route_config": {"virtual_hosts": [_host("rest", REST), _host("grpc", GRPC)]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
        ],
    }
    connections = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "admin": {"address": _address(0)},
        "static_resources": {
            "listeners": [{"name": "ingress", "address": _address(0), "filter_chains": [{"filters": [connections]}]}],
            "clusters": [
                _cluster("rest", upstream.http_port, upstream.http_port),
                _cluster("grpc", upstream.grpc_port, upstream.http_port) | {"typed_extension_protocol_options": _HTTP2},
            ],
        },
    }


def _host(cluster: str, domain: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "60s"}}
    return {"name": cluster, "domains": [domain, f"{domain}:*"], "routes": [route]}


def _cluster(name: str, port: int, probed: int) -> dict[str, Any]:
    """A cluster of one endpoint, which is probed at another of its ports."""
    endpoint = {"address": _address(port), "health_check_config": {"port_value": probed}}
    times = {"interval": "0.1s", "no_traffic_interval": "0.1s", "timeout": "1s"}
    thresholds = {"healthy_threshold": 1, "unhealthy_threshold": 1}
    return {
        "name": name,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        "health_checks": [times | thresholds | {"http_health_check": {"path": "/v2/health/ready"}}],
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
