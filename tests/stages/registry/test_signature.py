"""What a key signs, and which signatures it takes, also while it is replaced."""

import pytest

from signature import is_signed, sign


@pytest.mark.parametrize(
    ("key", "valid"),
    [
        ("new", {"new"}),
        ("new,old", {"new", "old"}),
        ("newer,new,old", {"new", "old"}),
        ("new,", {"new", "old", ""}),  # before the first key nothing was signed
        ("", {"new", "old", ""}),
    ],
)
def test_each_key_is_valid_while_one_replaces_another(key: str, valid: set[str]) -> None:
    signatures = {"": "", **{signer: sign(signer, "event", "a") for signer in ("new", "old")}}
    assert {signer for signer, signature in signatures.items() if is_signed(key, signature, "event", "a")} == valid


def test_first_key_signs_these_texts_alone() -> None:
    assert sign("new,old", "a") == sign("new", "a") != sign("old", "a")
    assert not is_signed("new,old", sign("new", "a"), "b")
