"""`workflow-manager jobs`: list, retry and delete the Jobs of tasks, and read their logs."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain

from workflow_manager import flag_types
from workflow_manager.cli import jobs_output
from workflow_manager.clouds.kubernetes_api import OPTIONS, Cluster
from workflow_manager.config.flags import Flags, environment_twin, wrong_action
from workflow_manager.config.run_config import Given, retry_policy
from workflow_manager.config.run_flags import RETRY_FLAGS, Group
from workflow_manager.core.patterns import matcher
from workflow_manager.errors import ConfigError, Mistake, WorkflowManagerError
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted
from workflow_manager.ports import Option, RetryPolicy, Settings
from workflow_manager.queues.job_administration import JobAdministration
from workflow_manager.queues.job_manifest import PREFIX, TASK, label_value
from workflow_manager.queues.job_records import FINISHED, JobRecord, JobState

SUMMARY = """\
jobs list    shows the Jobs of tasks, and why those failed that did
jobs retry   creates failed Jobs again under the same names: those named, or all chosen with --failed
jobs delete  deletes Jobs and their pods: those named, or all chosen with --failed or --finished
jobs logs    prints the log of a Job's latest pod as it is written

For deployments with --task-queue-kind=kubernetes-jobs. Uses the pod's ServiceAccount or a kubeconfig."""

_LIST, _RETRY, _DELETE, _LOGS = "list", "retry", "delete", "logs"
ACTIONS = (_LIST, _RETRY, _DELETE, _LOGS)
_IN_FLIGHT = 20
_AT_ONCE = RetryPolicy(connect_timeout=1, read_timeout=2, tries=1, total_timeout=3)


def _switch(name: str, about: str, default: str = "false") -> Option:
    return Option(name, about, default, flag_types.boolean, is_switch=True)


_WHICH = Group(
    "Which Jobs",
    (
        _switch("failed", "choose the failed ones"),
        _switch("finished", "choose those that are complete or failed"),
        Option("state", "choose those in this state", "", flag_types.one_of(*JobState), repeatable=True),
        Option("task", "choose those of one kind of task", "", flag_types.one_of("intake", "aggregate")),
        Option("aggregation-id", "choose those of this aggregation; * matches any text", repeatable=True),
        Option("k8s-namespace", "choose those of this locality"),
        Option("ingestor-label", "choose those of this ingestor"),
        Option(
            "older-than",
            "choose those that finished, or if they have not, were created, at least this long ago",
            "",
            flag_types.days,
        ),
    ),
)
_OUTPUT = Group(
    "Output",
    (
        _switch("json", "print JSON, one object per line"),
        _switch("names", "print only the names, one per line, as shell completion needs them"),
        _switch("dry-run", "only print which Jobs would be retried or deleted"),
        _switch("follow", "with logs: wait for more until the container ends", "true"),
        Option("container", "with logs: the container to read (default: the pod's first)"),
    ),
)


def flags() -> Flags:
    """The flags of `jobs`."""
    groups = [_WHICH, _OUTPUT, Group("Kubernetes", OPTIONS), RETRY_FLAGS]
    return Flags("jobs", SUMMARY, groups, "jobs list|retry|delete|logs [flags] [NAME ...]")


def jobs(arguments: Sequence[str]) -> int:
    """Run the action that the first argument names; 0, or 1 if any part of it failed."""
    environ = dict(os.environ)
    parsed = flags().parse(arguments, environ)
    action, *names = parsed.words or [""]
    parsed.words = []
    given = Given(parsed.values)
    mistakes = [*parsed.all_mistakes(), *_mistakes(action, names, given)]
    if mistakes:
        raise ConfigError(mistakes)
    settings = Settings(parsed.values, environ=environ, retry_policy=retry_policy(parsed.values))
    with closing(Cluster.open("workflow-manager jobs", settings)) as cluster:
        command = _JobsCommand(JobAdministration(cluster), given)
        match action:
            case "list":
                return command.list()
            case "logs":
                return command.logs(names[0])
            case _:
                return command.change(action, names)


