"""The status page, without a browser: its sentences, its policy, its size."""

import base64
import gzip
import hashlib
import re
import subprocess
import sys
from datetime import timedelta

import pytest

from support.made_up_fleet import NOW, aggregation, every_state, fleet, instance, report, rules
from support.pages import html
from workflow_manager.core.windows import HOUR, Window
from workflow_manager.report.ages import age, ago
from workflow_manager.report.attention import Matter, attention
from workflow_manager.report.display_states import DISPLAY_STATES
from workflow_manager.report.status_page import instance_part, status_page
from workflow_manager.report.surveyed import SurveyedInstance

MEGABYTE = 10**6


def sentences(page: str) -> list[str]:
    """What needs attention, as text."""
    found = re.findall(r"<li class=\"k\d\"><p>(.*?)</p>", page, re.DOTALL)
    return [re.sub(r"\s+", " ", one).replace("&#39;", "'") for one in found]


def test_what_needs_a_person_is_told_worst_first_with_the_commands_that_mend_it() -> None:
    found = attention(report(every_state()))
    assert [one.matter for one in found] == [
        Matter.MISSED,
        Matter.TOO_OLD,
        Matter.LEFT_OUT,
        Matter.OVERLAPS,
        Matter.WAITING,
        Matter.MALFORMED,
    ]
    missed, too_old, left_out, overlaps, waiting, malformed = found
    assert missed.what == "1 window of 'kittens-seen' was missed: 2026-11-13 08:00 to 2026-11-13 16:00."
    (command,) = missed.commands
    assert command == (
        "workflow-manager backfill --from 2026-11-13T08:00:00Z --to 2026-11-13T16:00:00Z"
        " --aggregation-id kittens-seen --only aggregate"
    )
    assert too_old.what == (
        "2 batches of 'kittens-seen' are too old for runs to take in, the oldest from 2026-11-14 03:04."
    )
    (command,) = too_old.commands
    assert command == (
        "workflow-manager backfill --from 2026-11-14T03:04:00Z --to 2026-11-18T16:30:00Z"
        " --aggregation-id kittens-seen --only intake"
    )
    assert left_out.what.startswith("2 batches of 'kittens-seen' were left out of 1 scheduled window")
    (command,) = left_out.commands
    assert command == (
        "workflow-manager backfill --marker aggregate-kittens-seen-2026-11-13-16-00-2026-11-14-00-00"
        " --again --recompute --reason 'batches came late'"
    )
    assert "aggregated twice" in left_out.caution
    assert "Restore --aggregation-period" in overlaps.what
    assert waiting.what == (
        "1 window of 'kittens-seen' waits for the peer: 2026-11-14 00:00 to 2026-11-14 08:00, which began"
        " 5 d 16 h ago. Ask the peer's operators."
    )
    assert malformed.what == "7 malformed names of 'kittens-seen' were skipped."


def test_several_windows_share_a_sentence_and_a_command() -> None:
    found = aggregation("kittens-seen")
    for one in (*found.windows[2:4], *found.windows[6:8]):
        one.marked = False
    for one in found.windows[10:17]:
        one.left_out = 1
    missed, left_out = attention(report(found), "na-1", "--config f.yaml --instance na-1")
    assert missed.what == (
        "4 windows of 'kittens-seen' in na-1 were missed: 2026-11-13 08:00 to 2026-11-15 08:00."
    )
    assert missed.commands[0].startswith(
        "workflow-manager backfill --config f.yaml --instance na-1 --from 2026-11-13T08:00:00Z"
        " --to 2026-11-15T08:00:00Z"
    )
    assert len(left_out.commands) == 5
    assert "The first 5 of 7 commands" in left_out.caution


def test_what_happened_to_several_aggregations_at_once_is_one_thing_to_do() -> None:
    found = [aggregation(f"kittens-{number:02}") for number in range(12)]
    for one in found:
        one.windows[5].marked = one.windows[6].marked = False
    (few,) = attention(report(*found[:3]))
    assert few.what == (
        "6 windows of 'kittens-00', 'kittens-01' and 'kittens-02' were missed: 2026-11-14 08:00 to"
        " 2026-11-15 00:00."
    )
    assert "--aggregation-id kittens-00 --aggregation-id kittens-01 --aggregation-id" in few.commands[0]
    (many,) = attention(report(*found), "na-1")
    assert many.what.startswith("24 windows of 12 aggregations in na-1 were missed")
    assert "--aggregation-id" not in many.commands[0]


