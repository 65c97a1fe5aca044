"""What every event has: a name, a severity, a sentence for people and facts for machines."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import ClassVar

from workflow_manager.observe.wording import as_fields


class Severity(StrEnum):
    """How much an event matters, in the words of Google Cloud Logging."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(slots=True)
class Event:
    """Anything that happens in a run. Nobody changes one.

    That is not enforced: frozen classes take twice as long to make, and three times as long to fill.
    """

    name: ClassVar[str]
    usual: ClassVar[Severity] = Severity.INFO

    @property
    def severity(self) -> Severity:
        """How much it matters; of most events, always the same."""
        return self.usual

    @property
    def message(self) -> str:
        """One sentence for a person."""
        raise NotImplementedError

    @property
    def fields(self) -> Mapping[str, object]:
        """The facts, by the names that they have in a JSON log line."""
        facts: dict[str, object] = {}
        for name in _names(type(self)):  # type: ignore[arg-type] # mypy: takes `__hash__` for the instances'
            facts.update(as_fields(name, getattr(self, name)))
        return facts


@cache
def _names(kind: type[Event]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