def complete_names(*, parsed_args: object, **_: object) -> Sequence[str]:
    """The names of the Jobs of tasks, for completion; none if they cannot be read at once."""
    environ = dict(os.environ)
    options = {
        option.name: getattr(parsed_args, option.name.replace("-", "_"), None)
        or environ.get(environment_twin(option.name))
        for option in OPTIONS
    }
    try:
        with closing(
            Cluster.open("completion", Settings(options, environ=environ, retry_policy=_AT_ONCE))
        ) as cluster:
            return [record.name for record in JobAdministration(cluster).records({}, why=False)]
    except (ConfigError, WorkflowManagerError):
        return ()


class _JobsCommand:
    """The actions. Each returns the exit status."""

    def __init__(self, administration: JobAdministration, given: Given) -> None:
        self._administration = administration
        self._given = given

    def list(self) -> int:
        """Show the Jobs that are chosen."""
        names = self._given.get("names", bool)
        found = self._chosen(why=not names)
        if names:
            print("".join(f"{record.name}\n" for record in found), end="")
        elif self._given.get("json", bool):
            jobs_output.print_json(found)
        else:
            jobs_output.show(found, datetime.now(UTC))
        if self._administration.pods_unreadable:
            print(f"workflow-manager: {printable(self._administration.pods_unreadable)}", file=sys.stderr)
        return 0

    def logs(self, name: str) -> int:
        """Print a log as it comes."""

        def write(chunk: bytes) -> None:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()

        self._administration.stream_logs(
            name, self._given.text("container"), write, follow=self._given.get("follow", bool)
        )
        return 0

    def change(self, action: str, names: Sequence[str]) -> int:
        """Retry or delete Jobs: those with the names, or else those that are chosen."""
        act, done = (
            (self._administration.retry, "retried")
            if action == _RETRY
            else (self._administration.delete, "deleted")
        )
        names = names or [record.name for record in self._chosen(why=False)]
        if self._given.get("dry-run", bool):
            print("".join(f"would have {done} {name}\n" for name in names), end="")
            return 0
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            errors = [error for error in pool.map(lambda name: _error_of(act, name), names) if error]
        for error in errors:
            print(f"workflow-manager: {printable(str(error))}", file=sys.stderr)
        print(f"{done} {counted(len(names) - len(errors), 'Job')}")
        return 1 if errors else 0

    def _chosen(self, *, why: bool) -> Sequence[JobRecord]:
        """The Jobs for which all that is given holds, the oldest first."""
        given = self._given
        labels = {
            label: label_value(value)
            for label, flag in (
                (TASK, "task"),
                (f"{PREFIX}locality", "k8s-namespace"),
                (f"{PREFIX}ingestor", "ingestor-label"),
            )
            if (value := given.text(flag))
        }
        states = set(_states(given)) or set(JobState)
        is_wanted = matcher(given.optional("aggregation-id", tuple) or ())
        before = datetime.now(UTC) - (given.optional("older-than", timedelta) or timedelta(days=-1))
        found = [
            record
            for record in self._administration.records(labels, why=why)
            if record.state in states and is_wanted(record.aggregation) and record.since <= before
        ]
        return sorted(found, key=lambda record: (record.created, record.name))


def _states(given: Given) -> Iterable[JobState]:
    named = map(JobState, given.optional("state", tuple) or ())
    failed = [JobState.FAILED] if given.get("failed", bool) else ()
    return chain(named, failed, FINISHED if given.get("finished", bool) else ())


def _error_of(act: Callable[[str], object], name: str) -> WorkflowManagerError | None:
    try:
        act(name)
    except WorkflowManagerError as error:
        return error
    return None


def _mistakes(action: str, names: Sequence[str], given: Given) -> list[Mistake]:
    if action not in ACTIONS:
        return [Mistake("", "", wrong_action("jobs", action, ACTIONS))]
    mistakes = []
    choosing = any(True for _ in _states(given))
    if action == _LIST and names:
        mistakes.append(Mistake("", "", f"unexpected word {names[0]!r}"))
    if action == _LOGS and len(names) != 1:
        mistakes.append(Mistake("", "", "jobs logs requires the name of one Job"))
    if action in (_RETRY, _DELETE) and bool(names) == choosing:
        choice = "--failed" if action == _RETRY else "--failed, --finished or --state"
        mistakes.append(Mistake("", "", f"jobs {action} requires either names of Jobs, or {choice}"))
    return mistakes
