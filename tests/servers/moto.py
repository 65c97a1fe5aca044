"""moto: S3, STS, SNS and SQS in memory."""

import html
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from servers.process import find, free_port, serving

REGION = "us-east-1"
ACCOUNT = "123456789012"


@contextmanager
def moto(directory: Path) -> Iterator[str]:
    """The URL of a moto server with nothing in it."""
    program = find("moto_server", "pip install 'moto[server]'")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [program, "-H", "127.0.0.1", "-p", str(port)]
    # It is told which credentials to use for its own calls, or it looks for them far and wide.
    environ = {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto", "AWS_DEFAULT_REGION": REGION}
    with serving(command, f"{url}/moto-api/", directory / "moto.log", environ):
        yield url


def make_bucket(url: str, name: str, keys: Mapping[str, str]) -> None:
    """Make a bucket of S3, here or on any look-alike, signed as botocore signs."""
    request = AWSRequest("PUT", f"{url}/{name}")
    S3SigV4Auth(Credentials(*keys.values()), "s3", REGION).add_auth(request)
    headers = dict(request.headers.items())
    with urllib.request.urlopen(urllib.request.Request(request.url, method="PUT", headers=headers)):
        pass


def call(url: str, service: str, action: str, **fields: str) -> str:
    """One request to SNS or SQS, past the code that is tested; `__` in a field's name stands for a dot."""
    named = {name.replace("__", "."): value for name, value in fields.items()}
    request = urllib.request.Request(
        url,
        data=urlencode({"Action": action, **named}).encode(),
        # The server tells services apart by what the signature is for, and does not check that.
        headers={"authorization": f"AWS4-HMAC-SHA256 Credential=k/20260101/{REGION}/{service}/aws4_request"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def make_queue(url: str, name: str) -> str:
    """Make a queue of SQS; its URL."""
    answer = call(url, "sqs", "CreateQueue", QueueName=name, **_fifo(name, "Attribute__1"))
    return _element("QueueUrl", answer)


def set_queue_attribute(url: str, queue_url: str, name: str, value: str) -> None:
    """Set an attribute of a queue of SQS."""
    attribute = {"Attribute__1__Name": name, "Attribute__1__Value": value}
    call(url, "sqs", "SetQueueAttributes", QueueUrl=queue_url, **attribute)


def make_topic(url: str, name: str) -> str:
    """Make a topic of SNS with a queue of SQS of the same name that gets raw messages; its ARN."""
    arn = _element(
        "TopicArn", call(url, "sns", "CreateTopic", Name=name, **_fifo(name, "Attributes__entry__1"))
    )
    make_queue(url, name)
    call(
        url,
        "sns",
        "Subscribe",
        TopicArn=arn,
        Protocol="sqs",
        Endpoint=arn.replace(":sns:", ":sqs:"),
        Attributes__entry__1__key="RawMessageDelivery",
        Attributes__entry__1__value="true",
    )
    return arn


def receive(url: str, queue: str, count: int) -> list[bytes]:
    """Take `count` messages of a queue; fewer if no more come."""
    queue_url = f"{url}/{ACCOUNT}/{queue}"
    bodies: list[bytes] = []
    while len(bodies) < count:
        answer = call(
            url,
            "sqs",
            "ReceiveMessage",
            QueueUrl=queue_url,
            MaxNumberOfMessages=str(min(10, count - len(bodies))),
        )
        found = re.findall("<Body>(.*?)</Body>", answer, re.DOTALL)
        if not found:
            break
        receipts = re.findall("<ReceiptHandle>(.*?)</ReceiptHandle>", answer, re.DOTALL)
        deletions: dict[str, str] = {}
        for place, receipt in enumerate(receipts, 1):
            entry = f"DeleteMessageBatchRequestEntry__{place}"
            deletions |= {f"{entry}__Id": str(place), f"{entry}__ReceiptHandle": html.unescape(receipt)}
        call(url, "sqs", "DeleteMessageBatch", QueueUrl=queue_url, **deletions)
        bodies += [html.unescape(body).encode() for body in found]
    return bodies


def _fifo(name: str, field: str) -> dict[str, str]:
    if not name.endswith(".fifo"):
        return {}
    is_topic = field.startswith("Attributes")
    return {
        f"{field}__{'key' if is_topic else 'Name'}": "FifoTopic" if is_topic else "FifoQueue",
        f"{field}__{'value' if is_topic else 'Value'}": "true",
    }


def _element(name: str, answer: str) -> str:
    found = re.search(f"<{name}>([^<]+)</{name}>", answer)
    assert found is not None, answer
    return found[1]


def enforce_policies(url: str, *, enforced: bool) -> None:
    """Check, or no longer check, who sends requests and what their policies allow."""
    after = b"0" if enforced else b"inf"
    headers = {"content-type": "text/plain"}
    request = urllib.request.Request(f"{url}/moto-api/reset-auth", after, headers)
    with urllib.request.urlopen(request, timeout=30):
        pass
