"""The dashboard that is shipped: generated, and every query answered by a real Prometheus.

That has scraped a `serve` over made-up deployments, and a Pushgateway with a run and a survey.
"""

import json
import re
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import dashboard
from servers.prometheus import Prometheus, prometheus
from servers.pushgateway import pushgateway
from support.command import Deployment, call
from support.serving import COMMAND, Fleet
from workflow_manager.observe.metric_definitions import ALL, MetricType

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
SECONDS = 45.0  # that Prometheus may take to see everything once
DASHBOARD: dict[str, Any] = json.loads(dashboard.FILE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [
    (panel["title"], target["refId"], target["expr"], target.get("instant", False))
    for panel in PANELS
    for target in panel["targets"]
]
# What there may be none of in the made-up deployments: each says that something is wrong right now.
MAY_BE_EMPTY = {("Age of batches", "B"), ("Lease", "A")}
NO_FAILURE = ("Time since success and failure", "B")  # in a locality that has none
pytestmark = pytest.mark.timeout(150)


def test_the_dashboard_is_generated() -> None:
    assert dashboard.FILE.read_text() == dashboard.text(), "make dashboards"


def test_it_has_a_row_for_the_fleet_one_locality_and_one_aggregation() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Fleet", "One locality: $locality $ingestor", "One aggregation: $aggregation"]
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == [
        *("datasource", "locality", "ingestor", "aggregation"),
    ]


def test_panels_are_told_apart_described_and_do_not_overlap() -> None:
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        at = panel["gridPos"]
        x, y = at.get("x", 0), at.get("y", 0)
        assert x + at["w"] <= 24
        cells = {(column, row) for column in range(x, x + at["w"]) for row in range(y, y + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_all_its_metrics_exist_and_every_metric_is_used() -> None:
    known = {definition.exposed_name for definition in ALL if definition.type is not MetricType.HISTOGRAM}
    known |= {f"{one.name}_bucket" for one in ALL if one.type is MetricType.HISTOGRAM}
    used = {name for *_, query, _ in QUERIES for name in re.findall(r"workflow_manager_\w+", query)}
    assert used - known == set()
    assert known - used == {
        "workflow_manager_instances",
        "workflow_manager_aggregate_incomplete_ingestions_found",
        "workflow_manager_incomplete_peer_validations_found",
        "workflow_manager_survey_failures",
        "workflow_manager_survey_malformed_objects",
        "workflow_manager_survey_newest_batch_timestamp_seconds",
        "workflow_manager_survey_oldest_due_batch_timestamp_seconds",
    }


def _batch(directory: Path, time: datetime, *, validated: bool = True) -> None:
    """A batch in the directories of a deployment, with the validation of the peer."""
    name = f"kittens-seen/{time:%Y/%m/%d/%H/%M}/{uuid.uuid4()}"
    for key in (f"in/{name}.batch", f"in/{name}.batch.avro", f"in/{name}.batch.sig"):
        _write(directory / key)
    if validated:
        _write(directory / f"peer/{name}.validity_0.sig")


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen every metric that there must be."""
    directory = tmp_path_factory.mktemp("fleet")
    now = datetime.now(UTC)
    fleet = Fleet(directory, interval="1s")
    fleet.add("na-1", "k8s-namespace: na", "ingestor-label: i1", "ingestor-notifications: watch")
    fleet.add("eu-1", "k8s-namespace: eu", "ingestor-label: i1")
    fleet.add("broken", "k8s-namespace: eu", "ingestor-label: i2")
    (directory / "broken" / "in").rmdir()
    for name in ("na-1", "eu-1"):
        _batch(directory / name, now - timedelta(days=2))  # missed, and too old
        _batch(directory / name, now - timedelta(hours=2))
        _batch(directory / name, now - timedelta(minutes=5), validated=False)
    with (
        pushgateway(directory) as gateway,
        fleet.serve() as served,
        prometheus(directory, _targets(gateway, served.url), [ALERTS]) as found,
    ):
        _run_and_survey(directory, gateway)
        served.until(lambda status: status["na-1"]["passes"]["done"] > 0)
        deadline = time.monotonic() + SECONDS
        while _unseen(found) and time.monotonic() < deadline:
            fleet.upload("na-1")
            time.sleep(1)
        yield found


def _targets(gateway: str, served: str) -> dict[str, str]:
    return {"pushgateway": gateway.removeprefix("http://"), "serve": served.removeprefix("http://")}


def _run_and_survey(directory: Path, gateway: str) -> None:
    """What CronJobs do: a run that pushes its metrics, and a survey that does."""
    (directory / "cronjob").mkdir()
    deployment = Deployment(COMMAND, directory / "cronjob")
    labels = ("--push-gateway", gateway, "--k8s-namespace=sa", "--ingestor-label=i1", "--intake-max-age=24h")
    deployment.put_batch(f"kittens-seen/{datetime.now(UTC):%Y/%m/%d/%H/%M}/{uuid.uuid4()}")
    assert deployment.run(*labels).status == 0
    surveyed = call(COMMAND, ["status", *deployment.flags(), *labels])
    assert surveyed.status == 0, surveyed.stderr


def _substituted(query: str, locality: str = ".*", ingestor: str = ".*", aggregation: str = ".*") -> str:
    """A query with its variables replaced, as Grafana does it."""
    values = {
        "$__rate_interval": "10s",
        "$locality": locality,
        "$ingestor": ingestor,
        "$aggregation": aggregation,
    }
    for name, value in values.items():
        query = query.replace(name, value)
    assert "$" not in query
    return query


def _answer(found: Prometheus, query: str, *, instant: bool, **chosen: str) -> list[dict[str, Any]]:
    text = _substituted(query, **chosen)
    return found.query(text) if instant else found.query_range(text, 30)


def _unseen(found: Prometheus) -> list[tuple[str, str]]:
    """The queries without data that must have some."""
    return [
        (title, reference)
        for title, reference, query, instant in QUERIES
        if (title, reference) not in MAY_BE_EMPTY and not _answer(found, query, instant=instant)
    ]


def test_every_query_is_answered_with_data(scraped: Prometheus) -> None:
    for title, reference, query, instant in QUERIES:
        series = _answer(scraped, query, instant=instant)
        assert series or (title, reference) in MAY_BE_EMPTY, f"{title}, {reference}: {query}"


def test_every_query_is_answered_for_one_locality_ingestor_and_aggregation(scraped: Prometheus) -> None:
    chosen = {"locality": "na", "ingestor": "i1", "aggregation": "kittens-seen"}
    for title, reference, query, instant in QUERIES:
        series = _answer(scraped, query, instant=instant, **chosen)
        only_of_runs = re.search(r"bucket_\w+(?<!_total)\{", query)
        may_be_empty = only_of_runs or (title, reference) in {*MAY_BE_EMPTY, NO_FAILURE}
        assert series or may_be_empty, f"{title}, {reference}: {query}"
        localities = {one["metric"].get("locality", "na") for one in series if "$locality" in query}
        assert localities <= {"na"}, title


def test_the_variables_have_the_values_that_there_are(scraped: Prometheus) -> None:
    found = {}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr] # fails if it does not match
            found[variable["name"]] = scraped.ask(
                f"label/{label}/values", **{"match[]": _substituted(selector)}
            )
    assert found == {
        "locality": ["eu", "na", "sa"],
        "ingestor": ["i1", "i2"],
        "aggregation": ["kittens-seen"],
    }


def test_the_fleet_is_shown_as_it_is(scraped: Prometheus) -> None:
    numbers = {
        title: float(_answer(scraped, query, instant=True)[0]["value"][1])
        for title, _, query, instant in QUERIES
        if instant and title in ("Deployments", "Failing", "Missed windows", "Batches too old")
    }
    assert numbers.pop("Missed windows") >= 2, "another one, if an hour has ended meanwhile"
    assert numbers == {"Deployments": 3, "Failing": 1, "Batches too old": 2}


def test_prometheus_evaluates_all_rules_on_real_metrics(scraped: Prometheus) -> None:
    rules = [rule for group in scraped.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    active = {
        (
            one["labels"]["alertname"].removeprefix("WorkflowManager"),
            one["labels"]["instance_name"],
            one["state"],
        )
        for one in scraped.ask("alerts")["alerts"]
    }
    assert active == {
        *(("WindowsMissed", name, "firing") for name in ("na-1", "eu-1")),
        *(("BatchesTooOld", name, "firing") for name in ("na-1", "eu-1")),
        ("RunsFail", "broken", "pending"),
    }, "and no others"


def test_prometheus_has_no_complaints_about_what_it_scrapes(scraped: Prometheus) -> None:
    targets = scraped.ask("targets")["activeTargets"]
    assert {one["labels"]["job"]: one["lastError"] for one in targets} == {"pushgateway": "", "serve": ""}
