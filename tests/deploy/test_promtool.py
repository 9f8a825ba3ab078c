"""The rules and alerts of deploy/monitoring, as promtool sees them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from deploy.prometheus import MONITORING
from parts import require

pytestmark = pytest.mark.system

# Each makes one alert deaf or shrill; the case beside it must notice.
SPOILT = {
    "rate1h > 0.0144": ("rate1h > 0.99", "errors, 7 % for a quarter of an hour"),
    "tandem_ready) == 0": ("tandem_ready) == 2", "transformer not ready"),
    r"{shared_memory=\"expected\"} < 0.5": (" < 0.5", "hop by the socket where nobody expects more"),
}


def promtool(*arguments: str | Path, folder: Path = MONITORING) -> tuple[int, str]:
    done = subprocess.run(
        [require("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=100
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["rules.yaml", "alerts.yaml"])
def test_the_rules_are_clean(file: str) -> None:
    status, told = promtool("check", "rules", "--lint=all", "--lint-fatal", file)
    assert status == 0, told
    assert "SUCCESS" in told


def test_each_alert_fires_where_it_should_and_nowhere_else() -> None:
    status, told = promtool("test", "rules", "tests.yaml", "tests-days.yaml")
    assert status == 0, told


def test_the_unit_tests_notice_a_spoilt_alert(tmp_path: Path) -> None:
    for file in MONITORING.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    alerts = (tmp_path / "alerts.yaml").read_text()
    head, *cases = (tmp_path / "tests.yaml").read_text().split("  - name: ")
    titles = [title for _, title in SPOILT.values()]
    chosen = [case for case in cases if case.strip('"').startswith(tuple(titles))]
    assert len(chosen) == len(SPOILT)
    (tmp_path / "tests.yaml").write_text("  - name: ".join([head, *chosen]))
    assert promtool("test", "rules", "tests.yaml", folder=tmp_path)[0] == 0
    for sound, (spoilt, _) in SPOILT.items():
        assert sound in alerts
        alerts = alerts.replace(sound, spoilt)
    (tmp_path / "alerts.yaml").write_text(alerts)
    status, told = promtool("test", "rules", "tests.yaml", folder=tmp_path)
    assert status == 1
    assert [title for title in titles if f"name: {title}" not in told] == []
