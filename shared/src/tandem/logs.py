"""Logs on standard error: one JSON object a line for machines, or plain lines for people."""

from __future__ import annotations

import logging
import sys
import time

import orjson

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What the caller added to a record with `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC, RFC 3339), level, logger, message, the extra fields, the traceback if there is one."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        entry = entry | fields(record) | entry  # in that order, and nothing hides the line's own
        try:
            return orjson.dumps(entry, default=str).decode()
        except TypeError:  # a lone surrogate, an integer beyond 64 bits, a key that is no text: rare, and never lost
            return orjson.dumps({_text(key): _plain(value) for key, value in entry.items()}).decode()


def _plain(value: object) -> object:
    """`value`, or what Python would show of it where JSON has no form for it."""
    try:
        return orjson.Fragment(orjson.dumps(value, default=str))
    except TypeError:
        return _text(value)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text.encode(errors="backslashreplace").decode()


class ConsoleFormatter(logging.Formatter):
    """A record as a line that is pleasant to read."""

    def format(self, record: logging.LogRecord) -> str:
        """Clock, level, message, the extra fields as key=value, the traceback if there is one."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock}.{int(record.msecs):03d} {record.levelname:<7} {record.getMessage()}"
        line += "".join(f" {key}={value}" for key, value in fields(record).items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def toggle_debug(level: str) -> None:
    """From `level` to debug, and back."""
    root = logging.getLogger()
    usual = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(logging.DEBUG if root.level == usual else usual)
    logging.getLogger("tandem.logs").warning("the log level is now %s", logging.getLevelName(root.level))


def setup(level: str, form: str) -> None:
    """Send every record to standard error as json or console lines; auto: console on a terminal, JSON elsewhere."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConsoleFormatter() if console else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
