"""The file that `--config` names: YAML with the flags of many instances, read with line numbers.

    defaults:                # flags of every instance that does not give its own
      task-queue-kind: aws-sns
    instances:
      na-ingestor-1:         # a name of your choice
        ingestor-input: s3://us-west-1/na-ingestor-1
        push-gateway: {env: PUSH_GATEWAY}   # or {file: path}

Values are taken as the text that stands in the file, whatever YAML would make of them, and go
through the same parsers as flags on the command line: `no` is no boolean here, and
`202011010000` no number.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from workflow_manager.errors import ConfigError, MissingExtraError, Mistake
from workflow_manager.flag_types import did_you_mean

if TYPE_CHECKING:
    from yaml import MappingNode, Node

DEFAULTS = "defaults"
INSTANCES = "instances"
# As label values of Kubernetes, so that an instance can name objects, labels and series everywhere.
NAME = re.compile("[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]{0,61}[A-Za-z0-9]")
_NULL = "tag:yaml.org,2002:null"
_REFERENCES = ("env", "file")


class Entry(NamedTuple):
    """A flag's value as the file gives it. `hidden` values came from elsewhere and are never shown."""

    text: str
    line: int
    hidden: bool = False


@dataclass(slots=True)
class InstancesFile:
    """What the file says, by the names of flags, before any flag's own parser has seen it."""

    path: str
    defaults: dict[str, Entry] = field(default_factory=dict)
    instances: dict[str, dict[str, Entry]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def place(self, line: int, *names: str) -> str:
        """A place in the file as mistakes name it: `fleet.yaml:12: na-ingestor-1: grace-period`."""
        return ": ".join([f"{self.path}:{line}", *names])


def read_instances_file(path: str, environ: Mapping[str, str]) -> InstancesFile:
    """What a file says, with all its mistakes; raises ConfigError if it cannot be read at all.

    References are resolved: `{env: NAME}` in `environ`, `{file: PATH}` beside the file itself.
    """
    if find_spec("yaml") is None:
        raise MissingExtraError("--config", "serve", "yaml")
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError([Mistake("--config", path, f"cannot read the file: {cause}")]) from error
    found = InstancesFile(path)
    _Reader(found, environ).read(text)
    return found


class _Reader:
    """Goes through the nodes of the file, whose places are known, and notes down every mistake."""

    def __init__(self, found: InstancesFile, environ: Mapping[str, str]) -> None:
        self._found = found
        self._environ = environ

    def read(self, text: str) -> None:
        top = self._composed(text)
        sections = self._pairs(top) if top is not None else {}
        for key, (line, node) in sections.items():
            if key == DEFAULTS:
                self._found.defaults = dict(self._entries(node, DEFAULTS))
            elif key == INSTANCES:
                self._read_instances(node)
            else:
                self._mistake(line, f"unknown key {key!r}{did_you_mean(key, (DEFAULTS, INSTANCES))}")
        if not self._found.instances and not self._found.mistakes:
            self._mistake(1, f"names no instances; list them under '{INSTANCES}:'")

    def _composed(self, text: str) -> "Node | None":
        """The file's one document as nodes; nothing is constructed, so no tag can have an effect."""
        import yaml  # noqa: PLC0415 (comes with an extra, and only files of instances need it)

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            return yaml.compose(text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._mistake(
                mark.line + 1 if mark else 1, f"is not valid YAML: {error.problem or error.context}"
            )
        except yaml.YAMLError as error:
            self._mistake(1, f"is not valid YAML: {error}")
        return None

    def _read_instances(self, node: "Node") -> None:
        for name, (line, content) in self._pairs(node, INSTANCES).items():
            if not NAME.fullmatch(name):
                self._mistake(
                    line,
                    f"{name!r} is not a valid name of an instance: up to 63 letters, digits, '-', '_' and "
                    "'.', the first and the last a letter or digit",
                )
            self._found.lines[name] = line
            self._found.instances[name] = dict(self._entries(content, name))

    def _entries(self, node: "Node", owner: str) -> Iterator[tuple[str, Entry]]:
        for key, (line, value) in self._pairs(node, owner).items():
            if (entry := self._entry(value, line, owner, key)) is not None:
                yield key, entry

    def _entry(self, node: "Node", line: int, owner: str, key: str) -> Entry | None:
        from yaml import MappingNode, ScalarNode  # noqa: PLC0415 (as above)

        if isinstance(node, ScalarNode):
            return Entry("" if node.tag == _NULL else str(node.value).rstrip("\n"), line)
        if isinstance(node, MappingNode):
            return self._reference(node, line, owner, key)
        self._mistake(line, "takes one value, or a reference: {env: NAME} or {file: PATH}", owner, key)
        return None

    def _reference(self, node: "MappingNode", line: int, owner: str, key: str) -> Entry | None:
        pairs = self._pairs(node, owner, key)
        (kind, (_, target)), *others = pairs.items() or [("", (line, node))]
        if others or kind not in _REFERENCES or not isinstance(target.value, str) or not target.value:
            self._mistake(line, "is not a reference; write {env: NAME} or {file: PATH}", owner, key)
            return None
        resolve: Callable[[str], str] = self._variable if kind == "env" else self._content
        try:
            return Entry(resolve(target.value), line, hidden=True)
        except LookupError as error:
            self._mistake(line, str(error.args[0]), owner, key)
            return None

    def _variable(self, name: str) -> str:
        if not self._environ.get(name):
            raise LookupError(f"the environment variable {name} is not set")
        return self._environ[name]

    def _content(self, path: str) -> str:
        try:
            return (Path(self._found.path).parent / path).read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise LookupError(f"cannot read the file {path!r}: {cause}") from None

    def _pairs(self, node: "Node", *names: str) -> "dict[str, tuple[int, Node]]":
        """The keys of a mapping, each with its line and value; a key that comes twice is a mistake."""
        from yaml import MappingNode, ScalarNode  # noqa: PLC0415 (as above)

        pairs: dict[str, tuple[int, Node]] = {}
        if isinstance(node, ScalarNode) and node.tag == _NULL:
            return pairs
        line = node.start_mark.line + 1
        if not isinstance(node, MappingNode):
            self._mistake(line, "must have keys with values", *names)
            return pairs
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                self._mistake(line, "keys must be plain text", *names)
            elif key.value == "<<":
                self._mistake(line, f"merge keys are not supported; use '{DEFAULTS}:'", *names)
            elif key.value in pairs:
                first = pairs[key.value][0]
                self._mistake(line, f"is given twice; the first is in line {first}", *names, key.value)
            else:
                pairs[key.value] = (line, value)
        return pairs

    def _mistake(self, line: int, problem: str, *names: str) -> None:
        self._found.mistakes.append(Mistake(self._found.place(line, *names), "", problem))
