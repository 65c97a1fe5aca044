"""The status page: one HTML file with nothing from elsewhere, made from surveys.

Names in it come from others. Each value that a template puts in is escaped, and characters that cannot
be seen, or that change the direction of text, are written out.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from workflow_manager import __version__
from workflow_manager.core.windows import MINUTE, Window
from workflow_manager.observe.logs import printable
from workflow_manager.report.ages import ago
from workflow_manager.report.attention import Attention, severity
from workflow_manager.report.display_states import DISPLAY_STATES, DisplayState
from workflow_manager.report.heat_map import HeatRow, heat_maps
from workflow_manager.report.page_views import (
    InstanceView,
    Moment,
    by_window,
    instance_view,
    worst_by_window,
)
from workflow_manager.report.surveyed import SurveyedInstance

if TYPE_CHECKING:
    from jinja2 import Environment

TITLE = "workflow-manager status"
SHOWN_ATTENTION = 10  # the others are folded
MOST_ATTENTION = 100  # of all instances together; the others are in the sections of their instances
_BETWEEN = re.compile(r">\s*\n\s*<")  # no value has a line end: they are written out
OPEN_INSTANCES = 5  # if there are no more, all of them are unfolded


class RenderedPage(NamedTuple):
    """A page, and the Content-Security-Policy that it has, for servers to send, too."""

    html: str
    policy: str


@dataclass(frozen=True, slots=True)
class PassView:
    """What a process that serves instances says of the passes of one of them."""

    name: str
    state: str
    good: bool
    last_pass: Moment
    last_success: Moment
    intake_tasks: int
    aggregation_tasks: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PassesView:
    """The passes of all instances of a process that serves them, and what about them needs a person."""

    views: Sequence[PassView]
    attention: Sequence[Attention]
    shard: str


@dataclass(frozen=True, slots=True)
class InstancePart:
    """What the page has of one instance. It does not change as time goes by, so that it can be kept."""

    given: SurveyedInstance
    attention: tuple[Attention, ...]
    rows: tuple[HeatRow, ...]
    widths: frozenset[int]
    aggregations: int
    windows: dict[DisplayState, int]
    html: object


def instance_part(given: SurveyedInstance, *, unfolded: bool) -> InstancePart:
    """The part of the page that is about one instance."""
    view = instance_view(given)
    template = _environment().get_template("instance.html.j2")
    windows: dict[DisplayState, int] = {}
    for one in view.aggregations:
        for group in one.groups:
            windows[group.shown] = windows.get(group.shown, 0) + group.count
    return InstancePart(
        given,
        tuple(given.attention()),
        tuple(_heat_rows(view)),
        frozenset(group.count for one in view.aggregations for group in one.groups),
        len(view.aggregations),
        windows,
        # Line ends between elements would be a tenth of what a browser has to keep of a large page.
        _trusted(_BETWEEN.sub("><", template.render(view=view, unfolded=unfolded))),
    )


def status_page(
    parts: Sequence[InstancePart], made: datetime, passes: PassesView | None = None
) -> RenderedPage:
    """The whole page. `made` is the time at which it is made, which may differ from that of the surveys."""
    found = [one for part in parts for one in part.attention]
    found += passes.attention if passes else ()
    found.sort(key=severity)
    windows: dict[DisplayState, int] = {}
    for part in parts:
        for shown, count in part.windows.items():
            windows[shown] = windows.get(shown, 0) + count
    maps = heat_maps([row for part in parts for row in part.rows])
    widths = {width for part in parts for width in part.widths}
    widths |= {count for one in maps for _, runs in one.rows for _, count in runs}
    columns = {len(one.times) for one in maps}
    style = _source("page.css") + "".join(_rules(sorted(widths), sorted(columns)))
    script = _source("page.js")
    policy = _policy(style, script)
    html = (
        _environment()
        .get_template("page.html.j2")
        .render(
            attention=found[:MOST_ATTENTION],
            columns_of=len,
            made=made,
            maps=maps,
            minute=MINUTE,
            more=len(found) - MOST_ATTENTION,
            parts=parts,
            passes=passes,
            policy=policy,
            script=_trusted(script),
            shown_attention=SHOWN_ATTENTION,
            single=_single(parts),
            states=DISPLAY_STATES,
            style=_trusted(style),
            surveyed=_surveyed(parts),
            title=TITLE,
            version=__version__,
            windows=[(shown, windows[shown]) for shown in DISPLAY_STATES if shown in windows],
        )
    )
    return RenderedPage(html, policy)


def _single(parts: Sequence[InstancePart]) -> bool:
    """Whether the page is about one deployment that has no name."""
    return len(parts) == 1 and not parts[0].given.name


def _heat_rows(view: InstanceView) -> list[HeatRow]:
    report = view.given.report
    if report is None:
        return []
    if view.given.name:
        return [HeatRow(view.given.name, f"i-{view.given.name}", worst_by_window(report))]
    found = report.aggregations.items()
    return [
        HeatRow(name, f"a-{number}", by_window(one, report.rules)) for number, (name, one) in enumerate(found)
    ]


def _surveyed(parts: Sequence[InstancePart]) -> tuple[datetime, datetime, Window | None] | None:
    """The times of the oldest and the newest survey, and the range that all of them together look at."""
    reports = [part.given.report for part in parts if part.given.report]
    if not reports:
        return None
    times = [part.given.times for part in parts if part.given.times]
    range_ = Window(min(one.begin for one in times), max(one.end for one in times)) if times else None
    return min(one.rules.now for one in reports), max(one.rules.now for one in reports), range_


@cache
def _environment() -> "Environment":
    """The templates. Jinja2 is imported when a page is made, and not before."""
    import jinja2  # noqa: PLC0415 (a run must not take the time to import it)

    def visible(value: object) -> object:
        """What a template puts in: text with everything written out that cannot be seen."""
        return printable(value) if type(value) is str else value

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("workflow_manager.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ago"] = _ago
    environment.filters["short"] = _short
    return environment


def _ago(value: timedelta) -> str:
    return ago(value)


def _short(name: str, length: int = 80) -> str:
    """A name where it stands among others; it is whole in the heading of its own section."""
    return name if len(name) <= length else f"{name[:length]}…"


@cache
def _source(name: str) -> str:
    return (files("workflow_manager.report") / "templates" / name).read_text("utf-8")


def _trusted(text: str) -> object:
    """Text that templates put in as it is."""
    from markupsafe import Markup  # noqa: PLC0415 (comes with Jinja2, as above)

    return Markup(text)  # noqa: S704 (our own files, and HTML that our own templates made)


def _rules(widths: Sequence[int], columns: Sequence[int]) -> list[str]:
    """Rules for lengths that occur on a page: its policy does not allow them as attributes."""
    spans = [f".w{width}{{--n:{width}}}" for width in widths]
    return spans + [f".c{count}{{min-width:calc(13rem + {count}*1.05rem)}}" for count in columns]


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; "
        "form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
