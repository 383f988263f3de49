"""import: a table in any container becomes the same bytes as from plain CSV; what cannot be read is named."""

import codecs
import csv
import gzip
import io
import json
import time
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from backports import zstd
from conftest import DATA_HEADER, DS, SCHEMA, Day, field, flock, graded, put, sheep, to_csv
from hypothesis import given
from hypothesis import strategies as st
from stagekit.progress import line

import parquet_table
from containers import open_container
from parquet_table import ParquetTable
from tests.hostile import RUNS

NUMBERED: dict[str, Any] = {
    "fields": [
        {**field("row", "integer", "key"), "rowNumber": True},
        field("kilos", "number", "feature"),
        field("breed", "string", "feature"),
        field("grade", "string", "target"),
    ],
}
MARKS = {"utf-8-sig": b"", "utf-16": b"", "utf-16-be": codecs.BOM_UTF16_BE}


def zipped(content: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("data.csv",):
            archive.writestr(name, content)
    return file.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda content: content,
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "zip": zipped,
}


def imported(day: Day, files: dict[str, Path], *options: str, target: bool = True) -> dict[str, bytes]:
    """Import the files; returns what was published of them."""
    named = [t for n, p in files.items() if target or n != "target.csv" for t in (f"--{n.partition('.')[0]}", str(p))]
    run = day.run("import", *named, *options)
    assert run.code == 0, run.log
    folder = day.file(f"raw/{DS}")
    return {name: (folder / name).read_bytes() for name in ("data.csv", "target.csv") if (folder / name).exists()}


def refused(day: Day, files: dict[str, Path], data: bytes, *options: str, schema: Any = SCHEMA) -> str:
    """The message of an import that ends with exit code 3."""
    put(files, "", flock(9)[1], schema)
    files["data.csv"].write_bytes(data)
    named = [text for name, path in files.items() for text in (f"--{name.partition('.')[0]}", str(path))]
    run = day.run("import", *named, *options)
    assert run.code == 3, run.log
    assert "Traceback" not in run.log
    assert not day.file("raw").exists() or not list(day.file("raw").glob("[!.]*"))
    return run.log


CELL = st.text(st.sampled_from('a1é€,;|\t"\n '), max_size=5)


