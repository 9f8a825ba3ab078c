"""The pair's local socket: used where there is one, silently not where there is none, and made anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faults.test_handoff import MODEL, SMALL, echoed, nth, pair
from harness import Service, start_predictor

USED = "small calls go over a local socket"
OFF = "--local_socket=off"


def sockets() -> set[str]:
    """The abstract sockets of all pairs of this machine, by inode: one that listens, and one for each connection."""
    return {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines() if "@tandem-" in line}


def sockets_of(predictor: Service) -> set[str]:
    """Those of one predictor."""
    files = [os.readlink(file) for file in Path(f"/proc/{predictor.process.process.pid}/fd").iterdir()]
    return {inode for inode in sockets() if f"socket:[{inode}]" in files}


def test_a_call_over_it_is_logged_as_any_other_and_nothing_of_it_is_left() -> None:
    with pair() as (transformer, predictor):
        transformer.process.entry(USED)
        assert echoed(transformer, SMALL)
        own = sockets_of(predictor)
        assert len(own) == 2
        entry = predictor.process.entry("infer")
        assert (entry["protocol"], entry["code"], entry["model"]) == ("grpc", "OK", "echo")
        assert entry["id"] == transformer.process.entry("infer")["id"]
    assert not own & sockets()


@pytest.mark.parametrize("off", ["predictor", "transformer"])
@pytest.mark.parametrize("more", ["--shared_memory=auto", "--shared_memory=off"])
def test_either_side_can_do_without(off: str, more: str) -> None:
    flags = ((OFF, more), ()) if off == "predictor" else ((), (OFF, more))
    with pair(*flags) as (transformer, _):
        assert echoed(transformer, SMALL)
        assert echoed(transformer, SMALL)
        assert USED not in transformer.process.log


def test_it_needs_no_shared_memory() -> None:
    flags = ("--shared_memory=off",)
    with pair(flags, flags) as (transformer, _):
        transformer.process.entry(USED)
        assert echoed(transformer, SMALL)


def test_a_predictor_that_comes_back_is_connected_to_anew() -> None:
    with pair() as (transformer, predictor):
        transformer.process.entry(USED)
        assert echoed(transformer, SMALL)
        predictor.process.kill()
        again = start_predictor(*MODEL, grpc_port=predictor.grpc_port)
        try:
            transformer.process.wait_for(nth(2, USED))
            assert echoed(transformer, SMALL)
        finally:
            again.process.stop()


def test_a_predictor_that_stops_ends_the_connection() -> None:
    with pair(("--grace=20",)) as (transformer, predictor):
        transformer.process.entry(USED)
        own = sockets_of(predictor)
        transformer.process.stop()
        assert predictor.process.stop() == 0
        assert own
        assert not own & sockets()
