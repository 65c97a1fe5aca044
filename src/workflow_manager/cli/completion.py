"""`workflow-manager completion`: completion of words in a shell, by argcomplete."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence

from workflow_manager import flag_types
from workflow_manager.assembly import queue_kinds
from workflow_manager.cli.help_pages import full_parser, without_command
from workflow_manager.config.flags import PROGRAM, Flags, environment_twin, wrong_action
from workflow_manager.config.fleet_flags import CONFIG, INSTANCE
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.ports import Option
from workflow_manager.queue_flags import KIND

SUMMARY = """\
Print a script that completes commands, flags and their values when TAB is pressed."""
ACTIONS = ("bash", "zsh", "fish")
Completer = Callable[..., Sequence[str]]


def flags() -> Flags:
    """The flags of `completion`: none."""
    return Flags("completion", SUMMARY, [], usage="completion bash|zsh|fish")


def completion(arguments: Sequence[str]) -> int:
    """Print the script of the shell that the first word names."""
    parsed = flags().parse(arguments, {})
    words, parsed.words = parsed.words, []
    if mistakes := parsed.all_mistakes():
        raise ConfigError(mistakes)
    if len(words) != 1 or words[0] not in ACTIONS:
        raise ConfigError([Mistake("", "", wrong_action("completion", " ".join(words), ACTIONS))])
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 (help does not need it)

    print(shellcode([PROGRAM], shell=words[0]))
    return 0


def complete(commands: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Answer the shell's question with the completions of its last word, and end the process."""
    import argcomplete  # noqa: PLC0415 (as above)

    named = environ.get("COMP_LINE", "").split()[1:2]
    if named and named[0].startswith("-"):
        parser = without_command("run", _customize)
    else:
        parser = full_parser(commands, named, _customize)
    argcomplete.autocomplete(parser, always_complete_options="long")


def _customize(option: Option, action: argparse.Action) -> None:
    """Complete what is known; paths only where a file is meant."""
    if option.name == INSTANCE:
        completer: Completer = _instances
    elif option.name == KIND:
        completer = _kinds
    elif option.parse is flag_types.path or action.choices:
        return
    else:
        completer = _nothing
    action.completer = completer  # type: ignore[attr-defined] # argcomplete's name for it


def _kinds(**_: object) -> Sequence[str]:
    return queue_kinds()


def _nothing(**_: object) -> Sequence[str]:
    return ()


def _instances(*, parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """The names of the instances in the file that the line names so far; none if it cannot be read."""
    from workflow_manager.config.instances_file import read_instances_file  # noqa: PLC0415 (as above)

    path = getattr(parsed_args, CONFIG, None) or os.environ.get(environment_twin(CONFIG), "")
    try:
        return sorted(read_instances_file(path, os.environ).instances) if path else ()
    except ConfigError:
        return ()
