"""`workflow-manager serve`: a long-running process that works on many instances."""

import os
import queue
import re
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from workflow_manager import flag_types
from workflow_manager.assembly import every_flag
from workflow_manager.cli.allocator import share_one_arena
from workflow_manager.cli.cpu import one_cpu
from workflow_manager.cli.exit_status import of_signal
from workflow_manager.cli.run_output import deliver_metrics, logs
from workflow_manager.config.flags import Flags
from workflow_manager.config.fleet_flags import FLEET, SERVED
from workflow_manager.config.run_config import Given, RunConfig
from workflow_manager.config.run_flags import Group
from workflow_manager.core.report import RunReport
from workflow_manager.errors import ConfigError
from workflow_manager.fleet import Fleet, read_fleet, target_flags
from workflow_manager.observe.logs import Logs
from workflow_manager.observe.service_events import (
    ConfigurationRefused,
    ConfigurationReloaded,
    ServiceStarted,
    ServiceStopped,
    ServiceStopping,
)
from workflow_manager.pipeline.shared_workers import SharedWorkers
from workflow_manager.ports import Observer, Option
from workflow_manager.service.exposition import OPENMETRICS, ServiceState, exposition
from workflow_manager.service.fleet_service import FleetService, ServiceSettings
from workflow_manager.service.instance_passes import PassContext, utc_now
from workflow_manager.service.overview import overview
from workflow_manager.service.records import Records
from workflow_manager.service.survey_jobs import SurveyContext
from workflow_manager.service.surveys import Surveys
from workflow_manager.service.web import Site, WebPage, WebServer, json_page, text_page

if TYPE_CHECKING:
    from workflow_manager.service.fleet_page import FleetPage

SUMMARY = """\
Run as a service that schedules all instances of a file: a pass over each at every interval, and one after
each notification of an upload. Serves /metrics, /healthz, /readyz, /status.json and / over HTTP. On SIGTERM,
it exits once the passes in progress have ended; on SIGHUP, it reloads the file."""
NO_HTTP = "none"
_LARGEST_PORT = 65535
_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]|\*):([0-9]{1,5})")


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if text != NO_HTTP and (match is None or int(match[1]) > _LARGEST_PORT):
        raise ValueError(f"not host:port, nor {NO_HTTP}")
    return text


SERVE = Group(
    "Serve",
    (
        Option("listen", f"host:port to serve HTTP on, or {NO_HTTP}", "127.0.0.1:9090", _address),
        Option(
            "max-list-requests",
            "maximum number of concurrent listings, over all instances",
            "64",
            flag_types.at_least_one,
        ),
        Option(
            "max-publish-requests",
            "maximum number of concurrent publish requests, over all instances",
            "64",
            flag_types.at_least_one,
        ),
        Option(
            "max-marker-requests",
            "maximum number of concurrent marker writes, over all instances",
            "96",
            flag_types.at_least_one,
        ),
        Option(
            "max-survey-requests",
            "maximum number of survey requests in flight, over all instances",
            "16",
            flag_types.at_least_one,
        ),
        Option(
            "max-passes", "maximum number of instances to work on at a time", "32", flag_types.at_least_one
        ),
    ),
)
FLAGS = Flags("serve", SUMMARY, [FLEET, SERVED, SERVE])
_METRICS_KIND = "text/plain; version=0.0.4; charset=utf-8"


def flags() -> Flags:
    """The flags of `serve`."""
    return every_flag("serve", SUMMARY, FLEET, SERVED, SERVE)


def serve(arguments: Sequence[str]) -> int:
    """Serve until a signal comes; its exit status."""
    environ = dict(os.environ)
    fleet = read_fleet("serve", SUMMARY, arguments, environ, SERVE)
    given = Given(fleet.process.values)
    if not given.get("no-malloc-tuning", bool):
        share_one_arena()
    with ExitStack() as opened:
        if not given.get("no-cpu-pinning", bool):
            opened.enter_context(one_cpu())
        read = partial(read_fleet, "serve", SUMMARY, arguments, environ, SERVE)
        return _Process(fleet, read, environ).run()


def _deliver(_name: str, config: RunConfig, report: RunReport, observer: Observer) -> None:
    """Push and write the metrics of a pass too, where an instance says so."""
    if not config.dry_run:
        deliver_metrics(config, report, observer)


