"""Reading tables of numbers: exact doubles, texts as they are, and every fault named with its place."""

import math
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagekit import BadInput
from stagekit.progress import line

from feature_table import READ_BYTES, FeatureTable


def open_table(path: Path, content: str | bytes) -> FeatureTable:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return FeatureTable(path, "features/x/features.csv", texts=["id"], numbers=["a", "b"], made_by="`preparing`")


def read(path: Path, content: str | bytes, rows: int = 1000) -> tuple[list[str], list[list[float]]]:
    chunks = list(open_table(path, content).chunks(rows))
    return [text for chunk in chunks for text in chunk.texts[0]], [row for c in chunks for row in c.numbers.tolist()]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_table_reads_every_double_exactly(tmp_path: Path, values: list[float]) -> None:
    content = "id,a,b\n" + "".join(f"x,{value!r},{value:.25g}\n" for value in values)
    _, rows = read(tmp_path / "t.csv", content)
    assert [row[0] for row in rows] == values
    assert [math.copysign(1, row[0]) for row in rows] == [math.copysign(1, value) for value in values]
    assert [row[1] for row in rows] == [float(f"{value:.25g}") for value in values]


def test_table_reads_an_empty_field_as_missing(tmp_path: Path) -> None:
    _, rows = read(tmp_path / "t.csv", "id,a,b\nx,,1\ny,2,\n")
    assert [[math.isnan(cell) for cell in row] for row in rows] == [[True, False], [False, True]]


def test_table_shows_how_far_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,a,b\n" + "x,1,2\n" * 4)
    table = FeatureTable(path, "t.csv", texts=["id"], numbers=["a", "b"], made_by="`preparing`", total=4)
    shown = [line("predict", 0.0, time.monotonic() + 1).split(",")[0].split(": ")[1:] for _ in table.chunks(2)]
    assert shown == [["reading t.csv", "0 rows"], ["reading t.csv", "50% of 4 rows"]]


@pytest.mark.parametrize("text", ["007", "NA", "nan", "", "1e5", "TRUE", "é", "a b"])
def test_table_keeps_texts_as_they_are(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "t.csv", f"id,a,b\n{text},1,2\n")[0] == [text]


def test_table_keeps_quoted_texts(tmp_path: Path) -> None:
    ids, rows = read(tmp_path / "t.csv", 'id,a,b\n"a,b",1,2\n"c ""d""\ne",3,4\n')
    assert ids == ["a,b", 'c "d"\ne']
    assert rows == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("rows", [1, 3, 10, 11])
def test_table_is_read_in_chunks_of_bounded_size(tmp_path: Path, rows: int) -> None:
    table = open_table(tmp_path / "t.csv", "id,a,b\n" + "".join(f"{n},{n},0\n" for n in range(10)))
    chunks = list(table.chunks(rows))
    assert max(len(chunk.numbers) for chunk in chunks) <= rows
    assert [chunk.start for chunk in chunks] == list(range(0, 10, rows))
    assert [value for chunk in chunks for value in chunk.numbers[:, 0]] == list(range(10))


def test_table_may_lack_the_last_newline(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", "id,a,b\nx,1,2")[1] == [[1.0, 2.0]]


BAD = {
    "empty_file": (b"", "is empty"),
    "header_only": (b"id,a,b\n", "no rows"),
    "column_missing": (b"id,a\nx,1\n", "missing columns: b"),
    "column_extra": (b"id,a,b,c\nx,1,2,3\n", "does not know: c"),
    "column_renamed": (b"id,a,B\nx,1,2\n", "missing columns: b; columns the model does not know: B"),
    "columns_reordered": (b"id,b,a\nx,1,2\n", "another order: column 2 is b, not a"),
    "column_twice": (b"id,a,b,b\nx,1,2,2\n", "column 4 is b, not the end"),
    "byte_order_mark": (b"\xef\xbb\xbfid,a,b\nx,1,2\n", "missing columns: id"),
    "row_short": (b"id,a,b\nx,1,2\ny,1\n", "line 3 has 2 fields"),
    "row_long": (b"id,a,b\nx,1,2,3\n", "line 2 has 4 fields"),
    "row_short_then_long": (b"id,a,b\nx,1\ny,1,2,3\n", "line 2 has 2 fields"),
    "row_long_then_short": (b"id,a,b\ny,1,2,3\nx,1\n", "line 2 has 4 fields"),
    "row_long_with_quotes": (b'id,a,b\n"y",1,2,3\n', "line 2 has 4 fields"),
    "blank_line": (b"id,a,b\nx,1,2\n\n", "line 3 has 0 fields"),
    "not_utf8": (b"id,a,b\nx,1,2\n\xe9,1,2\n", "line 3 is not UTF-8"),
    "cut_within_a_character": (b"id,a,b\nx,1,2\n\xc3", "line 3 is not UTF-8"),
    "nul_byte": (b"id,a,b\nx,1,2\ny,1\x005,2\n", "line 3 holds a NUL byte"),
    "garbage_number": (b"id,a,b\nx,1,2\ny,1,2x\n", "row 2: b is '2x'"),
    "text_nan": (b"id,a,b\nx,nan,2\n", "row 1: a is 'nan'"),
    "hexadecimal": (b"id,a,b\nx,0x10,2\n", "row 1: a is '0x10'"),
    "underscore": (b"id,a,b\nx,1_000,2\n", "row 1: a is '1_000'"),
    "infinite": (b"id,a,b\nx,1,2\ny,inf,2\n", "row 2: a is infinite"),
    "minus_infinite": (b"id,a,b\nx,1,-Infinity\n", "row 1: b is infinite"),
    "too_large": (b"id,a,b\nx,1e999,2\n", "row 1: a is infinite"),
    "quote_unclosed": (b'id,a,b\n"x,1,2\n', "is no CSV"),
    "quote_astray": (b'id,a,b\n"x"y,1,2\n', "is no CSV"),
    "long_line": (b"id,a,b\n" + b'"' + b"x" * 3_000_000 + b'",1,2\n', "is no CSV"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_bad_table_is_refused_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        read(tmp_path / "t.csv", content)
    message = str(caught.value)
    assert message.startswith("features/x/features.csv: ")
    assert "expected: " in message
    assert "do: run `preparing` again" in message


def test_fault_is_found_far_into_the_file(tmp_path: Path) -> None:
    lines = READ_BYTES // 8 + 10
    start = "id,a,b\n" + "x,1.5,2\n" * lines
    with pytest.raises(BadInput, match=f"line {lines + 2} holds a NUL byte"):
        read(tmp_path / "t.csv", start + "x,\0,2\n")
    with pytest.raises(BadInput, match=f"line {lines + 2} is not UTF-8"):
        read(tmp_path / "t.csv", start.encode() + b"\xff,1,2\n")
    with pytest.raises(BadInput, match=f"row {lines + 1}: a is 'y'"):
        read(tmp_path / "t.csv", start + "x,y,2\n")


def test_character_and_row_across_two_blocks_are_understood(tmp_path: Path) -> None:
    content = "id,a,b\n" + "x" * (READ_BYTES - 1) + "é,1,2\ny,3,4\n"
    ids, rows = read(tmp_path / "t.csv", content)
    assert ids[0].endswith("xé")
    assert rows == [[1.0, 2.0], [3.0, 4.0]]
