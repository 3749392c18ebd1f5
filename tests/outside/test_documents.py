"""JSON of others: what is no JSON, or too much of it, is a ValueError and nothing else."""

import pytest

from lcl_ref.outside.documents import DEEPEST, parsed

WORDS = ("NaN", "[Infinity]", "-Infinity", "1e999", "", "{", "01", "'a'", "[1,]", b"\xff\xfe", '"\\ud83d')
LONG = ("[" * 100_000, '{"a":' * 100_000, "1" * 5000, "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))


@pytest.mark.parametrize("text", [*WORDS, *LONG, '{"a": 1, "a": 2}'])
def test_what_is_no_plain_json_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        parsed(text)


def test_what_is_too_long_is_refused_before_it_is_read():
    with pytest.raises(ValueError, match="at most 10"):
        parsed("[" + "1," * 10, most=10)


def test_too_many_values_are_refused_before_they_are_made():
    with pytest.raises(ValueError, match="some 5000001 values"):
        parsed(b"[" + b"[]," * 2_500_000 + b"1]")


def test_plain_json_is_read():
    assert parsed('{"a": [1, -2.5e3, "x", null, true]}') == {"a": [1, -2500.0, "x", None, True]}
    assert parsed("[" * DEEPEST + "]" * DEEPEST)
