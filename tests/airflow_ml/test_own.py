"""Own data: arguments are checked before anything starts, no other raw day is replaced, who promotes a model."""

import argparse
import gzip
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from airflow_ml import own
from airflow_ml.common import AirflowMlError
from airflow_ml.source import Source

SCHEMA = {"fields": [{"name": "id", "type": "integer", "role": "key"}, {"name": "churned", "role": "target"}]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with my.csv, done.csv with its schema, labels.csv, secret.csv, shop.json, and a folder."""
    for name in ("my.csv", "done.csv", "labels.csv", "secret.csv", "shop.json"):
        (tmp_path / name).write_text("id,churned\n1,yes\n")
    (tmp_path / "done.schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "secret.csv").chmod(0o600)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(data: Any) -> dict[str, Any]:
    """A mark, as far as it says what was imported."""
    return {"steps": {"import": {"call": {"arguments": {"data": data}}}}}


def parse(line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    own.configure(parser)
    return parser.parse_args(shlex.split(line))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "data", "labels", "schema"),
    [
        ("--data my.csv --target churned", "my.csv", None, "my.schema.json"),
        ("--data my.csv --labels labels.csv --key id", "my.csv", "labels.csv", "my.schema.json"),
        ("--data done.csv --target churned", "done.csv", None, "done.schema.json"),
        ("--data done.csv", "done.csv", None, "done.schema.json"),
        ("--data my.csv --schema done.schema.json", "my.csv", None, "done.schema.json"),
        ("--data my.csv --target churned --schema new.json --draft-only", "my.csv", None, "new.json"),
    ],
)
def test_files_are_those_that_the_arguments_name(line: str, data: str, labels: str | None, schema: str) -> None:
    found = own.check(parse(line))
    assert found == own.Own(Path(data), Path(labels) if labels else None, Path(schema))


QUERY, DATED = "SELECT * FROM customers", "SELECT * FROM sales WHERE day = $1"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("query", "more", "later"),
    [
        (
            QUERY,
            ["--snapshot"],
            "Later    name the day in the query, as $1: now it is the same for all days. Then this",
        ),
        (DATED, [], "Later    this command with another --ds; or each night the Dag of ten lines in docs/use.md"),
    ],
)
def test_source_is_taken_in_and_the_summary_says_how_later_days_come(query: str, more: list[str], later: str) -> None:
    found = own.check(parse(f"--connection shop.json --query '{query}' --target churned"))
    assert (found.name, found.files, found.schema) == ("shop", {}, Path("shop.schema.json"))
    assert isinstance(found.data, Source)
    asked = ["ingest", "--ds=2026-11-21", "--connection=shop", f"--query={query}", *more]
    assert found.data.arguments("2026-11-21") == asked
    assert found.data.files("2026-11-21") == ["--data=/data/incoming/2026-11-21/data"]
    assert found.data.next_days("2026-11-21").startswith(later)
    assert "the schema /data/raw/2026-11-21/schema.json" in found.data.next_days("2026-11-21")


@pytest.mark.parametrize(("query", "inputs", "expected"), [
    (QUERY, {"incoming/2026-11-21/data": "ab"}, True),
    (DATED, {"incoming/2026-11-21/data": "ab"}, False),
    (QUERY, {}, False),
])  # fmt: skip
def test_mark_says_which_source_a_day_was_imported_from(query: str, inputs: dict[str, str], expected: bool) -> None:
    asked = {"connection": "shop", "query": query, "object": None, "snapshot": True}
    raw, incoming = {"steps": {"import": {"inputs": inputs}}}, {"steps": {"ingest": {"call": {"arguments": asked}}}}
    assert Source(Path("shop.json"), {"query": QUERY}).has_made(raw, incoming, "2026-11-21") is expected


@pytest.mark.usefixtures("folder")
def test_what_the_values_do_not_show_is_passed_to_the_draft() -> None:
    line = "--data my.csv --target churned --key id --key day --weight drawn --missing=- --delimiter ;"
    assert own.draft_facts(parse(line)) == [
        *("--target-column=churned", "--key=id", "--key=day", "--weight=drawn", "--missing=-", "--delimiter=;")
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--data my.csv --target churnd", "my.csv has no column 'churnd', which --target names; did you mean churned?"),
        ("--data my.csv --target churned --key id --key ident", "no column 'ident', which --key names"),
        ("--data my.csv --target churned --entity customer", "which --entity names\n       expected: a name of its"),
        ("--data my.csv --target churned --weight w", "its first line: id,churned\n"),
        ("--data my.csv --labels other.csv --key id", "other.csv has no column 'id', which --key names\n"),
        ("--data marked.csv --target Grösse", "did you mean Größe?"),
    ],
)
def test_name_that_is_not_in_the_first_line_is_refused_before_anything_is_built(
    line: str, found: str, folder: Path
) -> None:
    (folder / "other.csv").write_text("code;y\n1;yes\n")
    (folder / "marked.csv").write_bytes('"Größe"\ty\r\n1\t2\r\n'.encode("utf-8-sig"))
    with pytest.raises(AirflowMlError) as caught:
        own.check(parse(line))
    assert found in str(caught.value)
    assert caught.value.exit_code == 2


HEADERS = {
    "compressed": gzip.compress(b"id,churned\n1,yes\n"),
    "Parquet": b"PAR1\x15\x04\x15\x10\n",
    "another encoding": "id;größe\n".encode("latin-1"),
    "UTF-16": "id,churned\n".encode("utf-16"),
    "UTF-16 without a mark": "id,churned\n".encode("utf-16-le"),
    "nothing": b"",
    "an empty line": b"\nid,churned\n",
    "carriage returns alone": b"id,churned\r1,yes\r",
    "a very long line": b"id," * 1_000_000,
    "a name with quotes": b'"size ""y""",y\n',
}


