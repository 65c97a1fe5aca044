"""The errors of this program: what failed, on what, why, and what to do about it."""

from collections.abc import Iterable
from typing import NamedTuple

_HARMLESS = frozenset("/-._~:@+,=")


class WorkflowManagerError(Exception):
    """Something failed; the message is written for the person who has to mend it.

    `operation` and `subject` say what was being done to which bucket, object or
    topic; `cause` says what went wrong; `advice` says what to check or change.
    """

    def __init__(self, operation: str, subject: str, cause: str, advice: str = "") -> None:
        super().__init__(operation, subject, cause, advice)
        self.operation = operation
        self.subject = subject
        self.cause = cause
        self.advice = advice

    def __str__(self) -> str:
        message = f"could not {self.operation} {self.subject}: {self.cause}"
        return f"{message} ({self.advice})" if self.advice else message


class StorageError(WorkflowManagerError):
    """A bucket could not be listed, read or written; `subject` is its URL and the key."""


class AccessDeniedError(StorageError):
    """The service knows us and refuses the request: we lack a permission. `advice` names it."""


class CircuitOpenError(StorageError):
    """A bucket has failed so long that this run does not ask it again. Nothing was sent."""


class QueueError(WorkflowManagerError):
    """A message was not acknowledged; `subject` is the topic or the task."""


class MessageTooLargeError(QueueError):
    """A message is over the queue's limit. It was not sent, and sending it again cannot help."""


class QueueFullError(QueueError):
    """A queue takes no more for now, as its settings say. Nothing was sent; the task stays due."""


class NotificationError(WorkflowManagerError):
    """Notifications could not be received or acknowledged; `subject` is their source."""


class MetricsError(WorkflowManagerError):
    """The metrics of a finished run could not be delivered."""


class Mistake(NamedTuple):
    """One thing wrong with the configuration: the flag, the value it got, and the problem."""

    flag: str
    value: str
    problem: str

    def __str__(self) -> str:
        if not self.flag:
            return self.problem
        return f"{self.flag}={self.value!r}: {self.problem}" if self.value else f"{self.flag}: {self.problem}"


class ConfigError(Exception):
    """The configuration has mistakes; all those that were found, not only the first."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(map(str, self.mistakes)))


class HelpRequested(Exception):  # noqa: N818 (nothing is wrong)
    """The command line asks for help: for all flags of the command, or for those that are used most."""

    def __init__(self, *, everything: bool) -> None:
        super().__init__(everything)
        self.everything = everything


class MissingExtraError(ConfigError):
    """A URL scheme or queue kind needs libraries that are installed only with an extra."""

    def __init__(self, what: str, extra: str, module: str) -> None:
        super().__init__(
            [
                Mistake(
                    "",
                    "",
                    f"{what} requires the extra {extra}: pip install 'prio-workflow-manager[{extra}]' "
                    f"(the Python module {module!r} is not installed)",
                )
            ]
        )


def location(url: str, key: str = "") -> str:
    """A bucket, or the object `key` in it, as text that can be pasted into a shell or a URL.

    Names are written by others. Where one holds anything but letters, digits and what is harmless
    everywhere, that is percent-encoded as UTF-8; bytes that are not UTF-8 stay those bytes.
    """
    return escaped(f"{url}/{key}" if key else url)


def escaped(name: str) -> str:
    """A name as `location` shows it."""
    return "".join([character if _is_plain(character) else _encoded(character) for character in name])


def _is_plain(character: str) -> bool:
    return character.isalnum() or character in _HARMLESS


def _encoded(character: str) -> str:
    try:
        encoded = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte: no name has it, but anyone can ask
        encoded = character.encode("utf-8", "surrogatepass")
    return "".join([f"%{byte:02X}" for byte in encoded])


def explain(error: Exception) -> str:
    """An error in words, for the report of a run: also one that nobody foresaw."""
    if isinstance(error, WorkflowManagerError):
        return str(error)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f" in {where.tb_frame.f_code.co_name}, line {where.tb_lineno}" if where else ""
    return f"unexpected {type(error).__name__}{place}: {error} (a bug in this program: please report it)"
