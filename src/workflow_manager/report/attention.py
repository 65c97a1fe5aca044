"""What in a survey needs a person: in sentences, with the commands that mend it, worst first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from workflow_manager.core.marker_record import marker_name
from workflow_manager.core.names import aggregate_marker
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import Window
from workflow_manager.observe.wording import counted, quote, span
from workflow_manager.report.ages import age
from workflow_manager.report.display_states import LEFT_OUT, MISSED, OVERLAPS, WAITING, display_state
from workflow_manager.survey import commands
from workflow_manager.survey.backfill_plan import Only
from workflow_manager.survey.findings import AggregationFindings, SurveyReport, WindowFindings
from workflow_manager.survey.subject import parse_batch_time

MOST_COMMANDS = 5  # for one matter


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
    found = [
        one
        for aggregation in report.aggregations.values()
        for one in _Finder(aggregation, report.rules, name, target).all()
    ]
    if report.omitted:
        omitted = f"{counted(report.omitted, 'aggregation')}{_within(name)} {_were(report.omitted)}"
        what = f"{omitted} not surveyed, because there are too many."
        found.append(Attention(Matter.OMITTED, report.omitted, what))
    return sorted(found, key=severity)


def severity(one: Attention) -> tuple[int, int]:
    """Sorts the worst first."""
    return one.matter, -one.count


class _Finder:
    """What needs a person in one aggregation."""

    def __init__(self, found: AggregationFindings, rules: Rules, name: str, target: str) -> None:
        self._found = found
        self._rules = rules
        self._target = target
        self._of = f"{quote(found.aggregation)}{_within(name)}"
        self._shown: dict[str, list[WindowFindings]] = {}
        for window in found.windows:
            self._shown.setdefault(display_state(window, rules).code, []).append(window)

    def all(self) -> Iterator[Attention]:
        yield from self._missed(self._shown.get(MISSED.code, []))
        yield from self._too_old()
        yield from self._left_out(self._shown.get(LEFT_OUT.code, []))
        yield from self._overlapping(self._shown.get(OVERLAPS.code, []))
        yield from self._waiting(self._shown.get(WAITING.code, []))
        if count := self._found.malformed:
            what = f"{counted(count, 'malformed name')} of {self._of} {_were(count)} skipped."
            yield Attention(Matter.MALFORMED, count, what)

    def _missed(self, windows: Sequence[WindowFindings]) -> Iterator[Attention]:
        if not windows:
            return
        times = Window(windows[0].window.begin, windows[-1].window.end)
        count = len(windows)
        yield Attention(
            Matter.MISSED,
            count,
            f"{counted(count, 'window')} of {self._of} {_were(count)} missed: {_between(windows)}.",
            "schedules it" if count == 1 else "schedules them",
            (commands.backfill(times, [self._found.aggregation], Only.AGGREGATE, self._target),),
        )

    def _too_old(self) -> Iterator[Attention]:
        intake = self._found.intake
        if not intake.too_old:
            return
        oldest = parse_batch_time(intake.oldest_too_old)
        times = Window(oldest, max(oldest, self._rules.intake.begin))
        yield Attention(
            Matter.TOO_OLD,
            intake.too_old,
            f"{counted(intake.too_old, 'batch')} of {self._of} {'is' if intake.too_old == 1 else 'are'} too"
            f" old for runs to take in, the oldest from {oldest:%Y-%m-%d %H:%M}.",
            f"schedules {'its' if intake.too_old == 1 else 'their'} intake",
            (commands.backfill(times, [self._found.aggregation], Only.INTAKE, self._target),),
        )

    def _left_out(self, windows: Sequence[WindowFindings]) -> Iterator[Attention]:
        if not windows:
            return
        batches, count = sum(one.left_out for one in windows), len(windows)
        markers = [marker_name(aggregate_marker(self._found.aggregation, one.window)) for one in windows]
        more = f" The first {MOST_COMMANDS} of {count} commands are shown." if markers[MOST_COMMANDS:] else ""
        yield Attention(
            Matter.LEFT_OUT,
            batches,
            f"{counted(batches, 'batch')} of {self._of} {_were(batches)} left out of"
            f" {counted(count, 'scheduled window')}: {_between(windows)}.",
            f"publishes {'its task' if count == 1 else 'the task of a window'} again with all batches",
            tuple(commands.recompute(one, self._target) for one in markers[:MOST_COMMANDS]),
            "The batches that a task named before are then aggregated twice: do this only if both processors"
            f" do.{more}",
        )

    def _overlapping(self, windows: Sequence[WindowFindings]) -> Iterator[Attention]:
        if not windows:
            return
        count = len(windows)
        yield Attention(
            Matter.OVERLAPS,
            count,
            f"{counted(count, 'window')} of {self._of} {_overlap(count)} scheduled windows of another length:"
            f" {_between(windows)}. Restore --aggregation-period, or set --allow-overlapping-windows.",
        )

    def _waiting(self, windows: Sequence[WindowFindings]) -> Iterator[Attention]:
        if not windows:
            return
        count = len(windows)
        since = age(self._rules.now - windows[0].window.end)
        yield Attention(
            Matter.WAITING,
            count,
            f"{counted(count, 'window')} of {self._of} {'waits' if count == 1 else 'wait'} for the peer, the"
            f" oldest for {since}: {_between(windows)}. Ask the peer's operators.",
        )


def _between(windows: Sequence[WindowFindings]) -> str:
    return span(Window(windows[0].window.begin, windows[-1].window.end))


def _within(name: str) -> str:
    return f" in {name}" if name else ""


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _overlap(count: int) -> str:
    return "overlaps" if count == 1 else "overlap"
