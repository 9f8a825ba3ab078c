"""Every phase of a request x every fault, over both doors, beside the predictor and away from it.

A word of the table says how the requests in that phase end, and MEANING what each of them is told and counted as.
Whatever it is: others notice nothing, and afterwards all is quiet, every thread is free and every door answers.
Left out: reading the body over gRPC, whose core hands a message over when it is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from faults.matrix.calls import CUT, LEFT, Asked, Call
from faults.matrix.faults import FAULTS
from faults.matrix.phases import PHASES
from faults.matrix.scene import Place, Scene
from faults.matrix.site import PROTOCOLS, THREADS, Site, connections, counts, until, value
from harness import Service

TABLE = """
                       | cancel | reset  | deadline | hung  | slow  | hop reset | killed | SIGTERM
reading the body       | left   | left   | late     | late  | right | right     | gone   | right
waiting for a thread   | left   | left   | late     | late  | right | right     | gone   | right
preprocess             | left   | left   | late     | late  | right | right     | gone   | right
calling the predictor  | left   | left   | late     | late  | right | torn      | gone   | right
queued for a batch     | left   | left   | late     | late  | right | torn      | gone   | right
in a running batch     | left   | left   | late     | late  | right | torn      | gone   | right
postprocess            | left   | left   | late     | right | right | right     | right  | right
writing the answer     | unread | unread | cut      | right | right | right     | right  | sent
"""
PROMPT = ("cancel", "reset", "deadline")  # what befalls requests before they go on
MEANING = {  # by door or transformer, where they differ: what the caller may see, and what may be counted
    "left": {"": (LEFT, "CANCELLED")},
    "late": {
        "http": ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
        "grpc": ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED CANCELLED"),  # gRPC's client may give up a moment earlier
    },
    "right": {"": ("OK", "OK")},
    "gone": {"": ("UNAVAILABLE", "UNAVAILABLE")},
    "torn": {"far": ("UNAVAILABLE", "UNAVAILABLE"), "near": ("OK", "OK")},
    "unread": {"": (LEFT, "OK")},
    "sent": {
        "http": ("OK", "OK"),
        # gRPC's core closes its socket when the last byte is with the kernel; what a client sends after that resets it
        "grpc": ("OK UNAVAILABLE", "OK"),
    },
    "cut": {"http": (CUT, "OK"), "grpc": ("DEADLINE_EXCEEDED", "OK")},
}


def cases() -> Iterator[tuple[str, str, str]]:
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip("\n").splitlines()]
    for column, fault in enumerate(head[1:], 1):
        for phase, *words in rows:
            yield phase, fault, words[column - 1]


class Sites:
    """A site for many cases; one that a case has not left as it was is not used again."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._site: Site | None = None

    def take(self) -> Site:
        site, self._site = self._site or Site(self._folders.mktemp("site")), None
        return site

    def give(self, site: Site) -> None:
        self._site = site

    def close(self) -> None:
        if self._site:
            self._site.close()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    made = Sites(tmp_path_factory)
    yield made
    made.close()


@pytest.fixture
def site(sites: Sites, request: pytest.FixtureRequest) -> Iterator[Site]:
    taken = sites.take()
    yield taken
    if request.node.stash.get(INTACT, False):
        sites.give(taken)
    else:
        taken.close()


INTACT = pytest.StashKey[bool]()


@pytest.mark.parametrize(("phase", "fault", "word"), [pytest.param(*case, id="-".join(case[:2])) for case in cases()])
def test_a_fault_in_a_phase_is_told_and_leaves_nothing(
    site: Site, request: pytest.FixtureRequest, phase: str, fault: str, word: str
) -> None:
    before = [counts(service) for service in site.transformers]
    plan = FAULTS[fault].plan
    scene = PHASES[phase].enter(site, replace(plan, seconds=None) if word == "right" else plan)
    FAULTS[fault].apply(scene)
    for subject in scene.subjects:
        assert subject[1].outcome in meaning(site, *subject, word)[0].split()
    others = "UNAVAILABLE" if fault == "killed" else "OK"  # wherever there are some, they need the predictor
    assert {call.outcome for _, call in scene.others} <= {others}
    if word in ("left", "late", "gone"):
        assert not begun(scene, fault, PHASES[phase].ahead)
    if fault != "SIGTERM":  # which leaves nobody to ask
        check_counts(scene, before, word)
        check_quiet(site)
        request.node.stash[INTACT] = True


def meaning(site: Site, service: Service, call: Call, word: str) -> tuple[str, str]:
    """The outcomes and the codes, of each of which one is right."""
    meant = MEANING[word]
    return meant.get(call.protocol) or meant.get("far" if service is site.far else "near") or meant[""]


def begun(scene: Scene, fault: str, ahead: str) -> set[int]:
    """The subjects for which a step has been begun that was ahead of them when they ended.

    What a predictor that is stopped was sent over gRPC does not count: it reads calls before their cancellation.
    """
    step = ahead if fault in PROMPT else "predict"
    if scene.place is Place.PAST or (scene.place is Place.RUN and step == "predict"):
        return set()
    unread = scene.place is Place.HOP or (scene.place is Place.BEFORE and fault == "hung")
    ended = [call for service, call in scene.subjects if not (unread and service is scene.site.far)]
    return {call.asked.number for call in ended} & scene.site.ran(step)


def check_counts(scene: Scene, before: Sequence[Counter[tuple[str, str]]], word: str) -> None:
    """Each subject has been counted as what it was, and nobody else as one who left or was late."""
    for service, earlier in zip(scene.site.transformers, before, strict=True):
        until_idle(service)
        ended = counts(service) - earlier
        for _, call in (subject for subject in scene.subjects if subject[0] is service):
            codes = meaning(scene.site, service, call, word)[1].split()
            found = sum(ended[call.protocol, code] for code in codes)
            assert found == 1 or (found > 1 and word not in ("left", "late")), (codes, ended)


def until_idle(service: Service) -> None:
    until(lambda: value(service, "tandem_in_flight_requests") == 0, "nothing in flight")


def check_quiet(site: Site) -> None:
    """Nothing is in flight, queued, connected or at a gate; every thread and every door serves."""
    for service in (*site.transformers, site.predictor):
        until_idle(service)
    assert value(site.predictor, "tandem_queue_rows") == 0
    for service in site.transformers:
        until(lambda s=service: connections(s.http_port) + connections(s.grpc_port) == 0, "all connections closed")
    for step, gates in site.gates.items():
        until(lambda g=gates: g.quiet, f"the gate of {step} is free")
    for protocol in PROTOCOLS:
        for service in site.transformers:
            calls = [site.call(service, protocol, Asked("preprocess")) for _ in range(THREADS)]
            site.gates["preprocess"].wait_until_started(THREADS)
            site.gates["preprocess"].let_through(THREADS)
            assert [call.outcome for call in calls] == ["OK"] * THREADS
