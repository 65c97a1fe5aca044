"""Measures whole runs of the installed command, and compares them with the Go program's.

    python benchmarks/run.py --storage s3

See README.md beside this file for what the columns mean.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict

from measuring import Command, Run, median
from scenarios import REFERENCE_LATENCY, SCENARIOS, Scenario
from serving import RunningServer, Speed, add_protocols, raw_speed, served
from table import header, row

USUAL_QUEUE = {"s3": "sns", "gcs": "pubsub", "memory": "memory"}


def main() -> int:
    """Measure what the command line asks for; 0 if every run did what it had to."""
    arguments = _arguments()
    queue = arguments.queue or USUAL_QUEUE[arguments.storage]
    results = []
    with ExitStack() as open_until_the_end:
        server = open_until_the_end.enter_context(served(arguments))
        speed = raw_speed(server, arguments.latency)
        if not arguments.json:
            print(
                f"{arguments.storage} to {queue}, {'without' if arguments.plain else 'over'} TLS, "
                f"{arguments.latency * 1000:g} ms a request where there is "
                f"latency, the median of {arguments.runs} runs.\nThe server by itself, one connection: "
                f"{speed.pages:,.0f} pages of 1,000 names a second, {speed.writes:,.0f} writes; "
                f"a page with latency takes {speed.delay * 1000:.1f} ms.\n"
            )
            print(header())
        for name in arguments.scenarios or SCENARIOS:
            command = Command(arguments.command, arguments.storage, queue, server)
            runs = _measure(SCENARIOS[name], command, server, arguments)
            result = _result(name, median(runs), speed, arguments)
            results.append({**result, "runs": [asdict(run) for run in runs]})
            if not arguments.json:
                print(row(result), flush=True)
    if arguments.json:
        described = {
            "storage": arguments.storage,
            "queue": queue,
            "server": asdict(speed),
            "results": results,
        }
        print(json.dumps(described, indent=2))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure whole runs of workflow-manager")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--storage", choices=USUAL_QUEUE, default="s3", help="kind of buckets")
    parser.add_argument("--queue", choices=set(USUAL_QUEUE.values()), help="kind of queue")
    parser.add_argument("--latency", type=float, default=20, help="milliseconds a request takes (20)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, besides one to warm up (3)")
    parser.add_argument("--command", default="", help="the command, if not the one beside this Python")
    parser.add_argument("--flags", default="", help="more flags for the command")
    add_protocols(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parsed(parser)


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, checked; the latency in seconds."""
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    if arguments.runs < 1 or arguments.latency < 0:
        parser.error("runs are at least 1, and latency is not negative")
    arguments.latency /= 1000
    return arguments


def _measure(
    scenario: Scenario, command: Command, server: RunningServer, arguments: argparse.Namespace
) -> Sequence[Run]:
    server.fill(scenario.filling)
    runs = []
    for _ in range(arguments.runs + 1):
        server.reset(arguments.latency if scenario.has_latency else 0)
        flags = [*scenario.flags, *arguments.flags.split()]
        runs.append(command.run(scenario.filling, flags, scenario.command))
    return runs[1:]  # the first has made the server render its pages


def _result(name: str, run: Run, speed: Speed, arguments: argparse.Namespace) -> dict[str, object]:
    """A scenario's figures beside the floor and the reference; None where there is nothing to compare.

    The floor is what latency and the requests that must follow each other allow, or with no
    latency, what the server takes to answer.
    """
    scenario, storage = SCENARIOS[name], arguments.storage
    delay = arguments.latency if scenario.has_latency else 0.0
    floor = scenario.sequential_requests() * delay if delay else speed.seconds(run.requests)
    reference = scenario.reference.get(storage)
    if scenario.has_latency and arguments.latency != REFERENCE_LATENCY:
        reference = None
    return {
        "scenario": name,
        "about": scenario.about,
        **asdict(run),
        "floor": floor if storage != "memory" else None,
        "reference": asdict(reference) if reference else None,
        "times_faster": reference.wall / run.wall if reference else None,
        "goal": scenario.goals.get(storage) if reference else None,
    }


if __name__ == "__main__":
    sys.exit(main())
