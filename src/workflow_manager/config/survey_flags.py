"""The flags of the commands that read a range of time."""

from workflow_manager import flag_types
from workflow_manager.config.run_flags import Group
from workflow_manager.ports import Option

FAIL_ON = ("missed", "left-out", "too-old")

SINCE = Option(
    "since", "how far back to look: a duration such as 3d or 8h, or an RFC 3339 time", "3d", flag_types.moment
)
SELECTED = Option("aggregation-id", "ID of an aggregation to include; * matches any text", repeatable=True)
JSON = Option("json", "print JSON", "false", flag_types.boolean, is_switch=True)
EXPLAIN = Group("What to look at", (SINCE, SELECTED, JSON))
STATUS = Group(
    "What to look at",
    (
        SINCE,
        Option(
            "until",
            "include windows that begin before this time (RFC 3339); default: now",
            parse=flag_types.instant,
        ),
        SELECTED,
        JSON,
        Option("html", "write the status page, one HTML file, to this path"),
        Option(
            "fail-on",
            "exit with status 4 if any of these is found: missed, left-out, too-old (comma-separated)",
            parse=flag_types.several_of(*FAIL_ON),
        ),
    ),
)
