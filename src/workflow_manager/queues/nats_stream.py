"""Messages in a stream of NATS JetStream, read by their numbers: no consumer is needed or disturbed.

A consumer that gives a message up leaves it in its stream, and says so on a subject of its own. Where
a stream keeps these advisories, its messages stand for those that were given up.
"""

import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from workflow_manager.errors import QueueError
from workflow_manager.queue_ports import DeadLetter, QueuedMessage, TopicStats

if TYPE_CHECKING:
    from nats.aio.client import Client

T = TypeVar("T")

ADVISORIES = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES."
_NOT_FOUND = 404
_PAGE = 100
_ELSEWHERE = (
    f"dead: consumers tell on {ADVISORIES}STREAM.CONSUMER what they gave up; "
    "ask for that subject if a stream keeps it, or for the one that workers move dead letters to"
)


class Runner(Protocol):
    """Does asynchronous work on the client's thread, and translates what it raises."""

    def __call__(self, operation: str, subject: str, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work."""
        ...


class StreamMessage(NamedTuple):
    """A message with its number in its stream, and when it was stored, in seconds since 1970."""

    stream: str
    number: int
    subject: str
    body: bytes
    stored: float


class StreamSubject:
    """The messages on one subject of a stream."""

    def __init__(
        self, run: Runner, connected: "Callable[[], Awaitable[Client]]", stream: str, subject: str
    ) -> None:
        self._run = run
        self._connected = connected
        self._stream = stream
        self._subject = subject
        self._next = 1

    def stats(self, now: float) -> TopicStats:
        """How full the subject is, by the slowest of the consumers that take it."""
        return self._run("inspect", f"subject {self._subject!r}", self._stats(now))

    def browse(self) -> Iterator[QueuedMessage]:
        """All messages, oldest first. Which are with a worker, a stream does not say."""
        while page := self._take(_PAGE):
            for message in page:
                yield QueuedMessage(str(message.number), message.body, message.stored)

    def take(self, most: int) -> Sequence[DeadLetter]:
        """See DeadLetters."""
        return [self._letter(message) for message in self._take(most)]

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        """See DeadLetters."""
        for letter in letters:
            for place in letter.receipt.split():
                stream, _, number = place.rpartition(":")
                work = self._ask(f"STREAM.MSG.DELETE.{stream}", {"seq": int(number)}, may_miss=True)
                self._run("remove from", f"stream {stream}", work)
        return [None] * len(letters)

    def close(self) -> None:
        """See DeadLetters. Nothing was taken away."""

    def _take(self, most: int) -> list[StreamMessage]:
        async def page() -> list[StreamMessage]:
            found: list[StreamMessage] = []
            while len(found) < most and (message := await self._message(self._next)):
                found.append(message)
                self._next = message.number + 1
            return found

        return self._run("read", f"subject {self._subject!r}", page())

    def _letter(self, message: StreamMessage) -> DeadLetter:
        place = f"{message.stream}:{message.number}"
        if not message.subject.startswith(ADVISORIES):
            return DeadLetter(place, message.body, place)
        advisory = json.loads(message.body)
        stream, number = str(advisory["stream"]), int(advisory["stream_seq"])
        work = self._ask(f"STREAM.MSG.GET.{stream}", {"seq": number}, may_miss=True)
        found = self._run("read", f"stream {stream}", work).get("message")
        body = _parsed(stream, found).body if found else b""  # it was taken after all, or has expired
        return DeadLetter(place, body, f"{stream}:{number} {place}")

    async def _message(self, number: int) -> StreamMessage | None:
        """The first message from a number on."""
        request = {"seq": number, "next_by_subj": self._subject}
        found = await self._ask(f"STREAM.MSG.GET.{self._stream}", request, may_miss=True)
        return _parsed(self._stream, found["message"]) if "message" in found else None

    async def _stats(self, now: float) -> TopicStats:
        info = await self._ask(f"STREAM.INFO.{self._stream}", {"subjects_filter": self._subject})
        waiting, leased = sum((info["state"].get("subjects") or {}).values()), 0
        listed = await self._ask(f"CONSUMER.LIST.{self._stream}", {})
        consumers = [one for one in listed["consumers"] or () if self._is_taken_by(one["config"])]
        first = 1
        if consumers:
            waiting = max(one["num_pending"] for one in consumers)
            leased = max(one["num_ack_pending"] for one in consumers)
            first = min(one["ack_floor"]["stream_seq"] for one in consumers) + 1
        oldest = await self._message(first) if waiting or leased else None
        age = max(0.0, now - oldest.stored) if oldest else None
        return TopicStats(waiting, leased, age, None, elsewhere=_ELSEWHERE)

    def _is_taken_by(self, config: dict[str, Any]) -> bool:
        filters = config.get("filter_subjects") or [config.get("filter_subject") or ">"]
        return any(covers(pattern, self._subject) for pattern in filters)

    async def _ask(self, call: str, request: dict[str, Any], *, may_miss: bool = False) -> dict[str, Any]:
        """One call of JetStream's own interface; with `may_miss`, what is not there is no error."""
        from nats.js.errors import APIError  # noqa: PLC0415 (only runs that use it should load it)

        client = await self._connected()
        answer = await client.request(f"$JS.API.{call}", json.dumps(request).encode(), timeout=30)
        parsed: dict[str, Any] = json.loads(answer.data)
        error = parsed.get("error")
        if error and not (may_miss and error.get("code") == _NOT_FOUND):
            raise APIError(code=error.get("code"), description=error.get("description"))
        return parsed


def covers(pattern: str, subject: str) -> bool:
    """Whether a subject, or all that it stands for, is among those that a pattern stands for."""
    wanted, given = pattern.split("."), subject.split(".")
    for place, part in enumerate(wanted):
        if part == ">":
            return len(given) > place
        if place >= len(given) or part not in ("*", given[place]):
            return False
    return len(wanted) == len(given)


def _parsed(stream: str, message: dict[str, Any]) -> StreamMessage:
    stored = datetime.fromisoformat(message["time"]).timestamp()
    body = b64decode(message.get("data", ""))
    return StreamMessage(stream, int(message["seq"]), str(message["subject"]), body, stored)
