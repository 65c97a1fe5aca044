"""What permission each recorded request needs, and what policies in deploy/iam grant."""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from servers import moto
from servers.faulty import Seen

IAM = Path(__file__).parent.parent.parent / "deploy" / "iam"
# Batches need the permission of single requests: https://docs.aws.amazon.com/service-authorization/latest/reference/
BATCHES = {
    "sns:PublishBatch": "sns:Publish",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
# Anybody may ask who they are, and a web identity is admitted by the role's trust policy.
FREE = {"sts:GetCallerIdentity", "sts:AssumeRoleWithWebIdentity"}
S3 = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}
# https://cloud.google.com/storage/docs/access-control/iam-json
GCS = {"GET": "storage.objects.get", "POST": "storage.objects.create", "DELETE": "storage.objects.delete"}
# https://cloud.google.com/pubsub/docs/access-control: to list a topic's subscriptions is to get the topic
PUBSUB = [
    (r"POST .*/topics/[^/]+:publish", {"pubsub.topics.publish"}),
    (r"GET .*/topics/[^/]+(/subscriptions)?", {"pubsub.topics.get"}),
    (r"GET .*/subscriptions/[^/]+", {"pubsub.subscriptions.get"}),
    (r"POST .*/subscriptions/[^/]+:(pull|acknowledge|modifyAckDeadline)", {"pubsub.subscriptions.consume"}),
    (r"PUT .*/topics/[^/]+", {"pubsub.topics.create"}),
    (r"PUT .*/subscriptions/[^/]+", {"pubsub.subscriptions.create", "pubsub.topics.attachSubscription"}),
]


class Use(NamedTuple):
    """A permission that a request needs, and what it is needed on."""

    action: str
    resource: str


def aws_uses(requests: Iterable[Seen]) -> set[Use]:
    """The permissions that requests to services of AWS need."""
    return {use for request in requests if (use := _aws_use(request)).action not in FREE}


def _aws_use(request: Seen) -> Use:
    parts = urlsplit(request.path)
    fields = {name: values[0] for name, values in parse_qs(request.body.decode(errors="replace")).items()}
    if request.method == "POST":
        headers = {name.lower(): value for name, value in request.headers.items()}
        scope = re.search(r"Credential=\w+/\d+/[\w-]+/(\w+)/", headers.get("authorization", ""))
        action = f"{scope[1] if scope else 'sts'}:{fields['Action']}"
        return Use(BATCHES.get(action, action), _aws_resource(fields))
    path = unquote(parts.path).removeprefix("/").removesuffix("/")
    action = "s3:ListBucket" if "list-type=2" in parts.query else S3[request.method]
    return Use(action, f"arn:aws:s3:::{path}")


def _aws_resource(fields: Mapping[str, str]) -> str:
    """The ARN of a topic, or the name of a queue, which is the end of its ARN."""
    queue = fields.get("QueueUrl", fields.get("QueueName", "")).rpartition("/")[2]
    return (
        fields.get("TopicArn")
        or fields.get("SubscriptionArn")
        or f"arn:aws:sqs:{moto.REGION}:{moto.ACCOUNT}:{queue}"
    )


def google_uses(requests: Iterable[Seen]) -> set[Use]:
    """The permissions that requests to Cloud Storage and Pub/Sub need."""
    return {use for request in requests for use in _google_uses(request)}


def _google_uses(request: Seen) -> Iterable[Use]:
    path = unquote(urlsplit(request.path).path)
    if found := re.fullmatch(r"(?:/upload)?/storage/v1/b/([^/]+)/o(?:/(.+))?", path):
        listing = request.method == "GET" and not found[2]
        name = found[2] or ("" if listing else _written(request))
        yield Use(
            "storage.objects.list" if listing else GCS[request.method], f"{found[1]}/{name}".rstrip("/")
        )
        return
    for pattern, permissions in PUBSUB:
        if re.fullmatch(pattern, f"{request.method} {path}"):
            yield from (Use(permission, path.rpartition(":")[0] or path) for permission in permissions)
            return
    raise AssertionError(f"what permission does {request.method} {path} need?")


def _written(request: Seen) -> str:
    """The name of the object that an upload writes: in the query, or in the first of two parts."""
    query = parse_qs(urlsplit(request.path).query)
    if query["uploadType"] == ["media"]:
        return query["name"][0]
    return str(json.loads(request.body.split(b"\r\n")[3])["name"])


def statements(*names: str, **values: str) -> list[dict[str, Any]]:
    """The statements of policies of AWS, with values in the place of their capital letters."""
    found = []
    for name in names:
        text = (IAM / f"{name}.json").read_text()
        for placeholder, value in values.items():
            text = re.sub(rf"\b{placeholder}\b", value, text)
        found += json.loads(text)["Statement"]
    return found


def grants(policy: Iterable[Mapping[str, Any]], use: Use) -> bool:
    """Whether a policy allows it."""
    return any(
        use.action in as_list(statement["Action"])
        and any(fnmatchcase(use.resource, pattern) for pattern in as_list(statement["Resource"]))
        for statement in policy
    )


def actions(policy: Iterable[Mapping[str, Any]]) -> set[str]:
    """All actions of a policy."""
    return {action for statement in policy for action in as_list(statement["Action"])}


def role(name: str) -> set[str]:
    """The permissions of a custom role of Google Cloud."""
    return set(json.loads((IAM / f"{name}.json").read_text())["includedPermissions"])


def as_list(value: str | list[str]) -> list[str]:
    """What policies may have as one text or a list of them."""
    return [value] if isinstance(value, str) else value


def intake_task(aggregation: str) -> str:
    """A message that a worker may have given up on."""
    trace, batch = (str(uuid.uuid4()) for _ in range(2))
    date = "2026/11/23/04/05"
    return json.dumps({"trace-id": trace, "aggregation-id": aggregation, "batch-id": batch, "date": date})
