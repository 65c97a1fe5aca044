"""The flags of commands that work on a queue alone."""

from collections.abc import Mapping, Sequence

from workflow_manager import registry
from workflow_manager.assembly import KIND, groups_of_kinds, unknown_kind
from workflow_manager.config.flags import Flags, Parsed
from workflow_manager.config.run_flags import Group
from workflow_manager.errors import Mistake


class QueueCommand:
    """A command that works on a queue alone: its flags are its own, and those of the queue's kind.

    The kind is `sqlite` if none is given, but the path of such a queue is.
    """

    def __init__(self, name: str, summary: str, usage: str, groups: Sequence[Group]) -> None:
        self._name = name
        self._summary = summary
        self._usage = usage
        self._groups = groups

    def every_flag(self) -> Flags:
        """The flags with those of all kinds of queue, for help and the reference."""
        kinds = registry.queue_kinds()
        return self._flags(kinds, kinds)

    def read(self, arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[Parsed, str]:
        """What is given, and the kind of queue, which is empty if there is none of that name."""
        kinds = registry.queue_kinds()
        values = self._flags(kinds, ()).parse(arguments, environ).values
        chosen = str(values.get(KIND) or ("sqlite" if values.get("sqlite-path") else ""))
        parsed = self._flags(kinds, [chosen]).parse(arguments, environ)
        if chosen not in kinds:
            problem = unknown_kind(chosen) if chosen else "is required"
            parsed.mistakes.append(Mistake(f"--{KIND}", chosen, problem))
            return parsed, ""
        return parsed, chosen

    def _flags(self, kinds: Sequence[str], needed: Sequence[str]) -> Flags:
        groups = [*self._groups, *groups_of_kinds(kinds, needed)]
        return Flags(self._name, self._summary, groups, self._usage)
