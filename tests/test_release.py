"""What a release is tried on, and what stops it. `make dist` makes whole ones, as CI does."""

import json
import platform
import sys
import zipfile
from pathlib import Path

import pytest

import bill
import checking
from commands import ReleaseError
from interpreters import interpreters


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class TestInterpreters:
    @pytest.fixture(autouse=True)
    def _machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{tmp_path}/shims:{tmp_path}/bin")
        monkeypatch.setenv("PYENV_ROOT", f"{tmp_path}/pyenv")
        monkeypatch.setenv("ASDF_DATA_DIR", f"{tmp_path}/asdf")
        monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", f"{tmp_path}/uv")

    def test_are_asked_for_their_version(self, tmp_path: Path) -> None:
        script(tmp_path / "bin/python3.99", f'exec {sys.executable} "$@"')
        assert interpreters(">=3.11") == {platform.python_version(): tmp_path / "bin/python3.99"}

    def test_are_found_where_version_managers_keep_them_and_the_newest_of_a_minor_version_is_taken(
        self, tmp_path: Path
    ) -> None:
        script(tmp_path / "bin/python3.12", "echo 3.12.1 cpython")
        script(tmp_path / "pyenv/versions/3.12.7/bin/python3.12", "echo 3.12.7 cpython")
        script(tmp_path / "asdf/installs/python/3.11.9/bin/python3.11", "echo 3.11.9 cpython")
        script(tmp_path / "uv/cpython-3.13/bin/python3.13", "echo 3.13.2 cpython")
        assert list(interpreters(">=3.11")) == ["3.11.9", "3.12.7", "3.13.2"]

    @pytest.mark.parametrize(
        "answer", ["exit 127", "echo 3.10.4 cpython", "echo 3.15.0rc1 cpython", "echo 3.12.1 pypy", "echo"]
    )
    def test_that_are_shims_or_not_supported_are_left_out(self, answer: str, tmp_path: Path) -> None:
        script(tmp_path / "shims/python3.12", answer)
        assert interpreters(">=3.11") == {}


def test_a_wheel_with_a_file_too_many_stops_the_release(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as files:
        files.writestr("tests/test_something.py", "")
    with pytest.raises(ReleaseError, match=r"tests/test_something\.py"):
        checking._wheel_is_the_package(wheel)


def test_a_library_without_a_licence_stops_the_release(tmp_path: Path) -> None:
    document = tmp_path / "bill.json"
    component = {"name": "left-pad", "version": "1", "licenses": [{"license": {"id": "MIT"}}]}
    document.write_text(json.dumps({"components": [component]}))
    bill._check(document)
    document.write_text(json.dumps({"components": [{**component, "licenses": []}]}))
    with pytest.raises(ReleaseError, match="left-pad"):
        bill._check(document)
