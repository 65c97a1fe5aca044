"""What is special to buckets that are directories."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from workflow_manager.errors import ConfigError, StorageError
from workflow_manager.ports import Settings
from workflow_manager.storage.local import LocalStore
from workflow_manager.testing.store_contract import directories, keys


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "bucket").mkdir()
    return LocalStore.open(f"file://{tmp_path}/bucket", Settings())


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path / "bucket"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("file://relative/dir", "three slashes"),
        ("file:relative", "three slashes"),
        ("file:///a?b", "%3F"),
        ("file:///a#b", "%23"),
        ("file:///a%00b", "NUL"),
    ],
)
def test_a_url_that_names_no_directory_is_a_mistake(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        LocalStore.open(url, Settings())


def test_an_identity_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="identit"):
        LocalStore.open("file:///bucket", Settings(identity="arn:aws:iam::1:role/x"))


def test_escapes_in_the_url_are_undone(tmp_path: Path) -> None:
    (tmp_path / "sp ace ü").mkdir()
    store = LocalStore.open(f"file://{tmp_path}/sp%20ace%20%C3%BC", Settings())
    store.put("a", b"")
    assert (tmp_path / "sp ace ü" / "a").exists()


def test_a_directory_has_one_url_however_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "link").symlink_to("bucket")
    spellings = ("bucket", "bucket/", "./bucket", "link", "link/", "x/../bucket", "buck%65t")
    urls = {LocalStore.open(f"file://{tmp_path}/{spelling}", Settings()).url for spelling in spellings}
    assert urls == {f"file://{tmp_path}/bucket"}


def test_opening_does_not_need_the_directory(tmp_path: Path) -> None:
    LocalStore.open(f"file://{tmp_path}/missing", Settings())


@pytest.mark.parametrize("operation", ["list", "directories", "put"])
def test_a_missing_directory_is_said_with_what_to_do(tmp_path: Path, operation: str) -> None:
    store = LocalStore.open(f"file://{tmp_path}/missing", Settings())
    with pytest.raises(StorageError, match=r"missing.*No such file.*create the directory"):
        _do(store, operation)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("operation", ["list", "directories", "put"])
def test_a_file_is_no_bucket(tmp_path: Path, operation: str) -> None:
    (tmp_path / "file").write_text("")
    store = LocalStore.open(f"file://{tmp_path}/file", Settings())
    with pytest.raises(StorageError, match=r"Not a directory.*a directory is needed"):
        _do(store, operation)


def test_a_directory_that_may_not_be_read_is_said(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: bytes) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    # Tests may run as root, who may read everything.
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StorageError, match=r"Permission denied.*grant this user"):
        list(store.list_keys(""))


def test_names_that_are_not_utf_8_are_listed_and_harm_nothing(store: LocalStore, bucket: Path) -> None:
    for name in (b"agg/\xff\xfe", "agg/💶".encode(), b"agg/plain"):
        path = bucket / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert keys(store) == ["agg/plain", "agg/💶", "agg/\udcff\udcfe"]


def test_symbolic_links_are_not_followed_out_of_the_bucket(
    store: LocalStore, bucket: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("")
    (bucket / "link").symlink_to(tmp_path / "outside")
    (bucket / "file").symlink_to(tmp_path / "outside" / "secret")
    (bucket / "loop").symlink_to(bucket)
    assert keys(store) == []
    assert directories(store, "") == []
    for key in ("link/new", "link/sub/new"):
        with pytest.raises(StorageError, match="symbolic links"):
            store.put(key, b"")
    assert store.get("link/secret") is None
    assert store.get("file") is None
    store.delete("link/secret")
    store.delete("file")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]


def test_a_directory_is_not_taken_for_an_object(store: LocalStore) -> None:
    store.put("a/b", b"")
    with pytest.raises(StorageError, match="an entry that is not an object"):
        store.put_if_absent("a", b"")
    with pytest.raises(StorageError, match="a directory has this name"):
        store.put("a", b"")
    store.delete("a")
    assert keys(store) == ["a/b"]


@pytest.mark.parametrize(
    "key",
    [
        "../x",
        "a/../../x",
        "/x",
        "a//b",
        "a/./b",
        ".",
        "..",
        "a/",
        "a\0b",
        "x" * 256,
        "d/" * 2100 + "x",
        "\ud800",
    ],
)
def test_a_name_that_is_no_path_below_the_directory_is_refused(store: LocalStore, key: str) -> None:
    assert store.unstorable(key)
    with pytest.raises(StorageError):
        store.put(key, b"")
    with pytest.raises(StorageError):
        store.put_if_absent(key, b"")
    assert store.get(key) is None
    store.delete(key)


def test_what_a_killed_writer_left_behind_is_no_object(store: LocalStore, bucket: Path) -> None:
    (bucket / ".workflow-manager-1234").write_text("half")
    assert keys(store) == []
    assert store.unstorable(".workflow-manager-1234")


def test_pipes_and_empty_directories_are_no_objects(store: LocalStore, bucket: Path) -> None:
    os.mkfifo(bucket / "pipe")
    assert store.get("pipe") is None
    (bucket / "empty" / "deeper").mkdir(parents=True)
    assert keys(store) == []
    assert directories(store, "") == []


def test_a_tree_too_deep_for_a_path_is_no_trap(store: LocalStore, bucket: Path) -> None:
    there = os.getcwd()  # noqa: PTH109 (to come back to)
    try:
        os.chdir(bucket)
        for _ in range(30):
            os.mkdir("d" * 200)  # noqa: PTH102 (a relative path, as the absolute one would be too long)
            os.chdir("d" * 200)
    finally:
        os.chdir(there)
    store.put("x", b"")
    assert keys(store) == ["x"]
    subprocess.run(["rm", "-rf", bucket / ("d" * 200)], check=True)


def test_a_narrow_range_opens_only_what_lies_in_it(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(24):
        store.put(f"agg/2026/11/22/{hour:02}/05/b.batch", b"")
        store.put(f"other/2026/11/22/{hour:02}/05/b.batch", b"")
    opened: list[bytes] = []
    scandir = os.scandir

    def watched(path: bytes) -> object:
        opened.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    found = keys(store, "agg/", "agg/2026/11/22/07", "agg/2026/11/22/08")
    assert found == ["agg/2026/11/22/07/05/b.batch"]
    assert len(opened) == 7


def test_a_full_disk_is_said_and_leaves_nothing_half_written(full_disk: Path) -> None:
    store = LocalStore.open(f"file://{full_disk}", Settings())
    with pytest.raises(StorageError, match=r"No space left.*free space"):
        store.put("marker", b"x" * 200_000)
    assert list(full_disk.iterdir()) == []


def _do(store: LocalStore, operation: str) -> None:
    if operation == "list":
        list(store.list_keys(""))
    elif operation == "directories":
        list(store.list_directories(""))
    else:
        store.put("a/b", b"")
