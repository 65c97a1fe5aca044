"""Topics of Google Cloud Pub/Sub.

Requests are plain REST calls (https://cloud.google.com/pubsub/docs/reference/rest), since a short
run would spend most of its time on importing Google's client.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, Self
from urllib.parse import quote

from workflow_manager import flag_types
from workflow_manager.clouds import google
from workflow_manager.clouds.http import Answer, CloudError, Request, unfinished
from workflow_manager.clouds.service import Service, require
from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings
from workflow_manager.queue_ports import DeadLetters, TopicStats
from workflow_manager.queues import pubsub_letters
from workflow_manager.queues.pubsub_letters import INSPECT, READ, REMOVE, PubSubLetters

_SCOPES = ("https://www.googleapis.com/auth/pubsub",)
_ENDPOINT = "https://pubsub.googleapis.com"
_PATH = re.compile(r"projects/([^/]+)/topics/([^/]+)")
_OK = frozenset({200})
_FOUND_OR_NOT = frozenset({200, 404})
_CREATED = frozenset({200, 409})  # 409: it is there already
_JSON = {"content-type": "application/json"}
_ACK_SECONDS = 600
# Pub/Sub takes 1,000 messages and 10 MB a request (https://cloud.google.com/pubsub/quotas). REST
# counts the bytes as sent: three become four in Base64, with some JSON around each message.
_MESSAGES = 1000
_AROUND = 20
_REQUEST_BYTES = (10_000_000 - _MESSAGES * _AROUND) * 3 // 4
_SUBSCRIBED = "find the subscriptions of"
_PERMISSIONS = {
    "find": "pubsub.topics.get (roles/pubsub.viewer), which only this check needs",
    INSPECT: "pubsub.topics.get and pubsub.subscriptions.get (roles/pubsub.viewer)",
    READ: "pubsub.subscriptions.consume (roles/pubsub.subscriber)",
    REMOVE: "pubsub.subscriptions.consume (roles/pubsub.subscriber)",
    _SUBSCRIBED: (
        "pubsub.topics.get and pubsub.subscriptions.get (roles/pubsub.viewer), which only this check needs"
    ),
    "publish to": "pubsub.topics.publish (roles/pubsub.publisher)",
    "create": "pubsub.topics.create (roles/pubsub.editor)",
    "create a subscription for": (
        "pubsub.subscriptions.create and pubsub.topics.attachSubscription (roles/pubsub.editor)"
    ),
}


class PubSubQueue:
    """Topics in a Google Cloud project, or on the emulator at `PUBSUB_EMULATOR_HOST`.

    A topic is given by its name, or as `projects/{project}/topics/{name}`.
    """

    kind: ClassVar[str] = "gcp-pubsub"
    options: ClassVar[tuple[Option, ...]] = (
        Option("gcp-project-id", "Google Cloud project of the topics", required=True),
        Option(
            "gcp-pubsub-create-topics",
            "create the topics, each with a subscription of the same name, before a run starts",
            "false",
            flag_types.boolean,
            is_switch=True,
            aliases=("create-pubsub-topics",),
        ),
    )
    limits: ClassVar[Limits] = Limits(_MESSAGES, request_bytes=_REQUEST_BYTES, message_bytes=_REQUEST_BYTES)

    def __init__(self, project: str, service: Service, who: google.Who, *, creates: bool) -> None:
        self._project = project
        self._service = service
        self._who = who
        self._creates = creates

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The queue in the project that the settings name; raises ConfigError if libraries are missing."""
        require(cls.kind, "gcp", "google.auth", "pycurl")
        emulator = settings.environ.get("PUBSUB_EMULATOR_HOST", "")
        service, who = google.open_service(settings, _SCOPES, _ENDPOINT, emulator)
        creates = settings.options.get("gcp-pubsub-create-topics") is True
        return cls(str(settings.options["gcp-project-id"]), service, who, creates=creates)

    def prepare(self, topics: Sequence[str]) -> None:
        """Create what is not there of the topics and their subscriptions, if the settings say so.

        Subscriptions never expire, and give 600 s to acknowledge a message.
        """
        for topic in dict.fromkeys(topics):
            project, name = self._parts(topic)
            if not self._creates:
                continue
            path = f"projects/{project}/topics/{name}"
            subscription = {"topic": path, "ackDeadlineSeconds": _ACK_SECONDS, "expirationPolicy": {}}
            with self._translated("create", topic):
                self._put(path, {})
            with self._translated("create a subscription for", topic):
                self._put(f"projects/{project}/subscriptions/{name}", subscription)

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue. A request is acknowledged as a whole, or not at all."""
        project, name = self._parts(topic)
        target = f"/v1/{quote(f'projects/{project}/topics/{name}')}:publish"
        entries = b",".join(b'{"data":"%b"}' % b64encode(message.body) for message in messages)
        request = Request("POST", target, b'{"messages":[%b]}' % entries, _JSON)
        with self._translated("publish to", topic):
            self._service.fetch(request, _OK, partial(_check, len(messages)))
        return [None] * len(messages)

    def check(self, topic: str) -> str:
        """See TaskQueue. A topic without a subscription is an error: its messages would be lost."""
        project, name = self._parts(topic)
        with self._translated("find", topic):
            request = Request("GET", f"/v1/{quote(f'projects/{project}/topics/{name}')}")
            answer = self._service.send(request, _FOUND_OR_NOT if self._creates else _OK)
        exists = answer.status != HTTPStatus.NOT_FOUND
        with self._translated(_SUBSCRIBED, topic):
            try:
                subscribed = self._subscribed(topic, exists=exists)
            except CloudError as error:
                if error.status != HTTPStatus.FORBIDDEN:
                    raise
                permission = f"the permission {_PERMISSIONS[_SUBSCRIBED]}"
                subscribed = f"its subscriptions cannot be read: grant {self._who()} {permission}"
        if not exists:
            return f"the first run creates the topic; {subscribed}"
        return f"the topic exists, as {self._who()}; {subscribed}"

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable. How many messages wait, only Cloud Monitoring tells."""
        project, name = self._parts(topic)
        return pubsub_letters.stats(self._ask, f"projects/{project}/topics/{name}")

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """See Redrivable. The source is a subscription's name, or projects/{project}/subscriptions/{name}."""
        project, name = self._parts(topic)
        path = source if "/" in source else f"projects/{self._project}/subscriptions/{source}"
        subscribed = self._ask("inspect", path, "GET", path, None).get("topic")
        if subscribed == f"projects/{project}/topics/{name}":
            raise QueueError(
                "redrive from", f"subscription {source}", f"it gets what is published to {topic}"
            )
        return PubSubLetters(self._ask, path, lease)

    def close(self) -> None:
        """See TaskQueue."""
        self._service.close()

    def _subscribed(self, topic: str, *, exists: bool) -> str:
        """Who gets the messages of a topic; raises QueueError if nobody does, and CloudError."""
        project, name = self._parts(topic)
        path, own = f"projects/{project}/topics/{name}", f"projects/{project}/subscriptions/{name}"
        listed = self._get(f"{path}/subscriptions") if exists else None
        there: list[str] = (listed or {}).get("subscriptions", [])
        if own in there or (there and not self._creates):
            return f"subscriptions: {', '.join(there)}"
        # To create one that exists already, on another topic, does nothing.
        found = self._get(own)
        if found is not None and found.get("topic") != path:
            raise QueueError(
                "use",
                f"topic {topic}",
                f"the subscription {own} belongs to the topic {found.get('topic')}, not to this one",
                "delete the subscription and create it for this topic; its tasks would be lost",
            )
        if self._creates:
            return f"the first run creates the subscription {own}"
        raise QueueError(
            "use",
            f"topic {topic}",
            "no subscription belongs to it, so its tasks would be lost",
            "create one, or set --gcp-pubsub-create-topics",
        )

    def _get(self, path: str) -> dict[str, Any] | None:
        """A resource, or None if there is none of this name."""
        return self._service.fetch(Request("GET", f"/v1/{quote(path)}"), _FOUND_OR_NOT, _resource)

    def _parts(self, topic: str) -> tuple[str, str]:
        """The project and the name of a topic."""
        if match := _PATH.fullmatch(topic):
            return match[1], match[2]
        if "/" in topic:
            raise QueueError(
                "use",
                f"topic {topic}",
                "it is neither the name of a topic nor projects/{project}/topics/{name}",
                "correct the topic's flag",
            )
        return self._project, topic

    def _ask(self, operation: str, subject: str, method: str, path: str, content: object) -> dict[str, Any]:
        request = Request(method, f"/v1/{quote(path, safe='/:')}", pubsub_letters.content(content), _JSON)
        with self._translated(operation, subject):
            return self._service.fetch(request, _OK, _resource) or {}

    def _put(self, path: str, content: object) -> None:
        self._service.send(
            Request("PUT", f"/v1/{quote(path)}", json.dumps(content).encode(), _JSON), _CREATED
        )

    @contextmanager
    def _translated(self, operation: str, topic: str) -> Iterator[None]:
        try:
            yield
        except CloudError as error:
            who = self._who()
            advice = error.advice or self._advice(error, operation, who)
            raise QueueError(operation, f"topic {topic} as {who}", error.cause, advice) from error

    def _advice(self, error: CloudError, operation: str, who: str) -> str:
        if error.status == HTTPStatus.UNAUTHORIZED:
            return google.RENEW
        if error.status == HTTPStatus.FORBIDDEN:
            return f"grant {who} the permission {_PERMISSIONS[operation]}"
        if error.status == HTTPStatus.NOT_FOUND and operation in ("publish to", "find"):
            return (
                f"create the topic in its project (this run's is {self._project}), or correct its name, "
                "or set --gcp-pubsub-create-topics"
            )
        return "check the names of the project and the topic" if error.status else ""


def _resource(answer: Answer) -> dict[str, Any] | None:
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    try:
        resource = json.loads(answer.body)
    except ValueError:
        resource = None
    if not isinstance(resource, dict):
        raise unfinished("is not a JSON object")
    return resource


def _check(count: int, answer: Answer) -> None:
    """Each message is acknowledged by an ID; one fewer, and nobody knows which are there."""
    try:
        acknowledged = len(json.loads(answer.body)["messageIds"])
    except (ValueError, TypeError, KeyError):
        raise unfinished("contains no message IDs") from None
    if acknowledged != count:
        raise unfinished(f"acknowledges {acknowledged} messages of {count}")
