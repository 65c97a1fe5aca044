"""What happens in a process that serves many instances, besides what happens in their passes."""

from dataclasses import dataclass
from typing import ClassVar

from workflow_manager.observe.event import Event, Severity
from workflow_manager.observe.wording import counted


@dataclass(slots=True)
class ServiceStarted(Event):
    """The process started to work on its instances."""

    name: ClassVar[str] = "service.started"
    instances: int
    shard: str
    listen: str

    @property
    def message(self) -> str:
        where = f"; metrics and status on http://{self.listen}" if self.listen else ""
        return f"serving {counted(self.instances, 'instance')} (shard {self.shard}){where}"


@dataclass(slots=True)
class ServiceStopping(Event):
    """The process starts no more passes and waits for those in progress."""

    name: ClassVar[str] = "service.stopping"
    reason: str

    @property
    def message(self) -> str:
        return f"shutting down: {self.reason}"


@dataclass(slots=True)
class ServiceStopped(Event):
    """The process shut down. ERROR if passes did not end within the grace period."""

    name: ClassVar[str] = "service.stopped"
    in_time: bool

    @property
    def severity(self) -> Severity:
        """Whether something may be published again."""
        return Severity.INFO if self.in_time else Severity.ERROR

    @property
    def message(self) -> str:
        if self.in_time:
            return "all passes have ended"
        return "passes have not ended within --shutdown-grace; what they publish may be published again"


@dataclass(slots=True)
class ConfigurationReloaded(Event):
    """The file of instances was reloaded."""

    name: ClassVar[str] = "configuration.reloaded"
    instances: int

    @property
    def message(self) -> str:
        return f"configuration reloaded: {counted(self.instances, 'instance')}"


@dataclass(slots=True)
class ConfigurationRefused(Event):
    """The file of instances was reloaded and has a mistake; the previous configuration remains in use."""

    name: ClassVar[str] = "configuration.refused"
    usual: ClassVar[Severity] = Severity.ERROR
    mistake: str

    @property
    def message(self) -> str:
        return f"the configuration was not reloaded: {self.mistake}"


@dataclass(slots=True)
class SourceFailed(Event):
    """Notifications could not be received or acknowledged, which is retried. Regular passes continue."""

    name: ClassVar[str] = "notifications.failed"
    usual: ClassVar[Severity] = Severity.WARNING
    source: str
    error: str

    @property
    def message(self) -> str:
        return f"{self.error}; batches are found by the regular passes until this works again"


@dataclass(slots=True)
class SourceRecovered(Event):
    """Notifications are received again."""

    name: ClassVar[str] = "notifications.recovered"
    source: str

    @property
    def message(self) -> str:
        return f"notifications are received again from {self.source}"


@dataclass(slots=True)
class PassCrashed(Event):
    """A pass ended with an unexpected error; it is retried."""

    name: ClassVar[str] = "pass.crashed"
    usual: ClassVar[Severity] = Severity.ERROR
    error: str

    @property
    def message(self) -> str:
        return f"the pass failed: {self.error}"


@dataclass(slots=True)
class SurveyFailed(Event):
    """A survey for the status page could not read everything; it is tried again. Passes go on."""

    name: ClassVar[str] = "survey.failed"
    usual: ClassVar[Severity] = Severity.WARNING
    error: str
    failures: int

    @property
    def message(self) -> str:
        others = f" (and {counted(self.failures - 1, 'more failure')})" if self.failures > 1 else ""
        return f"the survey for the status page is incomplete: {self.error}{others}; passes are not affected"


@dataclass(slots=True)
class PageFailed(Event):
    """The HTTP server could not generate a page."""

    name: ClassVar[str] = "page.failed"
    usual: ClassVar[Severity] = Severity.ERROR
    path: str
    error: str

    @property
    def message(self) -> str:
        return f"{self.path} could not be answered: {self.error}"
