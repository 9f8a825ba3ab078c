"""Log lines for machines and for people."""

import io
import json
import logging
import sys

import numpy as np
import pytest
from tandem import logs
from tandem.logs import ConsoleFormatter, JsonFormatter


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def root():
    """The root logger, which is put back as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []  # or `force` would close pytest's own
    yield root
    root.handlers, root.level = before, level


def record(message="it is done", /, **attributes):
    made = {"name": "tandem.x", "levelname": "INFO", "msg": message, "created": 86399.9999, "msecs": 999.9}
    return logging.makeLogRecord(made | attributes)


def entry(made):
    line = JsonFormatter().format(made)
    assert "\n" not in line
    return json.loads(line)


def failed():
    """The exc_info of a failure."""
    try:
        raise LookupError("gone")
    except LookupError:
        return sys.exc_info()


def test_a_json_line_has_time_level_logger_and_message():
    expected = {"time": "1970-01-01T23:59:59.999Z", "level": "INFO", "logger": "tandem.x", "message": "it is done"}
    assert entry(record()) == expected
    assert list(entry(record(id="7"))) == [*expected, "id"]  # for who reads them


def test_a_message_is_put_together_with_its_arguments():
    assert entry(record("%s of %d", args=("one", 2)))["message"] == "one of 2"


def test_extra_fields_stand_beside_the_message():
    made = entry(record(id="7", phases={"queue": 0.5}, ok=True))
    assert (made["id"], made["phases"], made["ok"]) == ("7", {"queue": 0.5}, True)


@pytest.mark.parametrize("value", [np.float32(1.5), np.zeros(2), ValueError("x"), object])
def test_a_value_that_json_does_not_know_is_written_as_text(value):
    assert entry(record(value=value))["value"] == str(value)


def test_line_breaks_in_what_a_client_sent_stay_within_the_line():
    assert entry(record(id='a\n{"level":"CRITICAL"}'))["id"] == 'a\n{"level":"CRITICAL"}'


def test_a_failure_carries_its_traceback():
    assert entry(record(exc_info=failed()))["traceback"].endswith("LookupError: gone")
    assert ConsoleFormatter().format(record(exc_info=failed())).endswith("LookupError: gone")
    assert "traceback" not in entry(record())


def test_a_console_line_is_clock_level_message_and_fields():
    line = ConsoleFormatter().format(record(id="7", ms=1.5))
    clock, _, rest = line.partition(" ")
    assert len(clock) == len("12:34:56.789")
    assert clock.endswith(".999")
    assert rest == "INFO    it is done id=7 ms=1.5"


@pytest.mark.parametrize(
    ("form", "stream", "formatter"),
    [
        ("json", Terminal, JsonFormatter),
        ("console", io.StringIO, ConsoleFormatter),
        ("auto", io.StringIO, JsonFormatter),
        ("auto", Terminal, ConsoleFormatter),
    ],
)
def test_the_form_is_the_one_asked_for_or_by_the_terminal(root, monkeypatch, form, stream, formatter):
    monkeypatch.setattr(sys, "stderr", stream())
    logs.setup("info", form)
    assert [type(handler.formatter) for handler in root.handlers] == [formatter]


def test_lines_below_the_level_are_not_written(root, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    logs.setup("warning", "json")
    logging.getLogger("tandem.test").info("hidden")
    logging.getLogger("tandem.test").warning("shown", extra={"id": "7"})
    lines = [json.loads(line) for line in sys.stderr.getvalue().splitlines()]
    assert [(line["message"], line["level"], line["id"]) for line in lines] == [("shown", "WARNING", "7")]


def test_setting_up_again_replaces_what_was_there(root, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    logs.setup("info", "json")
    logs.setup("debug", "console")
    assert len(root.handlers) == 1
    assert root.level == logging.DEBUG


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"id": "\udcff"}, id="a header that is no UTF-8, as aiohttp decodes it"),
        pytest.param({"scores": {1: 0.5}}, id="a dict with numbers for keys"),
        pytest.param({"total": 2**70}, id="an integer over 64 bits"),
    ],
)
def test_a_line_is_written_whatever_is_logged(extra):
    assert entry(record(**extra))["message"] == "it is done"


def test_an_extra_field_does_not_hide_the_lines_own():
    assert entry(record(level="mine"))["level"] == "INFO"
