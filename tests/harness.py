"""Starts the real services as processes on free ports. Nothing sleeps: a line of their logs is the event."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem_cli.child import die_with_parent

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_MODEL = ROOT / ".cache" / "models"
FLOATS_MODEL = ROOT / ".cache" / "variants" / "efficientnet-lite0-floats"
DIGITS = ROOT / "tests" / "models" / "digits"
PHOTOS = ROOT / "examples" / "image-classification" / "photos"
SHARED = ROOT.parent / "shared"  # the design folder's seed request, where it is laid beside the checkout
SOURCES = [ROOT / "shared" / "src", *(ROOT / "services" / name / "src" for name in ("predictor", "transformer"))]
PATIENCE = 30.0
INHERITED = dict(os.environ)
# With that support gRPC's core runs code of its own in a child before its exec, and now and then aborts there.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


class Process:
    """A command whose log lines can be waited for."""

    def __init__(self, *command: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**INHERITED, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - a test run that is killed leaves nothing behind
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @classmethod
    def python(
        cls,
        module: str,
        *arguments: str,
        env: dict[str, str] | None = None,
        within: tuple[str, ...] = (),
        python: str = sys.executable,
    ) -> Process:
        """A module of ours, run by the command `within` if one is given, under another `python` if one is."""
        if python != sys.executable:
            env = {"PYTHONPATH": os.pathsep.join(map(str, SOURCES)), **(env or {})}
        return cls(*within, python, "-m", module, *arguments, env=env)

    def wait_for(self, found: Callable[[str], Any], patience: float = PATIENCE) -> Any:
        """What `found` makes of the first line that it knows; fails if the process ends or patience does."""
        end, seen = time.monotonic() + patience, 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if result := found(line):
                        return result
                seen = len(self.lines)
                if self._ended or not self._changed.wait(end - time.monotonic()):
                    self.process.kill()
                    raise AssertionError("the line never came; the log:\n" + "\n".join(self.lines[-40:]))

    def entry(self, message: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The first JSON log entry whose message is `message`."""
        return self.wait_for(lambda line: _entry(line, message), patience)

    def send(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self, patience: float = PATIENCE) -> int:
        """Wait for the end; returns the exit status."""
        status = self.process.wait(patience)
        self._reader.join(patience)
        return status

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.send(number)
        return self.end()

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        self.process.stdout.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@dataclass
class Service:
    """A running predictor or transformer and its ports."""

    process: Process
    http_port: int
    grpc_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"


def start_predictor(
    *flags: str,
    http_port: int = 0,
    grpc_port: int = 0,
    env: dict[str, str] | None = None,
    within: tuple[str, ...] = (),
    python: str = sys.executable,
) -> Service:
    ports = (f"--http_port={http_port}", f"--grpc_port={grpc_port}")
    shared = ("--host=127.0.0.1", "--log_format=json", "--drain_idle=0.6")
    process = Process.python("tandem_predictor", *ports, *shared, *flags, env=env, within=within, python=python)
    entry = process.entry("ready")
    return Service(process, entry["http_port"], entry["grpc_port"])


def start_transformer(
    predictor_port: int,
    *flags: str,
    wait: bool = True,
    env: dict[str, str] | None = None,
    within: tuple[str, ...] = (),
    python: str = sys.executable,
) -> Service:
    return met(launch_transformer(predictor_port, *flags, env=env, within=within, python=python), wait=wait)


def launch_transformer(
    predictor_port: int,
    *flags: str,
    env: dict[str, str] | None = None,
    within: tuple[str, ...] = (),
    python: str = sys.executable,
) -> Process:
    return Process.python(
        "tandem_transformer",
        *("--host=127.0.0.1", "--http_port=0", "--grpc_port=0", "--log_format=json"),
        *(f"--predictor_host=127.0.0.1:{predictor_port}", *flags),
        env=env,
        within=within,
        python=python,
    )


def met(process: Process, *, wait: bool = True) -> Service:
    """The launched transformer once it listens, and has found its predictor unless told otherwise."""
    entry = process.entry("listening")
    if wait:
        process.entry("predictor: ready")
    return Service(process, entry["http_port"], entry["grpc_port"])


@dataclass
class Pair:
    """A transformer in front of a predictor."""

    transformer: Service
    predictor: Service
    model: str

    @property
    def infer_url(self) -> str:
        return f"{self.transformer.url}/v2/models/{self.model}/infer"


@contextmanager
def running_pair(
    model: str,
    predictor_flags: tuple[str, ...],
    transformer_flags: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[Pair]:
    predictor = start_predictor(f"--model_name={model}", *predictor_flags, env=env)
    try:
        transformer = start_transformer(predictor.grpc_port, f"--model_name={model}", *transformer_flags, env=env)
        try:
            yield Pair(transformer, predictor, model)
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


def metric(exposition: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry `labels`."""
    total, found = 0.0, False
    for line in exposition.splitlines():
        head, _, value = line.rpartition(" ")
        bare = head.partition("{")[0]
        if bare == name and all(f'{key}="{text}"' in head for key, text in labels.items()):
            total, found = total + float(value), True
    assert found, f"no {name} with {labels}"
    return total


def _entry(line: str, message: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.get("message") == message else None
