"""Random identifiers are what the uuid module takes them for."""

from uuid import RFC_4122, UUID

from workflow_manager.random_ids import random_hex, random_uuid


def test_a_random_uuid_is_one_of_version_4() -> None:
    made = [random_uuid() for _ in range(1000)]
    assert len(set(made)) == len(made)
    for text in made:
        parsed = UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, RFC_4122)
    assert {text[19] for text in made} == set("89ab")


def test_random_digits_are_128_bits() -> None:
    made = {random_hex() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(bytes.fromhex(text)) == 16 for text in made)
