"""What Cloud Storage's URLs and the environment mean, what is asked for, and what is written."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.faulty import Faulty, answer
from workflow_manager.clouds.http import Answer, CloudError
from workflow_manager.clouds.paging import Page
from workflow_manager.errors import ConfigError, MissingExtraError, StorageError
from workflow_manager.ports import Settings
from workflow_manager.storage.gcs import GcsStore, _parsed_keys, _usual_page
from workflow_manager.testing.store_contract import directories, keys


def opened(server: Faulty) -> GcsStore:
    return GcsStore.open("gs://bucket", Settings(environ={"STORAGE_EMULATOR_HOST": server.url}))


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        ["gs://", "gs://b", "gs://bucket//", "gs://bucket/x", "gs://Bucket", "gs://buck et", "gs://-b-"],
    )
    def test_a_url_of_another_form_is_a_mistake(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"not a valid Cloud Storage URL: use gs://\{name\}"):
            GcsStore.open(url, Settings())

    def test_a_slash_at_the_end_is_the_same_bucket(self, server: Faulty) -> None:
        server.always = answer(200, b'{"items": [{"name": "a"}]}')
        environ = {"STORAGE_EMULATOR_HOST": server.url}
        store = GcsStore.open("gs://bucket/", Settings(environ=environ))
        assert store.url == "gs://bucket"
        assert keys(store) == ["a"]
        assert server.seen[0].path.startswith("/storage/v1/b/bucket/o?")
        store.close()

    def test_an_identity_is_a_mistake(self) -> None:
        with pytest.raises(ConfigError, match="do not use an identity: omit it"):
            GcsStore.open("gs://bucket", Settings(identity="someone"))

    def test_opening_sends_no_request(self, server: Faulty) -> None:
        opened(server).close()
        GcsStore.open("gs://bucket", Settings()).close()
        assert server.seen == []

    def test_a_missing_library_is_named_with_its_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workflow_manager.clouds.service.find_spec", lambda _: None)
        with pytest.raises(MissingExtraError, match=r"workflow-manager\[gcp\].*'google.auth'"):
            GcsStore.open("gs://bucket", Settings())


@pytest.fixture
def store(server: Faulty) -> Iterator[GcsStore]:
    opened_ = opened(server)
    yield opened_
    opened_.close()


class TestListings:
    def test_only_names_are_asked_for_and_only_those_of_the_range(
        self, server: Faulty, store: GcsStore
    ) -> None:
        server.always = answer(200, b"{}")
        assert keys(store, "agg/", "agg/2026/11/22/18/00", "agg/2026/11/22/19") == []
        path = server.seen[0].path
        for part in (
            "fields=items%28name%29%2Cprefixes%2CnextPageToken",
            "prefix=agg%2F2026%2F11%2F22%2F1&",
            "startOffset=agg%2F2026%2F11%2F22%2F18%2F00",
            "endOffset=agg%2F2026%2F11%2F22%2F19",
            "maxResults=1000",
        ):
            assert part in path

    def test_the_bound_itself_which_the_service_gives_is_left_out(
        self, server: Faulty, store: GcsStore
    ) -> None:
        server.always = answer(200, b'{"items": [{"name": "a"}, {"name": "b"}]}')
        assert keys(store, after="a") == ["b"]

    def test_pages_without_names_are_not_the_end(self, server: Faulty, store: GcsStore) -> None:
        server.script.append(answer(200, b'{"nextPageToken": "t"}'))
        server.always = answer(200, b'{"items": [{"name": "a"}]}')
        assert list(store.list_keys("")) == [["a"]]

    def test_directories_are_the_prefixes(self, server: Faulty, store: GcsStore) -> None:
        server.always = answer(200, b'{"items": [{"name": "a/x"}], "prefixes": ["a//", "a/%2B/"]}')
        assert directories(store, "a/") == ["", "%2B"]

    def test_what_is_no_listing_is_an_error(self, server: Faulty, store: GcsStore, hasty: None) -> None:
        server.always = answer(200, b"[1]")
        with pytest.raises(StorageError, match="is not a listing"):
            keys(store)


LAYOUTS: dict[str, dict[str, Any]] = {
    "compact": {"separators": (",", ":")},
    "spaced": {},
    "indented": {"indent": 2},
    "not escaped": {"ensure_ascii": False},
}
# What could look like a part of the page itself, when it stands in a name.
HOSTILE = st.sampled_from(
    ['"', "\\", '"},{"name":"', '"}]', '"}]}', "{", "]}", "\\u0022", "items", ":", ",", " "]
)
NAMES = st.lists(st.lists(HOSTILE | st.text(max_size=3), max_size=5).map("".join), max_size=6)
PLAIN_NAMES = st.lists(st.from_regex("[a-z0-9/.-]{1,9}", fullmatch=True), min_size=2, max_size=6)


def page(names: Sequence[str], token: str, layout: str, *, token_first: bool, more: dict[str, str]) -> bytes:
    items = {"items": [{"name": name, **more} for name in names]} if names else {}
    following = {"nextPageToken": token} if token else {}
    listing = following | items if token_first else items | following
    return json.dumps(listing, **LAYOUTS[layout]).encode("utf-8", "surrogatepass")


def parsed(body: bytes) -> Page:
    return _parsed_keys(Answer(200, {}, body))


class TestPages:
    @given(
        names=NAMES | PLAIN_NAMES,
        token=st.just("") | st.text(min_size=1, max_size=5),
        layout=st.sampled_from(sorted(LAYOUTS)),
        token_first=st.booleans(),
        more=st.sampled_from([{}, {"size": "2"}]),
    )
    def test_the_names_and_the_token_are_those_of_the_json_whatever_is_in_them(
        self, names: list[str], token: str, layout: str, *, token_first: bool, more: dict[str, str]
    ) -> None:
        body = page(names, token, layout, token_first=token_first, more=more)
        assert parsed(body) == Page(names, token)

    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("token", ["", "Cg9hL2I="])
    @pytest.mark.parametrize("token_first", [False, True])
    def test_usual_pages_are_read_without_a_parser_of_json(
        self, layout: str, token: str, *, token_first: bool
    ) -> None:
        names = ["a/2026/11/27/10/00/b.batch", "a/2026/11/27/10/00/b.batch.avro", "c"]
        body = page(names, token, layout, token_first=token_first, more={})
        assert _usual_page(body) == Page(names, token)

    @given(names=NAMES | PLAIN_NAMES, token=st.just("") | st.just("next"), token_first=st.booleans())
    def test_a_page_that_breaks_off_anywhere_is_an_error(
        self, names: list[str], token: str, *, token_first: bool
    ) -> None:
        body = page(names, token, "compact", token_first=token_first, more={})
        for end in range(len(body)):
            with pytest.raises(CloudError, match="broke off"):
                parsed(body[:end])


@pytest.mark.parametrize(
    ("key", "reason"),
    [("", "1 to 1024 bytes"), ("ü" * 513, "1 to 1024 bytes"), ("a\udcff", "UTF-8"), ("a\nb", "line breaks"),
     ("a\rb", "line breaks"), (".", "cannot be"), ("..", "cannot be"),
     (".well-known/acme-challenge/x", "cannot be"), ("ü" * 512, None), ("a//../b", None)],
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


def test_a_conditional_write_asks_for_there_to_be_no_generation(server: Faulty) -> None:
    server.script.extend([answer(412), answer(200, b'{"metadata": {"write-id": "another"}}')])
    store = opened(server)
    assert store.put_if_absent("key", b"body") is False
    assert server.seen[0].path.endswith("uploadType=multipart&ifGenerationMatch=0")
    assert len(server.seen) == 2
    store.close()
