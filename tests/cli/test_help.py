"""Help, completion and suggestions: what the command line does for the person who types."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import Deployment
from workflow_manager.cli.guides import GUIDES, Example
from workflow_manager.cli.help_pages import flags_of
from workflow_manager.cli.main import COMMANDS
from workflow_manager.config.flags import Parsed, environment_twin
from workflow_manager.config.instances_schema import example

# Has what the extras bring, which files of instances need.
WITH_EXTRAS = Path(sys.executable).with_name("workflow-manager")
ESCAPE = "\x1b"
EXAMPLES = [
    pytest.param(example, id=f"{command} {number}")
    for command, guide in GUIDES.items()
    for number, example in enumerate(guide.examples)
]
# Examples on directories and files alone, in the order in which they work on a new deployment.
LOCAL = ["sample", "check", "run", "status", "backfill", "tasks", "markers", "instances", "completion"]


def call(command: Path, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [command, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "80", **environ},
    )


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_has_a_page_that_fits_80_columns(self, installed: Path, command: str) -> None:
        page = call(installed, command, "--help")
        assert (page.returncode, page.stderr) == (0, "")
        assert page.stdout.startswith(f"usage: workflow-manager {command}")
        assert [line for line in page.stdout.splitlines() if len(line) > 80] == []
        assert call(installed, "help", command).stdout == page.stdout

    @pytest.mark.parametrize("command", COMMANDS)
    def test_all_flags_are_shown_on_demand_with_their_variables(self, installed: Path, command: str) -> None:
        page = call(installed, command, "--help-all").stdout
        for group in flags_of(command).groups:
            for option in group.options:
                assert f"--{option.name}" in page
                assert environment_twin(option.name) in page

    @pytest.mark.parametrize("command", [name for name, guide in GUIDES.items() if guide.common])
    def test_the_page_shows_the_flags_used_most_and_says_how_many_more_there_are(
        self, installed: Path, command: str
    ) -> None:
        page = call(installed, command, "--help").stdout
        names = {option.name for group in flags_of(command).groups for option in group.options}
        assert set(GUIDES[command].common) <= names
        shown = {name for name in names if re.search(rf"--{name}\b(?!-)", page.split("examples:")[1])}
        assert set(GUIDES[command].common) <= shown
        more = re.search(r"--help-all' lists (\d+) more flags", page)
        assert more
        assert int(more[1]) > 0

    def test_help_without_a_command_lists_the_commands(self, installed: Path) -> None:
        page = call(installed, "help").stdout
        assert page == call(installed, "--help").stdout
        assert [command for command in COMMANDS if f"\n  {command} " not in page] == []

    def test_pages_are_as_wide_as_the_terminal(self, installed: Path) -> None:
        page = call(installed, "run", "--help-all", COLUMNS="60").stdout
        flags = page[page.index("Buckets:") :]
        assert [line for line in flags.splitlines() if len(line) > 60] == []

    def test_help_wins_over_mistakes(self, installed: Path) -> None:
        assert call(installed, "run", "--no-such-flag", "--help").returncode == 0


class TestExamples:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_has_one(self, command: str) -> None:
        assert GUIDES[command].examples

    @pytest.mark.parametrize("guided", EXAMPLES)
    def test_their_flags_and_values_are_right(self, guided: Example) -> None:
        words = guided.words()
        if words[0] != "workflow-manager":
            return  # a shell's builtin
        command, *arguments = words[1:]
        parsed = Parsed()
        flags = flags_of(command)
        flags.take(flags.command_line(arguments, parsed), {}, parsed)
        wrong = [mistake for mistake in parsed.mistakes if not mistake.problem.startswith("is required")]
        assert (parsed.unknown, wrong) == ([], [])

    def test_those_on_directories_work_as_they_are(self, tmp_path: Path) -> None:
        for bucket in ("ingestion", "own", "peer"):
            (tmp_path / bucket).mkdir()
        (tmp_path / "instances.yaml").write_text(example())
        environ = {**_with(WITH_EXTRAS), "HOME": str(tmp_path), "PUSH_GATEWAY": "http://127.0.0.1:1"}
        tried = 0
        for command in LOCAL:
            for guided in GUIDES[command].examples:
                text = " ".join(guided.parts).replace("/tmp/wm", str(tmp_path))
                if (
                    "s3://" in text
                    or "pubsub" in text
                    or "~" in text
                    or "zsh" in text
                    or "--instance " in text
                ):
                    continue
                done = subprocess.run(
                    ["bash", "-c", text],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                    env=environ,
                    cwd=tmp_path,
                )
                assert done.returncode in (0, 4), (text, done.stderr)
                tried += 1
        assert tried > 8


class TestSuggestions:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["statsu"], "unknown command 'statsu'; did you mean status?"),
            (["help", "rnu"], "unknown command 'rnu'; did you mean run?"),
            (["frobnicate"], "unknown command 'frobnicate'; there are run, serve, "),
            (["tasks", "lst", "--sqlite-path=x"], "did you mean list?"),
            (["markers", "prnue"], "did you mean prune?"),
            (["instances", "exmaple"], "did you mean example?"),
            (["completion", "fihs"], "did you mean fish?"),
            (["run", "--log-level=debog"], "did you mean debug?"),
            (["run", "--task-queue-kind=gcp-pubsb"], "did you mean gcp-pubsub?"),
            (["run", "--intake-max-agge=1h"], "did you mean --intake-max-age?"),
            (["status", "--fail-on=mised"], "did you mean missed?"),
        ],
    )
    def test_a_mistyped_word_is_told_with_what_was_meant(
        self, installed: Path, arguments: list[str], said: str
    ) -> None:
        done = call(installed, *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


class TestCompletion:
    @pytest.mark.parametrize(
        ("line", "some", "none"),
        [
            ("workflow-manager sta", ["status"], ["run", "serve"]),
            ("workflow-manager tasks l", ["list"], ["stats"]),
            ("workflow-manager run --ingestor-in", ["--ingestor-input"], ["--own-validation-input"]),
            ("workflow-manager run --task-queue-kind sq", ["sqlite"], ["redis"]),
            ("workflow-manager run --log-level ", ["debug", "warning"], ["all"]),
            ("workflow-manager --aggregation-p", ["--aggregation-period"], []),
            ("workflow-manager run --config CONFIG --instance ", ["na-ingestor-1", "na-ingestor-2"], []),
        ],
    )
    @pytest.mark.parametrize("shell", ["bash", "fish"])
    def test_tab_offers_what_can_follow(
        self, tmp_path: Path, shell: str, line: str, some: list[str], none: list[str]
    ) -> None:
        if shutil.which(shell) is None:
            if os.environ.get("WORKFLOW_MANAGER_REQUIRE_EMULATORS"):
                pytest.fail(f"{shell} is not installed")
            pytest.skip(f"needs {shell}: apt-get install {shell}")
        (tmp_path / "instances.yaml").write_text(example())
        words = _pressed_tab(WITH_EXTRAS, shell, line.replace("CONFIG", f"{tmp_path}/instances.yaml"))
        assert set(some) <= set(words)
        assert not set(none) & set(words)

    def test_zsh_accepts_its_script(self, installed: Path) -> None:
        script = call(installed, "completion", "zsh").stdout
        if shutil.which("zsh") is None:
            if os.environ.get("WORKFLOW_MANAGER_REQUIRE_EMULATORS"):
                pytest.fail("zsh is not installed")
            pytest.skip("needs zsh: apt-get install zsh")
        load = f"autoload -Uz compinit && compinit -D\n{script}\nprint $_comps[workflow-manager]"
        done = subprocess.run(
            ["zsh", "-f", "-c", load], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip() == "_python_argcomplete", done.stderr

    @pytest.mark.parametrize("config", ["/nowhere.yaml", "/dev/null", "/"])
    def test_a_file_that_cannot_be_read_has_no_instances(self, config: str) -> None:
        line = f"workflow-manager run --config {config} --instance "
        assert _pressed_tab(WITH_EXTRAS, "bash", line) == []


def _pressed_tab(installed: Path, shell: str, line: str) -> list[str]:
    """The words that a real shell offers at the end of a line."""
    if shell == "fish":
        script = f"workflow-manager completion fish | source; complete -C '{line}'"
    else:
        # What readline sets before it calls the function that completes.
        script = (
            "source <(workflow-manager completion bash)\n"
            f"COMP_LINE='{line}'; COMP_POINT={len(line)}; COMP_TYPE=9\n"
            "_python_argcomplete workflow-manager 2>/dev/null; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, timeout=60, check=False, env=_with(installed)
    )
    return [text.split("\t")[0].strip() for text in done.stdout.splitlines() if text.strip()]


class TestColour:
    @pytest.mark.parametrize("command", ["run", "status", "check"])
    def test_none_goes_into_a_pipe_or_where_it_is_not_wanted(
        self, installed: Path, tmp_path: Path, command: str
    ) -> None:
        deployment = Deployment(installed, tmp_path)
        deployment.put_batch("agg/2026/11/23/04/05/0f3ef8c4-1c5c-4a8a-9a56-9b0f3a4b8c11")
        flags = (
            [*deployment.flags(), "--now=2026-11-23T04:20:00Z"] if command != "check" else deployment.flags()
        )
        piped = call(installed, command, *flags)
        assert ESCAPE not in piped.stdout + piped.stderr
        refused = _on_a_terminal([str(installed), command, *flags], NO_COLOR="1")
        assert ESCAPE + "[3" not in refused
        assert ESCAPE + "[1" not in refused


def _with(installed: Path) -> dict[str, str]:
    """The environment, in which the command is found by its name."""
    return {**os.environ, "PATH": f"{installed.parent}:{os.environ['PATH']}"}


def _on_a_terminal(words: list[str], **environ: str) -> str:
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", " ".join(words), "/dev/null"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environ},
        stdin=subprocess.DEVNULL,
    )
    return done.stdout
