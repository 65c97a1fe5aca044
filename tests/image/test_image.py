"""The container image, built and run. Only `make image-test` does this, because it needs root."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.command import Outcome
from support.container import DATA, SHELLS, Container
from support.container_image import Buildah, added_bytes, build, debian_base, require_tools
from workflow_manager import __version__

pytestmark = pytest.mark.timeout(600)
LIMIT = 90_000_000  # bytes of our layers, uncompressed, with the clients of all clouds
NOW = ("--now", "2026-11-23T04:20:00Z")
BATCH = "kittens-seen/2026/11/23/04/05/b8a5779a-0000-4000-8000-000000000001"
FLAGS = (
    *("--ingestor-input", f"file://{DATA}/ingestion"),
    *("--own-validation-input", f"file://{DATA}/own"),
    *("--peer-validation-input", f"file://{DATA}/peer"),
    *("--task-queue-kind", "sqlite", "--sqlite-path", f"{DATA}/tasks.db"),
    *("--intake-tasks-topic", "intake", "--aggregate-tasks-topic", "aggregate"),
)


@dataclass(frozen=True)
class Built:
    """The image and the base that it was built over."""

    buildah: Buildah
    base: str
    name: str


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The image, built from this tree."""
    require_tools()
    buildah, scratch = Buildah.open(), tmp_path_factory.mktemp("build")
    base = debian_base(buildah, scratch)
    return Built(buildah, base, build(buildah, base, scratch))


@pytest.fixture(scope="session")
def root(image: Built) -> Iterator[Path]:
    """The image's root directory."""
    with image.buildah.mounted(image.name) as root:
        yield root


@pytest.fixture
def container(image: Built, root: Path, tmp_path: Path) -> Container:
    """The image, and empty buckets that its user may write to."""
    container = Container.of(image.buildah, image.name, root, tmp_path)
    for name in ("ingestion", "own", "peer"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, container.uid, container.gid)
    return container


def upload(container: Container) -> None:
    for ending in ("", ".avro", ".sig"):
        path = container.data / "ingestion" / f"{BATCH}.batch{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def succeeded(outcome: Outcome) -> str:
    assert outcome.status == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


def test_the_program_has_its_version_and_all_its_libraries(container: Container) -> None:
    assert succeeded(container.call("--version")) == f"workflow-manager {__version__}\n"
    libraries = succeeded(container.call("--version", "--verbose"))
    for name in ("botocore", "google-auth", "PycURL", "redis", "pika", "nats-py"):
        assert name in libraries
    assert "not installed" not in libraries


def test_a_pass_over_directories_schedules_and_a_second_one_has_nothing_to_do(container: Container) -> None:
    upload(container)
    for _ in range(2):
        succeeded(container.call("run", *FLAGS, *NOW))
    listed = ["tasks", "list", "--sqlite-path", f"{DATA}/tasks.db", "--topic", "intake", "--json"]
    (task,) = succeeded(container.call(*listed)).splitlines()
    assert json.loads(task)["message"]["batch-id"] == BATCH.rpartition("/")[2]
    (marker,) = (container.data / "own" / "task-markers").glob("intake-*")
    assert (marker.stat().st_uid, marker.stat().st_gid) == (65532, 65532)


def test_check_finds_the_deployment_usable(container: Container) -> None:
    upload(container)
    succeeded(container.call("run", *FLAGS, *NOW))
    assert "ok" in succeeded(container.call("check", *FLAGS))


