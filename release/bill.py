"""Writes the bill of materials: what an installation with all extras consists of, and its licences."""

import json
from pathlib import Path

from commands import BIN, ROOT, ReleaseError, run, tool

LOCK = ROOT / "requirements" / "all.txt"
# Licences that put no condition on programs that merely use a library.
_ALLOWED = (
    *(
        "Apache",
        "BSD",
        "ISC",
        "MIT",
        "MPL",
        "Python Software Foundation",
        "PSF",
        "Zero-Clause BSD",
        "Zope Public License",
    ),
    *("LGPL", "Lesser General Public License"),
)


def bill(wheel: Path, python: Path, directory: Path) -> tuple[Path, Path]:
    """The CycloneDX document and the table of licences of the wheel with all extras, as locked."""
    environment = directory / "bill"
    interpreter = install(wheel, "all", python, environment)
    document, licences = directory / "bill-of-materials.cdx.json", directory / "licences.md"
    tool(
        "cyclonedx-py",
        *("environment", str(interpreter), "--pyproject", str(ROOT / "pyproject.toml")),
        *("--output-reproducible", "--gather-license-texts", "--output-file", str(document)),
    )
    tool(
        "pip-licenses",
        *(f"--python={interpreter}", "--from=mixed", "--format=markdown", "--with-urls", "--order=license"),
        *(
            "--partial-match",
            f"--allow-only={';'.join(_ALLOWED)}",
            "--ignore-packages",
            "prio-workflow-manager",
        ),
        f"--output-file={licences}",
    )
    _check(document)
    _add_bundled(document, interpreter)
    return document, licences


def install(wheel: Path, extra: str, python: Path, environment: Path) -> Path:
    """Install the wheel with one extra, or none, and the locked versions; returns the interpreter."""
    uv = str(BIN / "uv")
    run(uv, "venv", "--quiet", "--clear", "--no-project", f"--python={python}", str(environment))
    interpreter = environment / "bin" / "python"
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    run(
        uv,
        *("pip", "install", "--quiet", "--no-config", f"--python={interpreter}"),
        *("--constraints", str(LOCK), what),
    )
    return interpreter


def _add_bundled(document: Path, interpreter: Path) -> None:
    """Add the libraries in C that PycURL's wheel contains, which no package's metadata mentions."""
    printed = run(str(interpreter), "-c", "import pycurl; print(pycurl.version)")
    _, *bundled = (part.partition("/")[::2] for part in printed.split())
    bill = json.loads(document.read_text())
    (pycurl,) = (part for part in bill["dependencies"] if part["ref"].startswith("pycurl=="))
    for name, version in bundled:
        reference = f"pycurl/{name}=={version}"
        bill["components"].append(
            {
                "bom-ref": reference,
                "name": name,
                "version": version,
                "type": "library",
                "group": "bundled with pycurl",
            }
        )
        bill["dependencies"].append({"ref": reference})
        pycurl.setdefault("dependsOn", []).append(reference)
    document.write_text(json.dumps(bill, indent=2) + "\n")


def _check(document: Path) -> None:
    """Each component has a version and a licence."""
    components = json.loads(document.read_text())["components"]
    lacking = [part["name"] for part in components if not part.get("version") or not part.get("licenses")]
    if lacking:
        raise ReleaseError(f"the bill of materials has no version or licence for {', '.join(lacking)}")
