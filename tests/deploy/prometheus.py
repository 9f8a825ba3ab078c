"""A real Prometheus on a free port of the loopback. What it has seen is asked of its API until it is there."""

from __future__ import annotations

import json
import math
import socket
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.client import ask
from harness import ROOT, Process

MONITORING = ROOT / "deploy" / "monitoring"
PATIENCE = 20.0  # scrapes and rules come every second


def config(jobs: list[dict[str, Any]]) -> str:
    """prometheus.yml, in JSON, which is YAML too."""
    every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    rules = [str(MONITORING / name) for name in ("rules.yaml", "alerts.yaml")]
    return json.dumps({"global": every, "rule_files": rules, "scrape_configs": jobs})


class Prometheus:
    def __init__(self, program: str, folder: Path, config: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = Process(
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
        )
        self.process.wait_for(lambda line: "Server is ready to receive web requests" in line)

    def get(self, path: str, **parameters: Any) -> Any:
        reply = ask(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = reply.json
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """An instant query's samples; those that are no number are left out, as nobody sees them in a panel."""
        samples = [(one["metric"], float(one["value"][1])) for one in self.get("query", query=expr)["result"]]
        return [(labels, value) for labels, value in samples if math.isfinite(value)]

    def comes(self, found: Callable[[], Any], what: str) -> Any:
        """What `found` gives as soon as it gives something; fails when patience ends."""
        end = time.monotonic() + PATIENCE
        while not (result := found()):
            assert time.monotonic() < end, f"Prometheus never had {what}"
            time.sleep(0.1)
        return result
