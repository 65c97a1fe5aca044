"""Writes workflow-manager.json, the dashboard for Grafana, beside this file: `make dashboards`."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import GraphDrawStyle, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FILE = Path(__file__).with_name("workflow-manager.json")
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24  # of a dashboard, in units
DEPLOYMENT = "instance_name, locality, ingestor"
AGGREGATION = f"{DEPLOYMENT}, aggregation_id"
NAME = "{{locality}}/{{ingestor}} {{instance_name}}"
CHOSEN = 'locality=~"$locality", ingestor=~"$ingestor"'
CHOSEN_AGGREGATION = f'{CHOSEN}, aggregation_id=~"$aggregation"'

Panel = timeseries.Panel | stat.Panel | table.Panel
# An expression, and the name of its series.
Query = tuple[str, str]


def metric(name: str, labels: str = "") -> str:
    """A selector of one of our metrics, of the chosen localities and ingestors."""
    return f"workflow_manager_{name}{{{', '.join(filter(None, (CHOSEN, labels)))}}}"


def of_aggregation(name: str, labels: str = "") -> str:
    """A selector of one of our metrics, of the chosen aggregations as well."""
    return f"workflow_manager_{name}{{{', '.join(filter(None, (CHOSEN_AGGREGATION, labels)))}}}"


def total(name: str, by: str, labels: str = "") -> str:
    """The sum over all aggregations; replicas that tell of the same aggregation count once."""
    return f"sum by ({by}) (max by ({AGGREGATION}) ({metric(name, labels)}))"


def latest(selector: str) -> str:
    """The age in seconds of the latest of the times that a metric has, where there is one."""
    return f"time() - max by ({DEPLOYMENT}) ({selector} > 0)"


def plot(title: str, unit: str, about: str, *queries: Query) -> timeseries.Panel:
    """Values over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .unit(unit)
        .datasource(SOURCE)
        .draw_style(GraphDrawStyle.LINE)
        .fill_opacity(10)
        .min(0)
        .height(8)
        .span(WIDTH // 3)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
    )
    for number, (expression, legend) in enumerate(queries):
        query = prometheus.Dataquery().expr(expression).range().legend_format(legend)
        panel.with_target(query.ref_id(chr(ord("A") + number)))
    return panel


