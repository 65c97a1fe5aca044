"""Both cloud stores when the service or the network goes wrong, on emulators behind a faulty server."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from servers import faulty
from servers.faulty import Faulty, answer, honest
from servers.fixtures import KEYS, gcs_bucket, s3_bucket
from servers.process import free_port
from workflow_manager.errors import AccessDeniedError, StorageError
from workflow_manager.ports import ObjectStore, RetryPolicy, Settings
from workflow_manager.storage.gcs import GcsStore
from workflow_manager.storage.s3 import S3Store
from workflow_manager.testing.store_contract import keys

# Requests are counted, so no time-out may be met just because the machine is busy.
TIMEOUTS = RetryPolicy(read_timeout=20, tries=4, total_timeout=40)
NAMES = [f"many/{number:02}" for number in range(8)]


class Cloud(NamedTuple):
    """One of the stores on its emulator, with the faulty server between them."""

    store: S3Store | GcsStore
    between: Faulty
    refusal: Callable[[int, str], faulty.Fault]


def s3_refusal(status: int, code: str) -> faulty.Fault:
    return faulty.s3_error(status, code)


def gcs_refusal(status: int, code: str) -> faulty.Fault:
    document = f'{{"error": {{"message": "said {code}", "errors": [{{"reason": "{code}"}}]}}}}'
    return answer(status, document.encode())


@pytest.fixture(params=["s3", "gcs"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A bucket with a few objects, listed in pages of three."""
    monkeypatch.setattr("workflow_manager.clouds.service.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("workflow_manager.clouds.paging.PAGE_SIZE", 3)
    upstream = request.getfixturevalue("moto_url" if request.param == "s3" else "fake_gcs_url")
    with faulty.faulty(upstream) as between:
        opened = s3_bucket if request.param == "s3" else gcs_bucket
        store = opened(upstream, between.url, TIMEOUTS)
        for name in NAMES:
            store.put(name, b"")
        between.seen.clear()
        yield Cloud(store, between, s3_refusal if request.param == "s3" else gcs_refusal)
        store.close()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(503), id="service unavailable"),
        pytest.param(answer(429, retry_after="0"), id="too many requests"),
        pytest.param(answer(500), id="internal error"),
        pytest.param(faulty.reset, id="reset connection"),
        pytest.param(faulty.cut_short, id="page shorter than announced"),
        pytest.param(faulty.cut_unannounced, id="page cut off without notice"),
    ],
)
def test_a_listing_survives(fault: faulty.Fault, cloud: Cloud) -> None:
    cloud.between.script.extend([honest, fault, honest, fault])
    assert keys(cloud.store, "many/") == NAMES
    assert len(cloud.between.seen) == 3 + 2


def test_answers_slower_than_the_read_timeout_are_not_waited_for(cloud: Cloud) -> None:
    kind = type(cloud.store)
    environ = {"AWS_ENDPOINT_URL": cloud.between.url, "STORAGE_EMULATOR_HOST": cloud.between.url, **KEYS}
    hasty = TIMEOUTS._replace(read_timeout=0.5)
    store = kind.open(cloud.store.url, Settings(environ=environ, retry_policy=hasty))
    cloud.between.script.extend([honest, faulty.silent])
    assert keys(store, "many/") == NAMES
    cloud.between.script.append(faulty.silent)
    store.put("marker", b"content")
    assert store.get("marker") == b"content"
    store.close()


def test_a_page_that_is_never_whole_is_an_error_and_not_the_end(cloud: Cloud) -> None:
    cloud.between.script.append(honest)
    cloud.between.always = faulty.cut_unannounced
    with pytest.raises(StorageError, match=r"broke off in the middle of a listing \(tried 4 times"):
        keys(cloud.store, "many/")
    assert len(cloud.between.seen) == 1 + 4


def test_a_page_token_that_expires_is_no_matter(cloud: Cloud) -> None:
    invalid = cloud.refusal(400, "InvalidArgument")
    cloud.between.script.extend([honest, invalid, honest, invalid])
    assert keys(cloud.store, "many/") == NAMES
    # A listing starts again with the last name itself: there are four pages, with one new name less.
    assert len(cloud.between.seen) == 4 + 2


