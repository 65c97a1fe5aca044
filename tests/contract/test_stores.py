"""The store contract, over every kind of store that needs no server."""

from pathlib import Path
from typing import ClassVar

import pytest

from workflow_manager.ports import ObjectStore, Settings
from workflow_manager.storage.local import LocalStore
from workflow_manager.storage.memory import MemoryStore
from workflow_manager.testing.store_contract import BatchWriterContract, StoreContract


class TestMemoryStore(BatchWriterContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()


class TestLocalStore(StoreContract):
    # A path has no empty or dot components; all else that others may write, it can hold.
    odd_names: ClassVar[list[str]] = ["tab\t/nl\n/cr\r", "ctl/\x01\x1f\x7f"]

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return LocalStore.open(f"file://{tmp_path}", Settings())