def test_names_are_quoted_for_the_shell_in_commands() -> None:
    found = every_state("'; rm -rf /; '\u202e")
    command = attention(report(found))[0].commands[0]
    (line,) = command.splitlines()
    assert line.isascii()
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], capture_output=True, check=True)
    assert words.stdout.decode().splitlines()[-3] == "'; rm -rf /; '\u202e"


def test_what_could_not_be_read_comes_first_and_the_last_complete_survey_is_shown() -> None:
    told = SurveyedInstance("na-1", {}, report(every_state()), None, ("cannot list gs://a", "x"), "")
    first, second, *_ = sentences(html(told))
    assert first.startswith("The buckets of na-1 could not be read completely: cannot list gs://a (and")
    assert "was missed" in second


def test_without_findings_nothing_needs_attention() -> None:
    page = html(instance("", aggregation("kittens-seen")))
    assert "Nothing needs attention" in page
    assert sentences(page) == []


def test_before_the_first_survey_the_page_says_so() -> None:
    page = html(SurveyedInstance("na-1", {"locality": "na"}))
    assert "Nothing has been surveyed yet" in page
    assert "not surveyed yet" in page


def test_aggregations_that_are_too_many_are_told() -> None:
    found = report(aggregation("kittens-seen"))
    found.omitted = 7
    (only,) = attention(found, "na-1")
    assert only.what == "7 aggregations in na-1 were not surveyed, because there are too many."


def test_every_state_is_on_the_page_and_in_its_legend() -> None:
    page = html(instance("", every_state()))
    for shown in DISPLAY_STATES:
        assert f"<b>{shown.name}</b>" in page
        assert re.search(rf'<i class="{shown.code} w\d+">', page), f"{shown.name} on the time line"


def test_the_policy_allows_the_page_s_own_style_and_script_alone() -> None:
    page = status_page([instance_part(instance("", every_state()), unfolded=True)], NOW)
    style = re.search(r"<style>(.*?)</style>", page.html, re.DOTALL)
    script = re.search(r"<script>(.*?)</script>", page.html, re.DOTALL)
    assert style
    assert script
    hashes = [base64.b64encode(hashlib.sha256(one[1].encode()).digest()).decode() for one in (style, script)]
    assert page.policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}';"
        " base-uri 'none'; form-action 'none'"
    )
    assert page.policy.replace("'", "&#39;") in page.html
    assert not re.search(r"\s(on\w+|style|src|srcset)=", page.html.replace(script[0], ""))
    assert "http:" not in page.html.replace(script[0], "")


@pytest.mark.parametrize("periods", [(3 * HOUR, 8 * HOUR), (3 * HOUR,)], ids=["3 h and 8 h", "3 h"])
def test_a_week_of_300_instances_has_less_than_3_mb(periods: tuple[timedelta, ...]) -> None:
    page = html(*fleet(300, periods)).encode()
    assert len(page) < 3 * MEGABYTE
    assert len(gzip.compress(page, 3)) < MEGABYTE / 3


@pytest.mark.parametrize("hours", [0.25, 0.5, 1, 5, 24, 36, 168])
def test_windows_of_any_length_can_be_shown(hours: float) -> None:
    period = hours * HOUR
    page = html(instance("", aggregation("kittens-seen", period), period=period))
    assert "kittens-seen" in page
    assert rules(period).aggregation.end - rules(period).aggregation.begin == period


def test_ages_have_two_units() -> None:
    lengths = [5, 59 * 60, 3600, 3900, 86400, 86400 * 3 + 3600 * 4 + 59]
    assert [age(timedelta(seconds=one)) for one in lengths] == [
        "5 s",
        "59 min",
        "1 h",
        "1 h 5 min",
        "1 d",
        "3 d 4 h",
    ]
    assert ago(timedelta(hours=-2)) == "in 2 h"


def test_a_run_imports_no_template_engine() -> None:
    code = "import sys; from workflow_manager.cli import run, serve, status;sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_range_of_the_survey_is_told() -> None:
    one = instance("", aggregation("kittens-seen"))
    assert one.times == Window(one.times.begin, one.times.end) if one.times else False
    assert "Windows from 2026-11-12 16:00 on" in html(one)
