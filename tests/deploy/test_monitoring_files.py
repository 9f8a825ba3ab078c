"""deploy/monitoring as files: fresh, whole, and about metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from deploy.exported import exported
from deploy.prometheus import MONITORING
from harness import ROOT

DASHBOARD = json.loads((MONITORING / "tandem.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def tool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "dashboard.py", "--folder", folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MONITORING, tmp_path / "monitoring"))


def told(text: str, *fields: str) -> list[str]:
    """The values of fields in a YAML file of ours, one a line."""
    found = [re.match(rf"\s*-? ?(?:{'|'.join(fields)}): \"?(.*?)\"?$", line) for line in text.splitlines()]
    return [line[1] for line in found if line]


def queries() -> list[str]:
    """All PromQL there is: the panels' and that of rules and alerts."""
    panels = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [*panels, (MONITORING / "rules.yaml").read_text(), (MONITORING / "alerts.yaml").read_text()]


def test_what_is_committed_is_what_the_objectives_make() -> None:
    done = tool(MONITORING, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_file_and_a_missing_one_are_told(copy: Path) -> None:
    with (copy / "rules.yaml").open("a") as file:
        file.write("\n")
    (copy / "tandem.json").unlink()
    done = tool(copy, "--check")
    said = "".join(f"{copy / name}: stale; run `make monitoring`\n" for name in ("tandem.json", "rules.yaml"))
    assert (done.returncode, done.stderr) == (1, said)


def test_other_objectives_make_other_rules_and_alerts(copy: Path) -> None:
    objectives = copy / "objectives.toml"
    changed = objectives.read_text().replace("0.999", "0.99").replace("seconds = 0.5", "seconds = 0.25")
    objectives.write_text(changed)
    assert tool(copy).returncode == 0
    assert "model:tandem_errors:ratio_rate1h > 0.144" in (copy / "alerts.yaml").read_text()
    assert 'le="0.25"' in (copy / "rules.yaml").read_text()
    assert 'le="0.5"' not in (copy / "rules.yaml").read_text()


@pytest.mark.parametrize(
    ("line", "spoilt", "complaint"),
    [
        ("seconds = 0.5", "seconds = 0.3", "no bucket"),
        ("availability = 0.999", "availability = 1.0", "no budget to burn"),
    ],
)
def test_an_objective_that_cannot_be_measured_is_refused(copy: Path, line: str, spoilt: str, complaint: str) -> None:
    objectives = copy / "objectives.toml"
    objectives.write_text(objectives.read_text().replace(line, spoilt))
    done = tool(copy)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_the_operators_rules_are_the_same_rules() -> None:
    wrapped = (MONITORING / "prometheusrule.yaml").read_text()
    groups = [
        "".join(f"  {line}\n" for line in (MONITORING / name).read_text().splitlines()[2:])
        for name in ("rules.yaml", "alerts.yaml")
    ]
    assert wrapped.partition("  groups:\n")[2] == "".join(groups)


def test_each_alert_has_a_case_that_fires_it_and_one_that_does_not() -> None:
    alerts = told((MONITORING / "alerts.yaml").read_text(), "alert")
    assert len(alerts) == len(set(alerts)) == 10
    cases = (MONITORING / "tests.yaml").read_text().split("eval_time:")[1:]
    fires = {told(case, "alertname")[0] for case in cases if "exp_alerts" in case}
    quiet = {told(case, "alertname")[0] for case in cases if "exp_alerts" not in case}
    assert fires == quiet == set(alerts)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_which_question_it_answers(panel: dict[str, Any]) -> None:
    assert "?" in panel["description"]
    assert panel["targets"]
    assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_panels_have_numbers_and_places_of_their_own() -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken.update(
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )
    assert set(taken.values()) == {1}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_the_variables_choose_source_model_namespace_and_pod_and_each_is_used() -> None:
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "namespace", "pod", "model_name"]
    asked = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    assert set(re.findall(r"\$(\w+)", asked)) == {"namespace", "pod", "model_name", "__rate_interval"}


def test_exemplars_are_asked_for_where_requests_are_timed_and_nowhere_else() -> None:
    targets = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
    assert {title for title, target in targets if target["exemplar"]} == {
        "Latency as callers see it",
        "Latency, every request",
        "Latency at the predictor",
    }
    for _, target in targets:
        assert target["exemplar"] == ("tandem_request_seconds_bucket" in target["expr"])


def test_every_metric_that_is_asked_for_is_exported() -> None:
    names = exported()
    for text in queries():
        for asked in re.findall(r"(?<![:\w])((?:tandem|request)_\w+)(?=[{)\[ ])", text):
            assert asked in names or SUFFIX.sub("", asked) in names, asked


def test_every_metric_of_our_own_is_asked_for_somewhere() -> None:
    asked = " ".join(queries())
    assert [name for name in exported() if not name.startswith("nv_") and name not in asked] == []
