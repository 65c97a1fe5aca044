"""`workflow-manager serve`, as it is deployed: many instances over directories, signals, HTTP."""

import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.command import call, metrics
from support.serving import COMMAND, WAIT, Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


LAG = "workflow_manager_upload_to_publication_seconds_count"


def test_a_batch_that_is_copied_in_is_scheduled_and_ends_are_orderly(fleet: Fleet) -> None:
    fleet.add("na", "ingestor-notifications: watch")
    fleet.add("eu")
    found = fleet.upload("eu")
    with fleet.serve() as served:
        assert served.wait("task.scheduled")["batch_id"] == found, "the first pass finds what is there"
        served.until(lambda status: status["na"]["passes"]["done"] > 0)
        for _ in range(3):  # nothing says when the directory is watched: soon after the start
            copied = fleet.upload("na")
            line = served.wait("task.scheduled", instance="na", batch_id=copied)
            assert line["locality"] == "na"
            deadline = time.monotonic() + 5
            while not (counted := LAG in metrics(served.get("/metrics"))) and time.monotonic() < deadline:
                time.sleep(0.05)
            if counted:
                break
        status = served.until(lambda status: status["na"]["passes_after_notifications"] > 0)
        assert (status["eu"]["state"], status["eu"]["intake_tasks_scheduled"]) == ("ok", 1)
        shown = metrics(served.get("/metrics"))
        assert shown[LAG] == {"": 1.0}
        assert shown["workflow_manager_intake_tasks_scheduled"]["kittens-seen"] >= 1.0
        assert served.get("/healthz") == "ok\n"
        assert served.get("/readyz") == "ready\n"
        assert served.end() == 143
    assert [event["event"] for event in served.events[-2:]] == ["service.stopping", "service.stopped"]
    markers = [path.name for path in (fleet.directory / "na" / "own" / "task-markers").iterdir()]
    assert all(marker.startswith("intake-") for marker in markers), "its lease is given back"


def test_the_status_page_shows_what_surveys_found(fleet: Fleet) -> None:
    fleet.add("na")
    fleet.add("eu", "status-interval: 0")
    fleet.upload("na", "<b>kittens")
    with fleet.serve() as served:
        deadline = time.monotonic() + WAIT
        while "&lt;b&gt;kittens" not in (page := served.get("/")):
            assert time.monotonic() < deadline, page
            time.sleep(0.2)
        assert "locality <b>na</b>" in page
        assert '<a href="#i-na">' in page
        assert '<a href="#i-eu">' not in page, "it is not surveyed"
        assert '<th scope="row">eu' in page, "its passes are told"


def test_one_instance_that_fails_touches_no_other(fleet: Fleet) -> None:
    fleet.add("bad")
    (fleet.directory / "bad" / "in").rmdir()
    fleet.add("good", "ingestor-notifications: watch")
    with fleet.serve("--max-passes=1") as served:
        served.until(
            lambda status: status["good"]["passes"]["done"] > 0 and status["bad"]["passes"]["failed"] > 0
        )
        fleet.upload("good")
        served.wait("task.scheduled", instance="good")
        status = served.status()
        assert status["bad"]["state"] == "failing"
        assert "No such file or directory" in status["bad"]["failures"][0]
        assert served.end(signal.SIGINT) == 130


def test_sighup_reads_the_file_again_and_keeps_the_old_one_if_the_new_one_has_mistakes(
    fleet: Fleet,
) -> None:
    fleet.add("one")
    with fleet.serve() as served:
        served.until(lambda status: status["one"]["passes"]["done"] == 1)
        good = fleet.text
        fleet.path.write_text(f"{good}  two:\n    interval: soon\n")
        served.process.send_signal(signal.SIGHUP)
        refused = served.wait("configuration.refused")
        assert refused["mistake"].startswith(f"{fleet.path}:")
        assert list(served.status()) == ["one"]
        fleet.path.write_text(good)
        fleet.add("two")
        fleet.upload("two")
        served.process.send_signal(signal.SIGHUP)
        assert served.wait("configuration.reloaded")["instances"] == 2
        served.wait("task.scheduled", instance="two")
        assert served.status()["one"]["passes"]["done"] == 1, "what is known of it stays, and it waits"
        assert served.end() == 143


def test_mistakes_are_found_before_anything_is_done(fleet: Fleet) -> None:
    fleet.add("one", "now: 2026-11-23T04:20:00Z", "ingestor-notifications: sqs://us-east-1/q")
    found = call(COMMAND, ["serve", "--config", str(fleet.path), "--listen=127.0.0.1:0"])
    assert found.status == 2
    assert f"{fleet.path}:15: one: now: cannot be used by serve" in found.stderr
    assert "ingestor-notifications='sqs://us-east-1/q': does not announce uploads to file:///" in found.stderr
    assert call(COMMAND, ["serve"]).status == 2
    for address in ("9090", "127.0.0.1:99999", "a b:1", ":80"):
        found = call(COMMAND, ["serve", "--config", str(fleet.path), f"--listen={address}"])
        assert f"--listen='{address}': not host:port, nor none" in found.stderr
    assert call(COMMAND, ["serve", "--config", f"{fleet.path}x"]).status == 2


def test_an_address_that_is_taken_is_a_mistake(fleet: Fleet) -> None:
    fleet.add("one")
    with fleet.serve() as served:
        address = served.url.removeprefix("http://")
        found = call(COMMAND, ["serve", "--config", str(fleet.path), f"--listen={address}"])
        assert found.status == 2
        assert f"--listen='{address}': cannot listen on this address" in found.stderr


def test_nothing_can_be_changed_over_http(fleet: Fleet) -> None:
    fleet.add("one")
    with fleet.serve() as served:
        for method in ("POST", "PUT", "DELETE"):
            for path in ("/", "/metrics", "/status.json", "/healthz", "/readyz"):
                request = urllib.request.Request(f"{served.url}{path}", method=method)
                with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request):
                    pass
                assert refused.value.code == 405
                refused.value.close()
        with pytest.raises(urllib.error.HTTPError) as refused:
            served.get("/../etc/passwd")
        assert refused.value.code == 404
        refused.value.close()
