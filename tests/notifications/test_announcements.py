"""What notifications say, in all their forms; and that nothing in them does any harm."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.announcing import TIME, attributes, bridged, record, through_sns
from workflow_manager.notices import Upload
from workflow_manager.notifications.announcements import cloud_storage_upload, s3_uploads

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "s3", "bucket", "object", "key", "name", "eventName", "Type", "Message"]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def uploads(document: object) -> tuple[Upload, ...]:
    return s3_uploads(json.dumps(document))


def test_cloud_storage_says_it_by_attributes() -> None:
    expected = Upload("na-ingestor-1", "kittens-seen/2026/11/05/05/22/b.batch", TIME)
    assert cloud_storage_upload(attributes()) == expected


@pytest.mark.parametrize(
    "said",
    [
        attributes(eventType="OBJECT_DELETE"),
        attributes(eventType="OBJECT_METADATA_UPDATE"),
        attributes(objectId=None),
        attributes(objectId=""),
        attributes(bucketId=7),
        {},
        None,
        "OBJECT_FINALIZE",
    ],
)
def test_other_messages_are_about_no_upload(said: object) -> None:
    assert cloud_storage_upload(said) is None


@pytest.mark.parametrize("key", ["a/2026/11/05/05/22/b.batch", "a b/+%2F/ü", "😺/\x01", "../x"])
@pytest.mark.parametrize("wrap", [lambda document: document, through_sns])
def test_s3_says_it_with_encoded_keys(key: str, wrap: Callable[[object], object]) -> None:
    assert uploads(wrap({"Records": [record(key), record("other")]})) == (
        Upload("na-ingestor-1", key, TIME),
        Upload("na-ingestor-1", "other", TIME),
    )


@pytest.mark.parametrize("wrap", [lambda document: document, through_sns])
def test_eventbridge_says_it_with_keys_as_they_are(wrap: Callable[[object], object]) -> None:
    assert uploads(wrap(bridged("a b/+%2F"))) == (Upload("na-ingestor-1", "a b/+%2F", TIME - 0.5),)


@pytest.mark.parametrize(
    "document",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "na-ingestor-1"},
        {"Records": [record("a", eventName="ObjectRemoved:Delete")]},
        {"Records": [record("a", s3={})]},
        {"Records": [None, 7, []]},
        {"Records": [record("")]},
        bridged(""),
        {"Records": "x"},
        {"Type": "Notification", "Message": "no JSON"},
        {"Type": "Notification"},
        {"source": "aws.s3", "detail-type": "Object Created", "detail": {}},
        [],
        7,
    ],
)
def test_what_is_about_no_upload(document: object) -> None:
    assert uploads(document) == ()


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, '{"a":' * 50_000, "\x00", "\udcff"])
def test_what_is_no_json(body: str) -> None:
    assert s3_uploads(body) == ()


@pytest.mark.parametrize(
    "time", ["yesterday", "", None, 7, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-12:00Z"]
)
def test_a_time_that_is_none_is_not_told(time: object) -> None:
    (found,) = uploads({"Records": [record("a", eventTime=time)]})
    assert found.key == "a"
    assert isinstance(found.time, float)


@settings(deadline=None)
@given(JSON)
def test_whatever_is_said_does_no_harm(document: object) -> None:
    cloud_storage_upload(document)
    for said in (
        document,
        through_sns(document),
        {"Records": [document]},
        bridged("x") | {"detail": document},
    ):
        for upload in uploads(said):
            assert isinstance(upload.bucket, str)
            assert isinstance(upload.key, str)
