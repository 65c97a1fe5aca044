"""Dead letters in a subscription of Pub/Sub, and what a topic's subscriptions can tell."""

import json
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from workflow_manager.errors import QueueError
from workflow_manager.queue_ports import DeadLetter, TopicStats

T = TypeVar("T")

# One request: operation, what for, method, path behind /v1/, and the content. Raises QueueError.
Ask = Callable[[str, str, str, str, object], dict[str, Any]]

READ = "pull from"
REMOVE = "acknowledge in"
INSPECT = "inspect"
_MOST = 1000
_MOST_SECONDS = 600  # for an acknowledgement
# An answer with no messages does not say that there are none; a few in a row do, for all practical purposes.
_EMPTY_ANSWERS = 3
_PAUSE = 0.3  # seconds between them


class PubSubLetters:
    """See DeadLetters: messages pulled from a subscription, and not acknowledged yet."""

    def __init__(self, ask: Ask, path: str, lease: timedelta) -> None:
        self._ask = ask
        self._path = path
        self._seconds = max(10, min(int(lease.total_seconds()), _MOST_SECONDS))
        self._held: dict[str, None] = {}

    def take(self, most: int) -> Sequence[DeadLetter]:
        """See DeadLetters."""
        letters: list[DeadLetter] = []
        empty = 0
        while len(letters) < most and empty < _EMPTY_ANSWERS:
            if empty:
                time.sleep(_PAUSE)
            # Else an answer is waited for that may not come, for longer than we wait for any.
            content = {"maxMessages": min(_MOST, most - len(letters)), "returnImmediately": True}
            answer = self._ask(READ, self._path, "POST", f"{self._path}:pull", content)
            received = answer.get("receivedMessages", [])
            empty = 0 if received else empty + 1
            letters += [_letter(message) for message in received]
        if letters:
            receipts = [letter.receipt for letter in letters]
            self._extend(receipts, self._seconds)
            self._held |= dict.fromkeys(receipts)
        return letters

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        """See DeadLetters."""
        receipts = [letter.receipt for letter in letters]
        self._ask(REMOVE, self._path, "POST", f"{self._path}:acknowledge", {"ackIds": receipts})
        for receipt in receipts:
            self._held.pop(receipt, None)
        return [None] * len(letters)

    def close(self) -> None:
        """See DeadLetters."""
        try:
            if self._held:
                self._extend(list(self._held), 0)
        except QueueError:
            return  # the leases end by themselves

    def _extend(self, receipts: Sequence[str], seconds: int) -> None:
        for begin in range(0, len(receipts), _MOST):
            content = {"ackIds": receipts[begin : begin + _MOST], "ackDeadlineSeconds": seconds}
            self._ask(READ, self._path, "POST", f"{self._path}:modifyAckDeadline", content)


def stats(ask: Ask, path: str) -> TopicStats:
    """What can be told of a topic: its subscriptions, and where they send what is given up."""
    ask(INSPECT, path, "GET", path, None)  # to list the subscriptions of no topic is no error
    names = ask(INSPECT, path, "GET", f"{path}/subscriptions", None).get("subscriptions", [])
    dead_letters = [
        policy["deadLetterTopic"]
        for name in names
        if (policy := ask(INSPECT, path, "GET", name, None).get("deadLetterPolicy"))
    ]
    if not names:
        return TopicStats(
            None, None, None, None, elsewhere="the topic has no subscription: messages are lost"
        )
    elsewhere = (
        "see num_undelivered_messages and oldest_unacked_message_age of pubsub.googleapis.com/subscription "
        f"in Cloud Monitoring for {', '.join(names)}"
    )
    elsewhere += "" if dead_letters else "; dead: no subscription has a dead-letter policy"
    return TopicStats(None, None, None, None, ", ".join(dead_letters), elsewhere)


def _letter(received: dict[str, Any]) -> DeadLetter:
    message = received["message"]
    return DeadLetter(str(message["messageId"]), b64decode(message.get("data", "")), received["ackId"])


def content(value: object) -> bytes:
    """The body of a request."""
    return b"" if value is None else json.dumps(value).encode()
