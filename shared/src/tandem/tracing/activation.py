"""Whether spans are made: where OpenTelemetry's own variables ask for it. Else nothing of it is even imported."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tandem.tracing.spans import Tracing

log = logging.getLogger("tandem.tracing")

EXPORTERS = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the variables ask for spans: they name an exporter, or where a collector is."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    named = environ.get(EXPORTERS, "").strip().lower()
    return named != "none" if named else any(environ.get(name, "").strip() for name in ENDPOINTS)


def start(service: str, version: str, environ: Mapping[str, str]) -> Tracing | None:
    """Tracing as the variables say; None if they do not ask for it, or, with a warning, ask for what cannot be."""
    if not wanted(environ):
        return None
    try:
        from tandem.tracing import exporting  # noqa: PLC0415 - off costs nothing, and needs nothing installed

        return exporting.start(service, version, environ)
    except ImportError as error:
        reason = f"{error.name} is not installed; pip install '{service}[tracing]'"
    except Exception as error:  # of the SDK's own, about the value of a variable
        reason = str(error) or repr(error)
    log.warning("tracing is off, though OTEL_* variables ask for it: %s", reason)
    return None
