"""What S3's URLs and the environment mean, and how listings of all kinds of service are read."""

import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from servers.faulty import Faulty, answer
from servers.fixtures import KEYS
from workflow_manager.errors import ConfigError, MissingExtraError, StorageError
from workflow_manager.ports import Settings
from workflow_manager.storage.s3 import S3Store
from workflow_manager.testing.store_contract import directories, keys

ROLE = "arn:aws:iam::123456789012:role/reader"


def opened(server: Faulty) -> S3Store:
    environ = {"AWS_ENDPOINT_URL": server.url, **KEYS}
    return S3Store.open("s3://us-east-1/bucket", Settings(environ=environ))


@pytest.fixture
def store(server: Faulty) -> Iterator[S3Store]:
    opened_ = opened(server)
    yield opened_
    opened_.close()


def page(*entries: str, head: str = "<IsTruncated>false</IsTruncated>", encoded: bool = True) -> bytes:
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    return f"<ListBucketResult>{head}{encoding}{''.join(entries)}</ListBucketResult>".encode()


def contents(*names: str) -> str:
    return "".join(f"<Contents><Key>{name}</Key><Size>1</Size></Contents>" for name in names)


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        ["s3://bucket", "s3://eu-west-1/", "s3:///bucket", "s3://eu-west-1/a/b", "s3://eu-west-1/bucket//",
         "s3://eu-west-1/b?x=1",
         "s3://EU/b-b", "s3://eu-west-1/a b", "s3://eu-west-1/bücket"],
    )  # fmt: skip
    def test_a_url_of_another_form_is_a_mistake(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"not a valid S3 URL: use s3://\{region\}/\{name\}"):
            S3Store.open(url, Settings())

    @pytest.mark.parametrize(
        ("url", "environ", "base"),
        [
            ("s3://eu-west-1/bucket", {}, "https://bucket.s3.eu-west-1.amazonaws.com"),
            ("s3://eu-west-1/dot.ted", {}, "https://s3.eu-west-1.amazonaws.com/dot.ted"),
            ("s3://eu-west-1/Under_score", {}, "https://s3.eu-west-1.amazonaws.com/Under_score"),
            ("s3://cn-north-1/bucket", {}, "https://bucket.s3.cn-north-1.amazonaws.com.cn"),
            ("s3://x/bucket", {"AWS_ENDPOINT_URL": "http://minio:9000/"}, "http://minio:9000/bucket"),
            (
                "s3://x/bucket",
                {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"},
                "http://s3/bucket",
            ),
        ],
    )
    def test_the_address_follows_from_url_and_environment(
        self, url: str, environ: Mapping[str, str], base: str
    ) -> None:
        store = S3Store.open(url, Settings(environ={**environ, **KEYS}))
        assert store._service.endpoint + store._path == base
        store.close()

    @pytest.mark.parametrize("url", ["s3://eu-west-1/bucket", "s3://eu-west-1/bucket/"])
    def test_a_slash_at_the_end_is_the_same_bucket(self, url: str) -> None:
        store = S3Store.open(url, Settings(environ=KEYS))
        assert store.url == "s3://eu-west-1/bucket"
        assert store._service.endpoint == "https://bucket.s3.eu-west-1.amazonaws.com"
        store.close()

    def test_opening_sends_no_request(self, server: Faulty) -> None:
        opened(server).close()
        environ = {"AWS_ENDPOINT_URL": server.url, "GCE_METADATA_HOST": server.url}
        S3Store.open("s3://us-east-1/bucket", Settings(identity=ROLE, environ=environ)).close()
        assert server.seen == []

    def test_an_identity_has_to_be_a_role(self) -> None:
        with pytest.raises(ConfigError, match="not a role's ARN"):
            S3Store.open("s3://us-east-1/bucket", Settings(identity="reader"))

    def test_a_missing_library_is_named_with_its_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workflow_manager.clouds.service.find_spec", lambda _: None)
        with pytest.raises(MissingExtraError, match=r"workflow-manager\[aws\].*'botocore'"):
            S3Store.open("s3://us-east-1/bucket", Settings())

    @pytest.mark.parametrize("module", ["s3", "gcs"])
    def test_importing_the_adapter_loads_no_library_of_the_cloud(self, module: str) -> None:
        program = (
            f"import sys, workflow_manager.storage.{module}\n"
            "print(*sys.modules.keys() & {'urllib3', 'botocore', 'google.auth', 'requests'})"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == ""


class TestListings:
    def test_encoded_names_are_decoded(self, server: Faulty, store: S3Store) -> None:
        names = ["a+b", "c%2Bd", "e%2520f", "g%0Ah", "%C3%BC"]
        server.always = answer(200, page(contents(*names)))
        assert sorted(keys(store)) == sorted(["a b", "c+d", "e%20f", "g\nh", "ü"])

    def test_names_that_a_look_alike_leaves_as_they_are_stay_so(self, server: Faulty, store: S3Store) -> None:
        names = ["a+b", "c%2Bd", "e&amp;lt;f", "g&#10;h", "ü"]
        server.always = answer(200, page(contents(*names), encoded=False))
        assert keys(store) == ["a+b", "c%2Bd", "e&lt;f", "g\nh", "ü"]

    def test_directories_are_those_of_the_common_prefixes(self, server: Faulty, store: S3Store) -> None:
        prefixes = "".join(
            f"<CommonPrefixes>\n <Prefix>{name}</Prefix></CommonPrefixes>" for name in ("a/%2B/", "a/b+c/")
        )
        server.always = answer(200, page("<Prefix>a/</Prefix>", contents("a/file"), prefixes))
        assert directories(store, "a/") == sorted(["+", "b c"])

    def test_a_range_asks_for_no_more_than_it_can_hold(self, server: Faulty, store: S3Store) -> None:
        server.always = answer(200, page())
        keys(store, "agg/", "agg/2026/11/22/18/00", "agg/2026/11/22/19")
        assert "prefix=agg%2F2026%2F11%2F22%2F1&" in server.seen[0].path
        assert "start-after=agg%2F2026%2F11%2F22%2F18%2F0%2F~" in server.seen[0].path

    def test_a_range_begins_behind_its_bound_although_the_service_is_asked_for_a_little_more(
        self, server: Faulty, store: S3Store
    ) -> None:
        head = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        server.script.append(answer(200, page(contents("a/04~", "a/04~1"), head=head)))
        server.script.append(answer(200, page(contents("a/04~2", "a/05", "a/05/b"), head=head)))
        server.script.append(answer(200, page(contents("a/05/c"))))
        assert keys(store, after="a/05") == ["a/05/b", "a/05/c"]

    def test_a_single_key_is_asked_for_alone(self, server: Faulty, store: S3Store) -> None:
        server.always = answer(
            200,
            page(
                contents("marker"),
                head="<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>",
            ),
        )
        assert keys(store, "marker", before="marker\0") == ["marker"]
        assert len(server.seen) == 1
        assert "max-keys=1&" in server.seen[0].path

    def test_a_range_that_can_hold_nothing_asks_nothing(self, server: Faulty, store: S3Store) -> None:
        assert keys(store, "b", before="a") == keys(store, "", after="b", before="b") == []
        assert server.seen == []

    def test_a_page_beyond_the_end_of_the_range_is_the_last(self, server: Faulty, store: S3Store) -> None:
        head = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        server.always = answer(200, page(contents("a", "b", "c"), head=head))
        assert keys(store, before="c") == ["a", "b"]
        assert len(server.seen) == 1

    def test_one_page_out_of_order_is_put_in_order(self, server: Faulty, store: S3Store) -> None:
        server.always = answer(200, page(contents("a/x", "a-b", "b")))
        assert keys(store) == ["a-b", "a/x", "b"]

    def test_more_pages_out_of_order_are_an_error(self, server: Faulty, store: S3Store) -> None:
        head = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        server.always = answer(200, page(contents("a/x", "a-b", "b"), head=head))
        with pytest.raises(StorageError, match="not in the order of the keys' bytes"):
            keys(store)

    def test_the_same_page_for_ever_is_an_error(self, server: Faulty, store: S3Store) -> None:
        head = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        server.always = answer(200, page(head=head))
        with pytest.raises(StorageError, match="is not advancing"):
            keys(store)


@pytest.mark.parametrize(
    ("key", "reason"),
    [("", "1 to 1024 bytes"), ("ü" * 513, "1 to 1024 bytes"), ("a\udcff", "UTF-8"), ("ü" * 512, None),
     ("a//../b", None)],
)  # fmt: skip
def test_which_names_can_be_put(key: str, reason: str | None, server: Faulty) -> None:
    store = opened(server)
    said = store.unstorable(key)
    assert said is None if reason is None else reason in str(said)
    if reason:
        with pytest.raises(StorageError, match=reason):
            store.put(key, b"")
        with pytest.raises(StorageError, match=reason):
            store.put_if_absent(key, b"")
        assert store.get(key) is None
        store.delete(key)
        assert server.seen == []
    store.close()


def test_without_conditional_writes_an_object_is_looked_up_first(server: Faulty) -> None:
    not_there, there = answer(404), answer(200)
    not_implemented = answer(501, b"<Error><Code>NotImplemented</Code></Error>")
    server.script.extend([not_implemented, not_there, answer(200), not_implemented, there])
    store = opened(server)
    assert store.put_if_absent("key", b"body") is True
    assert store.put_if_absent("key", b"body") is False
    assert [seen.method for seen in server.seen] == ["PUT", "HEAD", "PUT", "PUT", "HEAD"]
    assert "if-none-match" not in {name.lower() for name in server.seen[2].headers}
    store.close()
