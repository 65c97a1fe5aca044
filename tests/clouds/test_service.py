"""What is tried again, how often and for how long; what is not; and what the error says."""

import itertools
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from servers import faulty
from servers.certificates import self_signed
from servers.faulty import Faulty, answer
from servers.scripted import each, scripted
from workflow_manager.clouds import service
from workflow_manager.clouds.aws import explain
from workflow_manager.clouds.http import ALWAYS, Answer, CloudError, Request, unfinished
from workflow_manager.clouds.service import Service, no_authorization
from workflow_manager.ports import RetryPolicy

OK = frozenset({200})
GET = Request("GET", "/path?query")
# Tries are counted, so no time-out may be met just because the machine is busy.
TIMEOUTS = RetryPolicy(read_timeout=20, tries=4, total_timeout=40)
IMPATIENT = RetryPolicy(read_timeout=0.2, tries=10)

Connect = Callable[..., Service]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes services, and closes them."""
    made = []

    def connect(url: str, retry_policy: RetryPolicy = TIMEOUTS, **environ: str) -> Service:
        made.append(Service(url, environ, retry_policy, authorize=no_authorization, explain=explain))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr(service, "sleep", made.append)
    return made


class TestWhatIsTriedAgain:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_a_service_that_is_busy(
        self, status: int, server: Faulty, connect: Connect, pauses: list[float]
    ) -> None:
        server.script.extend([answer(status), answer(status), answer(200, b"at last")])
        got = connect(server.url).send(GET, OK)
        assert (got.body, got.attempt) == (b"at last", 3)
        assert len(pauses) == 2

    @pytest.mark.parametrize(
        ("status", "code"), [(400, "RequestTimeout"), (409, "OperationAborted"), (400, "Throttling")]
    )
    def test_codes_that_mean_the_same_under_another_status(
        self, status: int, code: str, server: Faulty, connect: Connect, pauses: list[float]
    ) -> None:
        server.script.extend([faulty.s3_error(status, code), answer(200)])
        assert connect(server.url).send(GET, OK).attempt == 2
        assert len(pauses) == 1

    @pytest.mark.usefixtures("hasty")
    def test_a_connection_that_breaks(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([faulty.reset, answer(200, b"whole")])
        assert connect(server.url).send(GET, OK).body == b"whole"

    @pytest.mark.usefixtures("hasty")
    def test_an_answer_slower_than_the_read_timeout(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([faulty.silent, answer(200, b"whole")])
        assert connect(server.url, IMPATIENT).send(GET, OK).body == b"whole"

    @pytest.mark.usefixtures("hasty")
    def test_an_answer_shorter_than_announced(self, server: Faulty, connect: Connect) -> None:
        def half(exchange: faulty.Exchange) -> None:
            exchange.begin(faulty.Reply(200), 10)
            exchange.handler.wfile.write(b"12345")
            exchange.handler.close_connection = True

        server.script.extend([half, answer(200, b"1234567890")])
        assert connect(server.url).send(GET, OK).body == b"1234567890"

    @pytest.mark.usefixtures("hasty")
    def test_an_answer_that_its_reader_finds_unfinished(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([answer(200, b"half"), answer(200, b"whole")])

        def read(got: Answer) -> bytes:
            if got.body != b"whole":
                raise unfinished("broke off")
            return got.body

        assert connect(server.url).fetch(GET, OK, read) == b"whole"


class TestWhatIsNotTriedAgain:
    @pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 412, 501])
    def test_what_cannot_succeed(self, status: int, server: Faulty, connect: Connect) -> None:
        server.always = faulty.s3_error(status, "SomeCode")
        with pytest.raises(
            CloudError, match=f"the service answered {status} SomeCode: said SomeCode"
        ) as failed:
            connect(server.url).send(GET, OK)
        assert (failed.value.status, failed.value.code) == (status, "SomeCode")
        assert len(server.seen) == 1

    def test_a_certificate_that_is_not_trusted(
        self, connect: Connect, pauses: list[float], tmp_path: Path
    ) -> None:
        with (
            scripted(each(), tls=self_signed(tmp_path)[0]) as server,
            pytest.raises(CloudError, match="is not trusted"),
        ):
            connect(server.url).send(GET, OK)
        assert pauses == []


class TestBounds:
    def test_there_are_no_more_tries_than_allowed(
        self, server: Faulty, connect: Connect, pauses: list[float]
    ) -> None:
        server.always = faulty.s3_error(503, "SlowDown")
        with pytest.raises(CloudError, match=r"503 SlowDown: said SlowDown \(tried 4 times in ") as failed:
            connect(server.url).send(GET, OK)
        assert len(server.seen) == 4
        assert "overloaded" in failed.value.advice
        assert len(pauses) == 3

    def test_an_address_where_nobody_listens_is_tried_three_times(
        self, connect: Connect, pauses: list[float]
    ) -> None:
        with socket.socket() as taken:  # bound, and not listening
            taken.bind(("127.0.0.1", 0))
            host = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(CloudError, match=f"{host} cannot be reached: Connection refused"):
                connect(f"http://{host}").send(GET, OK)
        assert len(pauses) == 2

    def test_the_name_of_a_host_that_does_not_exist_is_asked_three_times(
        self, connect: Connect, pauses: list[float]
    ) -> None:
        with pytest.raises(CloudError, match=r"cannot resolve host no-such-host\.invalid"):
            connect("https://no-such-host.invalid").send(GET, OK)
        assert len(pauses) == 2

    def test_pauses_double_and_are_shortened_at_random(
        self, server: Faulty, connect: Connect, pauses: list[float]
    ) -> None:
        server.always = answer(500)
        retry_policy = RetryPolicy(tries=9, total_timeout=1000)
        with pytest.raises(CloudError):
            connect(server.url, retry_policy).send(GET, OK)
        longest = [min(service.LONGEST_PAUSE, service.FIRST_PAUSE * 2**number) for number in range(8)]
        assert all(0 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
        assert len(set(pauses)) == 8

    def test_the_time_that_the_service_asks_for_is_given(
        self, server: Faulty, connect: Connect, pauses: list[float]
    ) -> None:
        server.script.extend([answer(503, retry_after="7"), answer(200)])
        connect(server.url).send(GET, OK)
        assert pauses == [7]

    @pytest.mark.parametrize("wish", ["3600", formatdate(4_000_000_000, usegmt=True)])
    def test_but_not_more_than_is_reasonable(
        self, wish: str, server: Faulty, connect: Connect, pauses: list[float]
    ) -> None:
        server.script.extend([answer(503, retry_after=wish), answer(200)])
        connect(server.url, RetryPolicy()).send(GET, OK)
        assert pauses == [service.LONGEST_WISH]

    @pytest.mark.parametrize("wish", ["", "soon", "-1", formatdate(1, usegmt=True)])
    def test_nor_what_makes_no_sense(
        self, wish: str, server: Faulty, connect: Connect, pauses: list[float]
    ) -> None:
        server.script.extend([answer(503, retry_after=wish), answer(200)])
        connect(server.url).send(GET, OK)
        assert pauses[0] <= service.FIRST_PAUSE

    def test_a_pause_that_ends_after_the_deadline_is_not_made(
        self, server: Faulty, connect: Connect, pauses: list[float]
    ) -> None:
        server.always = answer(429, retry_after="15")
        with pytest.raises(CloudError, match="429"):
            connect(server.url, RetryPolicy(total_timeout=10)).send(GET, OK)
        assert len(server.seen) == 1
        assert pauses == []

    def test_a_body_that_drips_in_ends_with_the_deadline(self, server: Faulty, connect: Connect) -> None:
        server.always = faulty.drip
        with pytest.raises(CloudError, match=r"not complete after (1|0\.99)\.?\d* s"):
            connect(server.url, RetryPolicy(read_timeout=5, total_timeout=1)).send(GET, OK)
        assert len(server.seen) == 1

    def test_one_that_cannot_be_made_keeps_its_error_when_time_is_up(self, connect: Connect) -> None:
        service = connect("http://127.0.0.1:1", RetryPolicy(total_timeout=0))
        unmade, late = service.send_all([CloudError("its name is too long"), GET], OK)
        assert str(unmade) == "its name is too long"
        assert str(late) == "there was no time left to send the request"

    def test_a_service_that_never_answers_ends_with_the_deadline(
        self, server: Faulty, connect: Connect
    ) -> None:
        server.always = faulty.silent
        retry_policy = RetryPolicy(read_timeout=0.2, tries=ALWAYS, total_timeout=0.5)
        with pytest.raises(CloudError, match=r"did not answer within 0\.\d+ s"):
            connect(server.url, retry_policy).send(GET, OK)
        assert len(server.seen) <= 10


class TestSecrets:
    def test_what_was_sent_in_confidence_is_in_no_error(self, server: Faulty) -> None:
        token, form = "secret-token-0123456789", "secret-form-0123456789"
        server.always = lambda exchange: exchange.reply(
            faulty.Reply(403, f"{dict(exchange.seen.headers)} {exchange.seen.body!r}".encode())
        )
        service = Service(
            server.url,
            {},
            TIMEOUTS,
            authorize=lambda _: {"authorization": f"Bearer {token}", "x-amz-security-token": token},
            explain=explain,
        )
        with pytest.raises(CloudError, match="removed") as failed:
            service.send(Request("POST", "/", form.encode(), secrets=(form,)), OK)
        service.close()
        assert token not in str(failed.value)
        assert form not in str(failed.value)

    def test_a_secret_that_makes_a_header_impossible_is_not_shown(self, server: Faulty) -> None:
        service = Service(
            server.url,
            {},
            TIMEOUTS,
            authorize=lambda _: {"x-amz-security-token": "secret\nsecret"},
            explain=explain,
        )
        with pytest.raises(CloudError, match="a header of the request contains a line break") as failed:
            service.send(GET, OK)
        service.close()
        assert failed.value.__cause__ is None
        assert failed.value.__context__ is None


def test_connections_are_kept(server: Faulty, connect: Connect) -> None:
    ports = set()

    def note(exchange: faulty.Exchange) -> None:
        ports.add(exchange.handler.client_address[1])
        exchange.reply(faulty.Reply(200, b"body"))

    server.always = note
    service = connect(server.url)
    for _ in itertools.repeat(None, 5):
        service.send(GET, OK)
    assert len(ports) == 1


def test_paths_go_over_the_wire_as_they_are(server: Faulty, connect: Connect) -> None:
    server.always = answer(200)
    target = "/bucket/a//b/./../c%2Fd%20e%2B~?x=%2F%20"
    connect(server.url).send(Request("GET", target), OK)
    assert server.seen[0].path == target
