"""--enable_channelz: gRPC's own view of the hop and of the doors, by grpcurl."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from foreign import grpcurl
from harness import DIGITS, PATIENCE, Pair, running_pair

CHANNELZ = "grpc.channelz.v1.Channelz"
FLAG = "--enable_channelz"


@pytest.fixture
def pair() -> Iterator[Pair]:
    with running_pair("digits", (f"--model_dir={DIGITS}", FLAG), ("--transformer=identity", FLAG)) as running:
        yield running


def hop(pair: Pair) -> dict[str, Any]:
    """The transformer's channel to its predictor, as Channelz shows it."""
    channels = json.loads(grpcurl(pair.transformer.target, f"{CHANNELZ}/GetTopChannels"))["channel"]
    (found,) = [one["data"] for one in channels if str(pair.predictor.grpc_port) in one["data"]["target"]]
    return found


def test_the_hop_is_shown_with_its_state_when_the_predictor_goes(pair: Pair) -> None:
    assert hop(pair)["state"]["state"] == "READY"
    pair.predictor.process.kill()
    end = time.monotonic() + PATIENCE
    while hop(pair)["state"]["state"] == "READY":
        assert time.monotonic() < end, "the channel to a predictor that was killed stays ready"


@pytest.mark.parametrize("name", ["transformer", "predictor"])
def test_both_services_list_it_and_count_their_calls(pair: Pair, name: str) -> None:
    target = getattr(pair, name).target
    assert CHANNELZ in grpcurl(target, "list").split()
    grpcurl(target, "inference.GRPCInferenceService/ServerLive")
    (server,) = json.loads(grpcurl(target, f"{CHANNELZ}/GetServers"))["server"]
    assert int(server["data"]["calls_started"]) > 0
