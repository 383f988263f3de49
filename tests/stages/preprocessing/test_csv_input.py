"""Reading CSV: whatever a file holds, a row is read, or refused with its line, or the file is refused with a place."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagekit import BadInput

import csv_input
from csv_input import LINE, OFFSET, REASON, TEXT, CsvFile
from tests.hostile import RUNS


def read(path: Path, content: str | bytes) -> tuple[list[tuple], list[tuple]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file = CsvFile(path, "data.csv")
    rows, rejected = [], []
    for batch in file.batches():
        rows += batch.rows.drop(OFFSET, TEXT).rows()
        rejected += batch.rejected.select(LINE, REASON, TEXT).rows()
    return rows, rejected


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param("a,b\n1,2\n3,4\n", [(2, "1", "2"), (3, "3", "4")], id="plain"),
        pytest.param("a,b\n1,2", [(2, "1", "2")], id="no line end at the end"),
        pytest.param("a,b\r\n1,2\r\n,\r\n", [(2, "1", "2"), (3, "", "")], id="Windows line ends"),
        pytest.param("\ufeffa,b\n1,é\n", [(2, "1", "é")], id="byte order mark"),
        pytest.param('a,b\n"x,y","say ""hi"""\n', [(2, "x,y", 'say "hi"')], id="quotes"),
        pytest.param('a,b\n"",x\n" ",y\n', [(2, "", "x"), (3, " ", "y")], id="quoted nothing"),
        pytest.param('a,b\n"one\ntwo\n",x\n3,4\n', [(2, "one\ntwo\n", "x"), (5, "3", "4")], id="quoted newlines"),
        pytest.param('a,b\n"1\n\n,",x\r\n"3\r\n",4\r\n', [(2, "1\n\n,", "x"), (5, "3\r\n", "4")], id="all of it"),
        pytest.param('"a","b c"\n1,2\n', [(2, "1", "2")], id="quoted header"),
    ],
)
def test_record_is_read_with_its_line(file: Path, content: str, rows: list[tuple]) -> None:
    assert read(file, content) == (rows, [])


@pytest.mark.parametrize(
    ("content", "rejected", "lines_read"),
    [
        pytest.param("a,b\n1\n3,4\n", [(2, "1 field, expected 2", "1")], [3], id="too few"),
        pytest.param("a,b\n1,2\n3,4,5\n", [(3, "3 fields, expected 2", "3,4,5")], [2], id="too many"),
        pytest.param("a,b\n1,2\n\n3,4\n", [(3, "1 field, expected 2", "")], [2, 4], id="empty line"),
        pytest.param('a,b\n"x\ny"\n1,2\n', [(2, "1 field, expected 2", '"x\ny"')], [4], id="too few, two lines"),
        pytest.param(
            'a,b\n5" nail,2\n3,4\n',
            [(2, STRAY := "a quote that is not around a whole field", '5" nail,2')],
            [3],
            id="stray",
        ),
        pytest.param(
            'a,b\n5" nail,2\n3,4\n6" nail,1\n5,6\n',
            [(2, STRAY, '5" nail,2'), (4, STRAY, '6" nail,1')],
            [3, 5],
            id="two stray",
        ),
        pytest.param('a,b\n"x"y,2\n3,4\n', [(2, STRAY, '"x"y,2')], [3], id="text after a quote"),
        pytest.param('a,b\n1,2\n"3,4\n5,6\n', [(3, STRAY, '"3,4')], [2, 4], id="never closed"),
    ],
)
def test_malformed_record_costs_only_itself(
    file: Path, content: str, rejected: list[tuple], lines_read: list[int]
) -> None:
    rows, refused = read(file, content)
    assert (refused, [row[0] for row in rows]) == (rejected, lines_read)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty (0 bytes)", id="empty file"),
        pytest.param(b"a,b\n", "has a header but no rows", id="header only"),
        pytest.param(b"a,b", "has a header but no rows", id="header without line end"),
        pytest.param(b"\n1,2\n", "has a column without a name", id="empty header"),
        pytest.param(b"a,\n1,2\n", "has a column without a name", id="nameless column"),
        pytest.param(b"a,a\n1,2\n", "names a twice", id="name twice"),
        pytest.param(b'a,"b\n1,2\n', "is not CSV", id="quote in header"),
        pytest.param(b"a,b\n1,2\n3,\xff4\n", "0xff, which is no UTF-8, at byte 10, on line 3", id="not UTF-8"),
        pytest.param("a,b\n1,é\n".encode("latin-1"), "0xe9, which is no UTF-8, at byte 6, on line 2", id="Latin-1"),
        pytest.param("a,b\n1,2\n".encode("utf-16"), "on line 1", id="UTF-16"),
        pytest.param(b"a,b\n1,2\n\x00,4\n", "a NUL byte at byte 8, on line 3", id="NUL"),
        pytest.param(b"a\x00,b\n1,2\n", "a NUL byte at byte 1, on line 1", id="NUL in header"),
        pytest.param(b"a,b\n1,2\n3," + b"x" * (2 << 20), "begins on line 3", id="long last line"),
        pytest.param(b"a,b\n1,2\n3," + b"x" * (2 << 20) + b"\n5,6\n", "begins on line 3", id="long line"),
        pytest.param(b"a" * (2 << 20), "begins on line 1", id="long header"),
    ],
)
def test_file_that_no_row_can_be_blamed_for_is_refused(file: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadInput) as error:
        read(file, content)
    assert message in str(error.value)
    assert "data.csv" in str(error.value)


