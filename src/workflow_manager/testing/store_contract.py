"""What every ObjectStore promises, as a test suite."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from workflow_manager.errors import StorageError
from workflow_manager.ports import BatchWriter, ObjectStore

PLAIN = ["a", "a-b", "a.x", "a/b", "a/b.x", "a/c/d", "a0", "ab/c", "b"]
WRITTEN_BY_OTHERS = ["sp ace/pl+us", "per%cent/%2F", "uni/ü/💶", "quote/'\"&<>", "co,mma/#?;=", "\u2028/line"]
ODD = ["//", "/lead", "a//b", "a/./b", "a/../b", "trail/", "tab\t/nl\n/cr\r", "ctl/\x01\x1f\x7f", "dot/."]


class StoreContract:
    """Subclass this with a fixture `store` that gives an empty bucket.

    `odd_names` are names that file systems do not have: empty and dot segments, control
    characters. Set it to what the store can hold of them; of others it must say so
    through `unstorable`.
    """

    odd_names: ClassVar[list[str]] = ODD
    many: ClassVar[int] = 2500

    @pytest.fixture
    def store(self) -> Iterator[ObjectStore]:
        """An empty bucket."""
        raise NotImplementedError("a suite for a store needs a fixture `store`")

    def test_an_empty_bucket_lists_nothing(self, store: ObjectStore) -> None:
        assert list(store.list_keys("")) == []
        assert list(store.list_directories("")) == []

    def test_what_is_put_can_be_got_and_listed(self, store: ObjectStore) -> None:
        store.put("a/b", b"content \x00\xff")
        assert store.get("a/b") == b"content \x00\xff"
        assert keys(store) == ["a/b"]

    def test_get_answers_none_for_an_object_that_is_not_there(self, store: ObjectStore) -> None:
        store.put("a/b", b"")
        assert [store.get(key) for key in ("a", "a/", "a/c", "x/y")] == [None] * 4

    def test_get_reads_no_more_than_its_limit(self, store: ObjectStore) -> None:
        store.put("a/b", b"content")
        store.put("a/empty", b"")
        assert [store.get("a/b", limit) for limit in (1, 7, 8)] == [b"c", b"content", b"content"]
        assert store.get("a/empty", 8) == b""
        assert store.get("a/c", 8) is None

    def test_put_replaces(self, store: ObjectStore) -> None:
        store.put("a", b"longer than the next")
        store.put("a", b"next")
        assert store.get("a") == b"next"
        assert keys(store) == ["a"]

    def test_put_if_absent_writes_only_what_is_not_there(self, store: ObjectStore) -> None:
        assert store.put_if_absent("a/b", b"first") is True
        assert store.put_if_absent("a/b", b"second") is False
        assert store.get("a/b") == b"first"

    def test_of_many_who_put_if_absent_at_once_one_wins(self, store: ObjectStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda number: store.put_if_absent("a/b", b"%d" % number), range(8)))
        assert won.count(True) == 1
        assert store.get("a/b") == b"%d" % won.index(True)

    def test_delete_removes_and_does_not_mind_what_is_gone(self, store: ObjectStore) -> None:
        store.put("a/b", b"")
        store.put("a/c", b"")
        for key in ("a/b", "a/b", "a", "x/y", "a/c/d"):
            store.delete(key)
        assert keys(store) == ["a/c"]

    def test_keys_are_in_the_order_of_their_utf_8_bytes(self, store: ObjectStore) -> None:
        names = [*(name for name in PLAIN if name != "a"), *WRITTEN_BY_OTHERS]
        for name in reversed(names):
            store.put(name, b"")
        assert keys(store) == sorted(names, key=str.encode)

    def test_names_come_back_as_they_were_put(self, store: ObjectStore) -> None:
        names = [*WRITTEN_BY_OTHERS, *self.odd_names]
        for name in names:
            assert store.unstorable(name) is None
            store.put(name, name.encode())
        assert sorted(keys(store)) == sorted(names)
        for name in names:
            assert keys(store, prefix=name)[0] == name
            assert store.get(name) == name.encode()

    @pytest.mark.parametrize("prefix", ["a", "a/", "a/b", "a-", "b", "c", "a/c/d", "a/c/de"])
    def test_a_prefix_is_any_beginning_of_a_key(self, store: ObjectStore, prefix: str) -> None:
        names = [name for name in PLAIN if name not in ("a", "a/b")] + ["a/b/x"]
        for name in names:
            store.put(name, b"")
        assert keys(store, prefix=prefix) == sorted(name for name in names if name.startswith(prefix))

    @pytest.mark.parametrize(
        ("after", "before"),
        [
            ("", ""),
            ("a/b", ""),
            ("a/b", "b"),
            ("", "a/c/d"),
            ("a/b!", "a0"),
            ("b", ""),
            ("", "a"),
            ("x", "c"),
        ],
    )
    def test_after_and_before_are_bounds_that_lie_outside(
        self, store: ObjectStore, after: str, before: str
    ) -> None:
        names = [name for name in PLAIN if name not in ("a", "a/b")] + ["a/b/x"]
        for name in names:
            store.put(name, b"")
        inside = [name for name in names if name > after and (not before or name < before)]
        assert keys(store, after=after, before=before) == sorted(inside)
        within = sorted(name for name in inside if name.startswith("a/"))
        assert keys(store, prefix="a/", after=after, before=before) == within

    def test_a_bound_can_be_a_key_itself(self, store: ObjectStore) -> None:
        for name in ("k/1", "k/2", "k/3"):
            store.put(name, b"")
        assert keys(store, prefix="k/", after="k/1", before="k/3") == ["k/2"]
        assert keys(store, prefix="k/2", before="k/2\0") == ["k/2"]

    def test_markers_are_found_by_a_prefix_that_ends_in_mid_name(self, store: ObjectStore) -> None:
        markers = [f"task-markers/intake-x-2026-11-22-{hour}-00-b" for hour in (17, 18, 19)]
        for marker in markers:
            store.put(marker, b"")
        assert keys(store, prefix="task-markers/intake-x-2026-11-22-18-") == [markers[1]]

    def test_more_keys_than_a_page_are_all_listed_lazily_and_no_page_is_empty(
        self, store: ObjectStore
    ) -> None:
        names = [f"many/{number:05}" for number in range(self.many)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: store.put(name, b""), names))
        pages = [list(page) for page in store.list_keys("many/")]
        assert [key for page in pages for key in page] == names
        assert all(pages)
        assert len(pages) > 1
        assert keys(store, prefix="many/", after=names[9], before=names[2000]) == names[10:2000]
        first = next(iter(store.list_keys("many/")))
        assert list(first) == names[: len(first)]

    def test_directories_are_the_next_components_each_once(self, store: ObjectStore) -> None:
        for name in ("top", "x/1", "x/2", "y z/1/2", "ü/1", "x-/1"):
            store.put(name, b"")
        assert directories(store, "") == sorted(["x", "x-", "y z", "ü"])
        assert directories(store, "y z/") == ["1"]
        assert directories(store, "x") == ["", "-"]
        assert directories(store, "nothing/") == []

    def test_directories_of_more_than_a_page(self, store: ObjectStore) -> None:
        names = [f"d{number:04}" for number in range(1200)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: store.put(f"{name}/x", b""), names))
        assert directories(store, "") == names

    def test_a_directory_can_have_an_odd_name(self, store: ObjectStore) -> None:
        if "a//b" not in self.odd_names:
            assert store.unstorable("a//b")
            return
        store.put("a//b", b"")
        store.put("/lead", b"")
        assert directories(store, "") == ["", "a"]
        assert directories(store, "a/") == [""]

    def test_an_unstorable_name_is_told_before_it_is_tried(self, store: ObjectStore) -> None:
        assert store.unstorable("task-markers/intake-x-2026-11-22-18-00-b") is None
        assert store.unstorable("")
        for write in (store.put, store.put_if_absent):
            with pytest.raises(StorageError):
                write("", b"")

    def test_one_store_serves_many_threads(self, store: ObjectStore) -> None:
        def work(number: int) -> list[str]:
            for item in range(5):
                store.put(f"thread-{number}/{item}", b"")
            return keys(store, prefix=f"thread-{number}/")

        with ThreadPoolExecutor(8) as pool:
            for number, found in enumerate(pool.map(work, range(16))):
                assert found == [f"thread-{number}/{item}" for item in range(5)]


def keys(store: ObjectStore, prefix: str = "", after: str = "", before: str = "") -> list[str]:
    """All keys of a listing."""
    return [key for page in store.list_keys(prefix, after, before) for key in page]


def directories(store: ObjectStore, prefix: str) -> list[str]:
    """All directories of a listing, in order."""
    return sorted(name for page in store.list_directories(prefix) for name in page)


class BatchWriterContract(StoreContract):
    """For a store that is also a BatchWriter: subclass this instead."""

    def test_objects_written_together_are_all_there(self, store: ObjectStore) -> None:
        assert isinstance(store, BatchWriter)
        store.put("a/0", b"before")
        written = [(f"a/{number}", f"content {number}".encode()) for number in range(40)]
        assert list(store.put_many(written)) == [None] * 40
        assert [store.get(key) for key, _ in written] == [body for _, body in written]

    def test_one_that_cannot_be_written_does_not_keep_its_neighbours_from_it(
        self, store: ObjectStore
    ) -> None:
        assert isinstance(store, BatchWriter)
        impossible = ""
        assert store.unstorable(impossible)
        first, error, last = store.put_many([("a", b"1"), (impossible, b"2"), ("b", b"3")])
        assert (first, last) == (None, None)
        assert isinstance(error, StorageError)
        assert keys(store) == ["a", "b"]

    def test_nothing_to_write_is_no_error(self, store: ObjectStore) -> None:
        assert isinstance(store, BatchWriter)
        assert list(store.put_many([])) == []