def test_it_is_not_root_and_can_write_nowhere_else(container: Container) -> None:
    code = """
import os
print(os.getuid(), os.getgid(), os.getgroups(), os.getpid())
for top in ("/", "/tmp", "/opt/workflow-manager", "/var/tmp", "/etc", "/usr/bin"):
    try:
        open(os.path.join(top, "written"), "w")
    except OSError as error:
        print(top, type(error).__name__, error.errno)
with open("/proc/self/status") as status:
    print([line.split()[1] for line in status if line.startswith(("CapEff", "CapPrm", "NoNewPrivs"))])
"""
    ids, *refused, capabilities = succeeded(container.python(code)).splitlines()
    assert ids in {"65532 65532 [65532] 1", "65532 65532 [] 1"}
    assert len(refused) == 6
    assert refused[1] == "/tmp OSError 30"  # EROFS, where the mode allows everybody to write
    assert capabilities == "['0000000000000000', '0000000000000000', '1']"


def test_no_shell_can_have_been_needed(container: Container) -> None:
    for shell in SHELLS:
        assert container.call("-c", "true", entrypoint=[f"/bin/{shell}"]).status in (126, 127)


@pytest.mark.parametrize("tool", ["pip", "ensurepip", "hatchling", "setuptools"])
def test_nothing_can_be_installed(container: Container, root: Path, tool: str) -> None:
    for python in ("python", "/usr/bin/python3"):
        outcome = container.call("-m", tool, entrypoint=[python])
        assert outcome.status != 0
        assert "No module named" in outcome.stderr
    assert list(root.glob("**/pip*.whl")) == []


def test_no_compiler_is_left(root: Path) -> None:
    tools = [
        tool for name in ("cc", "gcc", "make", "git", "pip", "pip3") for tool in root.glob(f"usr/*bin/{name}")
    ]
    assert tools == []


def test_the_secrets_of_the_build_are_not_in_the_image(image: Built, root: Path) -> None:
    assert not (root / "etc" / "pip.conf").exists()
    assert list(root.glob("run/secrets/*")) == []
    assert "PIP_" not in image.buildah.call("inspect", "--type", "image", image.name)


def test_all_ways_to_obtain_credentials_of_aws_have_their_data(container: Container) -> None:
    code = """
import botocore.session
session = botocore.session.Session()
for service in ("signin", "sso", "sso-oidc", "sts"):
    session.create_client(service, region_name="us-east-1")
"""
    succeeded(container.python(code))


def test_python_compiles_nothing_when_it_starts(container: Container) -> None:
    code = """
import sys
from pathlib import Path
from workflow_manager.cli import main, run, serve, check
specs = [module.__spec__ for module in list(sys.modules.values()) if getattr(module, "__spec__", None)]
compiled = [spec.cached for spec in specs if spec.cached]  # those that are frozen have none
print(len(compiled) > 100, [path for path in compiled if not Path(path).exists()])
"""
    assert succeeded(container.python(code)) == "True []\n"


def test_our_layers_are_small(image: Built, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with image.buildah.mounted(image.base) as base:
        size = added_bytes(base, root)
    with capsys.disabled():
        print(f"\nour layers have {size / 1e6:.1f} MB, uncompressed")  # noqa: T201 (a figure for the pages)
    assert 20_000_000 < size < LIMIT


def test_as_process_1_it_shuts_down_gracefully(container: Container) -> None:
    """The kernel ignores SIGTERM for process 1 unless the program handles it."""
    flags = dict(zip(FLAGS[::2], FLAGS[1::2], strict=True))
    lines = ["instances:", "  one:", *(f"    {name[2:]}: {value}" for name, value in flags.items())]
    (container.data / "instances.yaml").write_text("\n".join(lines))
    command = ["serve", "--config", f"{DATA}/instances.yaml", "--listen", "127.0.0.1:0"]
    log = container.data / "log"
    with log.open("w") as stderr:
        outside = subprocess.Popen(container.command(command), env=container.environ(), stderr=stderr)
    try:
        while "service.started" not in log.read_text():
            assert outside.poll() is None, log.read_text()
            time.sleep(0.05)
        (process_1,) = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
        os.kill(int(process_1), signal.SIGTERM)
        assert outside.wait(timeout=30) == 143
    finally:
        outside.kill()
        outside.wait()
    assert "service.stopped" in log.read_text()
