"""The status page of a process that serves many instances."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from workflow_manager.observe.wording import counted
from workflow_manager.report.ages import age, ago
from workflow_manager.report.attention import Attention, Matter
from workflow_manager.report.page_views import Moment
from workflow_manager.report.status_page import (
    OPEN_INSTANCES,
    InstancePart,
    PassesView,
    PassView,
    RenderedPage,
    instance_part,
    status_page,
)
from workflow_manager.report.surveyed import SurveyedInstance
from workflow_manager.service.overview import state
from workflow_manager.service.records import Record, Records
from workflow_manager.service.surveys import InstanceSurvey, Surveys
from workflow_manager.service.timing import Outcome
from workflow_manager.survey import commands


class FleetPage:
    """Makes the page. What it has of an instance is made anew only when that has been surveyed again."""

    def __init__(self, surveys: Surveys, records: Records, target: Callable[[str], str]) -> None:
        self._surveys = surveys
        self._records = records
        self._target = target  # gives the flags that choose an instance
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[InstanceSurvey, bool, InstancePart]] = {}

    def render(self, shard: str, started: float, now: float) -> RenderedPage:
        """The page as of now; both times in seconds since 1970."""
        made = datetime.fromtimestamp(now, UTC)
        records = self._records.all()
        attention = [
            self._failing(record, now - (record.succeeded or started))
            for record in records
            if record.last is Outcome.FAILED
        ]
        passes = PassesView([_pass_view(record, made) for record in records], attention, shard)
        return status_page(self._all_parts(), made, passes)

    def _all_parts(self) -> list[InstancePart]:
        surveys = self._surveys.all()
        unfolded = len(surveys) <= OPEN_INSTANCES
        with self._lock:
            before, self._parts = self._parts, {}
            for survey in surveys:
                known = before.get(survey.name)
                if known is None or known[0] is not survey or known[1] is not unfolded:
                    known = (survey, unfolded, instance_part(self._surveyed(survey), unfolded=unfolded))
                self._parts[survey.name] = known
            return [part for _, _, part in self._parts.values()]

    def _surveyed(self, survey: InstanceSurvey) -> SurveyedInstance:
        target = self._target(survey.name)
        return SurveyedInstance(
            survey.name, survey.labels, survey.report, survey.times, survey.failures, target
        )

    def _failing(self, record: Record, seconds: float) -> Attention:
        others = f" (and {counted(len(record.failures) - 1, 'more failure')})" if record.failures[1:] else ""
        reason = f": {record.failures[0]}{others}" if record.failures else ""
        lasting = age(timedelta(seconds=seconds))
        return Attention(
            Matter.FAILING,
            int(seconds),
            f"No pass over {record.name} has succeeded for {lasting}{reason}.",
            "finds out what cannot be used, and as whom",
            (commands.check(self._target(record.name)),),
        )


def _pass_view(record: Record, now: datetime) -> PassView:
    return PassView(
        record.name,
        state(record),
        record.last is not Outcome.FAILED,
        _moment(record.ended, now),
        _moment(record.succeeded, now),
        record.intake_tasks,
        record.aggregation_tasks,
        record.failures[:3],
    )


def _moment(seconds: float, now: datetime) -> Moment:
    if not seconds:
        return Moment("", "")
    time = datetime.fromtimestamp(seconds, UTC)
    return Moment(f"{time:%Y-%m-%d %H:%M:%S}", ago(now - time))
