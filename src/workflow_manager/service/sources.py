"""Which sources of notifications a set of instances has, and which instances each is about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from workflow_manager.assembly import open_source
from workflow_manager.config.fleet_flags import INGESTOR_NOTIFICATIONS, PEER_NOTIFICATIONS, WATCH
from workflow_manager.config.run_config import Given, retry_policy
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.fleet import InstanceConfig
from workflow_manager.notices import NotificationSource
from workflow_manager.ports import Settings

# The flag of each kind of notifications, and that of the bucket that they are about.
_KINDS = (
    (INGESTOR_NOTIFICATIONS, "ingestor-input"),
    (PEER_NOTIFICATIONS, "peer-validation-input"),
)
# Acknowledging is worth no long wait: what is not acknowledged comes again.
_TRIES = 2
_SECONDS = 10.0


class SourceKey(NamedTuple):
    """What tells one source from another."""

    url: str
    identity: str


@dataclass(slots=True)
class OpenSource:
    """A source, and the names of the instances by their bucket's name, as the source has that."""

    source: NotificationSource
    routes: dict[str, list[str]] = field(default_factory=dict)


def open_sources(
    instances: Iterable[InstanceConfig], environ: Mapping[str, str]
) -> dict[SourceKey, OpenSource]:
    """The sources that instances name, each once; raises ConfigError with all mistakes in them."""
    sources: dict[SourceKey, OpenSource] = {}
    mistakes: list[Mistake] = []
    for instance in instances:
        for flag, bucket_flag in _KINDS:
            try:
                _add(sources, instance, flag, bucket_flag, environ)
            except ConfigError as error:
                given = Given(instance.values).text(flag)
                named = (one._replace(flag=f"--{flag}", value=given) for one in error.mistakes)
                mistakes.extend(instance.located(ConfigError(named)).mistakes)
    if mistakes:
        for one in sources.values():
            one.source.close()
        raise ConfigError(mistakes)
    return sources


def _add(
    sources: dict[SourceKey, OpenSource],
    instance: InstanceConfig,
    flag: str,
    bucket_flag: str,
    environ: Mapping[str, str],
) -> None:
    given = Given(instance.values)
    if not given.text(flag):
        return
    bucket = given.text(bucket_flag)
    url = bucket if given.text(flag) == WATCH else given.text(flag)
    key = SourceKey(url, given.text(f"{flag}-identity"))
    if key not in sources:
        policy = retry_policy(instance.values)._replace(tries=_TRIES, total_timeout=_SECONDS)
        settings = Settings(identity=key.identity, environ=environ, retry_policy=policy)
        sources[key] = OpenSource(open_source(url, settings))
    found = sources[key]
    name = found.source.bucket_name(bucket)
    if name is None:
        raise ConfigError([Mistake("", "", f"does not announce uploads to {bucket}")])
    names = found.routes.setdefault(name, [])
    if instance.name not in names:
        names.append(instance.name)
