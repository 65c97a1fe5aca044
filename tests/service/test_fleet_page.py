"""The status page of serve: made anew where something changed, and told what became of the passes."""

import gzip
import http.client
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.harness import Events
from support.made_up_fleet import NOW, aggregation, every_state, instance
from workflow_manager.report.status_page import InstancePart, instance_part
from workflow_manager.report.surveyed import SurveyedInstance
from workflow_manager.service import fleet_page, web
from workflow_manager.service.fleet_page import FleetPage
from workflow_manager.service.records import Record, Records
from workflow_manager.service.surveys import InstanceSurvey, Surveys
from workflow_manager.service.timing import Outcome
from workflow_manager.service.web import Site, WebPage, WebServer

STARTED = NOW.timestamp() - 7200


class Served:
    """Surveys, records, and the page of them."""

    def __init__(self) -> None:
        self.surveys = Surveys()
        self.records = Records()
        self.page = FleetPage(self.surveys, self.records, lambda name: f"--config f.yaml --instance {name}")
        names = ("na-1", "eu-1")
        self.surveys.use({name: InstanceSurvey(name, {"locality": name[:2]}) for name in names})
        self.records.use({name: Record(name, {}, 300.0) for name in names})

    def survey(self, name: str, *found: str) -> None:
        given = instance(name, *(every_state(one) if one == "bad" else aggregation(one) for one in found))
        assert given.report
        assert given.times
        done = InstanceSurvey(name, given.labels, given.report, given.times, NOW.timestamp(), 1.0)
        self.surveys.change(name, lambda _: done)

    def html(self) -> str:
        return self.page.render("0/1", STARTED, NOW.timestamp()).html


@pytest.fixture
def served() -> Served:
    return Served()


def test_instances_are_shown_as_they_are_surveyed(served: Served) -> None:
    assert "Nothing has been surveyed yet" in served.html()
    served.survey("na-1", "kittens-seen")
    page = served.html()
    assert "kittens-seen" in page
    assert page.count("not surveyed yet") == 1
    served.survey("eu-1", "bad")
    assert "--config f.yaml --instance eu-1 --from 2026-11-13T08:00:00Z" in served.html()


def test_only_what_was_surveyed_again_is_made_anew(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(given: SurveyedInstance, *, unfolded: bool) -> InstancePart:
        made.append(given.name)
        return instance_part(given, unfolded=unfolded)

    monkeypatch.setattr(fleet_page, "instance_part", counted)
    served.html()
    served.survey("na-1", "kittens-seen")
    served.html()
    served.html()
    assert made == ["na-1", "eu-1", "na-1"]


def test_passes_that_fail_need_attention(served: Served) -> None:
    def fail(record: Record) -> None:
        record.finished(None, Outcome.FAILED, NOW.timestamp() - 5, whole=True, error="cannot list <gs://a>")

    served.records.change("na-1", fail)
    page = served.html()
    assert "No pass over na-1 has succeeded for 2 h: cannot list &lt;gs://a&gt;." in page
    assert "workflow-manager check --config f.yaml --instance na-1" in page
    rows = re.findall(r'<tr><th scope="row">(.*?)<td>(.*?)<td>', page)
    assert [(name, re.sub("<.*?>", "", state).strip()) for name, state in rows] == [
        ("na-1", "failing"),
        ("eu-1", "waiting for its first pass"),
    ]


def test_what_could_not_be_surveyed_is_told_beside_what_is_known(served: Served) -> None:
    served.survey("na-1", "kittens-seen")
    served.surveys.change("na-1", lambda last: replace(last, failures=("cannot list gs://a",)))
    page = served.html()
    assert "The buckets of na-1 could not be read completely: cannot list gs://a." in page
    assert "kittens-seen" in page


@pytest.fixture
def server(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setattr(web, "FRESH_SECONDS", 3600.0)
    for name in ("na-1", "eu-1"):
        served.survey(name, "kittens-seen")
    page = served.page.render("0/1", STARTED, NOW.timestamp())
    answer = WebPage("200 OK", "text/html; charset=utf-8", page.html.encode(), page.policy)
    one = WebServer("127.0.0.1:0", Site({"/": lambda: answer}, Events()))
    one.start()
    yield one
    one.close()


def ask(server: WebServer, accepted: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(server.address, timeout=30)
    connection.request(method, "/", headers={"Accept-Encoding": accepted})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1.0"])
def test_the_page_is_compressed_for_those_who_take_that(server: WebServer, accepted: str) -> None:
    plain, body = ask(server, "identity")
    packed, compressed = ask(server, accepted)
    assert (plain.headers["Content-Encoding"], packed.headers["Content-Encoding"]) == (None, "gzip")
    assert gzip.decompress(compressed) == body
    assert len(compressed) < len(body) / 3
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    head, nothing = ask(server, accepted, "HEAD")
    assert (head.headers["Content-Length"], nothing) == (str(len(compressed)), b"")


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.000", "xgzip"])
def test_and_not_for_others(server: WebServer, accepted: str) -> None:
    answer, _ = ask(server, accepted)
    assert answer.headers["Content-Encoding"] is None


def test_the_server_sends_the_policy_of_the_page(server: WebServer) -> None:
    answer, body = ask(server, "identity")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.endswith("; frame-ancestors 'none'")
    within = policy.removesuffix("; frame-ancestors 'none'").replace("'", "&#39;")
    assert f'http-equiv="Content-Security-Policy" content="{within}"' in body.decode()
    assert "unsafe" not in policy
