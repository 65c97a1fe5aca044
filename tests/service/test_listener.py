"""Sources of notifications that fail, lie, repeat and flood: passes go on, and nothing is lost or kept."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import pytest

from support.harness import Events
from workflow_manager.errors import NotificationError
from workflow_manager.notices import ANY_KEY, Notice, Upload
from workflow_manager.service import listener
from workflow_manager.service.hints import Held, settle
from workflow_manager.service.listener import Listener

WAIT = 30.0


class Source:
    """Gives out what it is told to, errors among them, and then waits until it is closed."""

    def __init__(self, *script: Sequence[Notice] | Exception) -> None:
        self.script = deque(script)
        self.acknowledged: list[str] = []
        self.refuses = False
        self.over = threading.Event()
        self.closed = threading.Event()

    def receive(self) -> Sequence[Notice]:
        if not self.script:
            self.over.wait(WAIT)
            return []
        given = self.script.popleft()
        if isinstance(given, Exception):
            raise given
        return given

    def acknowledge(self, receipts: Sequence[str]) -> None:
        if self.refuses:
            raise NotificationError("acknowledge to", "somewhere", "made to")
        self.acknowledged += receipts

    def close(self) -> None:
        self.closed.set()


class Hints:
    """Takes hints, and settles them at once or when it is told to."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.got: list[tuple[str, str, float]] = []
        self.held: list[Held] = []
        self.at_once = at_once
        self.came = threading.Condition()

    def __call__(self, name: str, aggregation: str, time: float, held: Held) -> None:
        with self.came:
            self.got.append((name, aggregation, time))
            self.came.notify_all()
            if not self.at_once:
                self.held.append(held)
                return
        settle([held], done=True)

    def wait(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.got) >= count, WAIT), self.got


Listen = Callable[..., Listener]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def listen(events: Events, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    monkeypatch.setattr(listener, "FIRST_PAUSE", 0.001)
    begun: list[tuple[Listener, Source]] = []

    def start(source: Source, hints: Hints, routes: dict[str, list[str]] | None = None) -> Listener:
        one = Listener("test://source", source, routes or {"bucket": ["one"]}, hints, events)  # type: ignore[arg-type]
        begun.append((one, source))
        one.start()
        return one

    yield start
    for one, source in begun:
        one.end()
        source.over.set()
        assert source.closed.wait(WAIT)


def notice(receipt: str, *keys: str, bucket: str = "bucket") -> Notice:
    return Notice(receipt, tuple(Upload(bucket, key, 7.0) for key in keys))


def test_an_upload_is_a_hint_and_acknowledged_once_it_is_settled(listen: Listen) -> None:
    source, hints = Source([notice("r", "kittens-seen/2026/11/23/04/05/b.batch")]), Hints(at_once=False)
    listen(source, hints)
    hints.wait(1)
    assert hints.got == [("one", "kittens-seen", 7.0)]
    assert source.acknowledged == []
    settle(hints.held, done=True)
    assert source.acknowledged == ["r"]


def test_what_a_failed_pass_was_to_look_at_is_not_acknowledged(listen: Listen) -> None:
    source, hints = Source([notice("r", "a/x")]), Hints(at_once=False)
    listen(source, hints)
    hints.wait(1)
    settle(hints.held, done=False)
    assert source.acknowledged == []


def test_lies_are_acknowledged_and_cause_no_pass(listen: Listen) -> None:
    lies = [
        notice("no-aggregation", "x"),
        notice("empty", "/x"),
        notice("markers", "task-markers/intake-a"),
        notice("no-text", "\udcff/x"),
        notice("elsewhere", "a/x", bucket="other"),
        notice("nothing"),
    ]
    source, hints = Source(lies, [notice("true", "a/x")]), Hints()
    listen(source, hints)
    hints.wait(1)
    assert hints.got == [("one", "a", 7.0)]
    assert source.acknowledged[:-1] == [lie.receipt for lie in lies]


def test_hostile_names_are_handed_on_as_they_are_to_be_looked_for_and_no_more(listen: Listen) -> None:
    names = ["..", "<script>", "x" * 1024, "agg ", "%00"]
    source, hints = Source([notice(str(number), f"{name}/x") for number, name in enumerate(names)]), Hints()
    listen(source, hints)
    hints.wait(len(names))
    assert [aggregation for _, aggregation, _ in hints.got] == names


def test_a_notice_about_several_waits_for_all_of_them(listen: Listen) -> None:
    source, hints = Source([notice("r", "a/x", "b/x", "a/y")]), Hints(at_once=False)
    listen(source, hints, {"bucket": ["one", "two"]})
    hints.wait(4)
    assert sorted((name, aggregation) for name, aggregation, _ in hints.got) == [
        ("one", "a"),
        ("one", "b"),
        ("two", "a"),
        ("two", "b"),
    ]
    for held in hints.held[:3]:
        settle([held], done=True)
    assert source.acknowledged == []
    settle(hints.held[3:], done=True)
    assert source.acknowledged == ["r"]


def test_one_of_them_that_fails_has_the_notice_come_again(listen: Listen) -> None:
    source, hints = Source([notice("r", "a/x", "b/x")]), Hints(at_once=False)
    listen(source, hints)
    hints.wait(2)
    settle(hints.held[:1], done=False)
    settle(hints.held[1:], done=True)
    assert source.acknowledged == []


def test_a_source_that_fails_is_asked_again_and_that_is_told_once(listen: Listen, events: Events) -> None:
    errors = [NotificationError("receive from", "somewhere", "made to") for _ in range(5)]
    source, hints = Source(*errors, RuntimeError("a bug"), [notice("r", "a/x")]), Hints()
    listen(source, hints)
    hints.wait(1)
    assert len(events.named("notifications.failed")) == 1
    assert len(events.named("notifications.recovered")) == 1


def test_an_acknowledgement_that_fails_is_told_and_harms_nothing(listen: Listen, events: Events) -> None:
    source, hints = Source([notice("r", "a/x")], [notice("s", "b/x")]), Hints()
    source.refuses = True
    listen(source, hints)
    hints.wait(2)
    assert events.named("notifications.failed")


def test_anything_may_be_new(listen: Listen) -> None:
    source, hints = Source([notice("", ANY_KEY)]), Hints()
    listen(source, hints)
    hints.wait(1)
    assert hints.got == [("one", ANY_KEY, 7.0)]
    assert source.acknowledged == []


def test_a_flood_is_received_only_as_fast_as_passes_settle_it(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MOST_OUTSTANDING", 30)
    flood = [[notice(f"{page}-{number}", "a/x") for number in range(10)] for page in range(100)]
    source, hints = Source(*flood), Hints(at_once=False)
    listen(source, hints)
    hints.wait(30)
    assert len(source.script) >= 96
    settled = 0
    while settled < 1000:
        with hints.came:
            assert hints.came.wait_for(lambda: bool(hints.held), WAIT)
            held, hints.held = hints.held, []
        settled += len(held)
        settle(held, done=True)
    assert len(source.acknowledged) == 1000
