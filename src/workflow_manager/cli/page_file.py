"""Writes the status page to a file."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.report.status_page import OPEN_INSTANCES, instance_part, status_page
from workflow_manager.report.surveyed import SurveyedInstance


def write_page(flag: str, path: str, surveyed: Sequence[SurveyedInstance]) -> None:
    """Write the page of these instances; raises ConfigError if that cannot be done.

    Who opens the file meanwhile finds the page before or the new one, never a part of it.
    """
    unfolded = len(surveyed) <= OPEN_INSTANCES
    page = status_page([instance_part(one, unfolded=unfolded) for one in surveyed], datetime.now(UTC))
    target = Path(path)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(page.html, "utf-8")
        unfinished.replace(target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        problem = f"cannot be written: {error.strerror}"
        raise ConfigError([Mistake(flag, path, problem)]) from error
