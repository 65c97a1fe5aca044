"""What is scheduled, what is skipped, and that planning again after marking schedules nothing."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import validate

from workflow_manager.core.names import Batch
from workflow_manager.core.plan import Skip, plan_aggregation, plan_intake
from workflow_manager.core.schema import AGGREGATION, INTAKE
from workflow_manager.core.task_messages import AggregationTask, IntakeTask
from workflow_manager.core.windows import HOUR, Window

WINDOW = Window(datetime(2026, 11, 22, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
batches = st.lists(
    st.builds(Batch, st.just("2026/11/22/17/05"), st.uuids().map(str)), unique=True, max_size=20
)


@given(batches, st.data())
def test_every_ready_batch_is_due_unless_marked(ready: list[Batch], data: st.DataObject) -> None:
    marked = data.draw(st.lists(st.sampled_from(ready), unique=True)) if ready else []
    markers = {IntakeTask("agg", batch).marker for batch in marked}
    plan = plan_intake("agg", ready, markers)
    assert sorted(plan.marked) == sorted(marked)
    assert sorted(plan.due + plan.marked) == sorted(ready)


@given(batches)
def test_planning_again_after_marking_schedules_nothing(ready: list[Batch]) -> None:
    markers = {task.marker for task in plan_intake("agg", ready, set()).tasks()}
    assert not plan_intake("agg", ready, markers).due
    assert not isinstance(plan_aggregation("agg", WINDOW, ready, marked=True), AggregationTask)


@given(batches)
def test_another_aggregations_markers_do_not_count(ready: list[Batch]) -> None:
    others = {IntakeTask("other", batch).marker for batch in ready}
    assert plan_intake("agg", ready, others).due == ready


def test_an_aggregation_of_no_batches_is_skipped() -> None:
    assert plan_aggregation("agg", WINDOW, [], marked=False) is Skip.NO_BATCHES


def test_an_aggregation_that_is_marked_is_skipped() -> None:
    assert plan_aggregation("agg", WINDOW, [Batch("2026/11/22/17/05", "a")], marked=True) is Skip.MARKER


def test_an_aggregation_has_its_batches_in_order_of_time() -> None:
    late, early = Batch("2026/11/22/17/05", "a"), Batch("2026/11/22/16/59", "b")
    task = plan_aggregation("agg", WINDOW, [late, early], marked=False)
    assert task == AggregationTask("agg", WINDOW, (early, late))


def test_the_message_of_an_intake_task() -> None:
    task = IntakeTask("kittens-seen", Batch("2020/10/31/20/29", "b8a5579a"))
    assert json.loads(task.message("t-1")) == {
        "trace-id": "t-1",
        "aggregation-id": "kittens-seen",
        "batch-id": "b8a5579a",
        "date": "2020/10/31/20/29",
    }


def test_the_message_of_an_aggregation_task() -> None:
    begin = datetime(2020, 10, 31, tzinfo=UTC)
    task = AggregationTask(
        "kittens-seen", Window(begin, begin + 8 * HOUR), (Batch("2020/10/31/02/29", "b8a5579a"),)
    )
    assert json.loads(task.message("t-2")) == {
        "trace-id": "t-2",
        "aggregation-id": "kittens-seen",
        "aggregation-start": "2020/10/31/00/00",
        "aggregation-end": "2020/10/31/08/00",
        "batches": [{"id": "b8a5579a", "time": "2020/10/31/02/29"}],
    }


@given(batches.filter(bool), st.text(min_size=1))
def test_messages_keep_to_their_schemas(found: list[Batch], aggregation: str) -> None:
    trace_id = "7d0c3f0e-5b1c-4a3e-9a53-0d5d3e1f4c11"
    for batch in found:
        validate(json.loads(IntakeTask(aggregation, batch).message(trace_id)), INTAKE)
    task = AggregationTask(aggregation, WINDOW, tuple(found))
    validate(json.loads(task.message(trace_id)), AGGREGATION)


def test_messages_are_utf_8_on_one_line() -> None:
    body = IntakeTask("über\n", Batch("2020/10/31/20/29", "\u2028")).message("t-3")
    assert b"\n" not in body
    assert "über" in body.decode()