@RUNS
@given(
    cells=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"]),
    compression=st.sampled_from(sorted(COMPRESSIONS)),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    inside=st.booleans(),
)
def test_any_dialect_gives_the_bytes_of_plain_csv(
    day: Day,
    files: dict[str, Path],
    cells: list[tuple[str, str]],
    delimiter: str,
    encoding: str,
    compression: str,
    quoting: Any,
    line_end: str,
    inside: bool,
) -> None:
    rows = [[f"tag-{n}", *pair, "AB"[n % 2]] for n, pair in enumerate(cells)]
    schema = {
        "fields": [field(n, "string", r) for n, r in zip("kxyz", ("key", *["feature"] * 2, "target"), strict=True)]
    }
    put(files, to_csv("kxy", (row[:3] for row in rows)), to_csv("kz", (row[::3] for row in rows)), schema)
    plain = imported(day, files)
    assert plain["data.csv"] == files["data.csv"].read_bytes()

    def write(name: str, header: str, table: list[list[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=line_end).writerows([header, *table])
        content = MARKS.get(encoding, b"") + text.getvalue().encode(encoding)
        files[name].write_bytes(COMPRESSIONS[compression](content))

    write("data.csv", "kxyz" if inside else "kxy", [row if inside else row[:3] for row in rows])
    write("target.csv", "kz", [row[::3] for row in rows])
    options = ["--encoding", encoding] if encoding == "cp1252" else []
    assert imported(day, files, *options, target=not inside) == plain


def test_block_after_block_is_translated(day: Day, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks with quotes, with other delimiters in values and with neither alternate."""
    rows = [[f"tag-{n}", *sheep(n)[1:7], ["ok", "a;b", "a,b", 'say "x"'][n // 50 % 4]] for n in range(800)]
    put(files, to_csv(DATA_HEADER, rows), to_csv(["tag", "grade"], map(graded, range(800))))
    monkeypatch.setattr("csv_input.BLOCK_BYTES", 500)
    plain = imported(day, files)
    assert plain["data.csv"] == files["data.csv"].read_bytes()
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([DATA_HEADER, *rows])
    files["data.csv"].write_text(text.getvalue(), newline="")
    assert imported(day, files) == plain


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_parquet_gives_the_texts_of_its_values(day: Day, files: dict[str, Path], compression: str) -> None:
    kinds = [
        *(("whole", "integer"), ("broken", "number"), ("flag", "boolean"), ("day", "date"), ("moment", "datetime")),
        *(("zoned", "datetime"), ("exact", "number"), ("word", "string"), ("nothing", "string")),
    ]
    texts = {
        "whole": ["1", "-7", ""],
        "broken": ["0.1", "2.0", ""],
        "flag": ["true", "false", ""],
        "day": ["2026-11-21", "1999-02-28", ""],
        "moment": ["2026-11-21T10:11:12", "2026-11-21T10:11:12.500", ""],
        "zoned": ["2026-11-21T09:11:12", "2026-07-21T08:11:12", ""],
        "exact": ["1.5", "2", ""],
        "word": ["red, green", 'say "x"', ""],
        "nothing": ["", "", ""],
    }
    roles = {"day": "time", "moment": "time", "zoned": "time"}
    fields = [field("id", "integer", "key"), *(field(name, kind, roles.get(name, "feature")) for name, kind in kinds)]
    schema = {"fields": [*fields, field("y", "integer", "target")]}
    numbers = [str(number) for number in range(3)]
    put(files, to_csv(["id", *texts], zip(numbers, *texts.values(), strict=True)), "id,y\n0,1\n1,0\n2,1\n", schema)
    plain = imported(day, files)
    values = (
        pl.DataFrame({"id": numbers, **texts})
        .with_columns(pl.col("*").replace("", None))
        .with_columns(
            pl.col("id", "whole").cast(pl.Int64),
            pl.col("broken").cast(pl.Float64),
            pl.col("flag") == "true",
            pl.col("day").str.to_date("%Y-%m-%d"),
            pl.col("moment").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f"),
            pl.col("zoned").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_zone="UTC").dt.convert_time_zone("Europe/Berlin"),
            pl.col("exact").cast(pl.Decimal(9, 2)),
            pl.col("word").cast(pl.Categorical),
            pl.lit(None).alias("nothing"),
            pl.Series("y", [1, 0, 1]),
        )
    )
    content = io.BytesIO()
    values.write_parquet(content)
    files["data.csv"].write_bytes(COMPRESSIONS[compression](content.getvalue()))
    assert imported(day, files, target=False) == plain


# What a field says of texts, the values of a Parquet file, and the property at fault.
OTHER_FORMS = {
    "times": (
        {"type": "datetime", "format": "%d.%m.%Y %H:%M"},
        [datetime(2026, 11, 21, hour) for hour in (9, 10)],
        "format",
    ),
    "numbers": ({"type": "number", "decimalChar": ","}, [1.5, 2.25], "decimalChar"),
    "yes": ({"type": "boolean", "trueValues": ["yes"]}, [True, False], "trueValues"),
    "no": ({"type": "boolean", "falseValues": ["no"]}, [True, False], "falseValues"),
}


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_schema_with_the_form_of_texts_is_refused_for_parquet(day: Day, files: dict[str, Path], name: str) -> None:
    """Every row would be rejected, by `prepare`, and nobody can change how Parquet is written."""
    properties, values, at_fault = OTHER_FORMS[name]
    fields = [field("tag", "string", "key"), {"name": "x", "role": "feature", **properties}]
    schema = {"fields": [*fields, field("grade", "string", "target")]}
    content = io.BytesIO()
    pl.DataFrame({"tag": ["tag-0", "tag-1"], "x": values}).write_parquet(content)
    log = refused(day, files, content.getvalue(), schema=schema)
    assert f"in the column 'x', and schema.json has the {at_fault} of texts for it" in log
    assert f"do: remove {at_fault} from that field" in log


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


@RUNS
@given(
    rows=st.lists(
        st.tuples(
            maybe(st.integers(-(2**53), 2**53)),
            maybe(st.floats(allow_nan=False, allow_infinity=False)),
            maybe(st.booleans()),
            maybe(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))),
            maybe(st.text(st.sampled_from('a1é€,;"\n '), min_size=1, max_size=5)),
        ),
        min_size=4,
        max_size=12,
    ),
    compression=st.sampled_from(sorted(COMPRESSIONS)),
    row_group=st.integers(1, 5),
)
def test_any_values_of_parquet_give_the_partition_of_plain_csv(
    day: Day, files: dict[str, Path], rows: list[tuple[Any, ...]], compression: str, row_group: int
) -> None:
    kinds = {"id": "integer", "n": "integer", "x": "number", "b": "boolean", "t": "datetime", "s": "string"}
    roles = {"id": "key", "t": "time"}
    fields = [field(name, kind, roles.get(name, "feature")) for name, kind in kinds.items()]
    types = [pl.Int64(), pl.Int64(), pl.Float64(), pl.Boolean(), pl.Datetime("us"), pl.String()]
    table = pl.DataFrame(
        [(number, *row) for number, row in enumerate(rows)],
        schema=dict(zip(kinds, types, strict=True)),
        orient="row",
    )
    labels = to_csv(["id", "y"], [[number, "ab"[number % 2]] for number in range(len(rows))])

    def spelt(value: Any) -> str:
        if isinstance(value, datetime):
            return value.isoformat()
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    def prepared() -> list[bytes]:
        imported(day, files)
        assert day.run("prepare", "--max-rejected", "0").code == 0
        assert day.run("split", "--val-fraction", "0.5").code == 0
        folder = day.file(f"processed/{DS}")
        return [(folder / name).read_bytes() for name in ("train_data.csv", "train.csv", "val.csv", "encoder.json")]

    plain_rows = [[number, *map(spelt, row)] for number, row in enumerate(rows)]
    put(files, to_csv([*kinds], plain_rows), labels, {"fields": [*fields, field("y", "string", "target")]})
    plain = prepared()
    content = io.BytesIO()
    table.write_parquet(content, row_group_size=row_group)
    files["data.csv"].write_bytes(COMPRESSIONS[compression](content.getvalue()))
    assert prepared() == plain


def test_label_inside_goes_all_the_way(day: Day, files: dict[str, Path]) -> None:
    table = [[*sheep(number), graded(number)[1]] for number in range(60)]
    put(files, to_csv([*DATA_HEADER, "grade"], table), "")
    imported(day, files, target=False)
    assert day.run("prepare").result["rows_out"] == 60
    assert day.run("split").code == 0


@pytest.mark.parametrize("inside", [True, False])
def test_made_up_key_is_the_number_of_the_row(day: Day, files: dict[str, Path], inside: bool) -> None:
    """A row that is malformed has a number too: the numbers are those of the rows as a person counts them."""
    data = ["kilos,breed,grade", "1.5,merino,A", "broken", "2.5,texel,B", '"3.5","a,b",A']
    if inside:
        put(files, "\n".join(data), "", NUMBERED)
    else:
        rows = [line.rpartition(",")[0] or line for line in data]
        put(files, "\n".join(rows), "grade\nA\nB\nB\nA\n", NUMBERED)
    published = imported(day, files, target=not inside)
    assert published["data.csv"].decode() == 'row,kilos,breed\n1,1.5,merino\n"broken"\n3,2.5,texel\n4,3.5,"a,b"\n'
    number = "" if inside else "2,B\n"
    assert published["target.csv"].decode() == f"row,grade\n1,A\n{number}3,B\n4,A\n"


def test_rows_without_a_key_must_be_the_same_in_both_files(day: Day, files: dict[str, Path]) -> None:
    options = put(files, "kilos,breed\n1,x\n2,y\n", "grade\nA\n", NUMBERED)
    run = day.run("import", *options)
    assert run.code == 3
    assert "the data has 2 rows and the target 1" in run.log


def test_malformed_rows_are_rejected_with_their_line(day: Day, files: dict[str, Path]) -> None:
    """Good rows are the same, whatever surrounds them, and no row appears that was none."""
    good = [";".join(sheep(number)) for number in range(60)]
    bad = {5: "short;row", 9: "", 20: 'tag-x;"never closed' + ";" * 6, 21: 'tag-y;5" nail' + ";" * 6, 40: ";" * 12}
    lines = [";".join(DATA_HEADER)]
    for number, row in enumerate(good):
        lines += [bad[number], row] if number in bad else [row]
    put(files, "\n".join(lines) + "\n", flock(60)[1])
    files["data.csv"].write_bytes(gzip.compress(files["data.csv"].read_bytes()))
    imported(day, files)
    result = day.run("prepare", "--max-rejected", "0.2").result
    assert (result["rows_out"], result["rejected"]["data.csv"]) == (60, len(bad))
    rejected = day.rows(f"processed/{DS}/rejected.csv")
    assert [row["line"] for row in rejected] == [str(lines.index(text) + 1) for text in bad.values()]
    assert [row["row"] for row in rejected] == list(bad.values())
    quotes, fields = "a quote that is not around a whole field", "{}, expected 8".format
    expected = [fields("2 fields"), fields("1 field"), quotes, quotes, fields("13 fields")]
    assert [row["reason"] for row in rejected] == expected


def test_plain_file_with_malformed_rows_is_copied_as_it_is(day: Day, files: dict[str, Path]) -> None:
    data, target = flock(60)
    put(files, data.replace("\n", "\r\n") + '5" nail\r\n', target)
    files["data.csv"].write_bytes(files["data.csv"].read_bytes().replace(b"\r\r", b"\r"))
    assert imported(day, files)["data.csv"] == files["data.csv"].read_bytes()


PLAIN = flock(9)[0]
NESTED, OTHER = io.BytesIO(), io.BytesIO()
pl.DataFrame({"tag": ["a"], "farm": [[1, 2]]}).write_parquet(NESTED)
pl.DataFrame({"a": [1]}).write_ipc(OTHER)

UNREADABLE: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "gzip of gzip": (gzip.compress(gzip.compress(PLAIN.encode())), ("is gzip of gzip", "unpack it once")),
    "zip of zstd": (zipped(zstd.compress(PLAIN.encode())), ("is zip of zstd",)),
    "zip of two files": (
        zipped(b"a", "a.csv", "b.csv"),
        ("a zip archive of 2 files: a.csv, b.csv", "exactly one file"),
    ),
    "empty zip": (zipped(b"", "folder/"), ("a zip archive of 0 files",)),
    "xlsx": (
        zipped(b"x", "[Content_Types].xml", "xl/workbook.xml"),
        ("is an Excel file (xlsx). Excel is not read", "save it as CSV"),
    ),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), ("Excel is not read", "save it as CSV")),
    "Feather": (OTHER.getvalue(), ("an Arrow (Feather) file", "Parquet")),
    "JSON": (b'[{"tag": 1}]', ("is JSON",)),
    "gzip cut off": (gzip.compress(PLAIN.encode())[:-20], ("begins like gzip but cannot be unpacked",)),
    "zstd cut off": (zstd.compress(PLAIN.encode())[:-20], ("begins like zstd but cannot be unpacked",)),
    "zip cut off": (zipped(PLAIN.encode())[:-20], ("begins like zip but cannot be unpacked",)),
    "Parquet cut off": (NESTED.getvalue()[:-20], ("begins like Parquet but cannot be read",)),
    "nested Parquet": (NESTED.getvalue(), ("the column 'farm'", "is nested (List(Int64))")),
    "UTF-16 without mark": (PLAIN.encode("utf-16-le"), ("looks like UTF-16 without", "add --encoding utf-16-le")),
    "Latin-1": (
        PLAIN.replace("texel", "Größe").encode("latin-1"),
        ("0xf6, which is no UTF-8,", "on line 3", "or add --encoding cp1252 (Western European Windows)", "Größe"),
    ),
    "Latin-1 with semicolons": (
        PLAIN.replace(",", ";").replace("texel", '"Größe, groß"').encode("latin-1"),
        ("on line 3", "if this is right", ';"Größe, groß";'),
    ),
    "Latin-1 in a header with tabs": (
        PLAIN.replace(",", "\t").replace("breed", '"Größe, groß"', 1).encode("latin-1"),
        ("on line 1", "if this is right", r'\t"Größe, groß"\t'),
    ),
    "a name twice, with semicolons": (
        PLAIN.replace(",", ";").replace("kilos", '"kilos, net"', 1).replace("breed", '"kilos, net"', 1).encode(),
        ("names kilos, net twice",),
    ),
    "a header of semicolons with a quote too many": (
        PLAIN.replace(",", ";").replace("kilos", '"kilos"net', 1).encode(),
        ("';' expected after '\"'", "expected: names with ';' between them"),
    ),
    "Excel's line of the delimiter": (
        ("sep=;\n" + PLAIN.replace(",", ";")).encode("utf-16"),
        ("begins with 'sep=;'", "remove the first line"),
    ),
    "lone CR": (PLAIN.replace("\n", "\r").encode(), ("end with a carriage return alone", "tr '\\r' '\\n'")),
    "line break in the header": (
        PLAIN.replace("kilos", '"kilos\nof meat"', 1).encode(),
        ("is not CSV on one line", "ends inside quotes", "rename that column"),
    ),
    "semicolon, a column missing": (
        PLAIN.replace(",memo", "", 1).replace(",", ";").encode(),
        ("lacks memo", "utf-8, semicolon"),
    ),
    "tab, a column missing": (PLAIN.replace(",memo", "", 1).replace(",", "\t").encode(), ("lacks memo", "utf-8, tab")),
    "semicolons in the header only": (
        PLAIN.replace(",", ";", len(DATA_HEADER) - 1).encode(),
        ("9 of 9 rows", "do not fit its header: 1 field, expected 8", "line 2", "--delimiter"),
    ),
    "a comma too many": (
        PLAIN.replace("\n", ",\n").replace(",\n", "\n", 1).encode(),
        ("9 of 9 rows", "9 fields, expected 8", "remove the delimiter too many", "row number"),
    ),
    "no key column": (PLAIN.replace("tag,", "name,", 1).encode(), ("lacks tag and has unknown name",)),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_named(day: Day, files: dict[str, Path], name: str) -> None:
    content, messages = UNREADABLE[name]
    log = refused(day, files, content)
    for message in (*messages, str(files["data.csv"])):
        assert message in log


def test_mark_and_option_that_differ_are_refused(day: Day, files: dict[str, Path]) -> None:
    log = refused(day, files, PLAIN.encode("utf-16"), "--encoding", "cp1252")
    assert "begins with the byte order mark of utf-16-le, and --encoding says cp1252" in log


def test_text_that_is_not_in_the_encoding_named_is_refused(day: Day, files: dict[str, Path]) -> None:
    log = refused(day, files, PLAIN.replace("texel", "Größe").encode("latin-1"), "--encoding", "ascii")
    assert "is not in ascii" in log


@pytest.mark.parametrize(
    ("option", "value"), [("--delimiter", ";;"), ("--delimiter", '"'), ("--encoding", "klingon"), ("--encoding", "hex")]
)
def test_option_that_names_no_container_is_wrong_usage(
    day: Day, files: dict[str, Path], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as error:
        day.run("import", *put(files, *flock(9)), option, value)
    assert error.value.code == 2


def test_result_says_what_was_read(day: Day, files: dict[str, Path]) -> None:
    options = put(files, *(text.replace(",", "\t") for text in flock(9)))
    files["data.csv"].write_bytes(gzip.compress(files["data.csv"].read_bytes()))
    assert day.run("import", *options).result["read"] == {"data.csv": "gzip, utf-8, tab", "target.csv": "utf-8, tab"}


def test_column_that_the_schema_makes_up_may_not_be_in_the_file(day: Day, files: dict[str, Path]) -> None:
    put(files, "row,kilos,breed,grade\n7,1,x,A\n", "", NUMBERED)
    named = ["--data", str(files["data.csv"]), "--schema", str(files["schema.json"])]
    run = day.run("import", *named)
    assert run.code == 3
    assert "has the column row, which schema.json makes up" in run.log


@pytest.mark.parametrize("change", [{"role": "feature"}, {"type": "string"}, {"rowNumber": "yes"}])
def test_row_number_is_an_integer_key(day: Day, files: dict[str, Path], change: dict[str, Any]) -> None:
    fields = [{**NUMBERED["fields"][0], **change}, *NUMBERED["fields"][1:]]
    run = day.run("import", *put(files, "kilos,breed\n1,x\n", "grade\nA\n", json.loads(json.dumps({"fields": fields}))))
    assert run.code == 3
    assert "rowNumber" in run.log


@pytest.mark.parametrize(
    ("data", "target", "message"),
    [
        ("tag-007", "tag-7", "tag is 'tag-007' in the first row of the data and 'tag-7' in the target"),
        ("007", "7", "the same tag is '007' in the data and '7' in the target"),
        ("Tag-7", "tag-7", "the same tag is 'Tag-7' in the data and 'tag-7' in the target"),
    ],
)
def test_keys_of_which_none_matches_are_refused(
    day: Day, files: dict[str, Path], data: str, target: str, message: str
) -> None:
    fields = [{key: value for key, value in f.items() if key != "constraints"} for f in SCHEMA["fields"]]
    rows = to_csv(DATA_HEADER, [[data, *sheep(number)[1:]] for number in range(9)])
    run = day.run("import", *put(files, rows, to_csv(["tag", "grade"], [[target, "A"]]), {"fields": fields}))
    assert run.code == 3
    assert message in run.log


@pytest.mark.parametrize(("data", "target"), [("007", "7"), ("7.0", "7"), ("7", "7.0"), (" 7", "7e0")])
def test_key_of_whole_numbers_matches_however_it_is_written(
    day: Day, files: dict[str, Path], data: str, target: str
) -> None:
    fields = [field("id", "integer", "key"), field("x", "number", "feature"), field("y", "string", "target")]
    arguments = put(files, f"id,x\n{data},1\n", f"id,y\n{target},A\n", {"fields": fields})
    run = day.run("import", *arguments)
    assert run.code == 0, run.log
    assert day.run("prepare").result["rows_out"] == 1


def test_target_in_both_files_is_refused(day: Day, files: dict[str, Path]) -> None:
    table = [[*sheep(number), graded(number)[1]] for number in range(60)]
    run = day.run("import", *put(files, to_csv([*DATA_HEADER, "grade"], table), flock(60)[1]))
    assert run.code == 3
    assert "has the target grade, and a target.csv is named too" in run.log


@RUNS
@given(
    cents=st.lists(st.integers(-(10**9), 10**9), min_size=20, max_size=40, unique=True),
    mark=st.sampled_from([(",", ""), (",", "."), (",", " "), (".", ","), (".", "'"), (".", "")]),
    sign=st.sampled_from(["", " €", " %"]),
    times=st.sampled_from(["%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M", "%Y/%m/%d %I:%M %p", "%d %b %Y %H:%M"]),
    missing=st.sampled_from(["NA", "-", "?", "nan"]),
)
def test_any_way_to_write_values_gives_the_same_prepared_table(
    day: Day, files: dict[str, Path], cents: list[int], mark: tuple[str, str], sign: str, times: str, missing: str
) -> None:
    """The draft recognises the way, and `prepare` then makes the bytes that it makes of plain values."""
    start = datetime(2026, 11, 1, 13, 30)

    def table(number: Callable[[int], str], time: Callable[[datetime], str], nothing: str) -> str:
        rows = [[n, number(cent), time(start + timedelta(hours=7 * n)), "ab"[n % 2]] for n, cent in enumerate(cents)]
        return to_csv(["id", "x", "t", "y"], [*rows, [len(cents), nothing, nothing, "a"]])

    def marked(cent: int) -> str:
        decimal, group = mark
        whole, _, rest = f"{cent / 100:,.2f}".partition(".")
        return f"{whole.replace(',', group)}{decimal}{rest}{sign}"

    prepared = []
    for text in (
        table(lambda cent: f"{cent / 100:.2f}", lambda time: time.isoformat(), ""),
        table(marked, lambda time: time.strftime(times), missing),
    ):
        put(files, text, "")
        named = ["--data", str(files["data.csv"])]
        out = ["--out", str(files["schema.json"]), "--force", "--target-column", "y"]
        run = day.run("infer-schema", *named, *out, ds=None)
        assert run.code == 0, run.log
        assert day.run("import", *named, "--schema", str(files["schema.json"])).code == 0
        assert day.run("prepare", "--max-rejected", "0").code == 0
        assert day.run("split", "--val-fraction", "0.4").code == 0
        folder = day.file(f"processed/{DS}")
        prepared.append([(folder / name).read_bytes() for name in ("train_data.csv", "train.csv", "val.csv")])
    assert prepared[0] == prepared[1]


# --- columns without a name ---


NAMELESS: dict[str, Any] = {
    "fields": [
        field("column_1", "integer", "key"),
        field("kilos", "number", "feature"),
        field("column_3", "string", "feature"),
        field("grade", "string", "target"),
    ],
}
NAMED_ROWS = [[n, repr(20 + n / 7), ("merino", "texel")[n % 2], "AB"[n % 2]] for n in range(40)]


def nameless(header: str, kind: str, delimiter: str) -> bytes:
    """The rows as a file of a kind; its header lacks the names of two columns."""
    rows = [",".join(map(str, row)) for row in NAMED_ROWS]
    if kind == "malformed":
        rows.insert(7, "1,2")
    return "\n".join([header, *rows, ""]).replace(",", delimiter).encode()


@pytest.mark.parametrize("header", [",kilos,,grade", '"","kilos","","grade"', "\ufeff,kilos,,grade"])
@pytest.mark.parametrize(("kind", "delimiter"), [("good", ","), ("malformed", ","), ("good", ";"), ("malformed", ";")])
def test_columns_without_a_name_are_named_and_nothing_is_lost(
    day: Day, files: dict[str, Path], header: str, kind: str, delimiter: str
) -> None:
    put(files, "", "", NAMELESS)
    files["data.csv"].write_bytes(nameless(header, kind, delimiter))
    run = day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"]))
    assert run.code == 0, run.log
    sentence = "data.csv: columns without a name are called column_1, column_3 from here on"
    assert run.result["warnings"] == [sentence]
    assert f"WARNING preprocessing import: {sentence}" in run.log
    lines = day.file(f"raw/{DS}/data.csv").read_text().splitlines()
    assert lines.pop(0) == "column_1,kilos,column_3"
    if kind == "malformed":
        assert lines.pop(7) == f'"1{delimiter}2"'
    assert lines == [",".join(map(str, row[:3])) for row in NAMED_ROWS]
    assert day.run("prepare").code == 0
    assert len(day.rows(f"processed/{DS}/train_data.csv")) == 40


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (",column_1,y", {"column_1_": "key", "column_1": "feature"}),
        ("column_2,,y", {"column_2": "key", "column_2_": "feature"}),
        (",,y", {"column_1": "key", "column_2": "feature"}),
        ("id,x,y,", {"id": "key", "column_4": "ignore"}),
    ],
)
def test_draft_names_columns_as_import_does(
    day: Day, files: dict[str, Path], header: str, named: dict[str, str]
) -> None:
    files["data.csv"].write_text(
        f"{header}\n" + "".join(f"{n},{n % 9}.5,{'ab'[n % 2]}{',' * (header.count(',') - 2)}\n" for n in range(60))
    )
    out = ["--out", str(files["schema.json"])]
    run = day.run("infer-schema", "--data", str(files["data.csv"]), "--target-column", "y", *out, ds=None)
    assert run.code == 0, run.log
    fields = {f["name"]: f for f in json.loads(files["schema.json"].read_text())["fields"]}
    assert {name: fields[name]["role"] for name in named} == named
    new = [name for name in fields if "has no name in the file" in fields[name]["description"]]
    assert len(new) == header.split(",").count("")
    what = "a column without a name is" if len(new) == 1 else "columns without a name are"
    assert f"{files['data.csv']}: {what} called {', '.join(new)} from here on" in run.result["warnings"]
    run = day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"]))
    assert run.code == 0, run.log
    assert "extra_columns" not in run.result
    assert day.run("prepare").code == 0


def test_index_that_pandas_writes_is_the_key_of_two_files(day: Day, files: dict[str, Path]) -> None:
    files["data.csv"].write_text(",x\n" + "".join(f"{n},{n % 7}.5\n" for n in range(60)))
    files["target.csv"].write_text(",y\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in reversed(range(60))))
    named = ["--data", str(files["data.csv"]), "--target", str(files["target.csv"])]
    run = day.run("infer-schema", *named, "--out", str(files["schema.json"]), ds=None)
    assert run.code == 0, run.log
    assert run.result["key"] == ["column_1"]
    assert sum("a column without a name is called column_1" in one for one in run.result["warnings"]) == 2
    run = day.run("import", *named, "--schema", str(files["schema.json"]))
    assert run.code == 0, run.log
    assert day.run("prepare").result["rows_out"] == 60


def test_reading_parquet_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.parquet"
    pl.DataFrame({"tag": ["a", "b", "c"]}).write_parquet(path)
    monkeypatch.setattr(parquet_table, "BATCH_ROWS", 2)
    began = time.monotonic()
    lines = [
        line("import", began, began + 60).partition("60 s: ")[2].partition(",")[0]
        for _ in ParquetTable(open_container(path, "data.parquet"), tmp_path).rows()
    ]
    assert lines == ["reading data.parquet: 0 rows", "reading data.parquet: 67% of 3 rows"]


def test_column_of_parquet_without_a_name_is_named(day: Day, files: dict[str, Path]) -> None:
    names = ["", "kilos", "column_3", "grade"]
    columns = dict(zip(names, zip(*NAMED_ROWS, strict=True), strict=True))
    put(files, "", "", NAMELESS)
    pl.DataFrame(columns).write_parquet(files["data.csv"])
    run = day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"]))
    assert run.code == 0, run.log
    assert run.result["warnings"] == ["data.csv: a column without a name is called column_1 from here on"]
    assert day.file(f"raw/{DS}/data.csv").read_text().startswith("column_1,kilos,column_3\n0,20.0,merino\n")


@pytest.mark.parametrize("header", ["", ",,,", '"","","",""'])
def test_header_without_any_name_is_refused(day: Day, files: dict[str, Path], header: str) -> None:
    put(files, "", "", NAMELESS)
    files["data.csv"].write_bytes(nameless(header, "good", ","))
    run = day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"]))
    assert run.code == 3
    assert "has a column without a name" in run.log
