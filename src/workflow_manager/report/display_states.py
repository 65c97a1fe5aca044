"""How pages show the state of a window: a letter for the style sheet, a symbol, a name, and what it means."""

from dataclasses import dataclass

from workflow_manager.core.verdict import REASONS, Rules, WindowState
from workflow_manager.survey.findings import WindowFindings


@dataclass(frozen=True, slots=True)
class DisplayState:
    """One of the states that a page tells apart: by symbol and colour, never by colour alone."""

    code: str
    symbol: str
    name: str
    meaning: str

    @property
    def needs_care(self) -> bool:
        """Whether windows in this state need a person."""
        return self.code in _NEED_CARE


def _plain(code: str, symbol: str, state: WindowState) -> DisplayState:
    return DisplayState(code, symbol, str(state), REASONS[state])


LEFT_OUT = DisplayState(
    "l", "◐", "left out", "it is scheduled, but batches that can be aggregated now are not in its task"
)
OVERLAPS = DisplayState(
    "o", "≠", "overlapping", "it overlaps a scheduled window of another length, so runs refuse to schedule it"
)
MISSED = _plain("m", "✕", WindowState.MISSED)
WAITING = _plain("w", "?", WindowState.WAITING)
_PLAIN = {
    WindowState.MISSED: MISSED,
    WindowState.WAITING: WAITING,
    WindowState.DUE: _plain("d", "→", WindowState.DUE),
    WindowState.IN_GRACE: _plain("g", "◕", WindowState.IN_GRACE),
    WindowState.FILLING: _plain("f", "◔", WindowState.FILLING),
    WindowState.SCHEDULED: _plain("s", "✓", WindowState.SCHEDULED),
    WindowState.EMPTY: _plain("e", "–", WindowState.EMPTY),  # noqa: RUF001 (a dash that is wide enough)
}
_NEED_CARE = frozenset("mlow")
# Worst first.
DISPLAY_STATES = (
    MISSED,
    LEFT_OUT,
    OVERLAPS,
    *(shown for shown in _PLAIN.values() if shown is not MISSED),
)
RANKS = {shown.code: rank for rank, shown in enumerate(DISPLAY_STATES)}


def display_state(found: WindowFindings, rules: Rules) -> DisplayState:
    """How a window is shown."""
    state = found.state(rules)
    if found.overlaps is not None and state in (WindowState.MISSED, WindowState.DUE):
        return OVERLAPS
    return LEFT_OUT if state is WindowState.SCHEDULED and found.left_out else _PLAIN[state]
