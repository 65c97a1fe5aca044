"""What a TaskQueue can have besides publishing: each is a protocol of its own, and none is required.

The command `tasks` stands on these. A queue without one of them works as ever, and the command says
what its kind cannot do. `workflow_manager.testing` has a suite for each.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from workflow_manager.errors import QueueError


class TopicStats(NamedTuple):
    """How many messages a topic has. None stands for what the service does not tell.

    `leased` ones are with a worker, `dead` ones were given up, and are in `dead_letters`, if that is
    known. `oldest_seconds` is the age of the oldest message, None also if there is none.
    `elsewhere` says where to look for what is not told.
    """

    waiting: int | None
    leased: int | None
    oldest_seconds: float | None
    dead: int | None
    dead_letters: str = ""
    elsewhere: str = ""


class QueuedMessage(NamedTuple):
    """A message on a topic. `published` is in seconds since 1970; `state` is waiting or leased.

    `leases` says how often a worker got it. None and "" stand for what the service does not tell.
    """

    id: str
    body: bytes
    published: float | None
    state: str = ""
    leases: int | None = None


class DeadLetter(NamedTuple):
    """A message that workers gave up. `id` is the same each time it is taken, where the service has one.

    `receipt` removes it; it is good until the lease ends.
    """

    id: str
    body: bytes
    receipt: str


@runtime_checkable
class Inspectable(Protocol):
    """A queue that can tell how full its topics are."""

    def stats(self, topic: str) -> TopicStats:
        """How full a topic is, without taking anything; raises QueueError, also if there is no such topic."""
        ...


@runtime_checkable
class TopicDirectory(Protocol):
    """A queue that knows its topics."""

    def topic_names(self) -> Sequence[str]:
        """The names of all topics, in order; raises QueueError."""
        ...


class TopicNames(NamedTuple):
    """The topic of intake tasks, and that of aggregation tasks."""

    intake: str
    aggregate: str


@runtime_checkable
class FixedTopics(Protocol):
    """A queue that has just two topics, whose names are its own: nobody needs to give them."""

    fixed_topics: ClassVar[TopicNames]


@runtime_checkable
class Browsable(Protocol):
    """A queue whose messages can be looked at without taking them."""

    def browse(self, topic: str) -> Iterator[QueuedMessage]:
        """The messages on a topic, oldest first, leased ones as well; raises QueueError."""
        ...


class LeasedMessage(NamedTuple):
    """A message that is ours until its lease runs out; `ack_id` removes it."""

    ack_id: str
    body: bytes


@runtime_checkable
class Pullable(Protocol):
    """A queue that the command can take tasks from as a worker would."""

    def pull(self, topic: str, most: int, lease: timedelta) -> Sequence[LeasedMessage]:
        """Take up to `most` messages that nobody has, oldest first; raises QueueError."""
        ...

    def ack(self, ack_ids: Sequence[str]) -> Sequence[str]:
        """Remove messages that are done; returns the IDs that name no message of ours any more."""
        ...


class DeadLetters(Protocol):
    """Dead letters in one place, while they are looked through. For one thread; methods raise QueueError."""

    def take(self, most: int) -> Sequence[DeadLetter]:
        """Up to `most` that were not taken yet; none if there are no more.

        One that is not removed may be taken again once its lease has ended.
        """
        ...

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        """Remove letters for good; for each, in order, None or why it is still there."""
        ...

    def close(self) -> None:
        """Give back what was taken and not removed, at once where the service can, and connections."""
        ...


@runtime_checkable
class Redrivable(Protocol):
    """A queue whose dead letters can be put back."""

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """The dead letters in `source`, to be put back to `topic`, each ours for `lease` after it is taken.

        Raises QueueError if there is no such place, or if what is published to `topic` would come
        back to it.
        """
        ...
