"""Random identifiers are what the uuid module takes them for, and random numbers lie where they should."""

from uuid import RFC_4122, UUID

from workflow_manager.random_ids import random_between, random_hex, random_uuid


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


def test_a_number_between_two_is_anywhere_between_them() -> None:
    made = [random_between(2, 4) for _ in range(1000)]
    assert all(2 <= number <= 4 for number in made)
    assert min(made) < 2.5
    assert max(made) > 3.5
