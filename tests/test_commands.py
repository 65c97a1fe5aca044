"""Each command on each page works as written, or the page's source says what it needs that tests do not have.

A block of commands is run by the story of its page below, or by the test that `ELSEWHERE` names, unless a
comment before it says `<!-- needs: a cloud -->`, `<!-- run by: .ci/run -->` or `<!-- run by: make check -->`.
`-rP` shows the figures.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servers.pushgateway import pushed, pushgateway
from serving import serving
from support.command import Deployment, installed_with
from support.markdown_pages import ROOT, Block, blocks, pages

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

Check = Callable[[str], None]  # looks at what was printed, and at what is there now
BATCH = "kittens-seen/2026/11/22/18/05/a1b2c3d4-0000-4000-8000-{:012}"
NOW = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
NEEDS = {
    "Docker",
    "a cloud",
    "a cluster",
    "a signing key",
    "an OpenID Connect identity",
    "root",
    "systemd",
    "the package index",
}
# Pages whose blocks another test runs, all of them.
ELSEWHERE = {
    "CONTRIBUTING.md": "tests/test_contributing.py",
    "docs/how-to/add-a-task-queue.md": "tests/test_how_to.py",
    "docs/how-to/recover-from-disasters.md": "tests/deploy/test_disasters.py",
    "docs/how-to/run-on-kubernetes.md": "tests/deploy/test_kubernetes_pages.py",
    "docs/how-to/upgrade-and-roll-back.md": "tests/deploy/test_kubernetes_pages.py",
    "docs/how-to/runbooks.md": "tests/deploy/test_runbooks.py",
    "docs/how-to/the-peer-was-down.md": "tests/test_story.py",
    "docs/tutorial.md": "tests/test_first_steps.py",
    "docs/tutorial-serve.md": "tests/test_first_steps.py",
}


@dataclass
class Setting:
    """Where a page's commands are typed: the environment, and what is written in the place of what."""

    home: Path
    command: Path
    wheel: Path
    environ: dict[str, str]
    opened: ExitStack  # closed after the test
    replace: dict[str, str] = field(default_factory=dict)
    before: str = ""

    def type(self, typed: list[Block]) -> str:
        """What the shell prints; every command has to succeed."""
        script = "\n".join(block.script for block in typed)
        for there, here in self.replace.items():
            assert there in script, f"the page does not say {there}"
            script = script.replace(there, here)
        shell = ["bash", "-eu", "-o", "pipefail", "-c", f"exec 2>&1\n{self.before}\n{script}"]
        # `pip` may come with the environment of the tests.
        path = f"{self.command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = {**self.environ, "PATH": path}
        done = subprocess.run(
            shell, cwd=self.home, env=environ, stdout=subprocess.PIPE, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


def _checkout(at: Setting) -> None:
    """A checkout in which the program is installed."""
    for name in ("Makefile", "pyproject.toml", "requirements"):
        (at.home / name).symlink_to(ROOT / name)
    (at.home / ".venv").mkdir()
    (at.home / ".venv" / "bin").symlink_to(at.command.parent)
    (at.home / ".venv" / ".runtime").touch()


def _pip(at: Setting) -> Check:
    """An index that has this project's wheel alone; `make dist` installs it with its dependencies."""
    at.environ |= {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(at.wheel.parent),
        "PIP_NO_DEPS": "1",
        "PIP_TARGET": str(at.home / "site-packages"),
        "PIP_UPGRADE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def check(printed: str) -> None:
        assert "Successfully installed prio-workflow-manager" in printed
        assert "does not provide the extra" not in printed

    return check


def _deployment(at: Setting) -> Deployment:
    """Buckets with a batch, and the flags of a run in the environment."""
    deployment = Deployment(at.command, at.home)
    deployment.put_batch(BATCH.format(1))
    flags = deployment.flags()
    for name, value in zip(flags[::2], flags[1::2], strict=True):
        at.environ[f"WORKFLOW_MANAGER_{name[2:].upper().replace('-', '_')}"] = value
    return deployment


def _readme(at: Setting) -> Check:
    _checkout(at)
    at.replace = {"/tmp/wm": str(at.home / "wm")}
    installed = _pip(at)

    def check(printed: str) -> None:
        installed(printed)
        would, done, queued = (
            printed.count(text)
            for text in ("would schedule the intake", "scheduled the intake", '"batch-id"')
        )
        assert would == done == queued > 0, "each task is scheduled once, and then in the queue"

    return check


def _start_page(at: Setting) -> Check:
    at.environ["TMPDIR"] = str(at.home)
    installed = _pip(at)

    def check(printed: str) -> None:
        installed(printed)
        assert "scheduled" in printed

    return check


def _versions(at: Setting) -> Check:
    def check(printed: str) -> None:
        assert re.search(r"^prometheus-client +\d", printed, re.MULTILINE)

    return check


def _old_markers(at: Setting) -> Check:
    """A batch that was scheduled 50 days ago."""
    deployment = _deployment(at)
    assert deployment.run(f"--now={NOW:%Y-%m-%dT%H:%M:%SZ}").status == 0
    assert deployment.markers()
    at.environ["WORKFLOW_MANAGER_NOW"] = f"{NOW + timedelta(days=50):%Y-%m-%dT%H:%M:%SZ}"

    def check(printed: str) -> None:
        assert deployment.markers() == set(), printed

    return check


def _dead_letters(at: Setting) -> Check:
    """One task waits as a dead letter, another one as usual."""
    deployment = _deployment(at)
    now = f"--now={NOW:%Y-%m-%dT%H:%M:%SZ}"
    assert deployment.run(now, "--intake-tasks-topic=intake-dead").status == 0
    deployment.put_batch(BATCH.format(2))
    assert deployment.run(now).status == 0

    def check(printed: str) -> None:
        assert len(deployment.tasks("intake")) == 2, printed
        assert deployment.tasks("intake-dead") == []

    return check


def _alerts(at: Setting) -> Check:
    """A missed window, a Pushgateway, and the file of alerts."""
    deployment = _deployment(at)
    deployment.put("peer", f"{BATCH.format(1)}.validity_0.sig")
    at.environ["WORKFLOW_MANAGER_NOW"] = f"{NOW + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"
    gateway = at.opened.enter_context(pushgateway(at.home))
    at.replace = {"http://prometheus-pushgateway:9091": gateway}
    shutil.copy(ROOT / "deploy/prometheus/alerts.yaml", at.home)

    def check(printed: str) -> None:
        assert "workflow_manager_" in pushed(gateway), printed
        alerts = (at.home / "alerts.yaml").read_text()
        assert "https://example.com/docs/how-to/runbooks.html#" in alerts
        assert "docs.example.org" not in alerts

    return check


def _machine(at: Setting) -> Check:
    """Another root than that of this machine."""
    (at.home / "deploy").symlink_to(ROOT / "deploy")
    at.replace = {"/opt/workflow-manager": f"{at.home}/opt/workflow-manager", " /etc/": f" {at.home}/etc/"}
    installed = _pip(at)
    del at.environ["PIP_TARGET"]

    def check(printed: str) -> None:
        installed(printed)
        assert (at.home / "opt/workflow-manager/bin/workflow-manager").exists()
        flags = at.home / "etc/workflow-manager/na-ingestor-1.env"
        assert flags.stat().st_mode & 0o777 == 0o600
        assert "WORKFLOW_MANAGER_INGESTOR_INPUT=" in flags.read_text()

    return check


def _instances(at: Setting) -> Check:
    """Four instances, one with a batch; the service is stopped as soon as it works."""
    at.command = installed_with("serve")
    instances = {}
    deployments = {}
    for name in ("na-one", "na-two", "eu-one", "eu-two"):
        (at.home / name).mkdir()
        deployments[name] = Deployment(at.command, at.home / name)
        flags = deployments[name].flags()
        instances[name] = {flag[2:]: value for flag, value in zip(flags[::2], flags[1::2], strict=True)}
    (at.home / "fleet.yaml").write_text(json.dumps({"instances": instances}))
    half_an_hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    batch = BATCH.format(1).rpartition("/")[2]
    deployments["na-one"].put_batch(f"kittens-seen/{half_an_hour_ago:%Y/%m/%d/%H/%M}/{batch}")
    at.before = """
        started_and_stopped() {
            "$@" 2> log &
            until grep -q service.started log; do sleep 0.1; done
            kill $!
            wait $! || [ $? = 143 ]
        }
    """
    at.replace = {
        "workflow-manager serve": "started_and_stopped workflow-manager serve --listen 127.0.0.1:0",
        "BATCH-ID": batch,
        "--to 4h": "--to 4h --yes",  # which a person confirms at the prompt
    }

    def check(printed: str) -> None:
        assert "service.stopped" in (at.home / "log").read_text()
        assert f"Batch '{batch}' of 'kittens-seen'" in printed

    return check


STORIES: dict[str, Callable[[Setting], Check]] = {
    "README.md": _readme,
    "docs/explanation/security.md": _versions,
    "docs/how-to/alerts-and-dashboards.md": _alerts,
    "docs/how-to/keep-buckets-small.md": _old_markers,
    "docs/how-to/redrive-dead-letters.md": _dead_letters,
    "docs/how-to/run-on-a-machine.md": _machine,
    "docs/how-to/serve-many-instances.md": _instances,
    "docs/how-to/tasks-as-jobs.md": _pip,
    "docs/how-to/use-cloud-buckets.md": _pip,
    "docs/index.md": _start_page,
}


@pytest.fixture
def setting(installed: Path, wheel: Path, tmp_path: Path) -> Iterator[Setting]:
    (tmp_path / "home").mkdir()
    with ExitStack() as opened:
        yield Setting(tmp_path / "home", installed, wheel, dict(os.environ), opened)


@pytest.mark.parametrize("page", STORIES)
def test_the_commands_of_the_page_work(page: str, setting: Setting) -> None:
    check = STORIES[page](setting)
    check(setting.type([block for block in blocks(page) if not block.mark]))


def test_the_requests_to_the_server_of_the_benchmarks_work(setting: Setting) -> None:
    with serving(tls=False) as server:
        setting.replace = {"localhost:8080": server.url.removeprefix("http://")}
        printed = setting.type(blocks("benchmarks/README.md"))
    assert '"requests"' in printed


def test_no_command_is_left_out() -> None:
    for page in pages():
        unmarked = [block for block in blocks(page) if not block.mark]
        run = page in {*STORIES, *ELSEWHERE, "benchmarks/README.md"}
        where = [f"line {block.line}: {block.commands[0]}" for block in unmarked]
        assert run or not unmarked, f"{page} has commands that no test runs: {where}"
        assert unmarked or not run, f"{page} has no commands to run"


def test_every_mark_is_true_to_its_word() -> None:
    machine = (ROOT / ".ci" / "run").read_text().splitlines()
    for page in pages():
        for block in blocks(page):
            if block.mark == "needs":
                unknown = set(block.reason.split(" and ")) - NEEDS
                assert not unknown, f"{page}, line {block.line}: {unknown} is none of {NEEDS}"
            elif block.mark:
                assert block.reason in (".ci/run", "make check"), f"{page}, line {block.line}"
                for command in block.commands:
                    words = command.partition("#")[0].strip()
                    if block.reason == "make check":  # which runs these tests, and more
                        assert words == "make test"
                        words = "make check"
                    runs = any(line == words or line.startswith(f"{words} ") for line in machine)
                    assert runs, f"{page}, line {block.line}: .ci/run does not {words}"


def test_the_tests_elsewhere_read_their_pages() -> None:
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text()


def test_commands_in_sentences_and_their_flags_exist() -> None:
    reference = (ROOT / "docs/reference/flags.md").read_text()
    commands = {*re.findall(r"^## (\w+)$", reference, re.MULTILINE), "demo", "check", "completion", "help"}
    flags = {*re.findall(r"^\| `(--[\w-]+)", reference, re.MULTILINE), "--help", "--help-all", "--version"}
    flags |= {"--verbose", "--file-directory"}  # the latter is that of the page on adding a queue
    found = 0
    for page in pages():
        for code in re.findall(r"`workflow-manager ([^`]+)`", (ROOT / page).read_text()):
            words = re.findall(r"[\w-]+", code)
            assert words[0].startswith("-") or words[0] in commands | {"COMMAND"}, f"{page}: {code}"
            assert set(re.findall(r"(?<!\w)--[a-z][\w-]+", code)) <= flags, f"{page}: {code}"
            found += 1
    assert found > 20


def test_figures() -> None:
    counts: Counter[str] = Counter()
    for page in pages():
        for block in blocks(page):
            counts[f"{block.mark} {block.reason}".strip() or "run by tests"] += len(block.commands)
    sys.stdout.writelines(f"{count:4} commands: {what}\n" for what, count in counts.most_common())
    assert counts["run by tests"] >= 60
