"""The commands that mend what a survey finds, ready for a shell."""

from collections.abc import Sequence
from datetime import datetime

from workflow_manager.core.windows import Window

REASON = "batches came late"


def run(target: str = "") -> str:
    """Run once. `target` holds the flags that choose an instance, if there are many."""
    return _command("run", target)


def backfill(times: Window, aggregations: Sequence[str], only: str, target: str = "") -> str:
    """Schedule what runs no longer schedule in a range."""
    chosen = (f"--aggregation-id {quoted(name)}" for name in aggregations)
    flags = (f"--from {stamp(times.begin)}", f"--to {stamp(times.end)}", *chosen, f"--only {only}")
    return _command("backfill", target, *flags)


def recompute(marker: str, target: str = "") -> str:
    """Publish a window's task again, with the batches that are ready and validated now."""
    flags = (f"--marker {quoted(marker)}", "--again", "--recompute", f"--reason '{REASON}'")
    return _command("backfill", target, *flags)


def check(target: str = "") -> str:
    """Find out whether the buckets can be used."""
    return _command("check", target)


def stamp(time: datetime) -> str:
    """A time as flags take it."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def quoted(text: str) -> str:
    """Quote a name for a shell; escape characters that are unsafe on a terminal."""
    if text.isascii() and text and all(char.isalnum() or char in "-_.:/" for char in text):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "'\\''") + "'"
    return (
        "$'" + "".join(one if one.isalnum() and one.isascii() else f"\\U{ord(one):08x}" for one in text) + "'"
    )


def _command(name: str, *flags: str) -> str:
    return " ".join(("workflow-manager", name, *filter(None, flags)))
