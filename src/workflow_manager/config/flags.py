"""Flags in Go's syntax, each with a twin in the environment.

Go's syntax, which existing deployments use: one or two dashes, `--flag value` or
`--flag=value`; a switch stands alone or takes `=true` or `=false`; an empty value means
"not given". argparse takes none of the last three, so it only formats help and completes words.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from workflow_manager.config.run_flags import Group
from workflow_manager.errors import HelpRequested, Mistake
from workflow_manager.flag_types import did_you_mean
from workflow_manager.ports import Option

PROGRAM = "workflow-manager"
HELP_ALL = "help-all"
HELP = frozenset({"h", "help", HELP_ALL})
_VARIABLE_PREFIX = "WORKFLOW_MANAGER_"
# What Kubernetes sets for each Service in the namespace, here for those whose names begin with ours
# (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
_KUBERNETES = re.compile(
    r"(?:.*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_.*)?)?)"
)
# Twins of other commands' flags that look like misspelt ones of a run's.
_OF_OTHER_COMMANDS = frozenset({f"{_VARIABLE_PREFIX}AGGREGATION_ID"})
# Words that can only be meant as the value of the boolean flag before them; digits may be IDs of tasks.
_BOOLEANS = frozenset({"t", "T", "true", "TRUE", "True", "f", "F", "false", "FALSE", "False"})
_NEARLY = 0.85  # the least similarity of a misspelt variable to what was meant, of 1.0


class FlagText(NamedTuple):
    """What a flag is given: by whom, in words for mistakes, and the texts. `hidden` ones are never shown."""

    source: str
    texts: tuple[str, ...]
    hidden: bool = False


@dataclass(slots=True)
class Parsed:
    """What a command line says: values by flag, words that belong to no flag, and mistakes.

    What was meant by unknown flags is looked for only if someone wants to know: another look may know them.
    """

    values: dict[str, object] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    unknown: list[Callable[[], Mistake]] = field(default_factory=list)

    def all_mistakes(self) -> list[Mistake]:
        """Everything that is wrong with the command line."""
        words = [
            Mistake("", "", f"unexpected word {word!r} (a boolean flag takes =true or =false)")
            for word in self.words
        ]
        return [*(mistake() for mistake in self.unknown), *words, *self.mistakes]


def environment_twin(name: str) -> str:
    """The variable that gives a flag its value when the command line does not."""
    return _VARIABLE_PREFIX + name.replace("-", "_").upper()


def strange_variables(environ: Mapping[str, str], flags: "Flags") -> list[str]:
    """The variables with this program's prefix that belong to none of the flags, nor to Kubernetes."""
    ours = [name for name in environ if name.startswith(_VARIABLE_PREFIX)]
    twins = _OF_OTHER_COMMANDS.union(flags.twins().values()) if ours else _OF_OTHER_COMMANDS
    return sorted(
        name
        for name in ours
        if name not in twins and not _KUBERNETES.fullmatch(name.removeprefix(_VARIABLE_PREFIX))
    )


def misspelt_variables(strange: Sequence[str], flags: "Flags") -> list[Mistake]:
    """Those of the `strange` variables that are nearly a flag's twin; the others may be anyone's."""
    if not strange:
        return []
    from difflib import get_close_matches  # noqa: PLC0415 (runs have none, as a rule)

    twins = {name.removeprefix(_VARIABLE_PREFIX): twin for name, twin in flags.twins().items()}
    mistakes = []
    for variable in strange:
        close = get_close_matches(variable.removeprefix(_VARIABLE_PREFIX), twins, n=1, cutoff=_NEARLY)
        if close and variable != twins[close[0]]:
            mistakes.append(Mistake(variable, "", f"unknown variable; did you mean {twins[close[0]]}?"))
    return mistakes


