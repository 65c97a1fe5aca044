"""`sample` and `demo`."""

import re
import subprocess
from pathlib import Path

import pytest

from support.command import call

SEED = ("--seed", "5", "--end", "2026-01-15T12:30:00Z", "--hours", "3", "--batches-per-hour", "20")


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def write(installed: Path, directory: Path, *arguments: str) -> list[str]:
    (directory / "in").mkdir(parents=True)
    (directory / "peer").mkdir()
    urls = (
        "--ingestor-input",
        f"file://{directory}/in",
        "--peer-validation-input",
        f"file://{directory}/peer",
    )
    outcome = call(installed, ["sample", *urls, *SEED, *arguments])
    assert outcome.status == 0, outcome.stderr
    return files(directory)


def test_the_same_seed_gives_the_same_buckets_and_another_gives_others(
    installed: Path, tmp_path: Path
) -> None:
    first = write(installed, tmp_path / "1")
    assert write(installed, tmp_path / "2") == first
    assert write(installed, tmp_path / "3", "--seed", "6") != first


def test_shares_are_what_the_flags_say(installed: Path, tmp_path: Path) -> None:
    names = write(
        installed,
        tmp_path,
        "--aggregations",
        "1",
        "--incomplete",
        "0",
        "--missing-peer",
        "1",
        "--malformed",
        "0",
    )
    assert len(names) == 3 * 3 * 20
    assert all(
        re.fullmatch(r"in/kittens-seen/2026/01/15/(09|10|11)/\d\d/[0-9a-f-]{36}\.batch(\.avro|\.sig)?", name)
        for name in names
    )


@pytest.mark.parametrize("share", ["1.5", "-0.1", "half", "nan"])
def test_a_share_that_is_none_is_refused(installed: Path, share: str) -> None:
    outcome = call(installed, ["sample", "--incomplete", share, "--ingestor-input", "file:///tmp"])
    assert outcome.status == 2
    assert "not a number from 0 to 1" in outcome.stderr


def test_without_a_bucket_there_is_nothing_to_do(installed: Path) -> None:
    assert call(installed, ["sample"]).status == 2


def test_a_bucket_that_cannot_be_written_is_told(installed: Path) -> None:
    outcome = call(installed, ["sample", "--ingestor-input", "file:///no/such/directory"])
    assert outcome.status == 1
    assert "create the directory" in outcome.stderr


def test_the_demo_shows_three_passes_and_its_commands_do_the_same(installed: Path, tmp_path: Path) -> None:
    outcome = call(installed, ["demo", "--directory", str(tmp_path / "demo")])
    assert outcome.status == 0, outcome.stderr
    passes = outcome.stdout.split("Pass ")[1:]
    totals = [re.search(r"(?m)^ ?all .*", text).group().split() for text in passes]  # type: ignore[union-attr] # each has one
    assert totals[0][5:] == ["scheduled", "0", "scheduled"]
    assert totals[1][5:] == ["skipped:", "marked", "3", "scheduled"]
    assert totals[2][5:] == ["skipped:", "marked", "0", "scheduled"]
    commands = (
        outcome.stdout.partition("The same by hand")[2].partition("\n")[2].partition("\nThe buckets")[0]
    )
    script = f"set -e\nexport PATH={installed.parent}:$PATH TMPDIR={tmp_path}\n{commands}"
    by_hand = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert by_hand.returncode == 0, by_hand.stderr
    assert len(by_hand.stdout.splitlines()) == 2 + 1 + 3, "samples, the status page, and tasks"


def test_the_demo_keeps_off_the_buckets_that_the_environment_names(installed: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    flags = ("INGESTOR_INPUT", "OWN_VALIDATION_INPUT", "PEER_VALIDATION_INPUT")
    environ = {f"WORKFLOW_MANAGER_{name}": f"file://{mine}" for name in flags}
    environ |= {"WORKFLOW_MANAGER_AGGREGATION_OVERRIDE_TIMESTAMP": "202001010000"}
    outcome = call(installed, ["demo", "--directory", str(tmp_path / "demo")], environ)
    assert outcome.status == 0, outcome.stderr
    assert not list(mine.iterdir())
    assert outcome.stdout == call(installed, ["demo", "--directory", str(tmp_path / "demo2")]).stdout.replace(
        "demo2", "demo"
    )


def test_the_demo_does_not_touch_a_directory_with_something_in_it(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    outcome = call(installed, ["demo", "--directory", str(tmp_path)])
    assert outcome.status == 2
    assert "is not empty" in outcome.stderr
