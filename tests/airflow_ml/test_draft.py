"""The schema of a file of one's own: where it is, and the table that shows it."""

import json
from pathlib import Path

import pytest
from airflow_ml.common import AirflowMlError
from airflow_ml.draft import read_draft, schema_beside, table, target_of

SCHEMA = {
    "fields": [
        {"name": "nr", "type": "integer", "role": "key", "rowNumber": True},
        {
            "name": "Betrag in €", "type": "number", "role": "feature", "decimalChar": ",",
            "description": "99 of 100 values are numbers; 'NA' in line 5 is taken as missing",
        },
        {"name": "churned", "type": "boolean", "role": "target", "trueValues": ["yes"], "falseValues": ["no"]},
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "schema"),
    [
        ("my.csv", "my.schema.json"),
        ("in/my.csv.gz", "in/my.schema.json"),
        ("my.parquet", "my.schema.json"),
        ("my.2026-11.csv", "my.2026-11.schema.json"),
        ("my", "my.schema.json"),
    ],
)
def test_schema_is_beside_the_data(data: str, schema: str) -> None:
    assert schema_beside(Path(data)) == Path(schema)


def test_table_shows_each_column_with_role_type_and_reasons() -> None:
    lines = table(SCHEMA, 200).splitlines()
    assert lines[0].split() == ["column", "role", "type", "why"]
    assert lines[1].split("  ", 4)[1] == "nr"
    assert "integer, rowNumber true" in lines[1]
    assert 'Betrag in €  feature  number, decimalChar ","' in lines[2]
    assert lines[2].endswith("99 of 100 values are numbers; 'NA' in line 5 is taken as missing")
    assert 'boolean, trueValues ["yes"], falseValues ["no"]' in lines[3]
    assert len(lines) == 4


def test_long_reasons_are_wrapped_below_themselves() -> None:
    lines = table(SCHEMA, 60).splitlines()
    column = lines[0].index("why")
    wrapped = [line for line in lines[2:] if line[:column].strip() in ("", lines[2][:column].strip())]
    assert " ".join(line[column:] for line in wrapped).startswith("99 of 100 values are numbers; 'NA' in line 5 is")
    assert len(wrapped) > 1


def test_target_is_named() -> None:
    assert target_of(SCHEMA) == "churned"
    assert target_of({"fields": SCHEMA["fields"][:2]}) == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"fields": 1}', '{"fields": [{}]}', '{"fields": [{"name": 1}]}'])
def test_schema_that_cannot_be_shown_is_bad_input(text: str, tmp_path: Path) -> None:
    path = tmp_path / "my.schema.json"
    path.write_text(text)
    with pytest.raises(AirflowMlError, match="is no Table Schema") as caught:
        read_draft(path)
    assert caught.value.exit_code == 3


def test_schema_is_read(tmp_path: Path) -> None:
    path = tmp_path / "my.schema.json"
    path.write_text(json.dumps(SCHEMA), encoding="utf-8-sig")
    assert read_draft(path) == SCHEMA
