"""Samples in Prometheus' formats: pushed to a Pushgateway, written to a file, or as a registry."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

from prometheus_client import CollectorRegistry, Metric, pushadd_to_gateway, write_to_textfile
from prometheus_client.exposition import basic_auth_handler, default_handler
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from workflow_manager.errors import MetricsError
from workflow_manager.observe.metric_definitions import ALL, Definition
from workflow_manager.observe.samples import Histogram, Samples

JOB = "workflow-manager"
TIMEOUT = 10.0  # seconds that a Pushgateway gets to answer


class _Families(Collector):
    """The samples as prometheus_client takes them, with these labels besides their own."""

    def __init__(self, samples: Samples, labels: Mapping[str, str]) -> None:
        self._samples = samples
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        for definition, samples in self._samples.by_metric.items():
            family = Metric(definition.name, definition.help, definition.type.value)
            for own, value in samples:
                labels = {**self._labels, **own}
                if isinstance(value, Histogram):
                    for bound, count in value.buckets:
                        family.add_sample(f"{definition.name}_bucket", {**labels, "le": bound}, count)
                    family.add_sample(f"{definition.name}_count", labels, value.buckets[-1][1])
                    family.add_sample(f"{definition.name}_sum", labels, value.sum)
                else:
                    family.add_sample(definition.exposed_name, labels, value)
            yield family


def registry(samples: Samples, labels: Mapping[str, str] | None = None) -> CollectorRegistry:
    """The samples as a registry, with these labels besides their own."""
    made = CollectorRegistry()
    made.register(_Families(samples, labels or {}))
    return made


def push(samples: Samples, gateway: str, grouping: Mapping[str, str]) -> None:
    """Add the samples to the group of a Pushgateway; metrics that they do not name stay.

    Raises MetricsError.
    """
    place, credentials = _split(gateway)
    handler = default_handler
    if credentials:
        handler = partial(basic_auth_handler, username=credentials[0], password=credentials[1])
    try:
        pushadd_to_gateway(
            place,
            job=JOB,
            registry=registry(samples),
            grouping_key=dict(grouping),
            timeout=TIMEOUT,
            handler=handler,
        )
    except (OSError, ValueError, HTTPException) as error:
        raise MetricsError(
            "push metrics to", place, _cause(error), "tasks are not affected; is the Pushgateway up?"
        ) from error


def probe(gateway: str) -> str:
    """Find out whether a Pushgateway answers, with the user and password of its URL; raises MetricsError.

    Nothing is pushed. What answers only /metrics, as some of its look-alikes do, will do.
    """
    place, credentials = _split(gateway)
    headers = {}
    if credentials:
        token = b64encode(":".join(credentials).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    for path in ("/-/ready", "/metrics"):
        request = UrlRequest(place.rstrip("/") + path, headers=headers)  # noqa: S310 (the flag takes only http(s))
        try:
            with urlopen(request, timeout=TIMEOUT):  # noqa: S310 (as above)
                return f"answers {path}"
        except (OSError, ValueError, HTTPException) as error:
            status = error.code if isinstance(error, HTTPError) else 0
            if status == HTTPStatus.NOT_FOUND:
                cause = f"neither /-/ready nor /metrics answers: {error}"
                continue
            refused = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
            advice = (
                "correct the user and password in --push-gateway" if refused else "is the Pushgateway up?"
            )
            raise MetricsError("reach", place, _cause(error), advice) from error
    raise MetricsError("reach", place, cause, "correct --push-gateway")


def without_password(gateway: str) -> str:
    """A Pushgateway's URL as it may be shown."""
    return _split(gateway)[0]


def _split(gateway: str) -> tuple[str, tuple[str, str] | None]:
    """A Pushgateway's URL without user and password, and these if there are any."""
    parts = urlsplit(gateway)
    place = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if parts.username is None:
        return place, None
    return place, (unquote(parts.username), unquote(parts.password or ""))


def _cause(error: Exception) -> str:
    return str(error.reason if type(error) is URLError else error)


def write(samples: Samples, path: Path, labels: Mapping[str, str]) -> None:
    """Write the samples to a file, at once or not at all, with these labels besides their own.

    As on a Pushgateway, metrics of the file that they do not name stay: of a run that fails, the last
    success; of `run` and `status`, those of the other. Raises MetricsError.
    """
    merged = Samples()
    merged.by_metric = {**_previous(path, labels), **samples.by_metric}
    try:
        write_to_textfile(str(path), registry(merged, labels))
    except (OSError, ValueError) as error:
        raise MetricsError(
            "write metrics to", str(path), str(error), "tasks are not affected; check --metrics-file"
        ) from error


def _previous(
    path: Path, labels: Mapping[str, str]
) -> dict[Definition, list[tuple[Mapping[str, str], float | Histogram]]]:
    """What a file has of our metrics, if there is one. Constant labels may have changed since."""
    known = {definition.exposed_name: definition for definition in ALL}
    found = Samples()
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")  # noqa: TRY301 (told as the others are)
        text = path.read_text("utf-8") if path.exists() else ""
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if (definition := known.get(sample.name)) is not None:
                    own = {name: sample.labels.get(name, "") for name in definition.labels}
                    found.add(definition, sample.value, {**labels, **own})
    except (OSError, ValueError) as error:
        advice = "tasks are not affected; delete the file if it is damaged, or correct --metrics-file"
        raise MetricsError("read the metrics of the run before in", str(path), str(error), advice) from error
    return found.by_metric
