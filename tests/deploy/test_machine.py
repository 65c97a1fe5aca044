"""The units and the cron table of deploy/, and the page that installs them, in a directory for a machine."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from servers.process import find
from support.command import Deployment

ROOT = Path(__file__).parent.parent.parent
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
TIMER = ROOT / "deploy" / "systemd" / "workflow-manager@.timer"
PAGE = (ROOT / "docs" / "how-to" / "run-on-a-machine.md").read_text()
COMMAND = "/opt/workflow-manager/bin/workflow-manager"
HERE = Path(sys.executable).with_name("workflow-manager")  # with the extra `serve`
MOST_EXPOSURE = 20  # tenths, of 100
# prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN), which is what MemoryDenyWriteExecute= asks for.
DENY_WRITE_EXECUTE = """
import ctypes, os, sys
assert not ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def service(unit: Path) -> Mapping[str, list[str]]:
    """The settings of a unit's [Service], each with all its values."""
    section = unit.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", section, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units of one instance, with a command that is there."""
    directory = tmp_path / "units"
    directory.mkdir()
    for unit in (*UNITS, TIMER):
        text = unit.read_text().replace(COMMAND, str(HERE))
        (directory / unit.name.replace("@", "@one")).write_text(text)
    return directory


def analyze(units: Path, *words: str) -> str:
    """What systemd-analyze has to say; nothing if all is well."""
    program = find("systemd-analyze", "apt-get install systemd")
    environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, env=environ)
    return done.stderr if done.returncode == 0 else f"{done.returncode}: {done.stdout}{done.stderr}"


def test_systemd_understands_the_units(units: Path) -> None:
    assert analyze(units, "verify", "--man=no", *map(str, units.iterdir())) == ""


def test_systemd_would_find_a_mistake(units: Path) -> None:
    unit = units / "workflow-manager-serve.service"
    unit.write_text(unit.read_text().replace("PrivateTmp=yes", "PrivateTemp=yes"))
    assert "PrivateTemp" in analyze(units, "verify", "--man=no", str(unit))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_units_are_hardened(units: Path, unit: Path) -> None:
    words = ("security", "--no-pager", "--offline=true", f"--threshold={MOST_EXPOSURE}")
    path = units / unit.name.replace("@", "@one")
    assert analyze(units, *words, str(path)) == ""
    lax = re.compile(r"^(SystemCallFilter|CapabilityBoundingSet|DynamicUser)=.*\n", re.MULTILINE)
    path.write_text(lax.sub("", path.read_text()))
    assert "exposure" in analyze(units, *words, str(path))


def test_both_units_have_the_same_restrictions() -> None:
    first, second = (
        unit.read_text().partition("# Nothing but")[2].partition("\n\n")[0].strip() for unit in UNITS
    )
    assert first == second


def test_a_run_ends_by_itself_before_systemd_stops_it() -> None:
    (unit,) = (unit for unit in UNITS if "@" in unit.name)
    settings = service(unit)
    assert settings["Environment"] == ["WORKFLOW_MANAGER_RUN_TIMEOUT=25m"]
    assert settings["TimeoutStartSec"] == ["30min"]
    assert settings["TimeoutStopSec"] == ["60s"]  # --shutdown-grace has 20 s


