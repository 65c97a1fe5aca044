"""What the name of a lease says: until when it holds, and who holds it.

    task-markers/workflow-manager-lease-{scope}-{until}-{begun}-{run}-{process}-{host}

Times are in seconds since 1970, in twelve digits, so that names are in the order of their ends. The names
of earlier versions' leases end with the run.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple, Self

from workflow_manager.core.names import MARKER_PREFIX

LONGEST = 3600.0  # seconds that a lease may hold
SKEW = 30.0  # seconds that the clocks of two machines may be apart

_REST = re.compile(r"([0-9]{12})-([0-9]{12})-([0-9a-f]{1,64})(?:-([0-9]{1,20})-([A-Za-z0-9._-]{1,64}))?")
_UNKNOWN = "an unknown host"
_NOT_OF_A_HOST = re.compile("[^A-Za-z0-9._-]")


class LeaseHolder(NamedTuple):
    """The run that holds a lease: a process on a host. The lease ends at `until`, UTC, unless renewed.

    `begun` is when the run began.
    """

    host: str
    process: int
    until: datetime
    begun: datetime


class LeaseName(NamedTuple):
    """One lease. `until` and `begun` are in seconds since 1970; `run` is of one run alone."""

    until: int
    begun: int
    run: str
    process: int
    host: str

    @classmethod
    def parse(cls, key: str, scope: str) -> Self | None:
        """The lease that is named so; None if no lease of this scope can be."""
        match = _REST.fullmatch(key.removeprefix(lease_prefix(scope)))
        if match is None:
            return None
        until, begun, run, process, host = match.groups()
        return cls(int(until), int(begun), run, int(process or 0), host or _UNKNOWN)

    def key(self, scope: str) -> str:
        """The lease's name."""
        host = _NOT_OF_A_HOST.sub("_", self.host)[:64] or "_"
        times = f"{self.until:012}-{self.begun:012}"
        return f"{lease_prefix(scope)}{times}-{self.run}-{self.process}-{host}"

    def holds_too_long(self, now: float) -> bool:
        """Whether it ends later than any lease could that was written by a clock that is right."""
        return self.until > now + LONGEST + SKEW

    def holder(self) -> LeaseHolder:
        """Whose it is. Only for a lease that does not hold too long, as no calendar has its end."""
        begun = min(self.begun, self.until)  # nobody has checked it
        until, begun_at = (datetime.fromtimestamp(seconds, UTC) for seconds in (self.until, begun))
        return LeaseHolder(self.host, self.process, until, begun_at)


def lease_prefix(scope: str) -> str:
    """What the names of all leases of a scope begin with."""
    return f"{MARKER_PREFIX}workflow-manager-lease-{scope}-"
