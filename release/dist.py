"""Builds, checks and tries out the release of the current commit: `make dist`.

`dist/` gets what is uploaded to the package index, and `build/release/` what accompanies it: checksums, the
bill of materials, and the licences. See RELEASING.md.
"""

import argparse
import sys
import tomllib
from pathlib import Path

from bill import bill
from building import build, digest
from checking import check
from commands import ROOT, ReleaseError, output
from interpreters import interpreters
from trying import try_out


def main() -> int:
    """Make the release that the command line asks for; 0 if everything passed."""
    arguments = _arguments()
    try:
        _make(arguments.skip_tests)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _make(skip_tests: bool) -> None:  # noqa: FBT001 (a flag of the command line)
    if output("git", "status", "--porcelain"):
        print("warning: uncommitted changes are not part of the release")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = interpreters(project["requires-python"])
    extras = tuple(project["optional-dependencies"])
    beside = ROOT / "build" / "release"
    beside.mkdir(parents=True, exist_ok=True)

    sdist, wheel = build("HEAD", ROOT / "dist")
    sums = "".join(f"{digest(path)}  {path.name}\n" for path in (sdist, wheel))
    (beside / "SHA256SUMS").write_text(sums)
    print(f"built twice, the same bytes:\n{sums}")
    for line in check(sdist, wheel):
        print(line)
    for path in bill(wheel, Path(sys.executable), beside):
        print(f"wrote {path.relative_to(ROOT)}, {path.stat().st_size / 1e3:,.0f} kB")
    if skip_tests:
        return
    if len(pythons) < 2:  # noqa: PLR2004 (a single one shows nothing about the others)
        print(
            f"warning: found no other Python than {', '.join(pythons)}; install more, for example with pyenv"
        )
    for tried in try_out(wheel, pythons, extras, beside):
        print(
            f"Python {tried.python}: installed without extras and with each of {', '.join(tried.extras)}; "
            f"{tried.passed} end-to-end tests passed in {tried.seconds:.0f} s",
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--skip-tests", action="store_true", help="build and check only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
