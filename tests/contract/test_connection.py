"""One persistent channel between the two: a thousand requests, one connection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from contract.client import ask
from harness import DIGITS, running_pair

ESTABLISHED = "01"


def connections(pid: int, port: int) -> int:
    """The established TCP connections of process `pid` to local `port`."""
    own = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    sockets = {name.removeprefix("socket:[").removesuffix("]") for name in own if name.startswith("socket:[")}
    count = 0
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            remote, state, inode = fields[2], fields[3], fields[9]
            count += inode in sockets and state == ESTABLISHED and int(remote.rpartition(":")[2], 16) == port
    return count


def test_after_a_thousand_requests_there_is_one_connection_to_the_predictor() -> None:
    image = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": np.zeros(64).tolist()}
    with running_pair(
        "digits", (f"--model_dir={DIGITS}",), ("--transformer=identity", "--enable_latency_logging=false")
    ) as pair:
        for _ in range(1000):
            assert ask(pair.infer_url, "POST", {"inputs": [image]}).status == 200
        assert connections(pair.transformer.process.process.pid, pair.predictor.grpc_port) == 1


def test_a_unix_socket_does_as_well(tmp_path: Path) -> None:
    socket = tmp_path / "predictor.sock"
    image = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": np.zeros(64).tolist()}
    flags = ("--transformer=identity", f"--predictor_host=unix://{socket}")
    with running_pair("digits", (f"--model_dir={DIGITS}", f"--grpc_socket={socket}"), flags) as pair:
        assert ask(pair.infer_url, "POST", {"inputs": [image]}).status == 200
        assert connections(pair.transformer.process.process.pid, pair.predictor.grpc_port) == 0
