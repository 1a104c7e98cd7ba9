"""JSON as it is read: by the fast parser, and by the standard library's where that one refuses."""

from __future__ import annotations

import pytest

from results.lines import line_bytes, read_json, values_of


@pytest.mark.parametrize(
    "value", [{"한국어": ["값", 1.25e-7, -0.0, 10**12, None, True]}, [0.1, 1e300, "\n\t\\"], "", 3]
)
def test_what_was_written_is_read(value: object) -> None:
    assert read_json(line_bytes({"it": value})) == {"it": value}


def test_a_lone_surrogate_which_a_model_may_write_comes_back() -> None:
    lines = line_bytes({"text": "가\ud800나"}) + line_bytes({"text": "다"})
    assert read_json(lines.split(b"\n")[0]) == {"text": "가\ud800나"}
    assert values_of(lines) == [{"text": "가\ud800나"}, {"text": "다"}]


def test_a_file_of_no_lines_holds_nothing() -> None:
    assert values_of(b"") == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Expecting value"),
        (b"{", "property name"),
        (b'{"a": 1} x', "Extra data"),
        (b"\xff", "can't decode"),
        (b'"\xed\xa0\x80"', "can't decode"),
    ],
)
def test_what_is_no_json_is_a_value_error(content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_json(content)
