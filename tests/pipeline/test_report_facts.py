"""What a run's report says besides its figures: batch times, durations, and who holds the lease."""

from datetime import UTC, datetime, timedelta

from support.harness import Harness
from workflow_manager.core.lease_names import LeaseName
from workflow_manager.core.report import BatchTimes, StageName
from workflow_manager.pipeline.scheduler import LeaseTerms

EARLY, LATE = "2026/11/22/18/00", "2026/11/23/04/05"


def test_the_newest_batch_is_known_whether_or_not_it_is_scheduled_by_this_run() -> None:
    harness = Harness()
    harness.ingest("agg", EARLY, "one")
    harness.ingest("agg", LATE, "two")
    harness.ingest("agg", "2026/11/23/04/10", "incomplete", parts=("",))
    harness.ingest("old", "2026/11/20/04/10", "before-the-intake-window")
    for _ in range(2):
        assert harness.run().batch_times == {"agg": BatchTimes(LATE)}


def test_the_oldest_unscheduled_batch_is_one_whose_task_failed() -> None:
    harness = Harness()
    for time, batch in ((EARLY, "refused-1"), (LATE, "refused-2"), ("2026/11/22/17/00", "taken")):
        harness.ingest("agg", time, batch)
    harness.queue.refuses_message = lambda message: b"refused" in message.body
    assert harness.run().batch_times["agg"] == BatchTimes(LATE, EARLY)
    harness.queue.refuses_message = lambda _: False
    assert harness.run().batch_times["agg"] == BatchTimes(LATE)


def test_the_oldest_unscheduled_batch_is_one_that_could_not_be_marked() -> None:
    harness = Harness()
    harness.ingest("agg", EARLY, "one")
    harness.own.fails = lambda operation, _name: operation == "put"
    scheduler = harness.scheduler()
    report = scheduler.run()
    assert report.failure_count
    assert report.batch_times["agg"] == BatchTimes(EARLY, EARLY)


def test_a_batch_that_a_run_leaves_for_the_next_is_unscheduled() -> None:
    harness = Harness()
    harness.ingest("agg", EARLY, "one")
    scheduler = harness.scheduler()
    original = scheduler._ledger.found

    def found(aggregation: str, newest: str) -> None:
        original(aggregation, newest)
        scheduler.interrupt("SIGTERM received")

    scheduler._ledger.found = found  # type: ignore[method-assign] # the signal comes at this moment
    report = scheduler.run()
    assert report.total().intake_tasks_left == 1
    assert report.batch_times["agg"] == BatchTimes(EARLY, EARLY)


def test_each_stage_has_a_duration() -> None:
    harness = Harness()
    harness.ingest("agg", EARLY, "one")
    report = harness.run()
    assert set(report.stage_seconds) == set(StageName)
    assert all(seconds > 0 for seconds in report.stage_seconds.values())
    idle = harness.run().stage_seconds
    assert idle[StageName.PUBLISH] == idle[StageName.MARK] == 0, "nothing was left to publish"


def test_a_superseded_run_says_since_when_the_other_has_been_running() -> None:
    harness = Harness()
    harness.ingest("agg", EARLY, "one")
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=40)
    until = int((begun + timedelta(hours=1)).timestamp())
    name = LeaseName(until, int(begun.timestamp()), "ab", 7, "elsewhere")
    harness.own.put(name.key("scope"), b"")
    report = harness.run(lease=LeaseTerms("scope", 60))
    assert report.left_to_another
    assert report.superseded_by is not None
    assert report.superseded_by.begun == begun


def test_a_start_that_no_calendar_has_is_taken_for_the_end() -> None:
    holder = LeaseName(1_800_000_000, 999_999_999_999, "ab", 7, "elsewhere").holder()
    assert holder.begun == holder.until
