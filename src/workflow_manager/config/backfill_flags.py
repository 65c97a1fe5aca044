"""The flags of `backfill`."""

from workflow_manager import flag_types
from workflow_manager.config.run_flags import Group
from workflow_manager.config.survey_flags import SELECTED
from workflow_manager.ports import Option


def _reason(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text on one line")
    return text


BACKFILL = Group(
    "What to backfill",
    (
        Option(
            "from",
            "start of the range: RFC 3339, or a duration before now such as 3d",
            parse=flag_types.moment,
        ),
        Option(
            "to",
            "end of the range; windows that begin before it are included",
            parse=flag_types.moment,
        ),
        SELECTED,
        Option(
            "only",
            "schedule only intake or only aggregate tasks",
            parse=flag_types.one_of("intake", "aggregate"),
        ),
        Option(
            "again",
            "publish again the tasks that already have markers, and no others; requires --reason",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
        Option(
            "reason",
            "why tasks are published again; recorded in their markers. Applies to each task once",
            parse=_reason,
        ),
        Option(
            "recompute",
            "with --again: name the batches that are ready and validated now, not the recorded ones",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
        Option("marker", "with --again: publish only the task of this marker, instead of a range"),
        Option(
            "yes",
            "do not ask for confirmation; required without a terminal",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
    ),
)
