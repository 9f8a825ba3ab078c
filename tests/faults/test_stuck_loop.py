"""A coroutine of the user's that blocks: liveness fails while it does, and the log says where it hangs."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from contract.client import ask
from faults.test_shutdown import rest_infer
from gates import Gates
from harness import DIGITS, Pair, running_pair

BLOCKING = Path(__file__).with_name("gated.py")


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


@pytest.fixture
def pair(gates: Gates) -> Iterator[Pair]:
    options = f"--transformer_options=started={gates.started},gate={gates.gate}"
    with (
        running_pair("digits", (f"--model_dir={DIGITS}",), (f"--transformer={BLOCKING}:Blocking", options)) as running,
        closing(gates),
    ):
        yield running


def test_liveness_fails_while_the_loop_is_stuck_and_the_log_says_where(pair: Pair, gates: Gates) -> None:
    asking = threading.Thread(target=rest_infer, args=(pair,), kwargs={"wait": True})
    asking.start()
    gates.wait_until_started(1)
    probe = http.client.HTTPConnection("127.0.0.1", pair.transformer.http_port, timeout=1)
    with closing(probe):
        probe.request("GET", "/v2/health/live")
        with pytest.raises(TimeoutError):
            probe.getresponse()
    entry = pair.transformer.process.entry("the event loop is stuck: nothing is answered")
    assert "gated.py" in entry["stack"]
    gates.let_through()
    pair.transformer.process.entry("the event loop goes on")
    assert ask(f"{pair.transformer.url}/v2/health/live").status == 200
    asking.join()
