"""What `make chart` makes is what is there."""

import pytest

from chart_files import COPIES, kustomize_files, serve_flags, values_schema
from servers.kubernetes import tool
from support.chart import CHART, ROOT

KUSTOMIZE = ROOT / "deploy" / "kustomize"


def test_the_schema_of_values_is_generated() -> None:
    assert (CHART / "values.schema.json").read_text() == values_schema(), "make chart"


def test_the_flags_that_only_serve_has_are_known_to_the_chart() -> None:
    assert (CHART / "files" / "serve-flags.yaml").read_text() == serve_flags(), "make chart"


def test_the_chart_s_copies_are_those_of_this_repository() -> None:
    for source, copy in COPIES.items():
        assert copy.read_bytes() == source.read_bytes(), "make chart"


@pytest.mark.parametrize("name", ["cronjob", "jobs", "serve"])
def test_the_bases_for_kustomize_are_made_from_the_chart(name: str) -> None:
    folder = KUSTOMIZE / name
    made = kustomize_files(folder, tool("helm"))
    found = {path for path in folder.rglob("*") if path.is_file()} - {folder / "values.yaml"}
    assert found == made.keys(), "make chart"
    assert {path: path.read_text() for path in found} == made, "make chart"
