"""What a survey of one deployment stands on: its buckets, its rules, and the range of time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_manager.config.flags import Parsed
from workflow_manager.config.run_config import Given, RunConfig, configure
from workflow_manager.core.selection import Selection
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import MINUTE, Window, aggregation_window, floor
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.pipeline.scheduler import Buckets
from workflow_manager.ports import ObjectStore
from workflow_manager.survey.surveyor import SurveySpec


@dataclass(frozen=True, slots=True)
class Grounds:
    """The input of a survey: the buckets, what a run would do now, and the length of windows."""

    config: RunConfig
    buckets: Buckets[ObjectStore]
    rules: Rules
    period: timedelta
    selection: Selection

    def spec(self, batches: Window, windows: Window) -> SurveySpec:
        """The spec of a survey of these batches and windows."""
        return SurveySpec(
            self.rules,
            batches,
            windows,
            self.period,
            self.config.is_first,
            self.selection,
            self.config.max_list_workers,
            self.config.request_timeout.total_seconds() / 2,
        )

    def at(self, parsed: Parsed, clock_time: datetime) -> "Grounds":
        """The same buckets, and what a run with the same flags would do at another time."""
        return grounds_of(parsed, configure(parsed.values, clock_time), self.buckets, clock_time)

    def around(self, times: Window) -> tuple[datetime, datetime]:
        """The start of the window that contains the first time, and the end of the one with the last."""
        return (
            aggregation_window(times.begin, self.period).begin,
            aggregation_window(times.end - MINUTE, self.period).end,
        )

    def windows(self, begin: datetime, end: datetime) -> Window:
        """The range of the aligned windows that begin at or after `begin` and before `end`."""
        first = aggregation_window(begin, self.period).begin
        first = first if first == begin else first + self.period
        last = aggregation_window(end, self.period).begin
        last = last if last == end else last + self.period
        return Window(min(first, last), last)


def grounds_of(
    parsed: Parsed, config: RunConfig, buckets: Buckets[ObjectStore], clock_time: datetime
) -> Grounds:
    """The grounds of a survey of buckets that are open."""
    given = Given(parsed.values)
    now = given.optional("now", datetime) or clock_time
    rules = Rules(
        now,
        config.intake,
        config.aggregation,
        given.get("grace-period", timedelta),
        config.batch_ids,
        config.allow_overlapping_windows,
    )
    patterns = given.optional("aggregation-id", tuple) or ()
    period = given.get("aggregation-period", timedelta)
    return Grounds(config, buckets, rules, period, Selection(patterns))


def range_since(parsed: Parsed, rules: Rules, period: timedelta) -> Window:
    """The range from `--since`, rounded down to a window start, to `--until`; raises ConfigError."""
    since = parsed.values["since"]
    try:
        begin = since if isinstance(since, datetime) else rules.now - since  # type: ignore[operator]
        until = parsed.values.get("until")
        return range_of(begin, rules, period, until if isinstance(until, datetime) else None)
    except OverflowError:
        raise ConfigError([Mistake("--since", str(since), "falls outside years 1 to 9999")]) from None


def range_of(since: datetime, rules: Rules, period: timedelta, until: datetime | None = None) -> Window:
    """The range from `since`, rounded down to a window start, to `until`, or to the end of the intake window.

    Raises ConfigError, and OverflowError if it begins before all time.
    """
    begin = aggregation_window(since, period).begin
    end = floor(until or rules.intake.end, MINUTE)
    if end <= begin:
        raise ConfigError([Mistake("--until", f"{end:%Y-%m-%dT%H:%M:%SZ}", "must be after --since")])
    return Window(begin, end)