def test_quote_never_closed_costs_one_line_in_a_long_file_too(file: Path) -> None:
    after = 2 * csv_input.BLOCK_BYTES // len("1234567,abcdefgh\n")
    rows, rejected = read(file, 'a,b\n"1,2\n' + "1234567,abcdefgh\n" * after)
    assert (len(rows), [r[0] for r in rejected]) == (after, [2])


CELL = st.text(st.sampled_from('a1é,"\n\r €'), max_size=6)


@given(records=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=12), block=st.integers(1, 40), data=st.data())
def test_reading_agrees_with_the_csv_module_for_any_block_size(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str]], block: int, data: st.DataObject
) -> None:
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows([("x", "y"), *records])
    lines, line = [], 2
    for record in records:
        lines.append(line)
        line += 1 + sum(cell.count("\n") for cell in record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_input, "BLOCK_BYTES", block)
        rows, rejected = read(tmp_path_factory.mktemp("csv") / "data.csv", text.getvalue())
    assert rejected == []
    assert rows == [(line, *record) for line, record in zip(lines, records, strict=True)]


@given(st.text(st.sampled_from('ab,"\n\r'), min_size=1, max_size=60), st.integers(1, 40))
def test_any_text_is_read_or_rejected_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, text: str, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_input, "BLOCK_BYTES", block)
        rows, rejected = read(tmp_path_factory.mktemp("csv") / "data.csv", "x,y\n" + text)
    seen = sorted([row[0] for row in rows] + [row[0] for row in rejected])
    assert seen == sorted(set(seen))
    assert seen[0] == 2
    covered = sum(1 + sum(cell.count("\n") for cell in row[1:]) for row in rows)
    covered += sum(1 + row[2].count("\n") for row in rejected)
    assert covered == text.removesuffix("\n").count("\n") + 1


FIELD = st.sampled_from(["", "1", "é", '"a,b"', '""', '"say ""hi"""', "long " * 20])
LINES = st.lists(st.lists(FIELD, min_size=1, max_size=5).map(",".join), min_size=1, max_size=30)


@given(LINES, st.integers(1, 200), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_lines_of_another_number_of_fields_are_the_ones_that_are_rejected(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], block: int, end: str, ended: bool
) -> None:
    parsed = {line: (text, next(csv.reader([text]), None) or [""]) for line, text in enumerate(lines, 2)}
    if not ended and not lines[-1]:  # that is no line at all
        del parsed[len(lines) + 1]
    content = end.join(["x,y,z", *lines]) + (end if ended else "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_input, "BLOCK_BYTES", block)
        if not parsed:
            return
        rows, rejected = read(tmp_path_factory.mktemp("csv") / "data.csv", content)
    assert rows == [(line, *fields) for line, (_, fields) in parsed.items() if len(fields) == 3]
    assert rejected == [
        (line, f"{len(fields)} field{'s' * (len(fields) != 1)}, expected 3", text)
        for line, (text, fields) in parsed.items()
        if len(fields) != 3
    ]


@pytest.mark.parametrize("where", [2, 70_000])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("1,2,3", "", id="too many"),
        pytest.param("1", "", id="too few"),
        pytest.param('1,"', "", id="stray"),
        pytest.param("x" * (2 << 20), "begins on line {}", id="endless"),
        pytest.param("\0,1", "on line {};", id="NUL"),
    ],
)
def test_place_in_a_long_file_is_given_by_its_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str, where: int
) -> None:
    monkeypatch.setattr(csv_input, "BLOCK_BYTES", 1 << 19)
    lines = ["1234567,abcdefgh"] * 100_000
    lines[where - 2] = line
    content = "\n".join(["a,b", *lines, ""])
    if message:
        with pytest.raises(BadInput) as error:
            read(file, content)
        assert message.format(where) in str(error.value)
    else:
        rows, rejected = read(file, content)
        assert [row[0] for row in rejected] == [where]
        assert [row[0] for row in rows] == [number for number in range(2, 100_002) if number != where]


