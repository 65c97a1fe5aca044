"""Surveys beside the passes: what is kept of each instance, and that it never grows without bound."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.harness import Events, FaultyStore, Harness
from support.survey import PERIOD, rules
from workflow_manager.core.selection import Selection
from workflow_manager.core.shards import Shard
from workflow_manager.core.verdict import WindowState
from workflow_manager.core.windows import Window
from workflow_manager.errors import ConfigError
from workflow_manager.fleet import Fleet, read_fleet
from workflow_manager.pipeline.scheduler import Buckets
from workflow_manager.service import survey_jobs
from workflow_manager.service.hints import Hints
from workflow_manager.service.survey_jobs import SurveyContext, SurveyJob, open_survey_jobs
from workflow_manager.service.surveys import InstanceSurvey, Surveys
from workflow_manager.service.timing import Outcome
from workflow_manager.survey.surveyor import Surveyor, SurveyResources, SurveySpec

NOW = datetime(2026, 11, 23, 4, 20, tzinfo=UTC)
FLEET = """\
defaults:
  task-queue-kind: memory
  intake-tasks-topic: intake
  aggregate-tasks-topic: aggregate
  aggregation-period: 8h
  grace-period: 4h
  k8s-namespace: na
instances:
  one:
    ingestor-input: file://{at}/in
    own-validation-input: file://{at}/own
    peer-validation-input: file://{at}/peer
"""
BATCH = "b8a5579a-f984-460a-a42d-2813cbf57771"


class Deployment:
    """Directories, a file with one instance, and the surveys of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.surveys = Surveys()
        self.events = Events()
        for bucket in ("in", "own", "peer"):
            (directory / bucket).mkdir()

    def upload(self, aggregation: str, time: str) -> None:
        at = self.directory / "in" / aggregation / time
        at.mkdir(parents=True)
        for suffix in ("batch", "batch.avro", "batch.sig"):
            (at / f"{BATCH}.{suffix}").write_bytes(b"")

    def fleet(self, *lines: str) -> Fleet:
        file = self.directory / "fleet.yaml"
        file.write_text(FLEET.format(at=self.directory) + "".join(f"    {line}\n" for line in lines))
        return read_fleet("serve", "", [f"--config={file}"], {})

    def job(self, opened: ExitStack, *lines: str, behind: Callable[[], bool] = lambda: False) -> SurveyJob:
        def observer(_labels: Mapping[str, str]) -> Events:
            return self.events

        context = replace(SurveyContext.of(self.surveys, {}, 4, lambda: NOW), behind=behind)
        (job,) = open_survey_jobs(self.fleet(*lines), observer, context, opened)
        self.surveys.use({job.name: job.survey()})
        return job

    def last(self) -> InstanceSurvey:
        (survey,) = self.surveys.all()
        return survey


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_what_a_survey_finds_is_kept_with_its_time(deployment: Deployment, opened: ExitStack) -> None:
    deployment.upload("kittens-seen", "2026/11/20/03/05")
    deployment.upload("kittens-seen", "2026/11/10/03/05")
    job = deployment.job(opened)
    assert deployment.last() == InstanceSurvey("one", {"locality": "na"})
    before = deployment.surveys.version
    assert job.perform(Hints(), whole=True) is Outcome.DONE
    last = deployment.last()
    assert deployment.surveys.version > before
    assert (last.ended, last.failures) == (NOW.timestamp(), ())
    assert last.report is not None
    assert last.times is not None
    assert last.times.begin == datetime(2026, 11, 16, tzinfo=UTC), "seven days back, from a window's start"
    found = last.report.aggregations["kittens-seen"]
    assert found.intake.too_old == 1
    assert found.windows[12].state(last.report.rules) is WindowState.WAITING


