"""The two kinds of task, and the messages that `facilitator` workers read."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from workflow_manager.core.characters import escaped
from workflow_manager.core.fast_json import json_encoder
from workflow_manager.core.names import Batch, aggregate_marker, intake_marker, path_time
from workflow_manager.core.windows import Window


class IntakeTask(NamedTuple):
    """Take in one ingestion batch: check it and write our own validation of it."""

    aggregation: str
    batch: Batch

    @property
    def marker(self) -> str:
        """The key of the marker that says that this task is scheduled."""
        return intake_marker(self.aggregation, self.batch)

    def message(self, trace_id: str) -> bytes:
        """The message body, as JSON in UTF-8."""
        return _encode(
            {
                "trace-id": trace_id,
                "aggregation-id": self.aggregation,
                "batch-id": self.batch.id,
                "date": self.batch.time,
            }
        )


class AggregationTask(NamedTuple):
    """Sum up the batches of one window that the peer has validated, in order of time."""

    aggregation: str
    window: Window
    batches: tuple[Batch, ...]

    @property
    def marker(self) -> str:
        """The key of the marker that says that this task is scheduled."""
        return aggregate_marker(self.aggregation, self.window)

    def message(self, trace_id: str) -> bytes:
        """The message body, as JSON in UTF-8."""
        return _encode(
            {
                "trace-id": trace_id,
                "aggregation-id": self.aggregation,
                "aggregation-start": path_time(self.window.begin),
                "aggregation-end": path_time(self.window.end),
                "batches": [{"id": batch.id, "time": batch.time} for batch in self.batches],
            }
        )


Task = IntakeTask | AggregationTask

_json = json_encoder(compact=True)

_INTAKE_FIELDS = {"trace-id": str, "aggregation-id": str, "batch-id": str, "date": str}
_AGGREGATION_FIELDS = {
    "trace-id": str,
    "aggregation-id": str,
    "aggregation-start": str,
    "aggregation-end": str,
    "batches": list,
}


def aggregation_of(body: bytes) -> str | None:
    """The aggregation of the task that a message is about, or None if the message is not one of ours."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    for fields in (_INTAKE_FIELDS, _AGGREGATION_FIELDS):
        if all(isinstance(message.get(name), kind) for name, kind in fields.items()):
            return str(message["aggregation-id"])
    return None


def _encode(body: Mapping[str, object]) -> bytes:
    return escaped(_json(body)).encode()
