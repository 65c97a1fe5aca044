"""One instance with its survey: what text, tables, JSON and the status page are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workflow_manager.config.run_config import RunConfig
from workflow_manager.core.windows import Window
from workflow_manager.report.attention import Attention, attention, severity, unreadable
from workflow_manager.survey.findings import SurveyReport


@dataclass(frozen=True, slots=True)
class SurveyedInstance:
    """One instance. `name` is empty if there is one deployment only, without a name.

    `report` is its last survey and `times` the range of that, or None before the first. `failures` say
    what the last attempt could not read. `target` has the flags that choose the instance in commands, and
    `config`, where there is one, says where metrics are delivered.
    """

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    report: SurveyReport | None = None
    times: Window | None = None
    failures: Sequence[str] = ()
    target: str = ""
    config: RunConfig | None = None

    def attention(self) -> list[Attention]:
        """What needs a person, worst first."""
        found = attention(self.report, self.name, self.target) if self.report else []
        if self.failures:
            found.append(unreadable(self.name, self.failures, self.target))
        return sorted(found, key=severity)
