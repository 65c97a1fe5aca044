"""The entry point: which command is meant, and what its failure means for the exit status."""

import atexit
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper

from workflow_manager import __version__
from workflow_manager.cli.exit_status import ExitStatus, of_signal
from workflow_manager.cli.output import discard_output
from workflow_manager.errors import ConfigError, HelpRequested, Mistake, WorkflowManagerError

COMPLETION = "_ARGCOMPLETE"  # set by the scripts of `completion` when they ask for words
# Each command lives in the module of its name, which is loaded only for it.
COMMANDS = {
    "run": "schedule what is due (the default command)",
    "serve": "run as a service that schedules many instances",
    "status": "show the state of each batch and aggregation window; read-only",
    "explain": "explain why a batch or window is or is not scheduled; read-only",
    "backfill": "schedule what runs missed in a time range, or publish tasks again",
    "markers": "list task markers, and delete old ones",
    "check": "check that buckets and topics are usable, without publishing anything",
    "tasks": "inspect a task queue, and put dead letters back",
    "jobs": "list, retry and delete the Kubernetes Jobs of tasks, and read their logs",
    "instances": "list the instances of a file, or print an example or its schema",
    "sample": "write sample batches to buckets",
    "demo": "run and explain three passes over a sample deployment",
    "completion": "print a script that completes words in bash, zsh or fish",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if COMPLETION in os.environ:
        importlib.import_module("workflow_manager.cli.completion").complete(COMMANDS, os.environ)
    _open_streams()
    if words and words[0] in ("--version", "-version", "version"):
        return _guarded("", lambda more: _show(_version(more)), words[1:])
    if words and words[0] in ("--help", "-help", "-h", "--help-all", "-help-all"):
        return _guarded("", lambda _: _show(_overview()), [])
    name = words.pop(0) if words and not words[0].startswith("-") else "run"
    if name == "help":
        return _guarded("", _help, words)
    # Modules and pages of listings are many objects with hardly a cycle among them: to search each few
    # hundred of them would take a tenth of a short run.
    gc.set_threshold(50_000)
    # Python searches all of them three times as it ends. The system takes them back without that.
    atexit.register(gc.freeze)
    return _guarded(name, partial(_command, name), words)


def _command(name: str, words: Sequence[str]) -> int:
    if name not in COMMANDS:
        raise _unknown(name)
    command: Callable[[Sequence[str]], int] = getattr(
        importlib.import_module(f"workflow_manager.cli.{name}"), name
    )
    try:
        return command(words)
    except HelpRequested as request:
        return _show(_help_page(name, everything=request.everything))


def _help(words: Sequence[str]) -> int:
    """The overview, or the page on the command that the first word names."""
    everything = any(word.lstrip("-") == "help-all" for word in words)
    names = [word for word in words if not word.startswith("-")]
    if not names:
        return _show(_overview())
    if names[0] not in COMMANDS:
        raise _unknown(names[0])
    return _show(_help_page(names[0], everything=everything))


def _help_page(name: str, *, everything: bool) -> str:
    from workflow_manager.cli.help_pages import help_page  # noqa: PLC0415 (runs need no help)

    return help_page(name, everything=everything).rstrip("\n")


def _unknown(name: str) -> ConfigError:
    from workflow_manager.flag_types import did_you_mean  # noqa: PLC0415 (as above)

    known = f"there are {', '.join(COMMANDS)}"
    return ConfigError(
        [Mistake("", "", f"unknown command {name!r}{did_you_mean(name, COMMANDS) or f'; {known}'}")]
    )


def _guarded(name: str, command: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    try:
        status = command(words)
        sys.stdout.flush()
    except ConfigError as error:
        for mistake in error.mistakes:
            print(f"workflow-manager: {mistake}", file=sys.stderr)
        named = f" {name}" if name in COMMANDS else ""
        print(f"See 'workflow-manager{named} --help'.", file=sys.stderr)
        return ExitStatus.BAD_USAGE
    except WorkflowManagerError as error:
        print(f"workflow-manager: {error}", file=sys.stderr)
        return ExitStatus.FAILED
    except KeyboardInterrupt:  # of a command other than a run, or before its work has begun
        return of_signal(signal.SIGINT)
    except OSError as error:  # adapters have errors of their own: it is our output that cannot be written
        discard_output(error)
        return ExitStatus.FAILED
    return status


def _open_streams() -> None:
    """Have somewhere to write to, if the caller has closed it, and names in any script written somehow."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 (for as long as we run)
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _show(text: str) -> int:
    print(text)
    return 0


def _version(more: Sequence[str]) -> str:
    if not more:
        return f"workflow-manager {__version__}"
    if list(more) not in (["--verbose"], ["-verbose"]):
        raise ConfigError([Mistake("--version", " ".join(more), "only --verbose can follow")])
    from workflow_manager.cli.versions import versions  # noqa: PLC0415 (few need it)

    return versions()


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {about}" for name, about in COMMANDS.items())
    return (
        "usage: workflow-manager [run] [flags]\n"
        "       workflow-manager COMMAND [flags]\n\n"
        "Schedules intake and aggregation tasks for Prio-style batch pipelines on object storage.\n\n"
        f"commands:\n{commands}\n\n"
        "'workflow-manager help COMMAND' shows examples of a command, and the flags used most;\n"
        "'workflow-manager COMMAND --help-all' lists all flags of a command.\n"
        "'workflow-manager demo' shows what the program does, and needs nothing else.\n"
        "'workflow-manager --version --verbose' lists the versions of all libraries."
    )