def test_byte_order_mark_in_the_midst_of_a_file_is_text(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_input, "BLOCK_BYTES", 1)
    assert read(file, "a,b\n\ufeff1,2\n\ufeff3,4\n") == ([(2, "\ufeff1", "2"), (3, "\ufeff3", "4")], [])


GOOD = [f"{number},some text {number},{number * 7}" for number in range(8_000)]
BAD = {
    "too many": "1,2,3,4",
    "too few": "1",
    "empty": "",
    "commas": ",,,,,,,,,",
    "stray": '5" pipe,2,3',
    "text after a quote": '"x"y,2,3',
    "never closed": '"1,2,3',
}


@RUNS
@given(
    places=st.lists(st.tuples(st.integers(0, len(GOOD)), st.sampled_from(sorted(BAD))), min_size=1, max_size=25),
    block=st.sampled_from([1 << 10, 1 << 16, csv_input.BLOCK_BYTES]),
)
def test_bad_rows_anywhere_cost_only_themselves(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, str]], block: int
) -> None:
    """Two bad rows in a file of some size once ended the stage: polars panicked."""
    lines, kinds = [*GOOD], dict(places)
    for place in sorted(kinds, reverse=True):
        lines.insert(place, BAD[kinds[place]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_input, "BLOCK_BYTES", block)
        rows, rejected = read(tmp_path_factory.mktemp("csv") / "data.csv", "\n".join(["a,b,c", *lines, ""]))
    assert [",".join(row[1:]) for row in rows] == GOOD
    bad_lines = [2 + place + number for number, place in enumerate(sorted(kinds))]
    assert [(line, text) for line, _, text in rejected] == [
        (line, BAD[kinds[place]]) for line, place in zip(bad_lines, sorted(kinds), strict=True)
    ]


def test_quoted_line_break_after_a_stray_quote_is_no_row(file: Path) -> None:
    """The stray quote once opened a field, and a line from inside of a later, sound record became a row."""
    content = 'id,size,note\nk4,1.5,5" pipe\nk5,2,"text\nk6,3,inside\nend"\nk7,4,last\n'
    rows, rejected = read(file, content)
    assert rows == [(3, "k5", "2", "text\nk6,3,inside\nend"), (6, "k7", "4", "last")]
    assert rejected == [(2, STRAY, 'k4,1.5,5" pipe')]


@pytest.mark.parametrize(
    ("records", "rejected"),
    [
        pytest.param(['k1,"one\nk2,2,2\nend"x,1'], [0], id="text after the closing quote"),
        pytest.param(['k1,5" pipe,"one\nk2,2,2\nend"'], [0], id="stray quote before it"),
        pytest.param(['"x"y,"one\nk2,2,2","a\nk3,3,3"'], [0], id="two quoted fields after it"),
        pytest.param(['k1,"one\nk2,2,2"x,"a\nk3,3,3"'], [0], id="and one more after that"),
        pytest.param(['"1,2,3', "4,5,6", '7,"8\n9,9,9",0'], [0], id="never closed, then a line break"),
        pytest.param(['"1,2,3', "4,5,6", '7,"",0', '1,5" pipe,2', "3,4,5"], [0, 3], id="never closed, then stray"),
        pytest.param(['1,"2', "4,5,6", '7,"8\n9,9,9",0'], [0, 1], id="never closed and too short"),
        pytest.param(["4,5,6", '7,"8', "9,9,9"], [1, 2], id="the file ends inside"),
    ],
)
def test_line_inside_quotes_is_no_row_whatever_the_damage(
    file: Path, records: list[str], rejected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = [text for number, text in enumerate(records) if number not in rejected]
    for block in (1, 10, csv_input.BLOCK_BYTES):
        monkeypatch.setattr(csv_input, "BLOCK_BYTES", block)
        rows, refused = read(file, "\n".join(["a,b,c", *records, ""]))
        assert [row[1:] for row in rows] == [tuple(next(csv.reader(io.StringIO(text)))) for text in sound]
        assert [text for _, _, text in refused] == [records[number] for number in rejected]


@pytest.mark.parametrize("most_lines", [1000, csv_input.MOST_LINES])
def test_lines_of_a_field_that_is_too_long_are_no_rows(
    file: Path, monkeypatch: pytest.MonkeyPatch, most_lines: int
) -> None:
    """Most of the blocks that such a field is read in hold no quote at all."""
    monkeypatch.setattr(csv_input, "MOST_LINES", most_lines)
    monkeypatch.setattr(csv_input, "BLOCK_BYTES", 1 << 19)
    inside = 3 * csv_input.LONGEST_RECORD // len("k9,1,2\n")
    rows, rejected = read(file, 'a,b,c\n1,2,3\n4,"' + "k9,1,2\n" * inside + 'end",5\n6,7,8\n')
    assert rows == [(2, "1", "2", "3"), (inside + 4, "6", "7", "8")]
    assert [line for line, *_ in rejected] == list(range(3, inside + 4))


@given(st.text(st.sampled_from("ab,\n\r#\t é\ufeff"), min_size=1, max_size=400))
def test_block_has_no_more_lines_than_the_limit(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    """Empty lines count, too: each line takes memory."""
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    path.write_text("a,b\n" + content, encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_input, "MOST_LINES", 5)
        blocks = list(CsvFile(path, "data.csv").blocks())
    assert max(block.content.count(b"\n") for block in blocks) <= 5
    assert b"".join(block.content for block in blocks) == content.encode()


INNER = st.lists(st.sampled_from(["k9,1,2", "x", "", 'say ""hi""', ",,", '"",""', "1,2,3,4", " "]), max_size=4)
SOUND_FIELD = st.sampled_from(["1", "", "é", '"a,b"', '""', '"say ""hi"""', '""""']) | INNER.map(
    lambda lines: '"{}"'.format("\n".join(lines))
)
STRAY_FIELD = st.sampled_from(['5" pipe', 'say "hi"', '"x"y', 'a""', '""b', '"x" ', ' "x"', '5"'])
SOUND = st.lists(SOUND_FIELD, min_size=3, max_size=3)
STRAYING = st.tuples(st.lists(SOUND_FIELD, max_size=2), STRAY_FIELD, st.lists(SOUND_FIELD, max_size=2))
DAMAGED = STRAYING.map(lambda parts: [*parts[0], parts[1], *parts[2]])


def is_sound(fields: list[str]) -> bool:
    """Whether all quotes of a record are where RFC 4180 has them."""
    return all('"' not in f or (f[0] == f[-1] == '"' and '"' not in f[1:-1].replace('""', "")) for f in fields)


def read_in_blocks(folder: Path, content: str, block: int) -> tuple[list[tuple], list[tuple]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_input, "BLOCK_BYTES", block)
        patch.setattr(csv_input, "MOST_LINES", max(block // 10, 1))
        return read(folder / "data.csv", content)


@given(st.lists(SOUND | DAMAGED, min_size=1, max_size=15), st.integers(1, 300), st.sampled_from(["\n", "\r\n"]))
def test_stray_quotes_cost_only_their_records(
    tmp_path_factory: pytest.TempPathFactory, records: list[list[str]], block: int, end: str
) -> None:
    """Records with line breaks inside quotes are among them, and some of those lines look like records."""
    rows, rejected, line = [], [], 2
    for fields in records:
        text = ",".join(fields)
        if is_sound(fields) and len(fields) == 3:
            rows.append((line, *next(csv.reader(io.StringIO(text, newline="")))))
        else:
            rejected.append((line, text))
        line += 1 + text.count("\n")
    content = end.join(["x,y,z", *(",".join(fields) for fields in records), ""])
    found, refused = read_in_blocks(tmp_path_factory.mktemp("csv"), content, block)
    assert found == rows
    assert [(line, text) for line, _, text in refused] == rejected


NEVER_CLOSED = st.sampled_from(['"1,2,3', '1,"2,3', '1,2,"3', '"1', '1,"2', '1,2,"x ""y""', '1,"2,3,4'])


def begins_with_text(fields: list[str]) -> bool:
    """Whether no text in quotes begins with a comma, a quote or a line end.

    If one does, its first quote can close a field that was never closed, and all that follows is CSV as it should be.
    """
    return all(f == '""' or f[0] != '"' or f[1].isalnum() for f in fields if f) and '5"' not in fields


SCATTERED = (SOUND | DAMAGED).filter(begins_with_text).map(",".join) | NEVER_CLOSED


@given(st.lists(SCATTERED, min_size=1, max_size=15), st.integers(1, 300))
def test_line_inside_quotes_is_no_row_after_quotes_that_are_never_closed(
    tmp_path_factory: pytest.TempPathFactory, records: list[str], block: int
) -> None:
    starts, line = {}, 2
    for text in records:
        starts[line] = text
        line += 1 + text.count("\n")
    found, refused = read_in_blocks(tmp_path_factory.mktemp("csv"), "\n".join(["x,y,z", *records, ""]), block)
    for first, *fields in found:
        assert list(next(csv.reader(io.StringIO(starts[first], newline="")))) == fields
    covered = sum(1 + sum(cell.count("\n") for cell in row[1:]) for row in found)
    assert covered + sum(1 + text.count("\n") for _, _, text in refused) == line - 2
