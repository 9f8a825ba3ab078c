"""One scrape for both containers: the transformer's metrics and the predictor's, told apart by a label.

Knative's queue-proxy scrapes one port of a pod. Both services have metrics of the same names, and a text may have each
name once: so families are joined, and every sample gets `container`, as a scrape of each by itself would.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import aiohttp
from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from tandem.security.tls import ClientTls

from tandem_transformer.rest_predictor import encryption

log = logging.getLogger("tandem.metrics")

OURS, THEIRS = "transformer-container", "kserve-container"  # KServe's names of the two
UP = "tandem_predictor_scrape_up"
_PATIENCE = 2.0  # seconds; Prometheus itself waits ten by default


class Merged:
    """Asks the predictor at each scrape. One that does not answer leaves the transformer's metrics as they are."""

    def __init__(self, url: str, tls: ClientTls | None) -> None:
        self._url = url
        self._tls = tls
        self._down = False

    async def __call__(self, own: bytes) -> bytes:
        """`own`, a text in format 0.0.4, with the predictor's beside it."""
        theirs = await self._scrape()
        up = Metric(UP, "1 if the predictor's metrics are among these.", "gauge")
        up.add_sample(UP, {}, float(theirs is not None))
        families = [(OURS, family) for family in [*text_string_to_metric_families(own.decode()), up]]
        families += [(THEIRS, family) for family in text_string_to_metric_families(theirs or "")]
        return generate_latest(_Families(families))

    async def _scrape(self) -> str | None:
        """The predictor's text; None, and a line in the log the first time, if it cannot be had."""
        timeout = aiohttp.ClientTimeout(total=_PATIENCE)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
                session.get(self._url, **encryption(self._tls)) as reply,
            ):
                text = await reply.text()
                list(text_string_to_metric_families(text))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            if not self._down:
                log.warning("the predictor's metrics cannot be had", extra={"url": self._url, "reason": repr(error)})
            self._down = True
            return None
        self._down = False
        return text


class _Families(Collector):
    """Families of several texts as one registry."""

    def __init__(self, families: Iterable[tuple[str, Metric]]) -> None:
        self._joined: dict[str, Metric] = {}
        for container, family in families:
            joined = self._joined.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            joined.samples.extend(_labelled(sample, container) for sample in family.samples)

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus_client."""
        return iter(self._joined.values())


def _labelled(sample: Sample, container: str) -> Sample:
    return sample._replace(labels={**sample.labels, "container": container})