def number(title: str, about: str, expression: str, *, bad_from: float | None = None) -> stat.Panel:
    """One number as of now, red from `bad_from`."""
    steps = [models.Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(models.Threshold(value=bad_from, color="red"))
    thresholds = ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    query = prometheus.Dataquery().expr(expression).instant().ref_id("A")
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit("short")
        .thresholds(thresholds)
        .height(4)
        .span(WIDTH // 8)
        .with_target(query)
    )


def listing(title: str, unit: str, about: str, expression: str) -> table.Panel:
    """The series of an expression as of now, one in each row."""
    query = prometheus.Dataquery().expr(expression).instant().format(PromQueryFormat.TABLE).ref_id("A")
    hidden = models.DataTransformerConfig(id_val="organize", options={"excludeByName": {"Time": True}})
    return (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(WIDTH // 3)
        .with_target(query)
        .with_transformation(hidden)
    )


def fleet() -> list[Panel]:
    """All deployments at a glance."""
    last_failure = f"max by ({DEPLOYMENT}) (workflow_manager_last_failure_seconds)"
    last_success = f"max by ({DEPLOYMENT}) (workflow_manager_last_success_seconds)"

    def surveyed(name: str, labels: str = "") -> str:
        return f"sum(max by ({AGGREGATION}) (workflow_manager_survey_{name}{labels})) or vector(0)"

    return [
        number(
            "Deployments",
            "Pairs of locality and ingestor, or instances of serve, that have had a successful run.",
            f"count(count by ({DEPLOYMENT}) (workflow_manager_last_success_seconds))",
        ),
        number(
            "Failing",
            "Deployments whose last run or pass had failures.",
            f"count({last_failure} > ({last_success} or 0 * {last_failure})) or vector(0)",
            bad_from=1,
        ),
        number(
            "No success for 1 h",
            "Deployments without a successful run for an hour.",
            f"count(time() - {last_success} > 3600) or vector(0)",
            bad_from=1,
        ),
        number(
            "Missed windows",
            "Windows that no run schedules any more; backfill does.",
            surveyed("windows", '{state="missed"}'),
            bad_from=1,
        ),
        number(
            "Batches left out",
            "Batches that the tasks of scheduled windows did not name.",
            surveyed("batches_left_out"),
            bad_from=1,
        ),
        number(
            "Batches too old",
            "Batches whose intake no run schedules any more; backfill does.",
            surveyed("batches", '{state="too_old"}'),
            bad_from=1,
        ),
        number(
            "Waiting for the peer",
            "Windows of which the peer has validated no batch.",
            surveyed("windows", '{state="waiting"}'),
        ),
        number(
            "Firing alerts",
            "Alerts of workflow-manager that fire.",
            'count(ALERTS{alertname=~"WorkflowManager.*", alertstate="firing"}) or vector(0)',
            bad_from=1,
        ),
        listing(
            "Time since the last success",
            "s",
            "Per deployment; sort by value.",
            f"sort_desc(time() - {last_success})",
        ),
        listing(
            "Missed windows by aggregation",
            "short",
            "Windows that need a backfill.",
            f'sort_desc(max by ({AGGREGATION}) (workflow_manager_survey_windows{{state="missed"}}))',
        ),
        listing(
            "Versions",
            "short",
            "Processes by version.",
            "count by (version) (workflow_manager_build_info)",
        ),
        plot(
            "Ready batches in the intake window, by locality",
            "short",
            "The sum over all ingestors and aggregations.",
            (
                f"sum by (locality) (max by ({AGGREGATION}) (workflow_manager_ingestions_found))",
                "{{locality}}",
            ),
        ),
        plot(
            "Tasks scheduled in the last run, by locality",
            "short",
            "Intake and aggregation tasks.",
            (
                f"sum by (locality) (max by ({AGGREGATION}) (workflow_manager_intake_tasks_scheduled))",
                "intake {{locality}}",
            ),
            (
                f"sum by (locality) (max by ({AGGREGATION}) (workflow_manager_aggregation_tasks_scheduled))",
                "aggregation {{locality}}",
            ),
        ),
        plot(
            "Failures of the last run, by kind",
            "short",
            "All deployments together.",
            (
                f"sum by (kind) (max by ({DEPLOYMENT}, kind) (workflow_manager_failures))",
                "{{kind}}",
            ),
        ),
    ]


def locality() -> list[Panel]:
    """What the chosen localities and ingestors do."""
    return [*_work(), *_service(), *_requests()]


def _work() -> list[Panel]:
    unscheduled = metric("oldest_unscheduled_batch_timestamp_seconds")
    return [
        plot(
            "Batches in the intake window",
            "short",
            "Ready and incomplete batches, and objects with malformed names.",
            (total("ingestions_found", DEPLOYMENT), f"ready {NAME}"),
            (total("incomplete_ingestions_found", DEPLOYMENT), f"incomplete {NAME}"),
            (total("malformed_objects_found", DEPLOYMENT), f"malformed {NAME}"),
        ),
        plot(
            "Intake tasks of the last run",
            "short",
            "Scheduled, failed, and left for the next run.",
            (total("intake_tasks_scheduled", DEPLOYMENT), f"scheduled {NAME}"),
            (total("intake_tasks_failed", DEPLOYMENT), f"failed {NAME}"),
            (total("intake_tasks_left", DEPLOYMENT), f"left {NAME}"),
        ),
        plot(
            "Age of batches",
            "s",
            "Of the newest batch, and of the oldest one that is due and not scheduled.",
            (latest(metric("newest_batch_timestamp_seconds")), f"newest {NAME}"),
            (f"time() - min by ({DEPLOYMENT}) ({unscheduled} > 0)", f"oldest unscheduled {NAME}"),
        ),
        plot(
            "Failures of the last run",
            "short",
            "By kind.",
            (f"max by ({DEPLOYMENT}, kind) ({metric('failures')})", f"{{{{kind}}}} {NAME}"),
        ),
        plot(
            "Time since success and failure",
            "s",
            "Since the last run without failures, and the last with one.",
            (latest(metric("last_success_seconds")), f"success {NAME}"),
            (latest(metric("last_failure_seconds")), f"failure {NAME}"),
        ),
        plot(
            "Lease",
            "s",
            "How long its holder had been running; 1 if the last run left everything to another.",
            (latest(metric("lease_held_since_seconds")), f"held for {NAME}"),
            (f"max by ({DEPLOYMENT}) ({metric('superseded')})", f"superseded {NAME}"),
        ),
    ]


def _service() -> list[Panel]:
    rate = "[$__rate_interval]"
    buckets = f"sum by (le) (rate({metric('upload_to_publication_seconds_bucket')}{rate}))"
    return [
        plot(
            "Passes of serve",
            "cps",
            "By outcome.",
            (f"sum by (outcome) (rate({metric('passes_total')}{rate}))", "{{outcome}}"),
        ),
        plot(
            "Age of the last pass of serve",
            "s",
            "And the configured interval.",
            (f"max by ({DEPLOYMENT}) ({metric('last_pass_age_seconds')})", f"age {NAME}"),
            (f"max by ({DEPLOYMENT}) ({metric('pass_interval_seconds')})", f"interval {NAME}"),
        ),
        plot(
            "From upload to publication in serve",
            "s",
            "Of uploads that notifications announced.",
            (f"histogram_quantile(0.5, {buckets})", "median"),
            (f"histogram_quantile(0.99, {buckets})", "99th percentile"),
        ),
        plot(
            "Backlog of serve",
            "short",
            "Tasks that were due in the last pass and are not scheduled.",
            (f"max by ({DEPLOYMENT}) ({metric('backlog_tasks')})", NAME),
        ),
    ]


def _requests() -> list[Panel]:
    by = "bucket, operation"
    name = "{{bucket}} {{operation}}"

    def both(field: str, run: str, serve: str) -> tuple[Query, Query]:
        return (
            (f"sum by ({by}) (rate({metric(f'bucket_{field}_total')}[$__rate_interval]))", f"{name} {serve}"),
            (f"sum by ({by}) ({metric(f'bucket_{field}')})", f"{name} {run}"),
        )

    sent = both("sent_bytes", "sent in the last run", "sent a second")
    received = both("received_bytes", "received in the last run", "received a second")
    return [
        plot(
            "Requests to buckets",
            "short",
            "A second in serve, and in the last run.",
            *both("requests", "in the last run", "a second"),
        ),
        plot(
            "Retried requests to buckets",
            "short",
            "A second in serve, and in the last run.",
            *both("retries", "in the last run", "a second"),
        ),
        plot(
            "Bytes from and to buckets",
            "bytes",
            "A second in serve, and in the last run.",
            *received,
            *sent,
        ),
        plot(
            "Duration of the last run",
            "s",
            "Of the last run without failures, and of its stages, which overlap.",
            (f"max by ({DEPLOYMENT}) ({metric('runtime_seconds')})", f"all {NAME}"),
            (
                f"max by ({DEPLOYMENT}, stage) ({metric('stage_duration_seconds')})",
                f"{{{{stage}}}} {NAME}",
            ),
        ),
        plot(
            "Surveys",
            "s",
            "Age of the last one that could read everything.",
            (latest(metric("survey_timestamp_seconds")), NAME),
        ),
    ]


def aggregation() -> list[Panel]:
    """What becomes of the batches and windows of the chosen aggregations."""

    def now(name: str, legend: str) -> Query:
        return f"max by ({AGGREGATION}) ({of_aggregation(name)})", f"{legend} {{{{aggregation_id}}}} {NAME}"

    def state(name: str) -> Query:
        selector = of_aggregation(name)
        return f"max by ({AGGREGATION}, state) ({selector})", f"{{{{state}}}} {{{{aggregation_id}}}} {NAME}"

    return [
        plot(
            "Aggregation window",
            "short",
            "Ready batches in the window that the last run looked at, and the validations of the peer.",
            now("aggregate_ingestions_found", "ready"),
            now("peer_validations_found", "validated"),
            now("aggregate_ingestions_missing_peer_validation", "missing"),
        ),
        plot(
            "Aggregation tasks of the last run",
            "short",
            "Scheduled, skipped as they have a marker, failed, left; and how many batches a task named.",
            now("aggregation_tasks_scheduled", "scheduled"),
            now("aggregation_tasks_skipped_due_to_marker", "marked"),
            now("aggregation_tasks_failed", "failed"),
            now("aggregation_tasks_left", "left"),
            now("number_of_batches_in_aggregation", "batches"),
        ),
        plot(
            "Intake",
            "short",
            "Ready batches in the intake window, and what became of their tasks in the last run.",
            now("ingestions_found", "ready"),
            now("intake_tasks_scheduled", "scheduled"),
            now("intake_tasks_skipped_due_to_marker", "marked"),
        ),
        plot(
            "Windows by state",
            "short",
            "In the range of the last survey.",
            state("survey_windows"),
        ),
        plot(
            "Batches by state",
            "short",
            "In the range of the last survey.",
            state("survey_batches"),
        ),
        plot(
            "Batches left out by aggregation",
            "short",
            "In the range of the last survey, and in the window that the last run looked at.",
            now("survey_batches_left_out", "survey"),
            now("aggregate_batches_left_out", "run"),
        ),
    ]


def variable(name: str, label: str, query: str) -> QueryVariable:
    """A variable with the values of a label; all of them unless others are chosen."""
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return (
        QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything)
    )


def build() -> Dashboard:
    """The dashboard."""
    made = (
        Dashboard("workflow-manager")
        .uid("workflow-manager")
        .description("Runs and passes of workflow-manager: the fleet, one locality, one aggregation.")
        .tags(["workflow-manager"])
        .timezone("utc")
        .time("now-24h", "now")
        .refresh("1m")
        .readonly()
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            variable("locality", "Locality", "label_values(workflow_manager_superseded, locality)")
        )
        .with_variable(
            variable(
                "ingestor",
                "Ingestor",
                'label_values(workflow_manager_superseded{locality=~"$locality"}, ingestor)',
            )
        )
        .with_variable(
            variable(
                "aggregation",
                "Aggregation",
                f"label_values(workflow_manager_ingestions_found{{{CHOSEN}}}, aggregation_id)",
            )
        )
    )
    for title, panels in (
        ("Fleet", fleet()),
        ("One locality: $locality $ingestor", locality()),
        ("One aggregation: $aggregation", aggregation()),
    ):
        made = made.with_row(Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def text() -> str:
    """The dashboard as Grafana imports it."""
    return json.dumps(build().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
