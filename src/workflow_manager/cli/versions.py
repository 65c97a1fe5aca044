"""What is installed: for whoever wants to know whether a fix of a library has reached this machine."""

import platform
from importlib.metadata import PackageNotFoundError, version

from workflow_manager import __version__

# What the program and its extras bring, in the order in which requests meet them.
_PACKAGES = (
    "botocore",
    "google-auth",
    "nats-py",
    "pika",
    "redis",
    "pyyaml",
    "waitress",
    "watchfiles",
    "argcomplete",
    "prometheus-client",
    "rich",
    "yappi",
)


def versions() -> str:
    """One line for each part: its name and its version, or that it is not installed."""
    parts = {
        "workflow-manager": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        **_curl(),
        **{name: _installed(name) for name in _PACKAGES},
    }
    width = max(map(len, parts)) + 2
    return "\n".join(f"{name:{width}}{found}" for name, found in parts.items())


def _curl() -> dict[str, str]:
    """PycURL, libcurl, and the libraries that libcurl uses, among them the one for TLS."""
    try:
        import pycurl  # noqa: PLC0415 (comes with an extra, and takes long to import)
    except ImportError:
        return {"pycurl": _installed("pycurl")}
    return dict(part.partition("/")[::2] for part in pycurl.version.split())


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
