"""Each phase of a request: how requests over both doors of both transformers are brought into it, and let go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faults.matrix.calls import Asked, HttpCall
from faults.matrix.scene import Place, Plan, Scene
from faults.matrix.site import PROTOCOLS, THREADS, Site, until, value


def body(site: Site, plan: Plan) -> Scene:
    """All but the last byte of the body has come."""
    scene = Scene(site, Place.BEFORE, passable=True)
    scene.bring(plan.asked, complete=False)
    scene.until_in_flight(1)
    scene.go_on = lambda: [call.complete() for _, call in scene.subjects if isinstance(call, HttpCall)]
    return scene


def pool(site: Site, plan: Plan) -> Scene:
    """Every thread of the transformers is taken by others in preprocess."""
    scene = Scene(site, Place.BEFORE)
    scene.occupy_threads()
    scene.bring(plan.asked)
    scene.until_in_flight(THREADS + len(PROTOCOLS))
    scene.go_on = lambda: site.gates["preprocess"].let_through(len(scene.others))
    return scene


def preprocess(site: Site, plan: Plan) -> Scene:
    """At the gate in it."""
    scene = Scene(site, Place.BEFORE, passable=True)
    scene.bring(lambda: plan.asked("preprocess"))
    site.gates["preprocess"].wait_until_started(len(scene.subjects))
    scene.go_on = lambda: site.gates["preprocess"].let_through(len(scene.subjects))
    return scene


def hop(site: Site, plan: Plan) -> Scene:
    """Sent to a predictor that reads nothing, because it is stopped."""
    scene = Scene(site, Place.HOP)
    before = [value(service, "request_preprocess_seconds_count") for service in site.transformers]
    site.stop_predictor()
    scene.bring(plan.asked)
    for service, count in zip(site.transformers, before, strict=True):
        sent = count + len(PROTOCOLS)
        until(lambda s=service, n=sent: value(s, "request_preprocess_seconds_count") == n, "past preprocess")
    scene.go_on = site.resume_predictor
    return scene


def queue(site: Site, plan: Plan) -> Scene:
    """The only instance of the model is taken by another."""
    scene = Scene(site, Place.QUEUE)
    scene.occupy_model()
    scene.bring(plan.asked)
    until(lambda: value(site.predictor, "tandem_queue_rows") == len(scene.subjects), "queued")
    scene.go_on = site.gates["predict"].let_through
    return scene


def run(site: Site, plan: Plan) -> Scene:
    """In one batch with another, at the gate in the model."""
    scene = Scene(site, Place.RUN)
    scene.occupy_model()
    _, first = scene.others.pop()
    scene.bring(lambda: Asked(seconds=plan.seconds, slow=True))
    scene.join()
    until(lambda: value(site.predictor, "tandem_queue_rows") == len(scene.subjects) + 1, "queued")
    site.gates["predict"].let_through()
    site.gates["predict"].wait_until_started(1)
    assert first.outcome == "OK"
    scene.go_on = site.gates["predict"].let_through
    return scene


def postprocess(site: Site, plan: Plan) -> Scene:
    """At the gate in it."""
    scene = Scene(site, Place.PAST, passable=True)
    scene.bring(lambda: Asked("postprocess", plan.seconds))
    site.gates["postprocess"].wait_until_started(len(scene.subjects))
    scene.go_on = lambda: site.gates["postprocess"].let_through(len(scene.subjects))
    return scene


def answer(site: Site, plan: Plan) -> Scene:
    """Its beginning has come to clients that read no further."""
    scene = Scene(site, Place.PAST, passable=True, unread=True)
    for proxy in site.doors.values():
        proxy.hold()
    scene.bring(lambda: Asked(seconds=plan.seconds, large=True))
    for _, call in scene.subjects:
        call.until_answered()
    scene.go_on = lambda: [proxy.release() for proxy in site.doors.values()]
    return scene


@dataclass(frozen=True)
class Phase:
    """How it is entered, and the step of which nothing has been begun before."""

    enter: Callable[[Site, Plan], Scene]
    ahead: str = ""


PHASES = {
    "reading the body": Phase(body, "preprocess"),
    "waiting for a thread": Phase(pool, "preprocess"),
    "preprocess": Phase(preprocess, "predict"),
    "calling the predictor": Phase(hop, "predict"),
    "queued for a batch": Phase(queue, "predict"),
    "in a running batch": Phase(run, "postprocess"),
    "postprocess": Phase(postprocess),
    "writing the answer": Phase(answer),
}
