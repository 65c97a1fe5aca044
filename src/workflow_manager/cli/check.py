"""`workflow-manager check`: can the buckets and topics be used, and as whom? Publishes nothing."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import chain, islice

from workflow_manager import flag_types
from workflow_manager.assembly import Assembly, assemble, every_flag, read_flags
from workflow_manager.config.flags import Flags, Parsed
from workflow_manager.config.fleet_flags import FLEET, wants_many
from workflow_manager.config.run_flags import Group
from workflow_manager.core.names import MARKER_PREFIX, suffixes, validity_infix
from workflow_manager.errors import AccessDeniedError, StorageError, explain
from workflow_manager.ports import ObjectStore, Option

SUMMARY = """\
Check the flags of a run, and that everything it uses is usable: list each bucket, write and delete an object
under task-markers/, check whose validations the peer's bucket contains, find the topics and their
subscriptions, and connect to the Pushgateway. Publishes nothing. Exits with status 1 if a check fails."""
TEST_KEY = f"{MARKER_PREFIX}workflow-manager-check"
_LOOKED_AT_AGGREGATIONS = 10  # of the peer's bucket, and the first page of names of each
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


def flags() -> Flags:
    """The flags of `check`."""
    return every_flag("check", SUMMARY, OUTPUT, FLEET)


def check(arguments: Sequence[str]) -> int:
    """Check everything, and print what was found; 0 if all can be used."""
    environ = dict(os.environ)
    with ExitStack() as opened:
        if wants_many(arguments, environ):
            parsed, findings = _check_many(arguments, environ, opened)
        else:
            parsed = read_flags("check", SUMMARY, arguments, environ, OUTPUT)
            findings = list(_findings(assemble(parsed, environ, datetime.now(UTC), opened)))
    if parsed.values["json"]:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    return 0 if all(finding.ok for finding in findings) else 1


def _check_many(
    arguments: Sequence[str], environ: dict[str, str], opened: ExitStack
) -> tuple[Parsed, list[Finding]]:
    """The findings of each instance of a file, with its name before the check."""
    from workflow_manager.fleet import open_instance, read_fleet  # noqa: PLC0415 (for files of instances only)

    fleet = read_fleet("check", SUMMARY, arguments, environ, OUTPUT)
    now = datetime.now(UTC)
    parts = {one.name: open_instance(one, environ, now, opened) for one in fleet.instances}
    found = [
        replace(finding, check=f"{name}: {finding.check}")
        for name, assembly in parts.items()
        for finding in _findings(assembly)
    ]
    return fleet.process, found


def _findings(parts: Assembly) -> Iterator[Finding]:
    buckets, config = parts.buckets, parts.config
    listable = []
    for name, store in (
        ("ingestion", buckets.ingestion),
        ("own validation", buckets.own),
        ("peer validation", buckets.peer),
    ):
        finding = _finding(f"list the {name} bucket", store.url, partial(_list, store))
        if finding.ok:
            listable.append(store)
        yield finding
    others = [store for store in listable if store is not buckets.own]
    yield _finding("write markers", f"{buckets.own.url}/{TEST_KEY}", partial(_write, buckets.own, others))
    yield _finding("read markers", f"{buckets.own.url}/{MARKER_PREFIX}", partial(_read, buckets.own))
    if buckets.peer in listable:
        whose = partial(_whose, buckets.peer, is_first=config.is_first)
        yield _finding("recognize the peer's validations", buckets.peer.url, whose)
    for name, topic in (("intake", config.intake_tasks_topic), ("aggregate", config.aggregate_tasks_topic)):
        yield _finding(f"find the {name} topic", topic, partial(parts.queue.check, topic))
    if config.push_gateway:
        from workflow_manager.observe import metrics  # noqa: PLC0415 (as in a run)

        shown = metrics.without_password(config.push_gateway)
        yield _finding("reach the Pushgateway", shown, partial(metrics.probe, config.push_gateway))


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


def _write(store: ObjectStore, others: Sequence[ObjectStore]) -> str:
    """Write an object, look for it in the other buckets, which must not have it, and remove it."""
    # Of each bucket another name, which no other deployment leaves in one that it may not delete from.
    key = f"{TEST_KEY}-{sha256(store.url.encode(errors='surrogateescape')).hexdigest()[:16]}"
    store.put(key, b"written by 'workflow-manager check', which removes it\n")
    try:
        same = [other.url for other in others if any(key in page for page in other.list_keys(key))]
    finally:
        removed = _remove(store, key)
    if same:
        cause = f"{' and '.join(same)} is the same bucket under another URL"
        raise StorageError("use", store.url, cause, "use a different bucket for each of the three flags")
    return removed


def _remove(store: ObjectStore, key: str) -> str:
    try:
        store.delete(key)
    except Exception as error:  # noqa: BLE001 (a lease ends by itself too, so that this is no failure)
        return f"written, but could not be deleted; a run's lease remains until it expires: {explain(error)}"
    return "written and deleted"


def _whose(store: ObjectStore, *, is_first: bool) -> str:
    """Whose validations a bucket holds, by its first names; raises StorageError if they are our own alone."""
    peer, own = validity_infix(1 if is_first else 0), validity_infix(0 if is_first else 1)
    directories = chain.from_iterable(store.list_directories(""))
    names = (
        name
        for directory in islice(directories, _LOOKED_AT_AGGREGATIONS)
        for page in islice(store.list_keys(f"{directory}/"), 1)
        for name in page
    )
    found = {infix for name in names for infix in (peer, own) if name.endswith(tuple(suffixes(infix)))}
    if found == {own}:
        us = f"the {'first' if is_first else 'second'} processor"
        flag = f"--is-first is {'set' if is_first else 'not set'}"
        raise StorageError(
            "use",
            f"{store.url} as the peer's bucket",
            f"its names contain {own}, so it seems to belong to {us}, which we are as {flag}",
            "correct --is-first, or --peer-validation-input if it names our own bucket",
        )
    return f"names contain {' and '.join(sorted(found))}" if found else "no validations yet"


def _show(findings: Sequence[Finding]) -> None:
    if not sys.stdout.isatty():
        for finding in findings:
            print(
                f"{'ok' if finding.ok else 'FAILED':7} {finding.check}: {finding.subject}: {finding.detail}"
            )
        return
    from workflow_manager.cli import summary  # noqa: PLC0415 (rich is for terminals only)

    summary.show_findings([(f.ok, f.check, f.subject, f.detail) for f in findings])
