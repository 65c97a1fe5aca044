"""The alerts that are shipped: checked and tested by promtool, and held to the metrics and the pages."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers.prometheus import promtool
from workflow_manager.observe.metric_definitions import ALL, MetricType

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
CASES = (ALERTS.with_name("alerts_test.yaml"), ALERTS.with_name("alerts_days_test.yaml"))
RUNBOOKS = ROOT / "docs" / "how-to" / "runbooks.md"
OVERVIEW = ROOT / "docs" / "how-to" / "alerts-and-dashboards.md"
ANNOTATIONS = {"summary", "description", "runbook_url"}
pytestmark = pytest.mark.timeout(180)  # promtool evaluates hours of samples


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def test_prometheus_accepts_the_rules() -> None:
    assert f"SUCCESS: {len(rules())} rules found" in promtool("check", "rules", "--lint-fatal", str(ALERTS))


def cases() -> list[dict[str, Any]]:
    return [case for path in CASES for case in yaml.safe_load(path.read_text())["tests"]]


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.stem))
def test_each_alert_fires_and_stays_quiet_as_its_cases_say(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(path))


@pytest.mark.parametrize("threshold", ["> 360000", "> -1"])
def test_the_cases_find_an_alert_that_never_fires_or_always_does(tmp_path: Path, threshold: str) -> None:
    (tmp_path / "alerts.yaml").write_text(ALERTS.read_text().replace("[1d])) > 3600", f"[1d])) {threshold}"))
    document = yaml.safe_load(CASES[0].read_text())
    document["tests"] = [case for case in document["tests"] if "NoSuccessfulRun" in case["name"]]
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(AssertionError, match="WorkflowManagerNoSuccessfulRun"):
        promtool("test", "rules", str(tmp_path / "cases.yaml"))


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_stays_quiet() -> None:
    tested = [one for case in cases() for one in case["alert_rule_test"]]
    fire = {one["alertname"] for one in tested if one["exp_alerts"]}
    quiet = {one["alertname"] for one in tested if not one["exp_alerts"]}
    assert fire == quiet == set(alerts())


def test_alerts_fire_for_cronjobs_and_for_serve() -> None:
    """Metrics of a Pushgateway have no instance name, those of serve have."""
    kinds: dict[str, set[bool]] = {}
    for case in cases():
        served = any("instance_name=" in one["series"] for one in case["input_series"])
        for one in case["alert_rule_test"]:
            if one["exp_alerts"]:
                kinds.setdefault(one["alertname"], set()).add(served)
    only_serve = {"WorkflowManagerServeMakesNoPasses", "WorkflowManagerServeGone"}
    assert {name for name, found in kinds.items() if found != {False, True}} == only_serve


@pytest.mark.parametrize("name", sorted(alerts()))
def test_alerts_tell_what_to_do(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == ANNOTATIONS
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/how-to/runbooks.md")
    assert anchor == name.lower()
    section = RUNBOOKS.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert "Check" in section
    assert "\nFix" in section
    row = f"| [{name}](runbooks.md#{anchor}) | {alert['labels']['severity']} |"
    assert row in OVERVIEW.read_text()


def test_no_runbook_is_without_an_alert() -> None:
    headings = re.findall(r"^## (.*)", RUNBOOKS.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules() if "alert" in rule]


def test_all_metrics_of_the_alerts_exist() -> None:
    known = {definition.exposed_name for definition in ALL} | {
        f"{definition.name}{suffix}"
        for definition in ALL
        if definition.type is MetricType.HISTOGRAM
        for suffix in ("_bucket", "_count", "_sum")
    }
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {
        name
        for rule in rules()
        for name in re.findall(r"[a-z_:]*workflow_manager_[a-z_:]+", str(rule["expr"]))
    }
    assert used
    assert used - known - recorded == set()
