"""What the Go program did on real listings, the installed command does too."""

from pathlib import Path
from typing import Any

import pytest

from support.command import Deployment
from support.vectors import VECTORS, check

pytestmark = pytest.mark.end_to_end


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vector(vector: dict[str, Any], installed: Path, tmp_path: Path) -> None:
    check(vector, Deployment(installed, tmp_path), tmp_path / "metrics.prom")
