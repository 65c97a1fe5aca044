"""The entry point: which command is meant, and what its failure means for the exit status."""

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
from workflow_manager.errors import ConfigError, Mistake, WorkflowManagerError

# Each command lives in the module of its name, which is loaded only for it.
COMMANDS = {
    "run": "schedule what is due (also when no command is named)",
    "serve": "work on many instances for as long as the process lives",
    "status": "say what became of each batch and each aggregation window; read only",
    "explain": "say why a batch or a window is scheduled, or is not; read only",
    "backfill": "schedule what runs have missed in a range of time, or publish tasks again",
    "markers": "list the markers of tasks, and remove old ones",
    "check": "find out whether buckets and topics can be used, without publishing anything",
    "tasks": "inspect a task queue, and put dead letters back",
    "jobs": "list, retry and delete the Kubernetes Jobs of tasks, and read their logs",
    "instances": "list the instances of a file, or print an example or its schema",
    "sample": "fill buckets with made-up batches to try things with",
    "demo": "three passes over a made-up deployment, explained",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    if words and words[0] in ("--version", "-version"):
        return _guarded("run", lambda more: _show(_version(more)), words[1:])
    if words and words[0] in ("--help", "-help", "-h", "help"):
        return _guarded("run", lambda _: _show(_help()), [])
    name = words.pop(0) if words and not words[0].startswith("-") else "run"
    if name not in COMMANDS:
        print(f"workflow-manager: there is no command {name!r}\n\n{_help()}", file=sys.stderr)
        return ExitStatus.BAD_USAGE
    # Modules and pages of listings are many objects with hardly a cycle among them: to search each few
    # hundred of them would take a tenth of a short run.
    gc.set_threshold(50_000)
    return _guarded(name, partial(_command, name), words)


def _command(name: str, words: Sequence[str]) -> int:
    command: Callable[[Sequence[str]], int] = getattr(
        importlib.import_module(f"workflow_manager.cli.{name}"), name
    )
    return command(words)


def _guarded(name: str, command: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    try:
        status = command(words)
        sys.stdout.flush()
    except ConfigError as error:
        for mistake in error.mistakes:
            print(f"workflow-manager: {mistake}", file=sys.stderr)
        print(f"See 'workflow-manager {name} --help'.", file=sys.stderr)
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


def _help() -> str:
    commands = "\n".join(f"  {name:9} {about}" for name, about in COMMANDS.items())
    return (
        "usage: workflow-manager [run] [flags]\n"
        "       workflow-manager COMMAND [flags]\n\n"
        "Schedules intake and aggregation tasks for Prio-style batch pipelines on object storage.\n\n"
        f"commands:\n{commands}\n\n"
        "'workflow-manager COMMAND --help' lists the flags of a command.\n"
        "'workflow-manager --version --verbose' lists the versions of all libraries."
    )
