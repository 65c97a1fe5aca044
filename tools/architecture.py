"""Draws the parts of the program and what they import, from the code: docs/images/architecture.svg.

An arrow means "imports"; those that follow from others are left out. A dashed one means that the registry
loads a part by name, when it is asked for. `make docs` runs this.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "workflow_manager"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
_STYLE = """\
direction: down
classes: {
  folder: { style: { font-size: 20; bold: true } }
  module: { style: { font-size: 18; bold: false } }
  pure: { style: { fill: "#e3f4e6" } }
}
"""

Imports = Mapping[str, frozenset[str]]


def imports() -> Imports:
    """The parts that each part imports, itself left out."""
    graph = grimp.build_graph("workflow_manager")
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        others = found.setdefault(_part(module), set())
        others.update(map(_part, graph.find_modules_directly_imported_by(module)))
    return {part: frozenset(others - {part, ""}) for part, others in sorted(found.items()) if part}


def reduced(whole: Imports) -> Imports:
    """Without the imports that a chain of others implies."""
    return {
        part: frozenset(
            other for other in others if not any(other in _reached(whole, by) for by in others - {other})
        )
        for part, others in whole.items()
    }


def drawing() -> str:
    """The picture in the language of D2."""
    return _STYLE + "\n".join([*_boxes(), *_arrows(), ""])


def picture() -> str:
    """The picture as SVG."""
    d2 = [str(Path(sys.executable).with_name("d2")), "--layout=elk", "--pad=16", "--dark-theme=-1", "-", "-"]
    done = subprocess.run(d2, input=drawing(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def _part(module: str) -> str:
    """`queues` of `workflow_manager.queues.sqs`; of the package itself, nothing."""
    return (*module.split("."), "")[1]


def _reached(whole: Imports, part: str) -> frozenset[str]:
    found: set[str] = set()
    waiting = [part]
    while waiting:
        new = whole.get(waiting.pop(), frozenset()) - found
        found |= new
        waiting += new
    return frozenset(found)


def _boxes() -> Iterator[str]:
    for part in imports():
        is_folder = (SOURCE / part).is_dir()
        classes = "[folder; pure]" if part == "core" else "folder" if is_folder else "module"
        yield f'{part}: "{part}{"/" if is_folder else ".py"}" {{ class: {classes} }}'


def _arrows() -> Iterator[str]:
    for part, others in reduced(imports()).items():
        yield from (f"{part} -> {other}" for other in sorted(others))
    loaded = re.findall(r'": "(\w+)\.\w+:\w+"', (SOURCE / "registry.py").read_text())
    yield from (f"registry -> {part}: {{ style.stroke-dash: 4 }}" for part in sorted(set(loaded)))


def main() -> None:
    """Write the picture."""
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture())


if __name__ == "__main__":
    main()
