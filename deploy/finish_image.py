"""The last step of the image's build: compile what the program imports, and remove what installs."""

import importlib
import pkgutil
import shutil
import sys
import sysconfig
from pathlib import Path

import workflow_manager

IMPORTED_WHEN_USED = (
    "botocore.session",
    "google.auth",
    "nats",
    "pika",
    "pycurl",
    "redis",
    "waitress",
    "yaml",
)


def compile_imports() -> None:
    """Import everything once, which writes the bytecode of the standard library's modules.

    Slim images come without bytecode, and on a read-only file system each start would compile them again.
    """
    for module in pkgutil.iter_modules(workflow_manager.__path__, "workflow_manager."):
        if module.name == "workflow_manager.testing":  # requires pytest
            continue
        package = importlib.import_module(module.name)
        for inner in pkgutil.iter_modules(getattr(package, "__path__", []), f"{module.name}."):
            importlib.import_module(inner.name)
    for name in IMPORTED_WHEN_USED:
        importlib.import_module(name)


def remove_installers() -> None:
    """Remove pip from the base's Python: nothing is installed in a container."""
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix, "installed_base": sys.base_prefix}
    paths = {name: Path(path) for name, path in sysconfig.get_paths("posix_prefix", vars=base).items()}
    directories = [paths["stdlib"] / "ensurepip", *paths["purelib"].glob("pip*")]
    if wheels := sysconfig.get_config_var("WHEEL_PKG_DIR"):  # where distributions keep pip for ensurepip
        directories.append(Path(wheels))
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
    for script in paths["scripts"].glob("pip*"):
        script.unlink()


if __name__ == "__main__":
    sys.dont_write_bytecode = False  # whatever the base sets
    compile_imports()
    remove_installers()
