"""docs/observability.md against the registries and the alerts: neither has what the other lacks."""

from __future__ import annotations

import re

import pytest
from deploy.exported import SERVICES, exported
from deploy.prometheus import MONITORING
from harness import ROOT

PAGE = (ROOT / "docs" / "observability.md").read_text()
ALERTS = (MONITORING / "alerts.yaml").read_text()
ROW = re.compile(r"^\| `(\w+)` \|(?: (.*?) ?\|)? (.+) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[set[str], str]]:
    """A metric's labels and question by its name."""
    return {name: (set(re.findall(r"`(\w+)`", labels or "")), question) for name, labels, question in ROW.findall(PAGE)}


def sections() -> dict[str, str]:
    """What stands below each heading of the third level."""
    _, *found = re.split(r"^### ", PAGE, flags=re.MULTILINE)
    return {heading: text for heading, _, text in (one.partition("\n") for one in found)}


def test_the_page_has_every_metric_with_its_labels_and_no_other() -> None:
    assert {name: labels for name, (labels, _) in rows().items()} == {
        name: set(labels) for name, labels in exported().items()
    }


@pytest.mark.parametrize("name", exported())
def test_each_metric_answers_a_question(name: str) -> None:
    assert "?" in rows()[name][1]


def test_a_metric_stands_with_the_service_that_exports_it() -> None:
    ours, theirs = ({name for family in service.registry.collect() for name in [family.name]} for service in SERVICES)
    stands = {
        heading: set(re.findall(r"^\| `(\w+?)(?:_total)?` \|", text, re.M)) for heading, text in sections().items()
    }
    assert stands["Both services"] == ours & theirs
    assert stands["The transformer"] == ours - theirs | {"tandem_predictor_scrape_up"}
    assert stands["The predictor"] == theirs - ours


def test_the_runbook_of_each_alert_is_a_heading_of_the_page_and_each_has_something_to_do() -> None:
    linked = re.findall(r'runbook_url: "docs/observability.md#(\w+)"', ALERTS)
    alerts = re.findall(r"alert: (\w+)", ALERTS)
    assert linked == [name.lower() for name in alerts]
    runbooks = {heading: text for heading, text in sections().items() if heading.startswith("Tandem")}
    assert alerts
    assert set(runbooks) == set(alerts)
    assert all(text.strip() for text in runbooks.values())


@pytest.mark.parametrize("named", sorted(set(re.findall(r"\*([A-Z][\w .]+?)\*(?!\*)", PAGE))))
def test_a_panel_that_a_runbook_names_is_on_the_dashboard(named: str) -> None:
    assert f'"title": "{named}' in (MONITORING / "tandem.json").read_text()


def test_links_within_the_page_lead_somewhere() -> None:
    headings = {re.sub(r"[^\w -]", "", line).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", PAGE.lower(), re.M)}
    linked = set(re.findall(r"\(#([\w-]+)\)", PAGE))
    assert linked
    assert linked <= headings
