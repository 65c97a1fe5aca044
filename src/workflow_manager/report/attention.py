"""What in a survey needs a person: in sentences, with the commands that mend it, worst first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from workflow_manager.core.marker_record import marker_name
from workflow_manager.core.names import aggregate_marker
from workflow_manager.core.windows import Window
from workflow_manager.observe.wording import counted, quote, span
from workflow_manager.report.ages import age
from workflow_manager.report.display_states import (
    LEFT_OUT,
    MISSED,
    OVERLAPS,
    WAITING,
    DisplayState,
    display_state,
)
from workflow_manager.survey import commands
from workflow_manager.survey.backfill_plan import Only
from workflow_manager.survey.findings import AggregationFindings, IntakeFindings, SurveyReport, WindowFindings
from workflow_manager.survey.subject import parse_batch_time

MOST_COMMANDS = 5  # for one matter
MOST_NAMED = 3  # aggregations of one instance that share a sentence; of more, the number is told
# Aggregations that a command chooses; of more, it takes all: it schedules only what is due.
MOST_CHOSEN = 10


class Matter(IntEnum):
    """What is the matter, worst first: what is unknown, what is lost unless mended, what others must mend."""

    UNREADABLE = 0
    FAILING = 1
    MISSED = 2
    TOO_OLD = 3
    LEFT_OUT = 4
    OVERLAPS = 5
    WAITING = 6
    OMITTED = 7
    MALFORMED = 8


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing that needs a person: `what` is the matter, what `commands` do about it, and a `caution`."""

    matter: Matter
    count: int
    what: str
    does: str = ""
    commands: tuple[str, ...] = ()
    caution: str = ""


def unreadable(name: str, failures: Sequence[str], target: str = "") -> Attention:
    """A survey could not read everything."""
    whose = f" of {name}" if name else ""
    others = f" (and {counted(len(failures) - 1, 'more failure')})" if failures[1:] else ""
    return Attention(
        Matter.UNREADABLE,
        len(failures),
        f"The buckets{whose} could not be read completely: {failures[0]}{others}.",
        "finds out what cannot be used, and as whom",
        (commands.check(target),),
    )


def attention(report: SurveyReport, name: str = "", target: str = "") -> list[Attention]:
    """What needs a person in the buckets of one deployment, worst first.

    `name` is that of the instance, and `target` has the flags that choose it in commands, if there are many.
    """
    return sorted(_Finder(report, name, target).all(), key=severity)


def severity(one: Attention) -> tuple[int, int]:
    """Sorts the worst first."""
    return one.matter, -one.count