def test_the_program_needs_no_memory_that_is_writable_and_executable(tmp_path: Path) -> None:
    deployment = Deployment(HERE, tmp_path)
    deployment.put_batch("kittens-seen/2026/11/23/04/05/b8a5779a-0000-4000-8000-000000000001")
    for words in (["--version", "--verbose"], ["run", *deployment.flags(), "--now=2026-11-23T04:20:00Z"]):
        launch = [sys.executable, "-c", DENY_WRITE_EXECUTE, str(HERE), *words]
        done = subprocess.run(launch, capture_output=True, text=True, check=False)
        if "AssertionError" in done.stderr:
            pytest.skip("needs Linux 6.3 or later: prctl does not know PR_SET_MDWE")
        assert done.returncode == 0, done.stderr
    assert len(deployment.tasks("intake")) == 1


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A directory with /etc and /opt, and stand-ins of the programs that only a booted machine has."""
    root = tmp_path / "machine"
    programs = root / "stand-ins"
    programs.mkdir(parents=True)
    for name in ("systemctl", "journalctl", "useradd", "logger"):
        program = programs / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {root}/called\n[ {name} != logger ] || cat >> {root}/syslog\n'
        )
        program.chmod(0o755)
    (root / "opt").mkdir()
    (root / "opt" / "workflow-manager").symlink_to(HERE.parent.parent)
    return root


def played(section: str, machine: Path) -> list[str]:
    """Type the commands of a section of the page; what the stand-ins were called with."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    script = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    assert script
    script = re.sub(r"(?<=[ =])/(etc|opt)/", rf"{machine}/\1/", f" {script}".replace("\n/", "\n /"))
    script = script.replace("--group=workflow-manager", f"--group={os.getgid()}")
    environ = {**os.environ, "PATH": f"{machine}/stand-ins:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return (machine / "called").read_text().splitlines()


def flags_file(deployment: Deployment) -> str:
    """The flags of an instance as variables."""
    words = deployment.flags()
    pairs = zip(words[::2], words[1::2], strict=True)
    return "".join(
        f"WORKFLOW_MANAGER_{name[2:].replace('-', '_').upper()}={value}\n" for name, value in pairs
    )


def test_the_timer_is_installed_as_the_page_says(machine: Path, units: Path) -> None:
    called = played("A run every five minutes", machine)
    assert "systemctl enable --now workflow-manager@na-ingestor-1.timer" in called
    installed = {path.name for path in (machine / "etc" / "systemd" / "system").iterdir()}
    assert installed == {"workflow-manager@.service", "workflow-manager@.timer"}
    (environ,) = (machine / "etc" / "workflow-manager").iterdir()
    assert environ.name == "na-ingestor-1.env"
    assert environ.stat().st_mode & 0o777 == 0o600


def test_the_example_of_flags_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "systemd" / "example.env").read_text()
    environ = dict(line.split("=", 1) for line in text.splitlines() if line[:1] != "#")
    endpoint = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    done = subprocess.run(
        [str(HERE), "run", "--request-tries=1"],
        env={**os.environ, **environ, **endpoint},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # no bucket can be reached; a mistake in a flag would be a 2
    assert "127.0.0.1" in done.stderr


def test_a_run_with_the_environment_of_the_unit(tmp_path: Path) -> None:
    deployment = Deployment(HERE, tmp_path)
    deployment.put_batch("kittens-seen/2026/11/23/04/05/b8a5779a-0000-4000-8000-000000000001")
    (unit,) = (unit for unit in UNITS if "@" in unit.name)
    (command,) = service(unit)["ExecStart"]
    variables = [*flags_file(deployment).splitlines(), *service(unit)["Environment"]]
    environ = {
        **dict(line.split("=", 1) for line in variables),
        "WORKFLOW_MANAGER_NOW": "2026-11-23T04:20:00Z",
    }
    words = [str(HERE), *command.split()[1:]]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(deployment.tasks("intake")) == 1


def test_the_service_is_installed_as_the_page_says(machine: Path, tmp_path: Path) -> None:
    deployment = Deployment(HERE, tmp_path)
    words = deployment.flags()
    lines = [f"    {name[2:]}: {value}" for name, value in zip(words[::2], words[1::2], strict=True)]
    config = machine / "etc" / "workflow-manager" / "instances.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("\n".join(["instances:", "  one:", *lines]))
    assert "systemctl enable --now workflow-manager-serve.service" in played(
        "The service for many instances", machine
    )


def test_the_line_for_cron_schedules_and_logs(machine: Path, tmp_path: Path) -> None:
    played("With cron", machine)
    table = (machine / "etc" / "cron.d" / "workflow-manager").read_text()
    (line,) = (line for line in table.splitlines() if line.startswith("*"))
    assert f"\n{line}\n" in PAGE
    *schedule, user = line.split()[:6]
    assert (schedule, user) == (["*/5", "*", "*", "*", "*"], "workflow-manager")
    assert "%" not in line, "cron takes it for the end of the command"
    deployment = Deployment(HERE, tmp_path)
    deployment.put_batch("kittens-seen/2026/11/23/04/05/b8a5779a-0000-4000-8000-000000000001")
    environ = machine / "etc" / "workflow-manager" / "na-ingestor-1.env"
    environ.write_text(f"{flags_file(deployment)}WORKFLOW_MANAGER_NOW=2026-11-23T04:20:00Z\n")
    command = re.sub(r"(?<= )/(etc|opt)/", rf"{machine}/\1/", line.split(maxsplit=6)[6])
    path = f"{machine}/stand-ins:/usr/bin:/bin"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(deployment.tasks("intake")) == 1
    assert '"event": "task.scheduled"' in (machine / "syslog").read_text()