def test_a_page_token_that_is_refused_for_ever_ends_quickly(cloud: Cloud) -> None:
    cloud.between.script.append(honest)
    cloud.between.always = cloud.refusal(400, "InvalidArgument")
    with pytest.raises(StorageError, match="400 InvalidArgument"):
        keys(cloud.store, "many/")
    assert len(cloud.between.seen) == 1 + 2


@pytest.mark.parametrize("fault", [answer(503), faulty.reset, faulty.lose_answer])
def test_a_write_survives(fault: faulty.Fault, cloud: Cloud) -> None:
    cloud.between.script.append(fault)
    cloud.store.put("marker", b"content")
    assert cloud.store.get("marker") == b"content"
    assert len(cloud.between.seen) == 3


def test_a_conditional_write_whose_answer_was_lost_has_still_won(cloud: Cloud) -> None:
    cloud.between.script.append(faulty.lose_answer)
    assert cloud.store.put_if_absent("marker", b"first") is True
    assert cloud.store.put_if_absent("marker", b"second") is False
    assert cloud.store.get("marker") == b"first"


def test_a_conditional_write_that_is_tried_again_can_still_lose(cloud: Cloud) -> None:
    cloud.store.put_if_absent("marker", b"theirs")
    cloud.between.script.append(faulty.reset)
    assert cloud.store.put_if_absent("marker", b"ours") is False
    assert cloud.store.get("marker") == b"theirs"


def operations(store: ObjectStore) -> dict[str, Callable[[], object]]:
    return {
        "list": lambda: list(store.list_keys("many/")),
        "write": lambda: store.put("many/00", b""),
        "read": lambda: store.get("many/00"),
        "delete": lambda: store.delete("many/00"),
    }


@pytest.mark.parametrize("operation", ["list", "write", "read", "delete"])
def test_throttling_without_end_ends_after_the_allowed_tries(operation: str, cloud: Cloud) -> None:
    cloud.between.always = cloud.refusal(503, "SlowDown")
    with pytest.raises(StorageError, match=r"503 SlowDown.* \(tried 4 times in .*overloaded"):
        operations(cloud.store)[operation]()
    assert len(cloud.between.seen) == 4


@pytest.mark.parametrize("operation", ["list", "write", "read", "delete"])
def test_refused_access_is_tried_once_and_says_what_to_permit(operation: str, cloud: Cloud) -> None:
    cloud.between.always = cloud.refusal(403, "AccessDenied")
    with pytest.raises(StorageError) as failed:
        operations(cloud.store)[operation]()
    assert len(cloud.between.seen) == 1
    who = "the keys in AWS_ACCESS_KEY_ID" if isinstance(cloud.store, S3Store) else "nobody"
    permissions = {
        S3Store: {"list": "ListBucket", "write": "PutObject", "read": "GetObject", "delete": "DeleteObject"},
        GcsStore: {"list": "list", "write": "create", "read": "get", "delete": "delete"},
    }
    permission = permissions[type(cloud.store)][operation]
    pattern = (
        f"could not {operation} {cloud.store.url}.* as {who}.*403 AccessDenied"
        f".*grant .* the permission .*{permission}"
    )
    assert re.search(pattern, str(failed.value))


@pytest.mark.parametrize("operation", ["list", "write", "read", "delete"])
def test_a_missing_bucket_is_tried_once_and_named(operation: str, cloud: Cloud) -> None:
    missing = {
        S3Store: faulty.s3_error(404, "NoSuchBucket"),
        GcsStore: answer(404, b'{"error": {"message": "The specified bucket does not exist."}}'),
    }
    cloud.between.always = missing[type(cloud.store)]
    with pytest.raises(
        StorageError, match=f"{operation} {cloud.store.url}.*404.*create the bucket, or correct"
    ):
        operations(cloud.store)[operation]()
    assert len(cloud.between.seen) == 1


