"""The JSON Schema of files of instances, made from the flags, and an example of such a file."""

from collections.abc import Collection, Iterator

from workflow_manager import flag_types
from workflow_manager.config.flags import Flags
from workflow_manager.config.instances_file import DEFAULTS, INSTANCES, NAME
from workflow_manager.ports import Option

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_DURATION: dict[str, object] = {"type": "string", "pattern": r"^[+-]?(0|([0-9.]+(ns|us|µs|μs|ms|s|m|h))+)$"}
_TYPES: dict[object, dict[str, object]] = {
    flag_types.boolean: {"enum": [True, False, "true", "false", "t", "f", "T", "F", "1", "0", 1, 0]},
    flag_types.at_least_one: {"type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$"},
    flag_types.duration: {"anyOf": [_DURATION, {"const": 0}]},
    flag_types.positive_duration: _DURATION,
}
_REFERENCE = {
    "type": "object",
    "properties": {
        "env": {"type": "string", "minLength": 1, "description": "environment variable that has the value"},
        "file": {"type": "string", "minLength": 1, "description": "file that has it, beside this one"},
    },
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_EXAMPLE = """\
# yaml-language-server: $schema=./instances.schema.json
# Flags of all instances that do not give their own. Every flag of a run can be a key here or below.
defaults:
  task-queue-kind: gcp-pubsub
  gcp-project-id: prio-prod
  aggregation-period: 8h
  grace-period: 4h
  intake-max-age: 24h
  interval: 5m
  push-gateway: {env: PUSH_GATEWAY}  # or {file: path}, beside this file

instances:
  # One for each pair of locality and ingestor; the name is yours to choose.
  na-ingestor-1:
    k8s-namespace: na
    ingestor-label: ingestor-1
    ingestor-input: gs://na-ingestor-1
    own-validation-input: gs://na-ingestor-1-own
    peer-validation-input: gs://na-ingestor-1-peer
    intake-tasks-topic: na-ingestor-1-intake
    aggregate-tasks-topic: na-ingestor-1-aggregate
    ingestor-notifications: pubsub://prio-prod/uploads
    peer-notifications: pubsub://prio-prod/uploads
  na-ingestor-2:
    k8s-namespace: na
    ingestor-label: ingestor-2
    ingestor-input: gs://na-ingestor-2
    own-validation-input: gs://na-ingestor-2-own
    peer-validation-input: gs://na-ingestor-2-peer
    intake-tasks-topic: na-ingestor-2-intake
    aggregate-tasks-topic: na-ingestor-2-aggregate
    aggregation-period: 3h  # instead of the default above
"""


def schema(flags: Flags, process: Collection[str]) -> dict[str, object]:
    """The schema of a file that may give each of `flags` but those of the `process` to an instance.

    It is for editors: what it accepts can still be refused when the values are parsed.
    """
    keys = {name: _property(option) for name, option in _keys(flags) if option.name not in process}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Instances of workflow-manager",
        "type": "object",
        "properties": {
            DEFAULTS: {
                "description": "flags of every instance that does not give its own",
                "anyOf": [{"$ref": "#/$defs/flags"}, {"type": "null"}],
            },
            INSTANCES: {
                "description": "flags of each instance, by its name",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^({NAME.pattern})$"},
                "additionalProperties": {"anyOf": [{"$ref": "#/$defs/flags"}, {"type": "null"}]},
            },
        },
        "required": [INSTANCES],
        "additionalProperties": False,
        "$defs": {
            "reference": _REFERENCE,
            "flags": {"type": "object", "properties": keys, "additionalProperties": False},
        },
    }


def example() -> str:
    """A file of two instances, to begin with."""
    return _EXAMPLE


def _keys(flags: Flags) -> Iterator[tuple[str, Option]]:
    for _, options in flags.groups:
        for option in options:
            for name in (option.name, *option.aliases):
                yield name, option


def _property(option: Option) -> dict[str, object]:
    choices = getattr(option.parse, "choices", None)
    taken = {"enum": list(choices)} if choices else _TYPES.get(option.parse, _SCALAR)
    shown: dict[str, object] = {"description": option.help}
    if option.default:
        shown["default"] = option.default
    return {**shown, "anyOf": [taken, {"type": "null"}, {"$ref": "#/$defs/reference"}]}
