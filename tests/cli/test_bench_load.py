"""The load of `tandem bench` against senders that answer late, never, or not as anybody thought."""

from __future__ import annotations

import asyncio

import pytest
from tandem_cli.bench import load
from tandem_cli.bench.load import NOT_SENT, UNANSWERED, Level, measure
from tandem_cli.bench.recorder import Recorder


class Gated:
    """Answers once its gate is open."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.gate = asyncio.Event()
        if is_open:
            self.gate.set()

    async def send(self) -> tuple[str, dict[str, float]]:
        await asyncio.sleep(0)  # as every real one lets others go on
        await self.gate.wait()
        return "ok", {}

    async def close(self) -> None:
        """There is nothing to close."""


class Broken(Gated):
    async def send(self) -> tuple[str, dict[str, float]]:
        await asyncio.sleep(0)
        raise LookupError


@pytest.mark.parametrize("level", [Level(concurrency=4), Level(rate=200)])
async def test_an_answer_after_the_end_is_counted_and_not_in_the_rate(level: Level) -> None:
    sender, recorder = Gated(), Recorder()
    asyncio.get_running_loop().call_later(0.1, sender.gate.set)
    measured = await measure(sender, level, 0.05, recorder, asyncio.Event())
    assert measured.rps == 0
    assert recorder.outcomes["ok"] == recorder.latencies.count > 0
    assert set(recorder.outcomes) <= {"ok", NOT_SENT}
    assert recorder.latencies.most >= 0.05


@pytest.mark.parametrize("level", [Level(concurrency=3), Level(rate=200)])
async def test_what_is_never_answered_has_failed(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_PATIENCE", 0.05)
    recorder = Recorder()
    await measure(Gated(), level, 0.05, recorder, asyncio.Event())
    assert recorder.failed[UNANSWERED] > 0
    assert recorder.under_way == 0


async def test_arrivals_that_are_too_many_are_all_counted() -> None:
    recorder, level = Recorder(), Level(rate=2_000_000, poisson=False)
    measured = await measure(Gated(is_open=True), level, 0.2, recorder, asyncio.Event())
    assert sum(recorder.outcomes.values()) >= int(level.rate * measured.seconds) - 1  # all that were due
    assert recorder.failed[NOT_SENT] > recorder.outcomes["ok"]


async def test_an_exception_that_nobody_thought_of_is_counted_by_its_name() -> None:
    recorder = Recorder()
    await measure(Broken(), Level(concurrency=2), 0.02, recorder, asyncio.Event())
    assert set(recorder.outcomes) == {"LookupError"}


async def test_a_signal_ends_it_at_once() -> None:
    stop, recorder = asyncio.Event(), Recorder()
    stop.set()
    measured = await measure(Gated(is_open=True), Level(concurrency=2), 600, recorder, stop)
    assert measured.seconds < 10
