"""Each fault: what is done to a scene, and when the scene goes on. Its calls' outcomes tell the rest."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from faults.matrix.scene import Place, Plan, Scene
from faults.matrix.site import THREADS, connections, until

SECONDS = 1.0  # of a deadline: the phase has to be reached before it
MARGIN = 0.02  # seconds by which a deadline may be told too early: the predictor is given a few milliseconds less


@dataclass(frozen=True)
class Fault:
    """What happens, and what it wants of the requests that it happens to."""

    apply: Callable[[Scene], None]
    plan: Plan = field(default_factory=Plan)


def cancel(scene: Scene) -> None:
    """The callers leave: HTTP connections are closed, gRPC calls cancelled."""
    for _, call in scene.subjects:
        call.leave()
    _gone(scene)


def reset(scene: Scene) -> None:
    """The callers' connections are reset."""
    for _, call in scene.subjects:
        call.reset()
    _gone(scene)


def deadline(scene: Scene) -> None:
    """It passes, and is told before anything goes on."""
    if scene.unread:
        for service in scene.site.transformers:
            until(lambda port=service.http_port: connections(port) == 0, "cut off")
    scene.finish_subjects()
    assert time.monotonic() >= scene.begun + SECONDS - MARGIN
    _gone(scene)


def hung(scene: Scene) -> None:
    """The predictor is stopped (SIGSTOP) until the deadline has passed; what is not with it goes on."""
    scene.site.stop_predictor()
    if scene.place in (Place.BEFORE, Place.PAST):
        scene.go_on()
    scene.finish_subjects()
    scene.until_gone_from_transformers()
    scene.site.resume_predictor()
    if scene.place in (Place.QUEUE, Place.RUN):
        scene.until_gone_from_predictor()
        scene.go_on()


def slow(scene: Scene) -> None:
    """The gate in the model opens late: for the subjects, or for another if they have passed it."""
    model = scene.site.gates["predict"]
    assert not any(call.done for _, call in scene.subjects) or scene.place is Place.PAST
    if scene.place is Place.PAST:
        scene.occupy_model()
        scene.go_on()
        scene.finish_subjects()
        model.let_through()
        return
    scene.go_on()
    if scene.place is not Place.RUN:
        model.wait_until_started(1)
        assert not any(call.done for _, call in scene.subjects)
        model.let_through(2 * THREADS)  # there is a run for each of them at most
    scene.finish_subjects()
    scene.finish_others()
    model.clear()


def killed(scene: Scene) -> None:
    """SIGKILL of the predictor. Who is with it is told at once; another one is found afterwards."""
    scene.site.predictor.process.kill()
    if scene.place in (Place.HOP, Place.QUEUE, Place.RUN):
        scene.finish_subjects()
    scene.go_on()
    scene.finish_subjects()
    scene.finish_others()
    scene.site.gates["predict"].clear()
    scene.site.replace_predictor()


def hop_reset(scene: Scene) -> None:
    """The connection between the predictor and the transformer that reaches it over gRPC is reset."""
    scene.site.reset_hop()
    if scene.place in (Place.HOP, Place.QUEUE, Place.RUN):
        scene.finish_subjects(scene.site.far)
    scene.go_on()


def terminated(scene: Scene) -> None:
    """SIGTERM of all three processes at once, as Kubernetes does it."""
    services = (*scene.site.transformers, scene.site.predictor)
    for service in services:
        service.process.send(signal.SIGTERM)
    for service in scene.site.transformers:
        service.process.wait_for(lambda line: "draining" in line)
    scene.go_on()
    scene.finish_subjects()
    scene.finish_others()
    assert [service.process.end() for service in services] == [0, 0, 0]


def _gone(scene: Scene) -> None:
    """Nothing is left of the subjects before the scene goes on, and others are answered where they can be."""
    scene.until_gone_from_transformers()
    if scene.place is not Place.HOP:  # where it is stopped
        scene.until_gone_from_predictor()
    if scene.passable:
        assert set(scene.bystanders()) == {"OK"}
    scene.go_on()


FAULTS = {
    "cancel": Fault(cancel),
    "reset": Fault(reset),
    "deadline": Fault(deadline, Plan(seconds=SECONDS)),
    "hung": Fault(hung, Plan(seconds=SECONDS)),
    "slow": Fault(slow, Plan(slow=True)),
    "hop reset": Fault(hop_reset),
    "killed": Fault(killed),
    "SIGTERM": Fault(terminated),
}