@pytest.mark.parametrize(("kind", "url"), [(S3Store, "s3://us-east-1/bucket"), (GcsStore, "gs://bucket")])
@pytest.mark.usefixtures("hasty")
def test_an_unreachable_endpoint_is_named_after_few_tries(
    kind: type[S3Store] | type[GcsStore], url: str
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    environ = {"AWS_ENDPOINT_URL": nobody, "STORAGE_EMULATOR_HOST": nobody, **KEYS}
    store = kind.open(url, Settings(environ=environ))
    with pytest.raises(
        StorageError, match=r"cannot be reached: Connection refused \(tried 3 times.*firewalls"
    ):
        keys(store)
    store.close()


class TestS3Only:
    @pytest.fixture
    def cloud(self, moto_url: str) -> Iterator[Cloud]:
        with faulty.faulty(moto_url) as between:
            store = s3_bucket(moto_url, between.url, TIMEOUTS)
            yield Cloud(store, between, s3_refusal)
            store.close()

    @pytest.mark.parametrize(
        ("status", "code", "advice"),
        [
            (400, "ExpiredToken", "renew the credentials"),
            (403, "InvalidAccessKeyId", "renew the credentials"),
            (403, "SignatureDoesNotMatch", "renew the credentials"),
            (403, "RequestTimeTooSkewed", "set this machine's clock"),
        ],
    )
    def test_what_is_wrong_with_credentials_is_said(
        self, status: int, code: str, advice: str, cloud: Cloud
    ) -> None:
        cloud.between.always = faulty.s3_error(status, code)
        with pytest.raises(StorageError, match=f"{code}.*{advice}"):
            keys(cloud.store)
        assert len(cloud.between.seen) == 1

    def test_a_bucket_of_another_region_is_said_to_be_there(self, cloud: Cloud) -> None:
        cloud.between.always = faulty.s3_error(301, "PermanentRedirect", x_amz_bucket_region="eu-north-1")
        with pytest.raises(StorageError, match="the bucket is in the region eu-north-1"):
            keys(cloud.store)

    def test_a_conditional_write_that_meets_another_is_tried_again(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workflow_manager.clouds.service.FIRST_PAUSE", 0.001)
        cloud.between.script.append(faulty.s3_error(409, "ConditionalRequestConflict"))
        assert cloud.store.put_if_absent("marker", b"") is True
        assert len(cloud.between.seen) == 2

    def test_a_page_that_goes_on_nobody_knows_where_is_no_end(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workflow_manager.clouds.service.FIRST_PAUSE", 0.001)
        page = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
        cloud.between.script.append(answer(200, page))
        assert keys(cloud.store) == []
        assert len(cloud.between.seen) == 2


class TestGcsOnly:
    def test_expired_credentials_are_said_to_be(self, server: Faulty, fake_gcs_url: str) -> None:
        server.always = gcs_refusal(401, "authError")
        store = gcs_bucket(fake_gcs_url, server.url, TIMEOUTS)
        with pytest.raises(StorageError, match=r"401 authError.*renew the credentials"):
            keys(store)
        assert len(server.seen) == 1
        store.close()

    @pytest.mark.usefixtures("hasty")
    def test_a_rate_limit_that_comes_as_forbidden_is_waited_for(
        self, server: Faulty, fake_gcs_url: str
    ) -> None:
        server.script.append(gcs_refusal(403, "rateLimitExceeded"))
        server.always = answer(200, b"{}")
        store = gcs_bucket(fake_gcs_url, server.url, TIMEOUTS)
        assert keys(store) == []
        assert len(server.seen) == 2
        store.close()


@pytest.mark.parametrize("status", [403, 500])
def test_a_reading_that_is_forbidden_is_told_from_one_that_fails(cloud: Cloud, status: int) -> None:
    cloud.between.always = cloud.refusal(status, "AccessDenied" if status == 403 else "InternalError")
    with pytest.raises(StorageError) as raised:
        cloud.store.get(NAMES[0], limit=100)
    assert isinstance(raised.value, AccessDeniedError) == (status == 403)
    if status == 403:
        assert re.search(r"s3:GetObject|storage\.objects\.get", raised.value.advice)
