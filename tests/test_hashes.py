"""SHA-256 and HMAC as Python's own modules for them compute them."""

import hashlib
import hmac
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.hashes import hmac_sha256, keyed, sha256


@given(st.binary())
def test_a_hash_is_that_of_hashlib(text: bytes) -> None:
    assert sha256(text).hexdigest() == hashlib.sha256(text).hexdigest()


@given(st.binary(max_size=200), st.lists(st.binary(), max_size=3))
def test_a_keyed_hash_is_that_of_hmac(key: bytes, texts: list[bytes]) -> None:
    compute = keyed(key)
    for text in texts:
        assert compute(text) == hmac_sha256(key, text) == hmac.digest(key, text, "sha256")


def test_a_run_on_aws_loads_one_openssl() -> None:
    loads = "import workflow_manager.cli.run, workflow_manager.storage.s3, workflow_manager.queues.sns, sys"
    found = subprocess.run(
        [sys.executable, "-c", f"{loads}; print(*sys.modules)"], check=True, capture_output=True, text=True
    )
    assert not {"_hashlib", "_ssl"} & set(found.stdout.split())
