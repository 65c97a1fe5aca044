"""Which of several shards works on what: rendezvous hashing of names.

Every name goes to the shard that has the highest score for it. The scores of a name do not depend
on how many shards there are, so that one shard more takes over names only for itself, about
1/(N+1) of all, and none moves between the others.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shards, counted from 0."""

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def owns(self, name: str) -> bool:
        """Whether this shard, and so no other of the same `count`, works on what has this name."""
        return self.count == 1 or owner(name, self.count) == self.index


WHOLE = Shard()


def owner(name: str, count: int) -> int:
    """The index of the one among `count` shards that works on what has this name."""
    encoded = name.encode("utf-8", "surrogatepass")  # names of aggregations may be anything
    return max(range(count), key=lambda index: _score(encoded, index))


def _score(name: bytes, index: int) -> bytes:
    from hashlib import blake2b  # noqa: PLC0415 (loads OpenSSL, which a run without shards does not need)

    return blake2b(name, digest_size=16, key=b"%d" % index).digest()
