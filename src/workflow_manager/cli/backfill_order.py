"""What `backfill` is to schedule, from its flags."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_manager.config.flags import Parsed
from workflow_manager.config.run_config import Given
from workflow_manager.core.names import aggregate_marker, intake_marker
from workflow_manager.core.repetition import Repetition
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import MINUTE, Window, floor
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.survey.backfill_plan import PlannedPass
from workflow_manager.survey.subject import BatchSubject, WindowSubject, batch_time, parse_subject


@dataclass(frozen=True, slots=True)
class Order:
    """What to schedule: a range, or the task of one marker (`only`)."""

    repetition: Repetition | None
    times: Window | None = None
    only: PlannedPass | None = None

    @property
    def marker(self) -> str:
        """The key of that marker."""
        return self.repetition.only_marker if self.repetition else ""


def read_order(parsed: Parsed, rules: Rules) -> Order:
    """What the flags ask for; raises ConfigError with all mistakes in them."""
    given = Given(parsed.values)
    again, reason, marker = given.get("again", bool), given.text("reason"), given.text("marker")
    times = [parsed.values.get(name) for name in ("from", "to")]
    mistakes = [
        Mistake(flag, "", problem)
        for flag, wrong, problem in (
            ("--reason", again and not reason, "is required with --again"),
            ("--again", not again and bool(reason or marker), "is required with --reason and --marker"),
            ("--again", not again and given.get("recompute", bool), "is required with --recompute"),
            ("--from", not marker and times[0] is None, "is required unless --marker is set"),
            ("--to", not marker and times[1] is None, "is required unless --marker is set"),
            ("--marker", bool(marker) and any(times), "cannot be combined with --from and --to"),
            ("--marker", bool(marker) and "only" in parsed.values, "cannot be combined with --only"),
        )
        if wrong
    ]
    if mistakes:
        raise ConfigError(mistakes)
    repetition = Repetition(reason, given.get("recompute", bool)) if again else None
    if marker and repetition is not None:
        return _one_marker(marker, repetition)
    return Order(repetition, _times(times, rules))


def _times(given: Sequence[object], rules: Rules) -> Window:
    try:
        begin, end = (
            floor(one if isinstance(one, datetime) else rules.now - _duration(one), MINUTE) for one in given
        )
    except OverflowError:
        raise ConfigError([Mistake("--from", "", "falls outside years 1 to 9999")]) from None
    if end <= begin:
        raise ConfigError([Mistake("--to", f"{end:%Y-%m-%dT%H:%M:%SZ}", "must be after --from")])
    return Window(begin, end)


def _duration(value: object) -> timedelta:
    assert isinstance(value, timedelta)
    return value


def _one_marker(name: str, repetition: Repetition) -> Order:
    """A pass that publishes the task of one marker again."""
    try:
        subject = parse_subject([name])
    except ValueError as error:
        raise ConfigError([Mistake("--marker", name, str(error))]) from None
    match subject:
        case BatchSubject(aggregation=aggregation, batch=batch, problem="") if "/" not in name.removeprefix(
            "task-markers/"
        ):
            begin = batch_time(batch)
            only = PlannedPass((aggregation,), Window(begin, begin + MINUTE), Window(begin, begin), 1, 0)
            return Order(repetition._replace(only_marker=intake_marker(aggregation, batch)), only=only)
        case WindowSubject(aggregation=aggregation, begin=begin, end=datetime() as end):
            window = Window(begin, end)
            only = PlannedPass((aggregation,), Window(begin, begin), window, 0, 1)
            return Order(repetition._replace(only_marker=aggregate_marker(aggregation, window)), only=only)
    raise ConfigError([Mistake("--marker", name, "is not a valid marker name")])
