"""The last survey of each instance: where the status page and the metrics of surveys come from."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from workflow_manager.core.windows import Window
from workflow_manager.survey.findings import SurveyReport


@dataclass(frozen=True, slots=True)
class InstanceSurvey:
    """The last survey of one instance. Times are in seconds since 1970, and 0 for what has not been yet.

    `report` is that of the last survey that read everything, or of the last one at all if none did; `times`
    is its range, `ended` when it ended, and `seconds` how long it took. `failures` and `failed` are those of
    the last attempt, if that could not read everything.
    """

    name: str
    labels: Mapping[str, str]
    report: SurveyReport | None = None
    times: Window | None = None
    ended: float = 0.0
    seconds: float = 0.0
    failed: float = 0.0
    failures: tuple[str, ...] = ()

    def succeeded(
        self, report: SurveyReport, times: Window, ended: float, seconds: float
    ) -> "InstanceSurvey":
        """A survey that read everything has ended."""
        return InstanceSurvey(self.name, self.labels, report, times, ended, seconds)

    def incomplete(
        self, report: SurveyReport, times: Window, ended: float, seconds: float
    ) -> "InstanceSurvey":
        """A survey has ended that could not read everything: an earlier complete one says more."""
        failed = replace(self, failed=ended, failures=tuple(report.failures))
        if self.report is not None and not self.report.failures:
            return failed
        return replace(failed, report=report, times=times, ended=ended, seconds=seconds)

    def refused(self, error: str, ended: float) -> "InstanceSurvey":
        """A survey could not even begin."""
        return replace(self, failed=ended, failures=(error,))


class Surveys:
    """The last survey of each instance of the process. Safe for use by many threads.

    `version` grows whenever one of them changes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._surveys: dict[str, InstanceSurvey] = {}
        self._version = 0

    @property
    def version(self) -> int:
        """Grows with each change."""
        with self._lock:
            return self._version

    def use(self, surveys: Mapping[str, InstanceSurvey]) -> None:
        """Keep these instances; what was found in those of the same name stays."""
        with self._lock:
            self._version += 1
            known = self._surveys
            self._surveys = {
                name: replace(known[name], labels=empty.labels) if name in known else empty
                for name, empty in surveys.items()
            }

    def change(self, name: str, change: Callable[[InstanceSurvey], InstanceSurvey]) -> None:
        """Replace the survey of an instance, if there still is one."""
        with self._lock:
            if (survey := self._surveys.get(name)) is not None:
                self._version += 1
                self._surveys[name] = change(survey)

    def all(self) -> list[InstanceSurvey]:
        """All of them, in the order of the file."""
        with self._lock:
            return list(self._surveys.values())
