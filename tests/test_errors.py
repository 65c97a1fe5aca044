"""How errors name what others have named."""

import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.errors import StorageError, location
from workflow_manager.ports import Settings
from workflow_manager.storage.local import LocalStore

MARKER = "task-markers/intake-com.apple.EN_1-2026-11-22-18-00-b8a5579a"


@pytest.mark.parametrize("url", ["s3://eu-west-1/b", "gs://b", "file:///srv/b"])
def test_a_name_that_is_harmless_is_shown_as_it_is(url: str) -> None:
    assert location(url, MARKER) == f"{url}/{MARKER}"
    assert location(url, "über/ключ@1,+=~") == f"{url}/über/ключ@1,+=~"
    assert location(url) == url


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("a b", "a%20b"),
        ("it's", "it%27s"),
        ('"x"', "%22x%22"),
        ("$(rm -r /)", "%24%28rm%20-r%20/%29"),
        ("100%", "100%25"),
        ("a%20b", "a%2520b"),
        ("\x1b[31m\n", "%1B%5B31m%0A"),
        ("\u202e\u2028\ufffe", "%E2%80%AE%E2%80%A8%EF%BF%BE"),
        ("\udcff", "%FF"),
    ],
)
def test_what_could_do_harm_is_percent_encoded(key: str, shown: str) -> None:
    assert location("gs://b", key) == f"gs://b/{shown}"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_is_one_word_for_a_shell_and_can_be_read_back(key: str) -> None:
    shown = location("gs://b", key)
    assert shlex.split(shown) == [shown]
    assert shown.isprintable()
    assert unquote(shown.removeprefix("gs://b/")) == key


def test_the_url_of_a_directory_can_be_opened_again(tmp_path: Path) -> None:
    directory = tmp_path / "a b%20#?"
    store = LocalStore.open(location(f"file://{directory}"), Settings())
    with pytest.raises(StorageError) as failed:
        store.put("task-markers/it's", b"")
    shown = location(f"file://{directory}", "task-markers/it's")
    assert failed.value.subject == shown
    assert failed.value.cause.endswith(f"({location(str(directory))})")
    directory.mkdir()
    LocalStore.open(location(f"file://{directory}"), Settings()).put("x", b"1")
    assert (directory / "x").read_bytes() == b"1"