class _Finder:
    """Finds what needs a person in the aggregations of one instance."""

    def __init__(self, report: SurveyReport, name: str, target: str) -> None:
        self._report = report
        self._rules = report.rules
        self._within = f" in {name}" if name else ""
        self._target = target

    def all(self) -> Iterator[Attention]:
        """Everything, in no order."""
        yield from self._missed()
        yield from self._waiting()
        for one in self._report.aggregations.values():
            yield from self._too_old(one.aggregation, one.intake)
            yield from self._left_out(one.aggregation, self._shown(one, LEFT_OUT))
            yield from self._overlapping(one.aggregation, self._shown(one, OVERLAPS))
            if count := one.malformed:
                what = f"{counted(count, 'malformed name')} of {self._of([one.aggregation])}"
                yield Attention(Matter.MALFORMED, count, f"{what} {_were(count)} skipped.")
        if omitted := self._report.omitted:
            what = f"{counted(omitted, 'aggregation')}{self._within} {_were(omitted)} not surveyed"
            yield Attention(Matter.OMITTED, omitted, f"{what}, because there are too many.")

    def _missed(self) -> Iterator[Attention]:
        for times, (names, count) in self._together(MISSED).items():
            chosen = names if len(names) <= MOST_CHOSEN else []
            yield Attention(
                Matter.MISSED,
                count,
                f"{counted(count, 'window')} of {self._of(names)} {_were(count)} missed: {span(times)}.",
                "schedules it" if count == 1 else "schedules them",
                (commands.backfill(times, chosen, Only.AGGREGATE, self._target),),
            )

    def _waiting(self) -> Iterator[Attention]:
        for times, (names, count) in self._together(WAITING).items():
            since = self._rules.now - times.begin
            yield Attention(
                Matter.WAITING,
                count,
                f"{counted(count, 'window')} of {self._of(names)} {'waits' if count == 1 else 'wait'} for the"
                f" peer: {span(times)}, which began {age(since)} ago. Ask the peer's operators.",
            )

    def _too_old(self, name: str, intake: IntakeFindings) -> Iterator[Attention]:
        if not intake.too_old:
            return
        oldest = parse_batch_time(intake.oldest_too_old)
        times = Window(oldest, max(oldest, self._rules.intake.begin))
        one = intake.too_old == 1
        yield Attention(
            Matter.TOO_OLD,
            intake.too_old,
            f"{counted(intake.too_old, 'batch')} of {self._of([name])} {'is' if one else 'are'} too old for"
            f" runs to take in, the oldest from {oldest:%Y-%m-%d %H:%M}.",
            f"schedules {'its' if one else 'their'} intake",
            (commands.backfill(times, [name], Only.INTAKE, self._target),),
        )

    def _left_out(self, name: str, windows: Sequence[WindowFindings]) -> Iterator[Attention]:
        if not windows:
            return
        batches, count = sum(one.left_out for one in windows), len(windows)
        markers = [marker_name(aggregate_marker(name, one.window)) for one in windows]
        more = f" The first {MOST_COMMANDS} of {count} commands are shown." if markers[MOST_COMMANDS:] else ""
        yield Attention(
            Matter.LEFT_OUT,
            batches,
            f"{counted(batches, 'batch')} of {self._of([name])} {_were(batches)} left out of"
            f" {counted(count, 'scheduled window')}: {span(_range(windows))}.",
            f"{'publishes its task' if count == 1 else 'publish the task of a window each'} again with all"
            " batches",
            tuple(commands.recompute(one, self._target) for one in markers[:MOST_COMMANDS]),
            "The batches that a task named before are then aggregated twice: do this only if both processors"
            f" do.{more}",
        )

    def _overlapping(self, name: str, windows: Sequence[WindowFindings]) -> Iterator[Attention]:
        if not windows:
            return
        count = len(windows)
        yield Attention(
            Matter.OVERLAPS,
            count,
            f"{counted(count, 'window')} of {self._of([name])} {'overlaps' if count == 1 else 'overlap'}"
            f" scheduled windows of another length: {span(_range(windows))}. Restore --aggregation-period,"
            " or set --allow-overlapping-windows.",
        )

    def _together(self, shown: DisplayState) -> dict[Window, tuple[list[str], int]]:
        """The ranges of windows in a state, with the aggregations that have them and the number of windows.

        What happened to all aggregations at once is one thing to do, not many.
        """
        found: dict[Window, tuple[list[str], int]] = {}
        for one in self._report.aggregations.values():
            if windows := self._shown(one, shown):
                names, count = found.get(_range(windows), ([], 0))
                found[_range(windows)] = ([*names, one.aggregation], count + len(windows))
        return found

    def _shown(self, found: AggregationFindings, shown: DisplayState) -> list[WindowFindings]:
        return [one for one in found.windows if display_state(one, self._rules) is shown]

    def _of(self, names: Sequence[str]) -> str:
        quoted = [quote(name) for name in names[:MOST_NAMED]]
        if names[MOST_NAMED:]:
            return f"{len(names)} aggregations{self._within}"
        return f"{', '.join(quoted[:-1])}{' and ' if quoted[1:] else ''}{quoted[-1]}{self._within}"


def _range(windows: Sequence[WindowFindings]) -> Window:
    return Window(windows[0].window.begin, windows[-1].window.end)


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
