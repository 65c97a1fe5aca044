"""The official Pub/Sub emulator, and what a subscriber sees there."""

import base64
import json
import os
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers.process import absent, find, free_port, serving

HOW_TO_GET = "gcloud components install pubsub-emulator, or apt-get install google-cloud-cli-pubsub-emulator"
# Where Google's command-line tools are; the variable is that of other tools too.
SDK_ROOTS = ("/usr/lib/google-cloud-sdk", "/usr/local/google-cloud-sdk", "~/google-cloud-sdk")
_MOST = 1000


@contextmanager
def pubsub(directory: Path) -> Iterator[str]:
    """The URL of an emulator with nothing in it."""
    java = find("java", "apt-get install default-jre-headless")
    url = f"http://127.0.0.1:{(port := free_port())}"
    # C1 only, and little memory: it is up sooner, and there is little to do.
    command = [java, "-XX:TieredStopAtLevel=1", "-Xmx512m", "-jar", str(_jar())]
    with serving([*command, "--host=127.0.0.1", f"--port={port}"], url, directory / "pubsub.log"):
        yield url


def call(url: str, method: str, path: str, content: object = None) -> Any:  # noqa: ANN401 (JSON)
    """One request to the emulator, past the code that is tested."""
    request = urllib.request.Request(
        f"{url}/v1/{path}",
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def publish(url: str, topic: str, bodies: Sequence[bytes]) -> None:
    """Publish messages, past the code that is tested."""
    messages = [{"data": base64.b64encode(body).decode()} for body in bodies]
    call(url, "POST", f"{topic}:publish", {"messages": messages})


def pull(url: str, subscription: str, count: int) -> list[bytes]:
    """Take `count` messages of a subscription and acknowledge them; fewer if no more come."""
    bodies: list[bytes] = []
    while len(bodies) < count:
        content = {"maxMessages": min(_MOST, count - len(bodies)), "returnImmediately": True}
        received = call(url, "POST", f"{subscription}:pull", content).get("receivedMessages")
        if not received:
            break
        ack_ids = {"ackIds": [message["ackId"] for message in received]}
        call(url, "POST", f"{subscription}:acknowledge", ack_ids)
        bodies += [base64.b64decode(message["message"]["data"]) for message in received]
    return bodies


def _jar() -> Path:
    gcloud = shutil.which("gcloud")
    roots = [os.environ.get("CLOUDSDK_ROOT_DIR", ""), *SDK_ROOTS]
    if gcloud:
        roots.append(str(Path(gcloud).resolve().parent.parent))
    for root in filter(None, roots):
        found = sorted(Path(root).expanduser().glob("platform/pubsub-emulator/lib/*pubsub-emulator*.jar"))
        if found:
            return found[-1]
    absent(f"the Pub/Sub emulator is not installed: {HOW_TO_GET}")
    raise AssertionError
