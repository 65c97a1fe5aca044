"""Measures two installed commands in turn and prints their ratios: before and after a change.

python benchmarks/compare.py --before PATH [--storage s3] [SCENARIO...]
"""

import argparse
import sys
from collections.abc import Sequence
from statistics import median

from measuring import Command, Run
from run import USUAL_QUEUE, parsed
from scenarios import SCENARIOS, Scenario
from serving import RunningServer, add_protocols, served

# What is compared of a run, and how it is shown.
_FIGURES = (("wall", "wall s", ".2f"), ("cpu", "CPU s", ".2f"), ("memory", "peak MB", ".1f"))


def main() -> int:
    """Measure what the command line asks for; 0 if every run did what it had to."""
    arguments = _arguments()
    print(f"{'scenario':8}" + "".join(f"  {title:>16}  ratio" for _, title, _ in _FIGURES))
    with served(arguments) as server:
        queue = USUAL_QUEUE[arguments.storage]
        before, after = (
            Command(path, arguments.storage, queue, server) for path in (arguments.before, arguments.command)
        )
        for name in arguments.scenarios or [one for one in SCENARIOS if SCENARIOS[one].command == "run"]:
            pairs = _measure(SCENARIOS[name], before, after, server, arguments)
            print(
                f"{name:8}" + "".join(_compared(pairs, name, style) for name, _, style in _FIGURES),
                flush=True,
            )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure two commands in turn")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--before", required=True, help="the command before the change")
    parser.add_argument(
        "--command", default="", help="the command after it, if not the one beside this Python"
    )
    parser.add_argument("--storage", choices=("s3", "gcs"), default="s3")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, after one to warm up")
    parser.add_argument("--latency", type=float, default=20, help="milliseconds of each request, where any")
    add_protocols(parser)
    return parsed(parser)


def _measure(
    scenario: Scenario, before: Command, after: Command, server: RunningServer, arguments: argparse.Namespace
) -> Sequence[tuple[Run, Run]]:
    """Pairs of runs, one of each command; which of them goes first alternates."""
    server.fill(scenario.filling)

    def run(command: Command) -> Run:
        server.reset(arguments.latency if scenario.has_latency else 0)
        return command.run(scenario.filling, scenario.flags, scenario.command)

    pairs = []
    for number in range(arguments.runs + 1):
        if number % 2:
            second, first = run(after), run(before)
        else:
            first, second = run(before), run(after)
        pairs.append((first, second))
    return pairs[1:]  # the first has made the server render its pages


def _compared(pairs: Sequence[tuple[Run, Run]], name: str, style: str) -> str:
    """The medians of one figure, and the median of the ratios of each pair."""
    first, second = (median(getattr(run, name) for run in runs) for runs in zip(*pairs, strict=True))
    ratio = median(getattr(after, name) / getattr(before, name) for before, after in pairs)
    return f"  {first:>7{style}} → {second:<6{style}}  {ratio:5.2f}"


if __name__ == "__main__":
    sys.exit(main())