def test_column_without_a_name_has_the_name_that_the_stage_gives_it(folder: Path) -> None:
    (folder / "my.csv").write_text(",churned\nk1,yes\n")
    assert own.check(parse("--data my.csv --target churned --key column_1")).data == Path("my.csv")


@pytest.mark.parametrize("kind", HEADERS)
def test_header_that_is_not_read_here_is_left_to_the_stage(kind: str, folder: Path) -> None:
    (folder / "my.csv").write_bytes(HEADERS[kind])
    assert own.check(parse("--data my.csv --target 'size \"y\"'")).data == Path("my.csv")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--data gone.csv --target churned", "--data gone.csv does not exist"),
        ("--data folder --target churned", "--data folder is a folder"),
        ("--data my.csv --labels gone.csv", "--labels gone.csv does not exist"),
        ("--data my.csv", "nothing says what to predict"),
        ("--data my.csv --target churned --labels labels.csv", "--target and --labels are both given"),
        ("--data my.csv --target churned --schema gone.json", "--schema gone.json does not exist"),
        ("--data done.csv --target id", "done.schema.json says that churned is the target, and --target is id"),
        ("--data done.csv --key id", "done.schema.json is there already, so --key would not be followed"),
        ("--data done.csv --weight w", "done.schema.json is there already, so --weight would not be followed"),
        ("--data done.csv --assume a=b", "done.schema.json is there already, so --assume would not be followed"),
        ("--data secret.csv --target churned", "--data secret.csv can be read by its owner alone"),
        ("--target churned", "nothing says where the data is"),
        ("--data my.csv --connection shop.json --target churned", "--data and --connection are both given"),
        ("--data my.csv --query q --target churned", "--query is given without --connection"),
        ("--connection shop.json --target churned", "--connection is given with no place"),
        ("--connection shop.json --target-query q", "--connection is given with --target-query"),
        (
            "--connection shop.json --query q --object s3://b/c --target y",
            "--connection is given with --query and --object",
        ),
        ("--connection shop.json --query q --labels labels.csv", "--labels and --connection are both given"),
        ("--connection shop.json --query q --target-query q --target y", "--target and --target-query are both given"),
        ("--connection gone.json --query q --target churned", "--connection gone.json is no file"),
        ("--connection shop.json --query q", "nothing says what to predict"),
    ],
)
def test_wrong_argument_is_refused_before_anything_starts(
    line: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own.machine, "images", lambda: pytest.fail("something was built"))
    with pytest.raises(AirflowMlError) as caught:
        own.run(parse(line))
    assert found in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("mark", "digest", "made_by"),
    [
        (None, "", "hand"),
        ({"steps": {"generate": {"call": {"arguments": {"rows": 5}}}}}, "", "generate"),
        (imported({"file": "/own/my.csv", "sha256": "ab"}), "ab", "import"),
        (imported(None), "", "import"),
        ({"steps": {"import": {}}}, "", "import"),
    ],
)
def test_mark_says_which_file_a_day_was_imported_from(mark: Any, digest: str, made_by: str) -> None:
    assert own.imported_from(mark) == digest
    assert own.maker(mark) == made_by


@pytest.mark.parametrize(
    ("decision", "champion", "incomparable", "reason"),
    [
        ("promoted", "1", None, ""),
        ("stays champion", "1", None, ""),
        ("stays challenger", None, None, "the first model of my.csv, although roc_auc 0.6 is low"),
        ("stays challenger", "1", None, ""),
        ("stays challenger", "1", "b is new", "the first model of my.csv; the champion has another schema: b is new"),
    ],
)
def test_first_model_of_some_data_is_promoted(
    decision: str, champion: str | None, incomparable: str | None, reason: str
) -> None:
    """Without it no day of such data can be scored. From then on the gate decides."""
    trained: dict[str, Any] = {
        "decide": {
            "decision": decision,
            "champion": champion,
            "reasons": ["roc_auc 0.6 is low"],
        },
        "encode-validation": {"champion": "models/2026-11-21", "incomparable": incomparable},
    }
    assert own.why_promote(trained, "my.csv") == reason
