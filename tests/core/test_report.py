"""A run's outcome."""

from workflow_manager.core.report import Figures, Kind, RunReport


def test_a_run_succeeds_only_without_failures_and_to_its_end() -> None:
    assert RunReport(dry_run=False).succeeded
    assert not RunReport(dry_run=False, failed={Kind.MARKER: 1}).succeeded
    assert not RunReport(dry_run=False, stopped="SIGTERM received").succeeded


def test_the_total_is_the_sum_over_aggregations() -> None:
    report = RunReport(
        dry_run=False,
        figures={"a": Figures(ingestions_found=2), "b": Figures(ingestions_found=3, intake_tasks_failed=1)},
    )
    assert report.total() == Figures(ingestions_found=5, intake_tasks_failed=1)


def test_aggregations_are_counted_even_if_they_have_no_figures_and_those_without_a_name_are_not() -> None:
    figures = {"": Figures(malformed_objects_found=2), "a": Figures()}
    assert RunReport(dry_run=False, figures=figures, unnamed=7).aggregations == 8
