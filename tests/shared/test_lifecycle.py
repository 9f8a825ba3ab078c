"""Readiness, and a service as a process: its start, its signals, its exit status."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Process
from tandem.lifecycle import Readiness

FAKE = Path(__file__).parent / "fake_service.py"


@pytest.fixture
def start():
    """Starts fake services; one that a failed test leaves behind is ended."""
    processes = []

    def start(*argv):
        processes.append(Process(sys.executable, FAKE, *argv))
        processes[-1].wait_for(lambda line: line == "started")
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def run(*argv):
    """Run the fake service to its end."""
    return subprocess.run([sys.executable, FAKE, *argv], capture_output=True, text=True, timeout=30, check=False)


def entries(process):
    """The log entries of a process that has ended."""
    return [json.loads(line) for line in process.lines if line.startswith("{")]


def test_readiness_without_a_part_is_ready():
    assert Readiness().ready
    assert Readiness().reason is None


def test_the_first_part_that_is_not_ready_gives_the_reason():
    readiness = Readiness()
    model, link = readiness.part("model", "the model is loading"), readiness.part("link", "no predictor yet")
    assert (readiness.ready, readiness.reason) == (False, "the model is loading")
    model.set(None)
    assert (readiness.ready, readiness.reason) == (False, "no predictor yet")
    link.set(None)
    assert (readiness.ready, readiness.reason) == (True, None)
    model.set("the model is gone")
    assert (readiness.ready, readiness.reason) == (False, "the model is gone")


def test_a_server_that_stops_is_never_ready_again():
    readiness = Readiness()
    part = readiness.part("model", None)
    readiness.stop()
    part.set("gone")
    part.set(None)
    assert (readiness.ready, readiness.reason) == (False, "the server is shutting down")


async def test_everyone_who_waits_wakes_at_a_change_and_only_then():
    readiness = Readiness()
    part = readiness.part("model", "loading")
    waiting = [asyncio.create_task(readiness.change()) for _ in range(3)]
    await asyncio.wait(waiting, timeout=0)
    part.set("loading")  # no change
    await asyncio.wait(waiting, timeout=0)
    assert not any(task.done() for task in waiting)
    part.set("warming up")
    await asyncio.wait_for(asyncio.gather(*waiting), 5)


async def test_waiting_until_ready_outlasts_other_changes():
    readiness = Readiness()
    model, link = readiness.part("model", "loading"), readiness.part("link", "absent")
    waiting = asyncio.create_task(readiness.until_ready())
    for part in (model, link):
        await asyncio.wait([waiting], timeout=0)
        assert not waiting.done()
        part.set(None)
    await asyncio.wait_for(waiting, 5)


async def test_one_who_gives_up_waiting_disturbs_nobody():
    readiness = Readiness()
    leaving, staying = asyncio.create_task(readiness.change()), asyncio.create_task(readiness.change())
    await asyncio.wait([leaving, staying], timeout=0)
    leaving.cancel()
    readiness.changed()
    await asyncio.wait_for(staying, 5)
    await asyncio.wait([leaving], timeout=5)
    assert leaving.cancelled()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_ends_with_status_0(start, number):
    process = start("--log_format=json")
    assert process.stop(number) == 0
    assert [line for line in process.lines if not line.startswith("{")] == ["started", "draining", "closed"]
    assert entries(process)[-1]["message"] == f"{number.name}: draining; send it again to exit at once"


def test_a_second_signal_exits_at_once(start):
    process = start("--host=stuck", "--log_format=json")
    process.send()
    process.wait_for(lambda line: line == "draining")
    assert process.stop(signal.SIGINT) == 1
    assert "closed" not in process.lines
    assert entries(process)[-1]["message"] == "SIGINT again: exiting now"


def test_a_signal_while_it_still_starts_drains_too(start):
    process = start("--host=slow")
    assert process.stop() == 0
    assert "closed" in process.lines


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("taken", "cannot listen on port 5 (--http_port): it is taken"),
        ("unmade", "there is no model; expected --model_dir"),
        ("grouped", "a part could not start"),
    ],
)
def test_what_only_the_user_can_mend_is_one_line_and_status_2(behaviour, reason):
    ended = run(f"--host={behaviour}")
    assert (ended.returncode, ended.stderr, ended.stdout) == (2, f"tandem-fake: {reason}\n", "")


def test_a_bad_flag_is_one_line_and_status_2():
    ended = run("--http_port=x")
    assert ended.returncode == 2
    assert ended.stderr == (
        "tandem-fake: --http_port: got 'x', expected an integer from 0 to 65535"
        " (also read from TANDEM_FAKE_HTTP_PORT)\n"
    )


def test_a_fault_at_the_start_is_a_traceback_and_status_1():
    ended = run("--host=broken")
    assert ended.returncode == 1
    assert "LookupError: a fault" in ended.stderr


def test_the_version_is_printed_without_a_start():
    ended = run("--version")
    assert (ended.returncode, ended.stdout) == (0, "9.8.7\n")


def test_the_settings_are_printed_without_a_start():
    ended = run("--print_config", "--http-port=81")
    assert ended.returncode == 0
    assert any(line.split() == ["--http_port=81", "#", "--http_port"] for line in ended.stdout.splitlines())
    assert "started" not in ended.stdout


def test_unknown_flags_are_one_line_in_the_log(start):
    process = start("--htp_port=81", "--zzz", "--log_format=json")
    assert process.stop() == 0
    warnings = [entry["message"] for entry in entries(process) if entry["level"] == "WARNING"]
    assert warnings == ["ignored unknown flags: --htp_port (did you mean --http_port?), --zzz"]
