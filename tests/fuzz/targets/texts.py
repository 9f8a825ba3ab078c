"""The texts that are read: flags and variables, Server-Timing, hosts, options, headers, names. The first byte chooses.

Each is read, or refused in the way that its caller expects; what is read can be shown and read again.
"""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

from tandem import settings, timings
from tandem.errors import NotFound, Unavailable
from tandem.lifecycle import Fatal
from tandem.timings import Timings
from tandem_predictor.repository import ModelFile, Repository
from tandem_predictor.settings import Settings as PredictorSettings
from tandem_transformer.hop import forwarding
from tandem_transformer.settings import Settings as TransformerSettings
from tandem_transformer.settings import base_url, options, target

PROGRAM = "tandem-x"
KNOWN = {("m", version) for version in ("", "1", "2", "10")}
REPOSITORY = Repository([ModelFile("m", version, Path("model.onnx")) for _, version in KNOWN if version])


def check(data: bytes) -> bool:
    text = data[1:].decode(errors="replace")
    return READERS[data[0] % len(READERS)](text) if data else False


def _flags(cls, text: str) -> bool:
    """Each line an argument, or a variable if it begins with $."""
    lines = text.replace("\0", "").split("\n")
    argv = [line for line in lines if line[:1] != "$"]
    environ = dict(line[1:].partition("=")[::2] for line in lines if line[:1] == "$")
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            parsed, problems = settings.parse(cls, PROGRAM, "", argv, environ)
    except SystemExit as end:
        if end.code not in (0, 2):
            raise AssertionError("it ends with another status") from end
        return False
    assert set(parsed.values) == set(parsed.sources) == set(settings.flags(cls))
    if problems:
        return False
    shown = settings.describe(cls(**parsed.values), parsed).split("\n")
    texts = [value for value in parsed.values.values() if isinstance(value, str)]
    if all("\n" not in value and value == value.rstrip() for value in texts):  # else the text shown is not one
        again, _ = settings.parse(cls, PROGRAM, "", [line.rpartition("  # ")[0].rstrip() for line in shown], {})
        assert again.values == parsed.values
    return True


def _timing(text: str) -> bool:
    phases = timings.parse(text)
    assert all(0 <= seconds < math.inf for seconds in phases.values())
    again = Timings()
    for name, seconds in phases.items():
        again.add(name, seconds)
    assert all(
        math.isclose(timings.parse(again.header())[n], s, abs_tol=1e-6) for n, s in phases.items() if "=" not in n
    )
    return bool(phases)


def _host(text: str) -> bool:
    assert target(text)
    base_url(text)
    base_url(text, tls=True)
    return True


def _options(text: str) -> bool:
    try:
        found = options(text)
    except Fatal:
        return False
    assert all("=" not in name and "," not in name + value for name, value in found.items())
    return True


def _headers(text: str) -> bool:
    try:
        names = forwarding.names(text)
    except ValueError:
        return False
    assert all(name.isascii() and name == name.lower() for name in names)
    return True


def _version(text: str) -> bool:
    name, _, version = text.partition("/")
    try:
        REPOSITORY.find(name, version)
    except NotFound:
        return False
    except Unavailable:  # there is such a model, of which nothing is loaded
        return (name, version) in KNOWN
    raise AssertionError("a model was found that nobody has loaded")


READERS = (
    lambda text: _flags(TransformerSettings, text),
    lambda text: _flags(PredictorSettings, text),
    *(_timing, _host, _options, _headers, _version),
)
SEEDS = {
    "the transformer's flags": b"\0--http-port=1\n--model_name=m\n--predictor_host\nh:1\n$TANDEM_X_GRACE=1.5\n--no",
    "the transformer's switches": b"\0--enable_docs_url\n--log_level=debug\n$TANDEM_X_PRINT_CONFIG=true",
    "the predictor's flags": b"\1--max-batch-size\n8\n--inference_timeout=0.5\n$TANDEM_X_HOST=::1\nstray",
    "timing": b"\2queue;dur=0.12, inference;desc=x;dur=9.8, total",
    "host": b"\3localhost:8082",
    "address": b"\3::1",
    "options": b"\4top_k=3, labels=a.txt",
    "headers": b"\5X-Tenant, authorization",
    "version": b"\6m/10",
}
FOUND: dict[str, bytes] = {}
WORDS = (
    *(
        b"--",
        b"=",
        b"$TANDEM_X_",
        b"-h",
        b"--help",
        b"true",
        b"nan",
        b"1e400",
        b"dur=",
        b";",
        b",",
        b"http://",
        b"https://",
    ),
    *(f"--{name}".encode() for name in settings.flags(TransformerSettings)),
    *(b"unix:///a", b"[::1]", b":8082", b"localhost", b"x-tandem-", b"-bin", b"m/", b"01", b"\n", b"\xc2\xb2", b"inf"),
)
