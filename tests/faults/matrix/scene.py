"""Requests in one phase: those that a fault befalls, and others, which it must not harm."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from faults.matrix.calls import Asked, Call
from faults.matrix.site import THREADS, Site, until, value
from harness import Service


class Place(Enum):
    """Where the phase is, as seen from the predictor."""

    BEFORE = auto()
    HOP = auto()
    QUEUE = auto()
    RUN = auto()
    PAST = auto()


@dataclass(frozen=True)
class Plan:
    """What a fault wants of its subjects: a deadline, or to meet a slow model on the rest of their way."""

    seconds: float | None = None
    slow: bool = False

    def asked(self, wait: str = "") -> Asked:
        """A request that waits at the gate of `wait`."""
        return Asked(wait, self.seconds, self.slow)


@dataclass
class Scene:
    """`go_on` ends the phase."""

    site: Site
    place: Place
    passable: bool = False  # whether bystanders can be answered meanwhile
    unread: bool = False  # whether the subjects have begun to read their answers, and stopped
    subjects: list[tuple[Service, Call]] = field(default_factory=list)
    others: list[tuple[Service, Call]] = field(default_factory=list)
    go_on: Callable[[], object] = lambda: None
    begun: float = field(default_factory=time.monotonic)

    def bring(self, asked: Callable[[], Asked], *, complete: bool = True) -> None:
        """Send one request over each door of each transformer; incomplete ones over HTTP.

        gRPC's core hands messages over whole: a gRPC request that is still being read has not begun for Tandem.
        """
        self.begun = time.monotonic()
        for service, protocol in self.site.ways:
            if complete or protocol == "http":
                self.subjects.append((service, self.site.call(service, protocol, asked(), complete=complete)))

    def join(self, asked: Asked | None = None) -> None:
        """Another comes."""
        self.others.append((self.site.near, self.site.call(self.site.near, "http", asked or Asked())))

    def occupy_model(self) -> None:
        """Another waits at the gate in the only instance."""
        self.join(Asked(slow=True))
        self.site.gates["predict"].wait_until_started(1)

    def occupy_threads(self) -> None:
        """Others wait in preprocess, in every thread of each transformer."""
        for service in self.site.transformers * THREADS:
            self.others.append((service, self.site.call(service, "http", Asked("preprocess"))))
        self.site.gates["preprocess"].wait_until_started(len(self.others))

    def bystanders(self) -> list[str]:
        """How one more request over each door ends."""
        calls = [self.site.call(*way, Asked()) for way in self.site.ways]
        return [call.outcome for call in calls]

    def finish_subjects(self, of: Service | None = None) -> None:
        """Wait for the outcomes, `of` one transformer or all."""
        for service, call in self.subjects:
            if of in (None, service):
                _ = call.outcome

    def finish_others(self) -> None:
        for _, call in self.others:
            _ = call.outcome

    def until_in_flight(self, count: int) -> None:
        for service in self.site.transformers:
            until(lambda service=service: value(service, "tandem_in_flight_requests") == count, "in flight")

    def until_gone_from_transformers(self) -> None:
        """Until only the others are in flight in them."""
        for service in self.site.transformers:
            rest = sum(at is service for at, _ in self.others)
            until(lambda s=service, n=rest: value(s, "tandem_in_flight_requests") == n, "gone")

    def until_gone_from_predictor(self) -> None:
        """Until only the others are in flight in it, and nothing is queued."""
        rest = len(self.others) if self.place in (Place.QUEUE, Place.RUN) else 0
        until(lambda: value(self.site.predictor, "tandem_in_flight_requests") == rest, "gone from the predictor")
        until(lambda: value(self.site.predictor, "tandem_queue_rows") == 0, "gone from the queue")
