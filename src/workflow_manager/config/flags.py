"""Flags in Go's syntax, each with a twin in the environment, and the help on them.

Go's syntax, which existing deployments use: one or two dashes, `--flag value` or
`--flag=value`; a switch stands alone or takes `=true` or `=false`; an empty value means
"not given". argparse takes none of the last three, so that it only formats the help.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from workflow_manager.config.run_flags import Group
from workflow_manager.errors import Mistake
from workflow_manager.ports import Option

PROGRAM = "workflow-manager"


@dataclass(slots=True)
class Parsed:
    """What a command line says: values by flag, words that belong to no flag, and mistakes."""

    values: dict[str, object] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    unknown: list[Mistake] = field(default_factory=list)
    wants_help: bool = False

    def all_mistakes(self) -> list[Mistake]:
        """Everything that is wrong with the command line."""
        words = [
            Mistake("", "", f"unexpected word {word!r} (a switch takes =true or =false)")
            for word in self.words
        ]
        return [*self.unknown, *words, *self.mistakes]


def environment_twin(name: str) -> str:
    """The variable that gives a flag its value when the command line does not."""
    return f"WORKFLOW_MANAGER_{name.replace('-', '_').upper()}"


class Flags:
    """The flags of one command."""

    def __init__(self, command: str, summary: str, groups: Sequence[Group], usage: str = "") -> None:
        self._command = command
        self._summary = summary
        self.groups = groups
        self._usage = usage or f"{command} [flags]"
        self._options: dict[str, Option] = {}
        for group in groups:
            for option in group.options:
                for name in (option.name, *option.aliases):
                    self._options[name] = option

    def parse(self, arguments: Sequence[str], environ: Mapping[str, str]) -> Parsed:
        """Read a command line, and the environment for the flags that it leaves out."""
        parsed = Parsed()
        texts = self._texts(list(arguments), parsed)
        for option in self._options.values():
            if option.name in parsed.values:
                continue  # reached again under its other spelling
            source, given = self._texts_of(option, texts, environ)
            if given:
                self._value(option, source, given, parsed)
            elif option.required:
                twin = environment_twin(option.name)
                parsed.mistakes.append(Mistake(f"--{option.name}", "", f"is required (or set {twin})"))
        return parsed

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
            if name in ("h", "help"):
                parsed.wants_help = True
            elif (option := self._options.get(name)) is None:
                parsed.unknown.append(self._unknown(token, name))
                if not equals and arguments and not arguments[0].startswith("-"):
                    arguments.pop(0)  # most likely its value: one mistake is enough
            elif option.is_switch:
                texts.setdefault(option.name, []).append(value if equals else "true")
            elif equals:
                texts.setdefault(option.name, []).append(value)
            elif arguments:
                texts.setdefault(option.name, []).append(arguments.pop(0))
            else:
                parsed.mistakes.append(Mistake(f"--{name}", "", "needs a value"))
        return texts

    def _texts_of(
        self, option: Option, texts: Mapping[str, list[str]], environ: Mapping[str, str]
    ) -> tuple[str, list[str]]:
        """Where the flag was given, and its texts but for empty ones; of one not repeatable, the last."""
        twin = environment_twin(option.name)
        given = texts.get(option.name, [])
        for source, found in (
            (f"--{option.name}", given if option.repeatable else given[-1:]),
            (twin, [environ.get(twin, "")]),
        ):
            if any(found):
                return source, list(filter(None, found))
        return f"--{option.name}", [option.default] if option.default else []

    def _value(self, option: Option, source: str, texts: list[str], parsed: Parsed) -> None:
        values = []
        for text in texts:
            try:
                values.append(option.parse(text))
            except ValueError as error:
                parsed.mistakes.append(Mistake(source, "" if option.secret else text, str(error)))
                if option.default:  # so that what depends on it can be looked at as well
                    values.append(option.parse(option.default))
        if option.repeatable:
            parsed.values[option.name] = tuple(values)
        elif values:
            parsed.values[option.name] = values[0]

    def _unknown(self, token: str, name: str) -> Mistake:
        close = get_close_matches(name, self._options, n=1)
        hint = f"there is no such flag; did you mean --{close[0]}?" if close else "there is no such flag"
        return Mistake(token.partition("=")[0], "", hint)

    def help(self) -> str:
        """The page that `--help` prints."""
        import argparse  # noqa: PLC0415 (only help needs it, and every run would pay for it)

        parser = argparse.ArgumentParser(
            prog=f"{PROGRAM} {self._command}",
            usage=f"{PROGRAM} {self._usage}",
            description=self._summary,
            add_help=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for title, options in self.groups:
            group = parser.add_argument_group(title)
            for option in options:
                names = [f"--{name}" for name in (option.name, *option.aliases)]
                about = _about(option).replace("%", "%%")
                if option.is_switch:
                    group.add_argument(*names, action="store_true", help=about)
                else:
                    group.add_argument(*names, metavar="VALUE", help=about)
        return parser.format_help()


def _about(option: Option) -> str:
    notes = []
    if option.required:
        notes.append("required")
    if option.repeatable:
        notes.append("may be repeated")
    if option.default and option.default != "false":
        notes.append(f"default {option.default}")
    notes.append(environment_twin(option.name))
    return f"{option.help} ({'; '.join(notes)})"
