"""What notifications of uploads say, in the forms that the clouds have for them.

Anyone who may write to the queue can make them up, and names are chosen by those who upload: all
parsers here take any bytes at all, and return what can be understood of them.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import unquote_plus

from workflow_manager.notices import Upload

_CREATED = ("ObjectCreated:", "s3:ObjectCreated:")


def cloud_storage_upload(attributes: object) -> Upload | None:
    """The upload that a Pub/Sub message of Cloud Storage is about; None if it is about something else.

    https://cloud.google.com/storage/docs/pubsub-notifications: attributes alone say it, as the
    message's data may be left out.
    """
    match attributes:
        case {"eventType": "OBJECT_FINALIZE", "bucketId": str(bucket), "objectId": str(key), **rest} if key:
            return Upload(bucket, key, _time(rest.get("eventTime")))
    return None


def s3_uploads(body: str) -> tuple[Upload, ...]:
    """The uploads that a message of SQS is about: from S3 itself, through SNS, or from EventBridge.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html. Keys are URL-encoded in the
    first form, and as they are in EventBridge's. A test event is about none.
    """
    document = _parsed(body)
    if isinstance(document, dict) and document.get("Type") == "Notification":
        document = _parsed(document.get("Message"))  # as SNS wraps it, without raw delivery
    match document:
        case {"Records": list(records)}:
            return tuple(_records(records))
        case {"source": "aws.s3", "detail-type": "Object Created", "detail": detail, **rest}:
            return tuple(_bridged(detail, rest.get("time")))
    return ()


def _records(records: list[object]) -> Iterator[Upload]:
    for record in records:
        match record:
            case {
                "eventName": str(name),
                "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
                **rest,
            } if key and name.startswith(_CREATED):
                yield Upload(
                    bucket, unquote_plus(key, errors="surrogateescape"), _time(rest.get("eventTime"))
                )


def _bridged(detail: object, time: object) -> Iterator[Upload]:
    match detail:
        case {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}} if key:
            yield Upload(bucket, key, _time(time))


def _parsed(text: object) -> Mapping[str, object] | None:
    try:
        document = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):  # the latter for thousands of brackets
        return None
    return document if isinstance(document, dict) else None


def _time(text: object) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0 if it is none."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() if time else 0.0
    except (ValueError, OverflowError):
        return 0.0
