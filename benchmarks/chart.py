"""Draws the results of `run.py --json` as bars: how many times faster than the Go program each run was.

python benchmarks/chart.py s3.json gcs.json > docs/explanation/performance.svg
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

_LEFT, _WIDTH, _ROW, _TOP = 410, 420, 26, 34
_MOST = 1000  # times faster, at the right edge; the scale is logarithmic
_COLOURS = {"s3": "#d9822b", "gcs": "#2b6cb0"}
_GREY = "#777"


def main() -> None:
    """Print the picture."""
    parser = argparse.ArgumentParser(description="Draw the results of run.py --json")
    parser.add_argument("results", nargs="+", type=Path, help="a file of results, one for each storage")
    documents = [json.loads(path.read_text()) for path in parser.parse_args().results]
    print(drawn([bar for document in documents for bar in _bars(document)]))


def _bars(document: Mapping[str, Any]) -> Iterator[tuple[str, str, float, float]]:
    """Storage, label, how many times faster, and the goal, of each result that has a reference."""
    storage = document["storage"]
    for result in document["results"]:
        if result["times_faster"]:
            label = f"{result['about']}, {storage} to {document['queue']}"
            yield storage, label, result["times_faster"], result["goal"] or 0


def drawn(bars: list[tuple[str, str, float, float]]) -> str:
    """The picture as SVG: a bar for each run, a tick for its goal."""
    height = _TOP + _ROW * len(bars) + 10
    box = f'viewBox="0 0 {_LEFT + _WIDTH + 60} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for power in range(4):
        x = _x(10**power)
        lines.append(
            f'<line x1="{x}" x2="{x}" y1="{_TOP - 8}" y2="{height}" stroke="#ddd"/>'
            f'<text x="{x}" y="{_TOP - 14}" text-anchor="middle" fill="{_GREY}">{10**power}&#215;</text>'
        )
    for number, (storage, label, faster, goal) in enumerate(bars):
        y = _TOP + _ROW * number
        lines.append(
            f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{_x(faster) - _LEFT}" height="18" fill="{_COLOURS[storage]}"/>'
            f'<text x="{_x(faster) + 5}" y="{y + 13}">{faster:.{0 if faster >= 10 else 1}f}&#215;</text>'
        )
        if goal:
            lines.append(
                f'<line x1="{_x(goal)}" x2="{_x(goal)}" y1="{y - 2}" y2="{y + 20}" stroke="black" '
                'stroke-width="2"/>'
            )
    return "\n".join([*lines, "</svg>"])


def _x(times: float) -> int:
    return _LEFT + round(_WIDTH * math.log10(max(1.0, times)) / math.log10(_MOST))


if __name__ == "__main__":
    main()
