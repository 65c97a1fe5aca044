"""The commands of the runbooks fix what the alerts see: the metric of the alert is 0 afterwards."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from servers.pushgateway import pushed, pushgateway
from support.command import Deployment
from support.serving import COMMAND
from workflow_manager.observe.metric_definitions import SURVEY_LEFT_OUT, SURVEY_MALFORMED, SURVEY_TIMESTAMP

DOCS = Path(__file__).parent.parent.parent / "docs" / "how-to"
RUNBOOKS = (DOCS / "runbooks.md").read_text()
OVERVIEW = (DOCS / "alerts-and-dashboards.md").read_text()
NOW = datetime(2026, 11, 19, 16, 30, tzinfo=UTC)
SCHEDULED = datetime(2026, 11, 18, 4, 30, tzinfo=UTC)  # when the window before last was due
MISSED = 'workflow_manager_survey_windows{aggregation_id="kittens-seen",state="missed"}'
TOO_OLD = 'workflow_manager_survey_batches{aggregation_id="kittens-seen",state="too_old"}'
LEFT_OUT = f'{SURVEY_LEFT_OUT.name}{{aggregation_id="kittens-seen"}}'
MARKER = "aggregate-kittens-seen-2026-11-17-16-00-2026-11-18-00-00"
pytestmark = pytest.mark.timeout(180)


def commands(text: str) -> list[str]:
    """The commands that are set off from the text."""
    return re.findall(r"^    (workflow-manager .*)$", text, re.MULTILINE)


def section(alert: str) -> str:
    return RUNBOOKS.partition(f"\n## {alert}\n")[2].partition("\n## ")[0]


class Operated:
    """A deployment with its flags in the environment, as the runbooks have it."""

    def __init__(self, directory: Path) -> None:
        self.deployment = Deployment(COMMAND, directory)
        self.file = directory / "survey.prom"
        self._flags = {
            **dict(zip(*[iter(self.deployment.flags())] * 2, strict=True)),
            "--aggregation-period": "8h",
            "--grace-period": "4h",
            "--intake-max-age": "24h",
        }

    def batch(self, day: int, hour: int, *, validated: bool = True) -> None:
        """A batch that was uploaded on a day of November 2026."""
        name = f"kittens-seen/2026/11/{day:02}/{hour:02}/00/a1b2c3d4-0000-4000-8000-{day:06}{hour:06}"
        self.deployment.put_batch(name)
        if validated:
            self.validate(day, hour)

    def validate(self, day: int, hour: int) -> None:
        name = f"kittens-seen/2026/11/{day:02}/{hour:02}/00/a1b2c3d4-0000-4000-8000-{day:06}{hour:06}"
        self.deployment.put("peer", f"{name}.validity_0.sig")

    def call(self, line: str, more: Mapping[str, str] | None = None, now: datetime = NOW) -> str:
        """What a command prints, which has to succeed."""
        words = shlex.split(line)
        assert words.pop(0) == "workflow-manager"
        given = {**self._flags, "--now": f"{now:%Y-%m-%dT%H:%M:%SZ}", **(more or {})}
        twins = {
            f"WORKFLOW_MANAGER_{name[2:].upper().replace('-', '_')}": value for name, value in given.items()
        }
        done = subprocess.run(
            [str(COMMAND), *words],
            env={**os.environ, **twins},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def told(self, sample: str) -> float:
        """The value of a sample in what a survey delivers now."""
        self.call("workflow-manager status --since 7d", {"--metrics-file": str(self.file)})
        (line,) = [line for line in self.file.read_text().splitlines() if line.startswith(f"{sample} ")]
        return float(line.rpartition(" ")[2])


@pytest.fixture
def operated(tmp_path: Path) -> Operated:
    """One window was scheduled without a batch that was validated later, the next by no run at all."""
    operated = Operated(tmp_path)
    operated.batch(17, 17)
    operated.batch(17, 18, validated=False)
    operated.call("workflow-manager run", now=SCHEDULED)
    operated.validate(17, 18)
    operated.batch(18, 3)
    operated.batch(18, 4)
    return operated


@pytest.mark.parametrize(
    ("alert", "sample", "count"),
    [
        ("WorkflowManagerWindowsMissed", MISSED, 1),
        ("WorkflowManagerBatchesTooOld", TOO_OLD, 2),
        ("WorkflowManagerBatchesLeftOut", LEFT_OUT, 1),
    ],
)
def test_the_commands_of_a_runbook_fix_what_its_alert_sees(
    operated: Operated, alert: str, sample: str, count: int
) -> None:
    assert operated.told(sample) == count
    typed = commands(section(alert))
    assert typed
    for line in typed:
        operated.call(line.replace("--marker NAME", f"--marker {MARKER}"))
    assert operated.told(sample) == 0


def test_no_other_section_sets_commands_off() -> None:
    tested = ("WindowsMissed", "BatchesTooOld", "BatchesLeftOut")
    found = sum(len(commands(section(f"WorkflowManager{name}"))) for name in tested)
    assert len(commands(RUNBOOKS)) == found


def test_the_survey_of_a_cronjob_pushes_its_metrics(operated: Operated, tmp_path: Path) -> None:
    (line,) = commands(OVERVIEW)
    assert "http://prometheus-pushgateway:9091" in line
    with pushgateway(tmp_path) as gateway:
        operated.call(
            line.replace("http://prometheus-pushgateway:9091", gateway),
            {"--k8s-namespace": "na", "--ingestor-label": "i1"},
        )
        text = pushed(gateway)
    for definition in (SURVEY_TIMESTAMP, SURVEY_LEFT_OUT, SURVEY_MALFORMED):
        assert re.search(rf'^{definition.name}{{.*ingestor="i1",.*locality="na"', text, re.MULTILINE)


def test_runbook_urls_are_replaced_as_the_page_says(tmp_path: Path) -> None:
    (line,) = re.findall(r"^    (sed .*)$", OVERVIEW, re.MULTILINE)
    shipped = DOCS.parent.parent / "deploy" / "prometheus" / "alerts.yaml"
    (tmp_path / "alerts.yaml").write_bytes(shipped.read_bytes())
    subprocess.run(shlex.split(line), cwd=tmp_path, check=True)
    text = (tmp_path / "alerts.yaml").read_text()
    assert "docs.example.org" not in text
    assert text.count("https://example.com/docs/how-to/runbooks.html#") == shipped.read_text().count(
        "- alert:"
    )
