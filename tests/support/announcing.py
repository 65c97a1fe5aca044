"""Messages about uploads, as the clouds send them."""

import base64
import json
import uuid
from urllib.parse import quote_plus

from servers import moto, pubsub

TIME = 1793856120.5  # of all of them but EventBridge's, which has whole seconds
PROJECT = "project"


def attributes(**changed: object) -> dict[str, object]:
    """The attributes of a message as Cloud Storage publishes it."""
    return {
        "bucketId": "na-ingestor-1",
        "eventTime": "2026-11-05T05:22:00.500000Z",
        "eventType": "OBJECT_FINALIZE",
        "notificationConfig": "projects/_/buckets/na-ingestor-1/notificationConfigs/7",
        "objectGeneration": "1793853720500000",
        "objectId": "kittens-seen/2026/11/05/05/22/b.batch",
        "payloadFormat": "JSON_API_V1",
    } | changed


def record(key: str, **changed: object) -> dict[str, object]:
    """A record of S3's event notification, version 2.3."""
    return {
        "eventVersion": "2.3",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-1",
        "eventTime": "2026-11-05T05:22:00.500Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "na-ingestor-1", "arn": "arn:aws:s3:::na-ingestor-1"},
            "object": {"key": quote_plus(key), "size": 7, "sequencer": "0A1B2C"},
        },
    } | changed


def bridged(key: str) -> dict[str, object]:
    """An event of EventBridge."""
    return {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-11-05T05:22:00Z",
        "region": "us-west-1",
        "detail": {
            "bucket": {"name": "na-ingestor-1"},
            "object": {"key": key, "size": 7},
            "reason": "PutObject",
        },
    }


def through_sns(document: object) -> dict[str, object]:
    """A message of SQS for what a topic without raw delivery was sent."""
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:t", "Message": json.dumps(document)}


class Subscription:
    """A subscription on the Pub/Sub emulator, and what Cloud Storage publishes to its topic."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._name = f"t-{uuid.uuid4().hex}"
        topic = f"projects/{PROJECT}/topics/{self._name}"
        pubsub.call(url, "PUT", topic, {})
        subscription = {"topic": topic, "ackDeadlineSeconds": 10}
        pubsub.call(url, "PUT", f"projects/{PROJECT}/subscriptions/{self._name}", subscription)
        self.url = f"pubsub://{PROJECT}/{self._name}"

    def publish(self, *messages: dict[str, object]) -> None:
        data = base64.b64encode(b'{"kind": "storage#object"}').decode()
        content = {"messages": [{"data": data, "attributes": message} for message in messages]}
        pubsub.call(self._url, "POST", f"projects/{PROJECT}/topics/{self._name}:publish", content)


class Queue:
    """A queue of moto's SQS that events of S3 are sent to."""

    def __init__(self, url: str) -> None:
        self._server = url
        self._name = f"q-{uuid.uuid4().hex}"
        self.queue_url = moto.make_queue(url, self._name)
        self.url = f"sqs://{moto.REGION}/{self._name}"

    def publish(self, *documents: object) -> None:
        for document in documents:
            body = document if isinstance(document, str) else json.dumps(document)
            moto.call(self._server, "sqs", "SendMessage", QueueUrl=self.queue_url, MessageBody=body)
