"""Notifications of Cloud Storage by a Pub/Sub subscription: `pubsub://{project}/{subscription}`."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Self
from urllib.parse import quote, urlsplit

from workflow_manager.clouds import google
from workflow_manager.clouds.http import Answer, CloudError, Request, unfinished
from workflow_manager.clouds.service import Service, require
from workflow_manager.errors import ConfigError, Mistake, NotificationError
from workflow_manager.notices import Notice
from workflow_manager.notifications.announcements import cloud_storage_upload
from workflow_manager.ports import Settings

_URL = re.compile(r"pubsub://([^/]+)/([^/]+)")
_SCOPES = ("https://www.googleapis.com/auth/pubsub",)
_ENDPOINT = "https://pubsub.googleapis.com"
_OK = frozenset({200})
_JSON = {"content-type": "application/json"}
# With names of 1,024 bytes and the object's whole description, an answer stays below 1 MB.
_MESSAGES = 300
_ACKNOWLEDGED = 1000
# The service holds a pull until there is a message, for up to 90 s, and then answers with none.
_HELD_SECONDS = 100.0


class PubSubNotifications:
    """A subscription to the topic that Cloud Storage publishes its notifications to."""

    def __init__(self, url: str, path: str, pulling: Service, service: Service, who: google.Who) -> None:
        self._url = url
        self._path = path
        self._pulling = pulling
        self._service = service
        self._who = who

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """See NotificationSource."""
        require("pubsub://", "gcp", "google.auth", "pycurl")
        if settings.identity:
            raise ConfigError([Mistake("", "", "pubsub:// does not use an identity: omit it")])
        match = _URL.fullmatch(url)
        if match is None:
            raise ConfigError([Mistake("", "", "not a subscription: pubsub://{project}/{subscription}")])
        emulator = settings.environ.get("PUBSUB_EMULATOR_HOST", "")
        service, who = google.open_service(settings, _SCOPES, _ENDPOINT, emulator)
        held = settings.retry_policy._replace(
            read_timeout=_HELD_SECONDS, total_timeout=_HELD_SECONDS, tries=1
        )
        pulling, _ = google.open_service(replace(settings, retry_policy=held), _SCOPES, _ENDPOINT, emulator)
        path = quote(f"/v1/projects/{match[1]}/subscriptions/{match[2]}")
        return cls(url, path, pulling, service, who)

    @staticmethod
    def bucket_name(url: str) -> str | None:
        """See NotificationSource."""
        parts = urlsplit(url)
        return parts.netloc if parts.scheme == "gs" else None

    def receive(self) -> Sequence[Notice]:
        """See NotificationSource."""
        body = json.dumps({"maxMessages": _MESSAGES}).encode()
        with self._translated("receive from"):
            return self._pulling.fetch(Request("POST", f"{self._path}:pull", body, _JSON), _OK, _notices)

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """See NotificationSource."""
        for begin in range(0, len(receipts), _ACKNOWLEDGED):
            body = json.dumps({"ackIds": receipts[begin : begin + _ACKNOWLEDGED]}).encode()
            with self._translated("acknowledge to"):
                self._service.send(Request("POST", f"{self._path}:acknowledge", body, _JSON), _OK)

    def close(self) -> None:
        """See NotificationSource."""
        self._pulling.close()
        self._service.close()

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        try:
            yield
        except CloudError as error:
            who = self._who()
            raise NotificationError(
                operation, f"{self._url} as {who}", error.cause, error.advice or _advice(error.status, who)
            ) from error


def _advice(status: int, who: str) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return google.RENEW
    if status == HTTPStatus.FORBIDDEN:
        return f"grant {who} the permission pubsub.subscriptions.consume (roles/pubsub.subscriber)"
    return "create the subscription, or correct its URL" if status == HTTPStatus.NOT_FOUND else ""


def _notices(answer: Answer) -> list[Notice]:
    try:
        received = json.loads(answer.body or b"{}").get("receivedMessages", ())
        return [
            Notice(one["ackId"], (upload,) if upload else ())
            for one in received
            for upload in [cloud_storage_upload(one.get("message", {}).get("attributes"))]
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise unfinished("is not an answer to a pull") from None
