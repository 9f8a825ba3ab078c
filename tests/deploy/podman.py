"""podman, with a store of its own below .cache/images: containers and pods that end with the test."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.client import Reply, ask
from harness import ROOT

STORE = ROOT / ".cache" / "images"
CONFIGURATION = {
    "containers.conf": """
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
""",
    "storage.conf": f"""
[storage]
driver = "overlay"
graphroot = "{STORE}/storage"
runroot = "{STORE}/run"
""",
}
VARIABLES = {
    **os.environ,
    "CONTAINERS_CONF": str(STORE / "containers.conf"),
    "CONTAINERS_STORAGE_CONF": str(STORE / "storage.conf"),
}
PATIENCE = 60.0


def podman(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command of podman's; one that fails is told with its output, unless `check` is false."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, env=VARIABLES, check=False)
    assert done.returncode == 0 or not check, f"podman {arguments[0]}: {done.stdout}{done.stderr}"
    return done


def printed(*arguments: str | Path) -> str:
    """What a command of podman's prints."""
    return podman(*arguments).stdout.strip()


def logs(container: str) -> str:
    """What a container has logged."""
    done = podman("logs", container)
    return done.stdout + done.stderr


@contextmanager
def running(*arguments: str | Path) -> Iterator[str]:
    """A container while it is needed; its id."""
    container = printed("run", "--detach", *arguments)
    try:
        yield container
    finally:
        podman("rm", "--force", "--time=0", container)


@contextmanager
def pod(port: int) -> Iterator[tuple[str, str]]:
    """An empty pod: the address that leads to its `port`, and the flag with which a container joins it."""
    here = free_port()
    name = printed("pod", "create", f"--publish=127.0.0.1:{here}:{port}")
    try:
        yield f"http://127.0.0.1:{here}", f"--pod={name}"
    finally:
        podman("pod", "rm", "--force", "--time=0", name)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answered(url: str, body: bytes | None = None) -> Reply:
    """The first answer with status 200, of a service that is starting."""

    def asked() -> Reply | None:
        try:
            reply = ask(url, "POST" if body else "GET", body)
        except OSError:
            return None
        return reply if reply.status == 200 else None

    return comes(asked, f"a good answer from {url}")


def comes(found: Callable[[], Any], what: str) -> Any:
    """What `found` gives as soon as it gives something; fails when patience ends."""
    end = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < end, f"there never was {what}"
        time.sleep(0.1)
    return result
