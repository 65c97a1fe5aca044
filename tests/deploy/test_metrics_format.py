"""What run, status and serve deliver, read by Prometheus' own parser and linter."""

import hashlib
import re
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from servers.prometheus import promtool
from support.command import Deployment, call, metrics
from support.serving import COMMAND, Fleet
from workflow_manager.core.lease_names import LeaseName
from workflow_manager.observe.metric_definitions import PREFIX, Definition, MetricType, Source, delivered_by

PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
pytestmark = pytest.mark.timeout(120)
HOSTILE = 'odd "\n\\ name'


def names(text: str) -> set[str]:
    """The metrics that a text has samples of."""
    return set(re.findall(rf"^({PREFIX}\w+)[{{ ]", text, re.MULTILINE))


def expected(source: Source) -> set[str]:
    return {name for definition in delivered_by(source) for name in _sample_names(definition)}


def _sample_names(definition: Definition) -> set[str]:
    if definition.type is MetricType.HISTOGRAM:
        return {f"{definition.name}{suffix}" for suffix in ("_bucket", "_count", "_sum")}
    return {definition.exposed_name}


def deployment(directory: Path) -> Deployment:
    """A deployment with batches of now and of two days ago, and an aggregation with an odd name."""
    made = Deployment(COMMAND, directory)
    for time in (datetime.now(UTC), datetime.now(UTC) - timedelta(days=2)):
        made.put_batch(f"kittens-seen/{time:%Y/%m/%d/%H/%M}/{uuid.uuid4()}")
        made.put_batch(f"{HOSTILE}/{time:%Y/%m/%d/%H/%M}/{uuid.uuid4()}")
    return made


def test_the_files_of_run_and_status(tmp_path: Path) -> None:
    made = deployment(tmp_path)
    labels = ("--k8s-namespace=na", "--ingestor-label=i 1")
    of_run, of_status = tmp_path / "run.prom", tmp_path / "status.prom"
    assert made.run("--metrics-file", str(of_run), *labels).status == 0
    surveyed = call(COMMAND, ["status", *made.flags(), *labels, "--metrics-file", str(of_status)])
    assert surveyed.status == 0, surveyed.stderr
    for file, source in ((of_run, Source.RUN), (of_status, Source.STATUS)):
        text = file.read_text()
        assert promtool("check", "metrics", text=text) == ""
        missing = expected(source) - names(text)
        assert missing <= {f"{PREFIX}last_failure_seconds"}, "there was none"
        assert names(text) - expected(source) == set()


def test_run_and_status_can_share_a_file(tmp_path: Path) -> None:
    made = deployment(tmp_path)
    file = tmp_path / "both.prom"
    flags = ("--metrics-file", str(file), "--k8s-namespace=na")
    assert made.run(*flags).status == 0
    assert call(COMMAND, ["status", *made.flags(), *flags]).status == 0
    assert made.run(*flags).status == 0
    text = file.read_text()
    assert promtool("check", "metrics", text=text) == ""
    assert expected(Source.STATUS) - names(text) == set()
    assert expected(Source.RUN) - names(text) == {f"{PREFIX}last_failure_seconds"}


def test_a_status_whose_metrics_cannot_be_delivered_ends_with_3(tmp_path: Path) -> None:
    made = deployment(tmp_path)
    flags = ["status", *made.flags(), "--push-gateway=http://127.0.0.1:1"]
    ended = call(COMMAND, flags)
    assert ended.status == 3
    assert "is the Pushgateway up?" in ended.stderr
    assert call(COMMAND, [*flags, "--dry-run"]).status == 0
    assert call(COMMAND, [*flags, "--fail-on=too-old"]).status == 4


def test_a_run_that_leaves_everything_to_another_tells_since_when_that_one_works(tmp_path: Path) -> None:
    made = deployment(tmp_path)
    file = tmp_path / "run.prom"
    assert made.run("--metrics-file", str(file)).status == 0
    before = names(file.read_text())
    now = datetime.now(UTC)
    begun = int((now - timedelta(minutes=40)).timestamp())
    scope = hashlib.sha256(f"file://{(tmp_path / 'ingestion').resolve()}".encode()).hexdigest()[:16]
    lease = LeaseName(int(now.timestamp()) + 300, begun, "ab", 7, "elsewhere")
    made.put("own", lease.key(scope))
    made.put_batch(f"kittens-seen/{now:%Y/%m/%d/%H/%M}/{uuid.uuid4()}")
    ended = made.run("--metrics-file", str(file))
    assert ended.event("run.superseded")["host"] == "elsewhere"
    text = file.read_text()
    assert promtool("check", "metrics", text=text) == ""
    assert names(text) == before, "the figures of the other run stay"
    told = metrics(text)
    assert told[f"{PREFIX}superseded"] == {"": 1}
    assert told[f"{PREFIX}lease_held_since_seconds"] == {"": begun}


def test_the_page_of_serve(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.add("na", "ingestor-notifications: watch")
    fleet.add("broken")
    (tmp_path / "broken" / "in").rmdir()
    fleet.upload("na", HOSTILE)
    fleet.upload("na")
    with fleet.serve() as served:
        served.until(lambda status: status["na"]["passes"]["done"] > 0)
        fleet.upload("na")
        served.until(lambda status: status["na"]["passes_after_notifications"] > 0)
        served.until(lambda status: status["broken"]["passes"]["failed"] > 0)
        served.until(lambda _: names(served.get("/metrics")) >= expected(Source.SERVE))
        text = served.get("/metrics")
        request = urllib.request.Request(f"{served.url}/metrics", headers={"Accept": PROMETHEUS_ACCEPTS})
        with urllib.request.urlopen(request) as answered:
            openmetrics = answered.read().decode()
            assert answered.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert promtool("check", "metrics", text=text) == ""
    assert names(text) == names(openmetrics) == expected(Source.SERVE)
    # Prometheus itself reads this form in test_dashboard; this is the reference implementation's parser.
    assert list(text_string_to_metric_families(openmetrics))  # type: ignore[no-untyped-call] # has no types


def test_a_status_of_many_instances_delivers_the_metrics_of_each(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    for name in ("na", "eu"):
        fleet.add(name, f"metrics-file: {tmp_path}/{name}.prom")
        fleet.upload(name)
    fleet.add("unreachable", "push-gateway: http://127.0.0.1:1")
    surveyed = call(COMMAND, ["status", "--config", str(fleet.path)])
    assert surveyed.status == 3
    assert "is the Pushgateway up?" in surveyed.stderr
    for name in ("na", "eu"):
        text = (tmp_path / f"{name}.prom").read_text()
        labels = f'aggregation_id="kittens-seen",locality="{name}",state="due"'
        assert f"workflow_manager_survey_batches{{{labels}}} 1.0" in text
