"""Builds the container image without a container engine: buildah over a base made by mmdebstrap."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.process import absent

ROOT = Path(__file__).parent.parent.parent
SUITE = "WORKFLOW_MANAGER_IMAGE_SUITE"  # the release of Debian that the base is made of
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "workflow-manager" / "image"
KEPT_LAYERS = 50
PACKAGES = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
LEFT_OUT = ("doc/*", "locale/*", "man/*")
# pip's settings that hold in a build too; others name files of this machine.
PIP_SETTINGS = (
    "index-url",
    "extra-index-url",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def require_tools() -> None:
    """Skip or fail with what this machine or user lacks."""
    if os.geteuid() != 0:
        absent("the image test mounts file systems and changes users; run it as root: sudo make image-test")
    missing = sorted({package for tool, package in PACKAGES.items() if shutil.which(tool) is None})
    if missing:
        absent(f"the image test requires more packages: apt-get install {' '.join(missing)}")
    allowed = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if allowed.returncode:
        absent(
            "the image test requires mount and PID namespaces; in a container they need CAP_SYS_ADMIN: "
            f"{allowed.stderr.decode().strip()}"
        )


@dataclass(frozen=True)
class Buildah:
    """buildah with a store of its own, kept between runs."""

    store: Path
    driver: str

    @classmethod
    def open(cls, cache: Path = CACHE) -> "Buildah":
        """Overlays copy nothing, but not every file system can hold them."""
        cache.mkdir(parents=True, exist_ok=True)
        driver = "overlay" if _can_overlay(cache) else "vfs"
        return cls(cache / driver, driver)

    def call(self, *words: str) -> str:
        """What buildah prints; an error has all that it wrote."""
        command = ["buildah", "--root", str(self.store), "--runroot", f"{self.store}-run", "--storage-driver"]
        done = subprocess.run([*command, self.driver, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        """Whether an image of this name is in the store."""
        return image in self.call("images", "--format", "{{.Name}}:{{.Tag}}").splitlines()

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """A container's root directory."""
        container = self.call("from", image)
        try:
            yield Path(self.call("mount", container))
        finally:
            self.call("rm", container)

    def prune(self) -> None:
        """Drop what earlier builds left, once there is much of it."""
        if len(self.call("images", "--all", "--quiet").splitlines()) > KEPT_LAYERS:
            self.call("rmi", "--prune")


def debian_base(buildah: Buildah, scratch: Path) -> str:
    """The name of an image with Python, which stands for the official slim one; made once for each recipe."""
    suite = os.environ.get(SUITE) or "bookworm"
    recipe = [
        *("--mode=root", "--variant=minbase", "--include=python3,python3-venv,ca-certificates"),
        *(f"--dpkgopt=path-exclude=/usr/share/{path}" for path in LEFT_OUT),
        "--dpkgopt=force-unsafe-io",
        '--aptopt=Acquire::Languages "none"',
        '--customize-hook=find "$1/usr" -name "*.pyc" -delete',  # the official slim images have none either
        suite,
    ]
    name = f"localhost/base:{suite}-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}"
    if not buildah.has(name):
        archive = scratch / "base.tar"
        _run(["mmdebstrap", "--quiet", *recipe, str(archive)])
        container = buildah.call("from", "scratch")
        buildah.call("add", container, str(archive), "/")
        buildah.call("commit", "--rm", container, name)
        archive.unlink()
    return name


def added_bytes(base: Path, image: Path) -> int:
    """The size of all files in a root directory that are not the same in its base's."""
    total = 0
    for directory, _, names in os.walk(image):
        for name in names:
            path = Path(directory, name)
            before, now = base / path.relative_to(image), path.lstat()
            old = before.lstat() if before.is_symlink() or before.exists() else None
            if old is None or (old.st_size, old.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
                total += now.st_size
    return total


def build(buildah: Buildah, base: str, scratch: Path) -> str:
    """Build deploy/Dockerfile over a base; the image's name."""
    name = "localhost/workflow-manager:test"
    words = ["bud", "--isolation", "chroot", "--network", "host", "--layers", "--pull-never"]
    words += ["--file", "deploy/Dockerfile", "--build-arg", f"BASE={base}", "--tag", name]
    for proxy in (*PROXIES, *map(str.lower, PROXIES)):
        if proxy in os.environ:
            words += ["--build-arg", f"{proxy}={os.environ[proxy]}"]
    buildah.call(*words, *_package_index(scratch), str(ROOT))
    buildah.prune()
    return name


def _package_index(scratch: Path) -> list[str]:
    """This machine's settings of pip, from its files and its environment, as secrets of the build."""
    listed = _run([sys.executable, "-m", "pip", "config", "list"])
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        section, _, rest = line.partition(".")
        name, _, value = rest.partition("=")
        if section in ("global", "install"):
            settings.setdefault(name, value.strip("'"))
        elif section == ":env:":
            settings[name.lstrip(".")] = value.strip("'")
    lines = ["[global]", *(f"{name} = {settings[name]}" for name in PIP_SETTINGS if name in settings)]
    secrets = ["--secret", f"id=pip.conf,src={scratch / 'pip.conf'}"]
    if certificates := settings.get("cert"):
        lines.append("cert = /run/secrets/ca.pem")
        secrets += ["--secret", f"id=ca.pem,src={certificates}"]
    (scratch / "pip.conf").write_text("\n".join(lines) + "\n")
    return secrets


def _can_overlay(directory: Path) -> bool:
    """Whether an overlay can be mounted whose parts are in this directory."""
    script = 'mkdir -p l u w m && mount -t overlay overlay -o "lowerdir=l,upperdir=u,workdir=w" m'
    probe = directory / "probe"
    probe.mkdir(exist_ok=True)
    command = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(command, cwd=probe, capture_output=True, check=False)
    shutil.rmtree(probe)
    return done.returncode == 0


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
