"""`workflow-manager instances`: files of many instances: their schema, an example, what is in one."""

import json
import os
from collections.abc import Sequence

from workflow_manager.assembly import flags_of_kind
from workflow_manager.config.flags import Flags, wrong_action
from workflow_manager.config.fleet_flags import FLEET, SERVED
from workflow_manager.config.instances_schema import example, schema
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.fleet import PROCESS_FLAGS, read_fleet

SUMMARY = """\
instances list     prints the names of the instances in --config, as --instance and --shard choose them
instances example  prints a file to start from
instances schema   prints the JSON Schema of such files, for editors

'list' checks the whole file, and reports all its mistakes with their line numbers."""
ACTIONS = ("list", "example", "schema")
FLAGS = Flags("instances", SUMMARY, [FLEET], usage="instances list|example|schema [flags]")


def flags() -> Flags:
    """The flags of `instances`."""
    return FLAGS


def instances(arguments: Sequence[str]) -> int:
    """Do what the first word says; mistakes in the file are raised as ConfigError."""
    action, *rest = arguments or [""]
    if action == "list":
        fleet = read_fleet("instances", SUMMARY, rest, os.environ)
        print("".join(f"{instance.name}\n" for instance in fleet.instances), end="")
        return 0
    FLAGS.parse(arguments, {})  # may ask for help
    if action not in ACTIONS:
        raise ConfigError([Mistake("", "", wrong_action("instances", action, ACTIONS))])
    if rest:
        raise ConfigError([Mistake("", "", f"unexpected word {rest[0]!r}")])
    print(example() if action == "example" else instances_schema(), end="")
    return 0


def instances_schema() -> str:
    """The JSON Schema of files of instances, with the flags of all kinds of queue that are installed."""
    flags = flags_of_kind("run", "", "", FLEET, SERVED)
    return json.dumps(schema(flags, PROCESS_FLAGS), indent=2) + "\n"