class Flags:
    """The flags of one command."""

    def __init__(self, command: str, summary: str, groups: Sequence[Group], usage: str = "") -> None:
        self.command = command
        self.summary = summary
        self.groups = groups
        self.usage = usage or f"{command} [flags]"
        self._options: dict[str, Option] = {}
        for group in groups:
            for option in group.options:
                for name in (option.name, *option.aliases):
                    self._options[name] = option

    def parse(self, arguments: Sequence[str], environ: Mapping[str, str]) -> Parsed:
        """Read a command line, and the environment for the flags that it leaves out.

        Raises HelpRequested if the command line asks for help, whatever else it says.
        """
        parsed = Parsed()
        return self.take(self.command_line(arguments, parsed), environ, parsed)

    def command_line(self, arguments: Sequence[str], parsed: Parsed) -> dict[str, FlagText]:
        """What a command line gives, by flag; words and mistakes are noted in `parsed`.

        Raises HelpRequested, as `parse` does.
        """
        texts = self._texts(list(arguments), parsed)
        return {name: FlagText(f"--{name}", tuple(given)) for name, given in texts.items()}

    def take(
        self, given: Mapping[str, FlagText], environ: Mapping[str, str], parsed: Parsed, owner: str = ""
    ) -> Parsed:
        """Turn what is given, by flag, into values, and take from the environment what is not.

        `owner` is where a required flag is missing, if that is not the command line.
        """
        for option in self._options.values():
            if option.name in parsed.values:
                continue  # reached again under its other spelling
            found = self._texts_of(option, given, environ)
            if found.texts:
                self._value(option, found, parsed)
            elif option.required:
                missing = f"{owner}: {option.name}" if owner else f"--{option.name}"
                twin = environment_twin(option.name)
                parsed.mistakes.append(Mistake(missing, "", f"is required (or set {twin})"))
        return parsed

    def option(self, name: str) -> Option | None:
        """The flag of this name, or of this other spelling."""
        return self._options.get(name)

    def suggestion(self, name: str) -> str:
        """The flag that was probably meant by an unknown name, or nothing."""
        from difflib import get_close_matches  # noqa: PLC0415 (as above)

        return next(iter(get_close_matches(name, self._options, n=1)), "")

    def _texts(self, arguments: list[str], parsed: Parsed) -> dict[str, list[str]]:
        texts: dict[str, list[str]] = {}
        while arguments:
            token = arguments.pop(0)
            if token == "--":  # noqa: S105 (the end of the flags, not a password)
                parsed.words += arguments
                break
            if len(token) < 2 or not token.startswith("-"):  # noqa: PLR2004 (a dash and a letter)
                parsed.words.append(token)
                continue
            name, equals, value = token.removeprefix("-").removeprefix("-").partition("=")
            if name in HELP:
                raise HelpRequested(everything=name == HELP_ALL)
            if (option := self._options.get(name)) is None:
                parsed.unknown.append(partial(self._unknown, token, name))
                if not equals:
                    _drop_value(arguments)
            elif equals:
                texts.setdefault(option.name, []).append(value)
            elif option.is_switch:
                texts.setdefault(option.name, []).append("true")
                parsed.mistakes.extend(_value_behind_a_space(token, arguments))
            elif arguments:
                texts.setdefault(option.name, []).append(arguments.pop(0))
            else:
                parsed.mistakes.append(Mistake(f"--{name}", "", "needs a value"))
        return texts

    def _texts_of(
        self, option: Option, given: Mapping[str, FlagText], environ: Mapping[str, str]
    ) -> FlagText:
        """Where the flag was given, and its texts but for empty ones; of one not repeatable, the last."""
        twin = environment_twin(option.name)
        default = FlagText(f"--{option.name}", (option.default,))
        for found in (given.get(option.name), FlagText(twin, (environ.get(twin, ""),)), default):
            if found is None:
                continue
            texts = found.texts if option.repeatable else found.texts[-1:]
            if any(texts):
                return found._replace(texts=tuple(filter(None, texts)))
        return default._replace(texts=())

    def _value(self, option: Option, given: FlagText, parsed: Parsed) -> None:
        values = []
        for text in given.texts:
            try:
                values.append(option.parse(text))
            except ValueError as error:
                shown = "" if option.secret or given.hidden else text
                parsed.mistakes.append(Mistake(given.source, shown, str(error)))
                if option.default:  # so that what depends on it can be looked at as well
                    values.append(option.parse(option.default))
        if option.repeatable:
            parsed.values[option.name] = tuple(values)
        elif values:
            parsed.values[option.name] = values[0]

    def _unknown(self, token: str, name: str) -> Mistake:
        close = self.suggestion(name)
        hint = f"unknown flag; did you mean --{close}?" if close else "unknown flag"
        return Mistake(token.partition("=")[0], "", hint)

    def twins(self) -> dict[str, str]:
        """The variable of each flag, by its own name and by those that its aliases suggest."""
        return {
            environment_twin(name): environment_twin(option.name) for name, option in self._options.items()
        }


def _drop_value(arguments: list[str]) -> None:
    """Leave out what is most likely the value of an unknown flag: one mistake is enough."""
    if arguments and not arguments[0].startswith("-"):
        arguments.pop(0)


def _value_behind_a_space(flag: str, arguments: list[str]) -> Iterator[Mistake]:
    """Take off a boolean's value behind a space: Go would ignore all flags behind it, and say nothing."""
    if arguments and arguments[0] in _BOOLEANS:
        value = arguments.pop(0)
        problem = f"a boolean takes its value after an equals sign: write {flag}={value}"
        yield Mistake(f"{flag} {value}", "", problem)


def wrong_action(command: str, word: str, actions: Sequence[str]) -> str:
    """What to say where a command's first word is none of its actions."""
    known = ", ".join(f"{command} {name}" for name in actions)
    if not word:
        return f"give one of {known}"
    return f"unknown action {word!r}: not one of {known}{did_you_mean(word, actions)}"
