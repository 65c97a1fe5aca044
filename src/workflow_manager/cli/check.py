"""`workflow-manager check`: can the buckets and topics be used, and as whom? Publishes nothing."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

from workflow_manager import flag_types
from workflow_manager.assembly import Assembly, assemble, every_flag, read_flags
from workflow_manager.config.run_flags import Group
from workflow_manager.core.names import MARKER_PREFIX
from workflow_manager.errors import AccessDeniedError, explain
from workflow_manager.ports import ObjectStore, Option

SUMMARY = """\
Check the flags of a run, list each bucket, write an object under task-markers/ and remove it, and look
for the topics. Publishes nothing. The exit status is 1 if anything cannot be used."""
TEST_KEY = f"{MARKER_PREFIX}workflow-manager-check"
OUTPUT = Group(
    "Output",
    (Option("json", "print JSON instead of a table", "false", flag_types.boolean, is_switch=True),),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one check; `detail` is the error if it is not `ok`."""

    check: str
    subject: str
    ok: bool
    detail: str


def check(arguments: Sequence[str]) -> int:
    """Check everything, and print what was found; 0 if all can be used."""
    environ = dict(os.environ)
    parsed = read_flags("check", SUMMARY, arguments, environ, OUTPUT)
    if parsed.wants_help:
        print(every_flag("check", SUMMARY, OUTPUT).help(), end="")
        return 0
    with ExitStack() as opened:
        findings = list(_findings(assemble(parsed, environ, datetime.now(UTC), opened)))
    if parsed.values["json"]:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    return 0 if all(finding.ok for finding in findings) else 1


def _findings(parts: Assembly) -> Iterator[Finding]:
    buckets, config = parts.buckets, parts.config
    for name, store in (
        ("ingestion", buckets.ingestion),
        ("own validation", buckets.own),
        ("peer validation", buckets.peer),
    ):
        yield _finding(f"list the {name} bucket", store.url, partial(_list, store))
    yield _finding("write markers", f"{buckets.own.url}/{TEST_KEY}", partial(_write, buckets.own))
    yield _finding("read markers", f"{buckets.own.url}/{MARKER_PREFIX}", partial(_read, buckets.own))
    for name, topic in (("intake", config.intake_tasks_topic), ("aggregate", config.aggregate_tasks_topic)):
        yield _finding(f"find the {name} topic", topic, partial(parts.queue.check, topic))


def _finding(name: str, subject: str, found: Callable[[], str]) -> Finding:
    try:
        return Finding(name, subject, ok=True, detail=found())
    except Exception as error:  # noqa: BLE001 (whatever is wrong here, the other checks go on)
        return Finding(name, subject, ok=False, detail=explain(error))


def _list(store: ObjectStore) -> str:
    next(iter(store.list_directories("")), None)
    return f"as {store.identity()}"


def _read(store: ObjectStore) -> str:
    try:
        store.get(TEST_KEY, limit=1)
    except AccessDeniedError as error:
        return f"not allowed; a run cannot tell which batches a scheduled aggregation left out: {error}"
    return "allowed"


def _write(store: ObjectStore) -> str:
    store.put(TEST_KEY, b"written by 'workflow-manager check', which removes it\n")
    try:
        store.delete(TEST_KEY)
    except Exception as error:  # noqa: BLE001 (a lease ends by itself too, so that this is no failure)
        return f"written, but not removed; a run's lease will stay until it ends by itself: {explain(error)}"
    return "written and removed again"


def _show(findings: Sequence[Finding]) -> None:
    if not sys.stdout.isatty():
        for finding in findings:
            print(
                f"{'ok' if finding.ok else 'FAILED':7} {finding.check}: {finding.subject}: {finding.detail}"
            )
        return
    from workflow_manager.cli import summary  # noqa: PLC0415 (rich is for terminals only)

    summary.show_findings([(f.ok, f.check, f.subject, f.detail) for f in findings])
