"""The reference page on metrics, generated from their definitions."""

from collections.abc import Iterator, Sequence

from workflow_manager.observe.metric_definitions import (
    ALL,
    FIGURE_METRICS,
    NEWEST,
    OLDEST_UNSCHEDULED,
    RUN_METRICS,
    SERVE_METRICS,
    SURVEY_METRICS,
    TRANSFER_COUNTERS,
    TRANSFERS,
    Definition,
)
from workflow_manager.observe.samples import MOST_AGGREGATIONS, OTHERS

_PAGE = """\
# Metrics

Three commands deliver metrics:

| command | what | how |
| --- | --- | --- |
| `run` | what the run found and did | `--push-gateway`, `--metrics-file` |
| `status` | what a survey found: windows missed, batches left out, batches too old | the same flags |
| `serve` | both, for all instances | `/metrics`, and for each pass the same flags |

- `--push-gateway URL` pushes to the job `workflow-manager` of a Pushgateway, with the grouping keys
  `locality` (`--k8s-namespace`) and `ingestor` (`--ingestor-label`). A user name and password in the
  URL are sent as basic authentication. Scrape the Pushgateway with `honor_labels: true`.
- `--metrics-file FILE` writes to a file for node-exporter's textfile collector, atomically, with
  `locality` and `ingestor` as labels. `run` and `status` may share a file; give each instance its own.
- `/metrics` of [`serve`](../how-to/serve-many-instances.md) has the labels `instance_name`, `locality`
  and `ingestor`, in Prometheus' text format, or in OpenMetrics for clients that accept it.

A delivery adds to what is there: a metric that is not delivered keeps its last value, on a Pushgateway
and in the file. So a run with a failure keeps `last_success_seconds`, a run without failures keeps
`last_failure_seconds`, a run that a signal ended without any failure keeps both, and `run` and `status`
keep each other's metrics. A run that leaves everything to another run delivers only `superseded` and
`lease_held_since_seconds`. A dry run delivers nothing.

If only the metrics cannot be delivered, the [exit status](exit-statuses.md) is 3; tasks are not
affected.

[Alerts](../how-to/alerts-and-dashboards.md) on these metrics and a dashboard are in `deploy/`.

This page is generated from the program.
"""
_AGGREGATION = f"""
## Metrics by aggregation

With the label `aggregation_id`. With more than {MOST_AGGREGATIONS:,} aggregations, those with the
fewest ready batches are summed under the label `{OTHERS}`, which the event `metrics.bounded` reports.
Aggregations with nothing to count may then be left out. `serve` has those of the last pass over all
aggregations.
"""
_RUN = """
## Metrics of the run

In `serve`, "the last run" is the last pass over all aggregations, except that `last_success_seconds`,
`last_failure_seconds`, `superseded` and `lease_held_since_seconds` follow every pass, and that
`lease_held_since_seconds` is the start of the pass that this process is doing, if there is one.

Values of `kind`: `listing` (a bucket could not be read), `publish`, `marker`, `lease` (it could not be
taken or renewed), `timeout` (the run exceeded `--run-timeout`), `overlap` (the window overlaps a
scheduled one). Values of `stage`: `list` (listing and deciding), `publish`, `mark`. Stages overlap.
"""
_TRANSFERS = """
## Requests to buckets

By `bucket` (`ingestion`, `own`, `peer`) and `operation` (`list`, `read`, `write`, `delete`). On S3 and
Cloud Storage, each HTTP request counts, so a listing counts once for each page of 1,000 names. For
`file://`, each operation counts once, and a listing as one. Requests for credentials, to queues, and of
surveys are not counted.

`run` delivers those of the last run as gauges, `serve` counts them from its start.
"""
_SERVE = """
## Metrics of serve

Values of `outcome`: `done`, `failed`, `superseded` (another process holds the lease).
"""
_SURVEY = """
## Metrics of surveys

`status` surveys the range from `--since`; `serve` surveys `status-since` every `status-interval`, with
the same labels as the other metrics of the instance. Do not deliver the metrics of a `status` that is
limited by `--aggregation-id`: it would replace those of the other aggregations.

A run never looks back, so these are the only metrics that tell of missed windows and of batches that
have become too old. Values of `state` for batches: `scheduled`, `due`, `too_old` (ready and not
scheduled, and before the intake window), `too_early` (more than a day in the future), `incomplete`.
Values of `state` for windows: `filling`, `in_grace`, `due`, `scheduled`, `missed` (over and not
scheduled, although batches are ready and validated), `waiting` (no batch is validated by the peer),
`empty`.
"""
_VANISHED = """
## Aggregations that vanish

If an aggregation has no objects left in the ingestion bucket, or its ingestor stops, a run no longer
finds it, and its time series end; an alert that compares values would be silent. These are the ways to
see it:

- A series that was there and is no longer:

  ```promql
  max by (locality, ingestor, aggregation_id) (max_over_time(workflow_manager_ingestions_found[1d]))
    unless max by (locality, ingestor, aggregation_id) (workflow_manager_ingestions_found)
  ```

- A locality in which no aggregation has a new batch: `workflow_manager_newest_batch_timestamp_seconds`
  is 0 if the intake window has no ready batch, so its maximum over some hours becomes old, and then 0,
  instead of ending.
- A run that does not happen at all. A Pushgateway keeps the last value forever, and forgets it when it
  is restarted:

  ```promql
  time() - max_over_time(workflow_manager_last_success_seconds[1d]) > 3600
  ```

- A `serve` that is gone:

  ```promql
  max_over_time(workflow_manager_instances[1h]) unless workflow_manager_instances
  ```

The alerts `WorkflowManagerAggregationVanished`, `WorkflowManagerNoBatches`,
`WorkflowManagerNoSuccessfulRun` and `WorkflowManagerServeGone` are these.
"""


def metrics_page() -> str:
    """All metrics, as Markdown."""
    transfers = (*TRANSFERS.values(), *TRANSFER_COUNTERS.values())
    sections: tuple[tuple[str, Sequence[Definition]], ...] = (
        (_AGGREGATION, (*FIGURE_METRICS.values(), NEWEST, OLDEST_UNSCHEDULED)),
        (_RUN, RUN_METRICS),
        (_TRANSFERS, transfers),
        (_SERVE, SERVE_METRICS),
        (_SURVEY, SURVEY_METRICS),
    )
    if missing := set(ALL).difference(*(definitions for _, definitions in sections)):
        raise ValueError(f"in no section: {missing}")
    parts = [_PAGE]
    for introduction, definitions in sections:
        parts.append(introduction)
        parts.extend(_table(definitions))
    return "".join([*parts, _VANISHED])


def _table(definitions: Sequence[Definition]) -> Iterator[str]:
    yield "\n| metric | type | labels | delivered by | value |\n| --- | --- | --- | --- | --- |\n"
    for one in definitions:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        sources = ", ".join(f"`{source}`" for source in sorted(one.sources))
        yield f"| `{one.exposed_name}` | {one.type} | {labels} | {sources} | {one.help} |\n"
