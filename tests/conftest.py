"""What all tests share: the built wheel, installed in an environment of its own."""

import fcntl
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.command import RELEASE, installed_with

settings.register_profile("no deadline", deadline=None)  # a loaded machine is no fault
settings.load_profile("no deadline")
pytest_plugins = ("servers.fixtures", "support.tally")

ROOT = Path(__file__).parent.parent

SETTINGS = ("WORKFLOW_MANAGER_", "AWS_", "GOOGLE_", "PUBSUB_", "STORAGE_")
# What takes long: faults in numbers, whole control planes, every vector on every cloud, fresh clones.
SLOW = (
    "tests/cli/test_jobs.py",
    "tests/cli/test_kubernetes_jobs.py",
    "tests/conformance/test_vectors_on_",
    "tests/contract/test_cloud_",
    "tests/deploy/",
    "tests/faults/",
    "tests/report/test_status_page_in_a_browser.py",
    "tests/storage/test_cloud_faults.py",
    "tests/test_commands.py",
    "tests/test_contributing.py",
    "tests/test_upgrade.py",
)
KEPT = ("WORKFLOW_MANAGER_REQUIRE_EMULATORS", "AWS_CA_BUNDLE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests."""
    for item in items:
        if item.path.relative_to(ROOT).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the person who runs it has set."""
    for name in os.environ:
        if name.startswith(SETTINGS) and name not in KEPT:
            monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The `workflow-manager` command of the built wheel, without extras. The workers of one run share it."""
    if RELEASE:
        return installed_with("none")
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    environment = shared / "installed"
    command = environment / "bin" / "workflow-manager"
    with (shared / "installed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not command.exists():
            _install_wheel(environment, shared / "wheel")
    return command


@pytest.fixture
def wheel(installed: Path) -> Path:
    """The built wheel."""
    (wheel,) = (ROOT / "dist" if RELEASE else installed.parent.parent.parent / "wheel").glob("*.whl")
    return wheel


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs root to mount a small tmpfs: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def _install_wheel(environment: Path, wheels: Path) -> None:
    _check([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)])
    (wheel,) = wheels.glob("*.whl")
    venv.create(environment, with_pip=True)
    pip = [
        str(environment / "bin" / "python"),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
    ]
    _check([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.txt")])
    _check([*pip, "--no-deps", "--no-index", str(wheel)])


def _check(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
