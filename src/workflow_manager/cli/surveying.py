"""Shared code of the commands that survey the buckets of one deployment."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime

from workflow_manager.assembly import assemble_buckets
from workflow_manager.config.flags import Parsed
from workflow_manager.survey.grounds import Grounds, grounds_of


def grounds(parsed: Parsed, environ: Mapping[str, str], clock_time: datetime, opened: ExitStack) -> Grounds:
    """Open the buckets, which `opened` closes; raises ConfigError."""
    config, buckets = assemble_buckets(parsed, environ, clock_time, opened)
    return grounds_of(parsed, config, buckets, clock_time)
