"""Tasks as Jobs of Kubernetes: each message becomes one Job, made from a template of the operator's.

There is no queue: a Job that the API server has created is a task that is acknowledged. Its name comes from
the task's marker, so a task that is published again finds its Job there, and nothing is done twice.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Self

from workflow_manager import flag_types
from workflow_manager.clouds.http import CloudError
from workflow_manager.clouds.kubernetes_api import (
    CONFIG_MAPS,
    JOBS,
    MAX_UNFINISHED,
    OPTIONS,
    Cluster,
    Resource,
    warning_of,
)
from workflow_manager.errors import ConfigError, Mistake, QueueError, QueueFullError
from workflow_manager.ports import Limits, Message, Option, Settings
from workflow_manager.queue_ports import TopicNames, TopicStats
from workflow_manager.queues.job_manifest import (
    MARKER,
    MARKER_BUCKET,
    TASK,
    JobTask,
    JobTemplate,
    config_map,
    label_value,
    selector,
)
from workflow_manager.queues.unfinished_jobs import UnfinishedLimit

INTAKE_TEMPLATE = "kubernetes-job-template-intake"
AGGREGATE_TEMPLATE = "kubernetes-job-template-aggregate"
# A ConfigMap holds 1 MiB in all.
_LIMITS = Limits(messages=1, request_bytes=1_000_000, message_bytes=1_000_000)
_NEEDED: Sequence[tuple[str, Resource]] = (
    ("create", JOBS),
    ("get", JOBS),
    ("create", CONFIG_MAPS),
    ("get", CONFIG_MAPS),
)
_EXAMPLE = Message(b'{"trace-id":"00000000-0000-4000-8000-000000000000"}', "example", "check")


class KubernetesJobs:
    """Jobs in one namespace. The topics `intake` and `aggregate` have a template each."""

    kind: ClassVar[str] = "kubernetes-jobs"
    fixed_topics: ClassVar[TopicNames] = TopicNames("intake", "aggregate")
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            INTAKE_TEMPLATE,
            "file with the Job to create for each intake task",
            parse=flag_types.path,
            required=True,
        ),
        Option(
            AGGREGATE_TEMPLATE,
            "file with the Job to create for each aggregation task",
            parse=flag_types.path,
            required=True,
        ),
        Option(
            MAX_UNFINISHED,
            "most Jobs of this deployment that exist and have not finished; a run leaves the rest due",
            parse=flag_types.at_least_one,
        ),
        *OPTIONS,
    )
    limits: ClassVar[Limits] = _LIMITS

    def __init__(self, cluster: Cluster, templates: Mapping[str, JobTemplate], settings: Settings) -> None:
        self._cluster = cluster
        self._templates = templates
        self._labels = settings.labels
        self._marker_bucket = settings.marker_bucket
        most = settings.options.get(MAX_UNFINISHED)
        self._room = (
            UnfinishedLimit(cluster, most, selector(self._scope())) if isinstance(most, int) else None
        )

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The namespace and the templates that the settings name; raises ConfigError."""
        cluster = Cluster.open(cls.kind, settings)
        names = zip(cls.fixed_topics, (INTAKE_TEMPLATE, AGGREGATE_TEMPLATE), strict=True)
        templates: dict[str, JobTemplate] = {}
        mistakes: list[Mistake] = []
        for topic, option in names:
            try:
                templates[topic] = JobTemplate.read(Path(str(settings.options[option])), cluster.namespace)
            except ConfigError as error:
                mistakes.extend(error.mistakes)
        if mistakes:
            cluster.close()
            raise ConfigError(dict.fromkeys(mistakes))
        return cls(cluster, templates, settings)

    def prepare(self, topics: Sequence[str]) -> None:
        """See TaskQueue. Nothing is created; the Jobs that exist are counted anew for each run."""
        for topic in topics:
            self._template(topic)
        if self._room is not None:
            self._room.forget()

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue. Each message is a Job of its own."""
        template = self._template(topic)
        return [self._outcome(template, topic, message) for message in messages]

    def check(self, topic: str) -> str:
        """See TaskQueue. The API server validates a made-up task's Job, and creates nothing."""
        template = self._template(topic)
        task = JobTask.of(topic, _EXAMPLE, self._labels, self._marker_bucket)
        what = f"a Job of {template.path}"
        try:
            self._check_permissions()
            _, headers = self._cluster.answer(
                "POST", self._cluster.path(JOBS), template.job(task), query={"dryRun": "All"}
            )
            who = self._cluster.who()
        except CloudError as error:
            advice = self._cluster.advice(error, "create", JOBS, str(template.path))
            raise QueueError("create", what, error.cause, advice) from error
        warning = warning_of(headers)
        found = f"the API server takes {what} in namespace {self._cluster.namespace}, as {who}"
        return f"{found}; it warns: {warning}" if warning else found

    def topic_names(self) -> Sequence[str]:
        """See TopicDirectory."""
        return self.fixed_topics

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable. A Job that runs is leased, one that has failed is dead."""
        from workflow_manager.queues.job_administration import task_stats  # noqa: PLC0415 (a run needs none)

        self._template(topic)
        return task_stats(self._cluster, {TASK: topic, **self._scope()})

    def close(self) -> None:
        """See TaskQueue."""
        self._cluster.close()

    def _scope(self) -> dict[str, str]:
        """The labels of this deployment's Jobs, as far as it is known which that is."""
        return {MARKER_BUCKET: label_value(self._marker_bucket)} if self._marker_bucket else {}

    def _template(self, topic: str) -> JobTemplate:
        template = self._templates.get(topic)
        if template is None:
            raise QueueError(
                "use",
                f"topic {topic}",
                f"{self.kind} has the topics {' and '.join(self.fixed_topics)}",
                "leave out --intake-tasks-topic and --aggregate-tasks-topic",
            )
        return template

    def _check_permissions(self) -> None:
        """Raises QueueError for the first verb that we lack, CloudError if the API server does not say."""
        needed = [*_NEEDED, ("list", JOBS)] if self._room is not None else _NEEDED
        for verb, resource in needed:
            if not self._cluster.allowed(verb, resource):
                raise QueueError(
                    verb,
                    f"{resource.plural} in namespace {self._cluster.namespace}",
                    f"{self._cluster.who()} may not",
                    self._cluster.grant(verb, resource),
                )

    def _outcome(self, template: JobTemplate, topic: str, message: Message) -> QueueError | None:
        """None if the Job of a message is there, with all that it needs."""
        try:
            task = JobTask.of(topic, message, self._labels, self._marker_bucket)
        except ValueError:
            return QueueError("create", f"a Job for {message.key}", "the message is not UTF-8")
        try:
            if self._room is not None and not self._admitted(self._room, task):
                cause = f"{self._room.most} unfinished Jobs exist (--{MAX_UNFINISHED})"
                return QueueFullError("create", self._subject(task), cause)
            job = self._job(template, task)
        except QueueError as error:
            if self._room is not None:
                self._room.give_back(task.name)
            return error
        try:
            # A run may have been killed before this: the Job is there, and its pod waits for the message.
            if task.in_file:
                self._ensure_message(task, str(job["metadata"]["uid"]))
        except QueueError as error:
            return error
        return None

    def _admitted(self, room: UnfinishedLimit, task: JobTask) -> bool:
        try:
            return room.take(task.name)
        except CloudError as error:
            cause = f"cannot count the unfinished Jobs: {error.cause}"
            raise self._failed(task, cause, self._cluster.advice(error, "list", JOBS)) from error

    def _job(self, template: JobTemplate, task: JobTask) -> Mapping[str, Any]:
        """The task's Job, which may have been there before."""
        created = self._created(task, JOBS, template.job(task), str(template.path))
        if created is not None:
            return created
        job = self._existing(task, JOBS)
        metadata = job["metadata"]
        marker = (metadata.get("annotations") or {}).get(MARKER)
        if marker != task.marker:
            its = f"its annotation {MARKER} is {marker!r}" if marker else f"it has no annotation {MARKER}"
            cause = f"another Job has this name: {its}, not {task.marker!r}"
            raise self._failed(task, cause, "delete that Job, or rename it")
        if metadata.get("deletionTimestamp"):
            raise self._failed(task, "it exists, and is being deleted", "run again when it is gone")
        return job

    def _ensure_message(self, task: JobTask, uid: str) -> None:
        """Have the ConfigMap there that the task's Job `uid` reads its message from."""
        if self._created(task, CONFIG_MAPS, config_map(task, uid)) is not None:
            return
        owners = self._existing(task, CONFIG_MAPS)["metadata"].get("ownerReferences") or ()
        if uid not in [owner.get("uid") for owner in owners]:
            cause = f"the ConfigMap {task.name} for its message is there, and belongs to another Job"
            raise self._failed(task, cause, "it is removed with that Job: run again, or delete it")

    def _created(
        self, task: JobTask, resource: Resource, content: object, template: str = ""
    ) -> Mapping[str, Any] | None:
        """What was created; None if something of its name is there. Raises QueueError."""
        try:
            return self._cluster.ask("POST", self._cluster.path(resource), content)
        except CloudError as error:
            if error.status == HTTPStatus.CONFLICT and error.code == "AlreadyExists":
                return None
            cause = error.cause if resource is JOBS else f"the ConfigMap for its message: {error.cause}"
            raise self._failed(
                task, cause, self._cluster.advice(error, "create", resource, template)
            ) from error

    def _existing(self, task: JobTask, resource: Resource) -> Mapping[str, Any]:
        """What is there under the task's name; raises QueueError."""
        try:
            return self._cluster.ask("GET", self._cluster.path(resource, task.name))
        except CloudError as error:
            cause = f"it exists, and cannot be read: {error.cause}"
            raise self._failed(task, cause, self._cluster.advice(error, "get", resource)) from error

    def _failed(self, task: JobTask, cause: str, advice: str) -> QueueError:
        return QueueError("create", self._subject(task), cause, advice)

    def _subject(self, task: JobTask) -> str:
        return f"Job {self._cluster.namespace}/{task.name}"
