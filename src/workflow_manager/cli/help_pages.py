"""What `--help` and `--help-all` print, and the same flags as a parser of argparse, which others read.

config.flags reads the flags; argparse formats help, and its parsers are what completion and the manual page
are made from.
"""

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from workflow_manager import flag_types
from workflow_manager.cli.guides import GUIDES, Guide
from workflow_manager.config.flags import PROGRAM, Flags, environment_twin
from workflow_manager.config.run_flags import Group
from workflow_manager.ports import Option

_METAVARS: dict[Callable[[str], object], str] = {
    flag_types.at_least_one: "N",
    flag_types.days: "DURATION",
    flag_types.duration: "DURATION",
    flag_types.instant: "TIME",
    flag_types.minute: "TIME",
    flag_types.moment: "TIME",
    flag_types.non_negative_duration: "DURATION",
    flag_types.path: "FILE",
    flag_types.positive_duration: "DURATION",
}


_URLS = ("-gateway", "-input", "-notifications", "-url")
ABOUT = "Schedules intake and aggregation tasks for Prio-style batch pipelines on object storage."
Customize = Callable[[Option, argparse.Action], None]


def flags_of(command: str) -> Flags:
    """All flags of a command, with those of every kind of queue."""
    found: Flags = import_module(f"workflow_manager.cli.{command}").flags()
    return found


def actions_of(command: str) -> tuple[str, ...]:
    """What the first word after a command can be, if it is one of a few."""
    return tuple(getattr(import_module(f"workflow_manager.cli.{command}"), "ACTIONS", ()))


def help_page(command: str, *, everything: bool) -> str:
    """The page on a command: with all its flags, or with those that are used most."""
    flags, guide = flags_of(command), GUIDES.get(command, Guide())
    shown = flags.groups if everything or not guide.common else _common(flags.groups, guide.common)
    parser = _parser(flags, _examples(guide))
    _add_flags(parser, shown, variables=everything)
    left = sum(len(group.options) for group in flags.groups) - sum(len(group.options) for group in shown)
    parser.epilog = (
        f"'{PROGRAM} {command} --help-all' lists {f'{left} more flags' if left else 'all flags'},\n"
        "and the environment variable of each."
    )
    return parser.format_help()


def full_parser(
    commands: Mapping[str, str], filled: Iterable[str], customize: Customize = lambda _option, _action: None
) -> argparse.ArgumentParser:
    """All commands, each with what is said about it, and the flags of those that are `filled`.

    It is for those who read it, and parses nothing. `customize` is called for each flag.
    """
    parser = argparse.ArgumentParser(prog=PROGRAM, description=ABOUT, add_help=False)
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command, about in commands.items():
        one = parsers.add_parser(
            command, help=about, add_help=False, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if command in filled:
            flags = flags_of(command)
            one.usage = f"{PROGRAM} {flags.usage}"
            one.description = _description(flags, _examples(GUIDES.get(command, Guide())))
            if actions := actions_of(command):
                one.add_argument("action", choices=actions)
            if names := getattr(import_module(f"workflow_manager.cli.{command}"), "complete_names", None):
                words = one.add_argument("names", metavar="NAME", nargs="*")
                words.completer = names  # type: ignore[attr-defined] # argcomplete's name for it
            _add_flags(one, flags.groups, variables=True, customize=customize)
    return parser


def without_command(command: str, customize: Customize) -> argparse.ArgumentParser:
    """The flags of a command that need not be named; see `full_parser`."""
    parser = argparse.ArgumentParser(prog=PROGRAM, add_help=False)
    _add_flags(parser, flags_of(command).groups, variables=True, customize=customize)
    return parser


def _parser(flags: Flags, examples: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"{PROGRAM} {flags.command}",
        usage=f"{PROGRAM} {flags.usage}",
        description=_description(flags, examples),
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _description(flags: Flags, examples: str) -> str:
    paragraphs = [*map(_wrapped, flags.summary.split("\n\n")), examples]
    return "\n\n".join(filter(None, paragraphs))


def _wrapped(paragraph: str) -> str:
    """A paragraph as wide as the terminal, or a table of two columns, the second as wide as is left."""
    width = shutil.get_terminal_size().columns - 2
    if "  " not in paragraph:
        return textwrap.fill(" ".join(paragraph.split()), width)
    rows = [re.match(r"(.*?  +|)(.*)", line, re.DOTALL) for line in paragraph.splitlines()]
    return "\n".join(
        textwrap.fill(row[2], width, initial_indent=row[1], subsequent_indent=" " * len(row[1]))
        for row in rows
        if row
    )


def _examples(guide: Guide) -> str:
    parts = [f"  # {example.about}\n" + example.shown() for example in guide.examples]
    return "examples:\n" + "\n\n".join(parts) if parts else ""


def _common(groups: Iterable[Group], common: tuple[str, ...]) -> list[Group]:
    """The groups with only their common flags, and all that are required whatever the kind of queue."""
    found = []
    for title, options in groups:
        kept = tuple(
            option
            for option in options
            if option.name in common or (option.required and not title.startswith("Task queue:"))
        )
        if kept:
            found.append(Group(title, kept))
    return found


def _add_flags(
    parser: argparse.ArgumentParser,
    groups: Iterable[Group],
    *,
    variables: bool,
    customize: Customize = lambda _option, _action: None,
) -> None:
    seen: set[str] = set()
    for title, options in groups:
        group = parser.add_argument_group(title)
        for option in options:
            if option.name in seen:
                continue  # a command's own flag of the same name
            seen.add(option.name)
            names = [f"--{name}" for name in (option.name, *option.aliases)]
            about = _about(option, variable=variables).replace("%", "%%")
            if option.is_switch:
                action = group.add_argument(*names, action="store_true", help=about)
            else:
                choices = getattr(option.parse, "choices", None)
                metavar = None if choices else _metavar(option)
                action = group.add_argument(*names, metavar=metavar, choices=choices, help=about)
            customize(option, action)


def _metavar(option: Option) -> str:
    return "URL" if option.name.endswith(_URLS) else _METAVARS.get(option.parse, "VALUE")


def _about(option: Option, *, variable: bool) -> str:
    notes = []
    if option.required:
        notes.append("required")
    if option.repeatable:
        notes.append("may be repeated")
    if option.default and option.default != "false":
        notes.append(f"default {option.default}")
    if variable:
        notes.append(environment_twin(option.name))
    return f"{option.help} ({'; '.join(notes)})" if notes else option.help
