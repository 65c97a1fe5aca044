"""The flags of `markers`."""

from workflow_manager import flag_types
from workflow_manager.config.run_flags import Group
from workflow_manager.config.survey_flags import JSON, SELECTED
from workflow_manager.ports import Option

MARKERS = Group(
    "Which markers",
    (
        Option(
            "older-than",
            "only markers of batches and windows older than this duration, such as 400d; required by prune",
            parse=flag_types.days,
        ),
        SELECTED,
        JSON,
    ),
)