def test_how_far_back_is_a_flag_and_bounded_by_the_number_of_windows(
    deployment: Deployment, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.job(opened, "status-since: 36h").perform(Hints(), whole=True)
    last = deployment.last()
    assert last.times is not None
    assert last.times.begin == datetime(2026, 11, 21, 16, tzinfo=UTC)
    monkeypatch.setattr(survey_jobs, "MOST_WINDOWS", 2)
    deployment.job(opened, "status-since: 999d").perform(Hints(), whole=True)
    last = deployment.last()
    assert last.times is not None
    assert last.times.begin == datetime(2026, 11, 22, 8, tzinfo=UTC)


def test_a_survey_that_fails_leaves_what_the_last_complete_one_found(
    deployment: Deployment, opened: ExitStack
) -> None:
    deployment.upload("kittens-seen", "2026/11/20/03/05")
    job = deployment.job(opened)
    job.perform(Hints(), whole=True)
    complete = deployment.last()
    (deployment.directory / "in").rename(deployment.directory / "gone")
    assert job.perform(Hints(), whole=True) is Outcome.FAILED
    last = deployment.last()
    assert (last.report, last.ended) == (complete.report, complete.ended)
    assert "No such file or directory" in last.failures[0]
    (failed,) = deployment.events.named("survey.failed")
    assert failed.message.endswith("passes are not affected")
    (deployment.directory / "gone").rename(deployment.directory / "in")
    assert job.perform(Hints(), whole=True) is Outcome.DONE
    assert deployment.last().failures == ()


def test_of_what_is_incomplete_the_newest_is_kept_if_nothing_else_is_known(
    deployment: Deployment, opened: ExitStack
) -> None:
    (deployment.directory / "in").rmdir()
    job = deployment.job(opened)
    for _ in range(2):
        assert job.perform(Hints(), whole=True) is Outcome.FAILED
    last = deployment.last()
    assert last.report is not None
    assert last.report.aggregations == {}
    assert last.failed == NOW.timestamp()


def test_instances_that_are_not_surveyed_have_no_job(deployment: Deployment, opened: ExitStack) -> None:
    context = SurveyContext.of(deployment.surveys, {}, 4, lambda: NOW)
    assert open_survey_jobs(deployment.fleet("status-interval: 0"), _none, context, opened) == []
    for mistake in ("status-interval: 5s", "status-since: 0", "status-since: soon"):
        with pytest.raises(ConfigError, match="status-"):
            deployment.fleet(mistake)


def test_an_interrupted_survey_ends_at_once_and_changes_nothing(
    deployment: Deployment, opened: ExitStack
) -> None:
    job = deployment.job(opened)
    job.interrupt("SIGTERM received")
    assert job.perform(Hints(), whole=True) is Outcome.FAILED
    assert deployment.last().failures == ()
    assert deployment.events.seen == []


def test_a_survey_waits_for_passes_that_wait(
    deployment: Deployment, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_jobs, "PAUSE", 0.001)
    answers = [True, True, False]
    asked: list[float] = []

    def behind() -> bool:
        asked.append(deployment.last().ended)
        return answers.pop(0)

    job = deployment.job(opened, behind=behind)
    assert job.perform(Hints(), whole=True) is Outcome.DONE
    assert asked == [0.0, 0.0, 0.0], "before it began"
    monkeypatch.setattr(survey_jobs, "MOST_WAIT", 0.01)
    answers.extend([True] * 1000)
    assert job.perform(Hints(), whole=True) is Outcome.DONE, "but not for ever"


class HeldStore(FaultyStore):
    """A bucket whose second listing waits until it is let go."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.reached = threading.Event()
        self.go = threading.Event()
        self.fails = self._hold

    def _hold(self, operation: str, _name: str) -> bool:
        if operation == "list":
            self.reached.set()
            assert self.go.wait(30)
        return False


def spec(shard: Shard = Shard()) -> SurveySpec:  # noqa: B008 (a value)
    at = rules(NOW)
    windows = Window(at.aggregation.begin, at.aggregation.end)
    return SurveySpec(at, at.intake, windows, PERIOD, is_first=False, selection=Selection(), shard=shard)


def test_no_request_is_sent_after_an_interruption() -> None:
    held = HeldStore("memory://ingestion")
    harness = Harness()
    harness.ingestion = held
    for number in range(40):
        harness.ingest(f"kittens-{number}", "2026/11/22/17/05", "b")
    surveyor = Surveyor(Buckets(held, harness.own, harness.peer), spec(), SurveyResources())
    thread = threading.Thread(target=surveyor.survey)
    thread.start()
    assert held.reached.wait(30)
    surveyor.interrupt("SIGTERM received")
    sent = len(held.calls)
    held.go.set()
    thread.join(30)
    assert not thread.is_alive()
    assert len(held.calls) <= sent + 24, "only what the threads had in hand"


def test_more_aggregations_than_are_kept_are_counted() -> None:
    harness = Harness()
    for number in range(10):
        harness.ingest(f"kittens-{number}", "2026/11/22/17/05", "b")
    buckets = Buckets(harness.ingestion, harness.own, harness.peer)
    report = Surveyor(buckets, spec(), SurveyResources(most_aggregations=3)).survey()
    assert (list(report.aggregations), report.omitted) == (["kittens-0", "kittens-1", "kittens-2"], 7)


def test_a_shard_surveys_its_own_aggregations() -> None:
    harness = Harness()
    names = [f"kittens-{number}" for number in range(10)]
    for name in names:
        harness.ingest(name, "2026/11/22/17/05", "b")
    buckets = Buckets(harness.ingestion, harness.own, harness.peer)
    found = [list(Surveyor(buckets, spec(Shard(index, 2))).survey().aggregations) for index in range(2)]
    assert sorted(found[0] + found[1]) == names
    assert all(found)


def _none(_labels: Mapping[str, str]) -> Events:
    return Events()