class _Process:
    """The service, its HTTP server, and the signals that it is told by."""

    def __init__(self, fleet: Fleet, read: "partial[Fleet]", environ: Mapping[str, str]) -> None:
        given = Given(fleet.process.values)
        self._fleet = fleet
        self._read = read
        self._logs: Logs = logs(given.text("log-level"), given.text("log-format"))
        self._grace = given.get("shutdown-grace", timedelta).total_seconds()
        self._listen = given.text("listen")
        self._started = time.time()
        self._ready = False
        self._records = Records()
        self._surveys = Surveys()
        self._page: FleetPage | None = None
        settings = ServiceSettings(
            environ,
            self._logs.labelled,
            given.get("max-passes", int),
            quiet=given.text("log-level") != "debug",
        )
        workers = SharedWorkers.of(
            listing=given.get("max-list-requests", int),
            publishing=given.get("max-publish-requests", int),
            marking=given.get("max-marker-requests", int),
        )
        surveying = SurveyContext.of(self._surveys, environ, given.get("max-survey-requests", int), utc_now)
        self._service = FleetService(settings, PassContext(self._records, _deliver, workers), surveying)
        self._signals: queue.SimpleQueue[signal.Signals] = queue.SimpleQueue()
        self._ending = False

    def run(self) -> int:
        """Serve until a signal ends it; the exit status."""
        web = None if self._listen == NO_HTTP else WebServer(self._listen, Site(self._pages(), self._logs))
        self._service.use(self._fleet)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._received)
        self._service.start()
        if web is not None:
            web.start()
        address = web.address if web else ""
        self._logs.notify(ServiceStarted(len(self._fleet.instances), str(self._fleet.shard), address))
        self._ready = True
        while (received := self._signals.get()) is signal.SIGHUP:
            self._reload()
        self._ready = False
        return self._end(received)

    def _received(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGHUP:
            if self._ending:
                os._exit(of_signal(number))  # asked twice: nobody wants to wait
            self._ending = True
        self._signals.put(signal.Signals(number))

    def _reload(self) -> None:
        try:
            fleet = self._read()
            self._service.use(fleet)
        except ConfigError as error:
            for mistake in error.mistakes:
                self._logs.notify(ConfigurationRefused(str(mistake)))
        else:
            self._fleet = fleet
            self._logs.notify(ConfigurationReloaded(len(fleet.instances)))

    def _end(self, received: signal.Signals) -> int:
        reason = f"{received.name} received"
        self._logs.notify(ServiceStopping(reason))
        in_time = self._service.stop(reason, self._grace)
        self._logs.notify(ServiceStopped(in_time))
        if not in_time:
            os._exit(of_signal(received))
        return of_signal(received)

    def _pages(self) -> dict[str, "partial[WebPage]"]:
        return {
            "/": partial(self._status_page),
            "/status.json": partial(self._overview_page),
            "/metrics": partial(self._metrics_page, openmetrics=False),
            f"/metrics;{OPENMETRICS}": partial(self._metrics_page, openmetrics=True),
            "/healthz": partial(text_page, "ok"),
            "/readyz": partial(self._ready_page),
        }

    def _ready_page(self) -> WebPage:
        return text_page("ready" if self._ready else "not ready", good=self._ready)

    def _metrics_page(self, *, openmetrics: bool) -> WebPage:
        kind = f"{OPENMETRICS}; version=1.0.0; charset=utf-8" if openmetrics else _METRICS_KIND
        state = ServiceState(self._records, self._surveys, self._started)
        return WebPage("200 OK", kind, exposition(state, time.time(), openmetrics=openmetrics))

    def _overview_page(self) -> WebPage:
        return json_page(overview(self._records, str(self._fleet.shard), self._started, time.time()))

    def _status_page(self) -> WebPage:
        if self._page is None:
            from workflow_manager.service.fleet_page import FleetPage  # noqa: PLC0415 (when it is asked for)

            def target(name: str) -> str:
                return target_flags(self._fleet, name)

            self._page = FleetPage(self._surveys, self._records, target)
        page = self._page.render(str(self._fleet.shard), self._started, time.time())
        return WebPage("200 OK", "text/html; charset=utf-8", page.html.encode(), page.policy)
