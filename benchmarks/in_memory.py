"""The command over buckets in its own memory, for measuring it with no network at all.

    python benchmarks/in_memory.py FILLING [flags of workflow-manager]

FILLING is a JSON object with the fields of filling.Filling. The last line written to
standard output is a JSON object with what the run alone took: `wall` and `cpu`, in seconds.
"""

import json
import os
import sys
import time
from typing import Any

from filling import Filling, objects
from workflow_manager.cli.main import main as command
from workflow_manager.ports import Settings
from workflow_manager.storage.memory import MemoryStore

_BODY = b""


def main() -> int:
    """Fill the buckets, run, and say what it took."""
    described: dict[str, Any] = json.loads(sys.argv[1])
    for bucket, key in sorted(objects(Filling(**described))):
        MemoryStore.open(f"memory://{bucket}", Settings()).put(key, _BODY)
    sys.argv = ["workflow-manager", *sys.argv[2:]]
    wall, before = time.perf_counter(), os.times()
    status = command()
    wall, after = time.perf_counter() - wall, os.times()
    cpu = after.user + after.system - before.user - before.system
    print(json.dumps({"wall": wall, "cpu": cpu}))
    return status


if __name__ == "__main__":
    sys.exit(main())
