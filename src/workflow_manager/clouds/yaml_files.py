"""Files in YAML or JSON, as Kubernetes' tools write them: kubeconfigs and manifests."""

import json
from pathlib import Path

from workflow_manager.clouds.service import require
from workflow_manager.errors import ConfigError, Mistake

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


def read_document(path: Path, what: str) -> dict[str, object]:
    """The one document in a file, which has to be a mapping; raises ConfigError.

    A file in JSON, which is YAML too, does without the YAML library.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _mistake(f"cannot read {what} {str(path)!r}: {cause}") from error
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else _load_yaml(text, what)
    except (ValueError, RecursionError) as error:
        raise _mistake(f"{what} {str(path)!r} is not valid: {error}") from error
    if not isinstance(document, dict):
        raise _mistake(f"{what} {str(path)!r} is not valid: it must have keys with values")
    return document


def _load_yaml(text: str, what: str) -> object:
    """Raises ValueError."""
    require(f"{what} in YAML", "kubernetes", "yaml")
    import yaml  # noqa: PLC0415 (for those files only)

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # chosen when it runs
        """As Kubernetes reads YAML: what looks like a date is text."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 (it is a safe one)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _mistake(problem: str) -> ConfigError:
    return ConfigError([Mistake("", "", problem)])
