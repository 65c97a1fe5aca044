"""The flags of commands that work on many instances, and those that an instance has under `serve`."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

from workflow_manager import flag_types
from workflow_manager.config.flags import environment_twin
from workflow_manager.config.run_flags import Group
from workflow_manager.core.shards import Shard
from workflow_manager.ports import Option

CONFIG = "config"
INSTANCE = "instance"
SHARD = "shard"
SHARD_COUNT = "shard-count"
SHARD_BY = "shard-by"
BY_AGGREGATION = "aggregation"
BY_INSTANCE = "instance"
AUTO = "auto"
INTERVAL = "interval"
INGESTOR_NOTIFICATIONS = "ingestor-notifications"
PEER_NOTIFICATIONS = "peer-notifications"
STATUS_INTERVAL = "status-interval"
STATUS_SINCE = "status-since"
WATCH = "watch"  # in the place of a URL: the directory itself

_SHARD = re.compile("([0-9]{1,4})/([0-9]{1,4})")
_ORDINAL = re.compile(".*-([0-9]{1,4})")


def shard(text: str) -> Shard | str:
    """A shard as `I/N`, or `auto`."""
    if text == AUTO:
        return AUTO
    match = _SHARD.fullmatch(text)
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError("not a shard: I/N with I from 0 to N-1, such as 0/4, or auto")
    return Shard(int(match[1]), int(match[2]))


def shard_of_pod(count: int, completion_index: str, pod_name: str) -> Shard | None:
    """The shard of a pod: by the index of an Indexed Job, or the ordinal in a StatefulSet's pod name.

    None if neither says which of `count` shards it is.
    """
    ordinal = _ORDINAL.fullmatch(pod_name)
    text = completion_index or (ordinal[1] if ordinal else "")
    return Shard(int(text), count) if text.isdecimal() and int(text) < count else None


def _interval(text: str) -> timedelta:
    value = flag_types.duration(text)
    if value < timedelta(seconds=1):
        raise ValueError("must be at least 1s")
    return value


def _status_interval(text: str) -> timedelta:
    value = flag_types.duration(text)
    if timedelta() != value < timedelta(minutes=1):
        raise ValueError("must be at least 1m, or 0 for no surveys")
    return value


def _status_since(text: str) -> timedelta:
    value = flag_types.days(text)
    if value <= timedelta():
        raise ValueError("must be greater than zero")
    return value


FLEET = Group(
    "Many instances",
    (
        Option(CONFIG, "YAML file with the flags of many instances", parse=flag_types.path),
        Option(
            INSTANCE,
            "only the instances with these names; separated by commas; * stands for any characters",
            repeatable=True,
        ),
        Option(SHARD, "only shard I of N (I/N, starting at 0/N), or auto", parse=shard),
        Option(
            SHARD_COUNT,
            "number of shards for --shard=auto, which takes the index from JOB_COMPLETION_INDEX "
            "or the end of the pod's name",
            parse=flag_types.at_least_one,
        ),
        Option(
            SHARD_BY,
            "what to divide among the shards: instance or aggregation",
            BY_INSTANCE,
            flag_types.one_of(BY_INSTANCE, BY_AGGREGATION),
        ),
    ),
)
# Keys of the file that only `serve` uses; other commands take and ignore them.
SERVED = Group(
    "Under serve",
    (
        Option(INTERVAL, "time from the start of one pass to the start of the next", "5m", _interval),
        Option(
            INGESTOR_NOTIFICATIONS,
            "source of notifications of uploads to the ingestion bucket: pubsub://{project}/{subscription}, "
            "sqs://{region}/{queue}, or watch for a directory",
        ),
        Option(f"{INGESTOR_NOTIFICATIONS}-identity", "role to assume for receiving these notifications"),
        Option(
            PEER_NOTIFICATIONS,
            "source of notifications of uploads to the peer's validation bucket; see ingestor-notifications",
        ),
        Option(f"{PEER_NOTIFICATIONS}-identity", "role to assume for receiving these notifications"),
        Option(
            STATUS_INTERVAL,
            "time from one survey of the buckets for the status page and its metrics to the next; 0 for none",
            "15m",
            _status_interval,
        ),
        Option(
            STATUS_SINCE, "how far back these surveys look: a duration such as 7d or 36h", "7d", _status_since
        ),
    ),
)


def wants_many(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether a command line, or the environment, names a file of instances."""
    names = {word.lstrip("-").partition("=")[0] for word in arguments if word.startswith("-")}
    return CONFIG in names or bool(environ.get(environment_twin(CONFIG)))
