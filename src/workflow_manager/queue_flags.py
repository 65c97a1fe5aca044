"""The flags of kinds of queue: what each adds to the flags of a command, and requires.

With `assembly`, the only part that asks the registry.
"""

from collections.abc import Iterator, Mapping, Sequence

from workflow_manager import registry
from workflow_manager.config.flags import Flags, Parsed
from workflow_manager.config.run_flags import Group
from workflow_manager.errors import Mistake
from workflow_manager.flag_types import did_you_mean
from workflow_manager.queue_ports import TopicNames

KIND = "task-queue-kind"
TOPICS = ("intake-tasks-topic", "aggregate-tasks-topic")


def flags_of_kinds(
    command: str, summary: str, kinds: Sequence[str], needed: Sequence[str], groups: Sequence[Group]
) -> Flags:
    """The flags of `groups` with those of `kinds`; only the `needed` kinds may require any."""
    if len(needed) == 1:
        groups = _with_topics_of(needed[0], groups)
    return Flags(command, summary, [*groups, *_groups_of_kinds(kinds, needed)])


def _with_topics_of(kind: str, groups: Sequence[Group]) -> Sequence[Group]:
    """The groups; with a kind whose topics have names of their own, nobody needs to give those."""
    topics: TopicNames | None = getattr(registry.queue(kind), "fixed_topics", None)
    if topics is None:
        return groups
    names = dict(zip(TOPICS, topics, strict=True))
    return [
        group._replace(
            options=tuple(
                option._replace(required=False, default=names[option.name])
                if option.name in names
                else option
                for option in group.options
            )
        )
        for group in groups
    ]


def _groups_of_kinds(kinds: Sequence[str], needed: Sequence[str]) -> Iterator[Group]:
    for kind in kinds:
        options = tuple(
            option if kind in needed else option._replace(required=False)
            for option in registry.queue(kind).options
        )
        if options:
            yield Group(f"Task queue: {kind}", options)


def unknown_kind(kind: str) -> str:
    """What to say of a kind of queue that there is not."""
    kinds = registry.queue_kinds()
    return f"unknown kind of queue; use one of: {', '.join(kinds)}{did_you_mean(kind, kinds)}"


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
        groups = [*self._groups, *_groups_of_kinds(kinds, needed)]
        return Flags(self._name, self._summary, groups, self._usage)
