"""Bad input: the exit code, what the message says, and that nothing is published."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import DAY, PROCESSED, Table, World, make_encoder, make_table

import training

TRAIN, VAL = make_table(60, 1), make_table(60, 2)
HEADER = b"kind,price,shop,weight\n"


def with_line(line: bytes) -> bytes:
    """train.csv with a line, its 11th, in place of what was there."""
    lines = TRAIN.text().encode().splitlines(keepends=True)
    return b"".join([*lines[:10], line, *lines[11:]])


def with_header(line: bytes) -> bytes:
    return line + TRAIN.text().encode().split(b"\n", 1)[1]


ONE_CLASS = Table(TRAIN.header, [["1", *row[1:]] for row in TRAIN.rows]).text().encode()


@pytest.mark.parametrize("file", ["train.csv", "val.csv"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "{} is empty; expected: a header and rows", id="empty file"),
        pytest.param(HEADER, "{} has a header but no rows", id="header only"),
        pytest.param(with_header(b"kind,shop,price,weight\n"), "column 2 is 'shop' in place of 'price'", id="order"),
        pytest.param(with_header(b"kind,price,shop\n"), "column 4, 'weight', is not there", id="column missing"),
        pytest.param(with_header(b"kind,price,shop,weight,age\n"), "column 5, 'age', is not in", id="column too many"),
        pytest.param(with_header(b"kind,price,shop,w\xff\n"), "{} line 1 is not UTF-8", id="header not UTF-8"),
        pytest.param(with_header(b"kind,price,shop,wei\0ght\n"), "column 4 is 'wei\\x00ght'", id="NUL in header"),
        pytest.param(b"x" * 5_000_000, "{} line 1 is no header (field larger than", id="header of 5 MB"),
        pytest.param(b"\n" + TRAIN.text().encode(), "has 0 columns, its encoder.json 4", id="no header"),
        pytest.param(with_line(b"1,2,3\n"), "{} line 11 has 3 fields; expected: 4", id="field missing"),
        pytest.param(with_line(b"1,2,3,4,5\n"), "{} line 11 has 5 fields; expected: 4", id="field too many"),
        pytest.param(with_line(b"\n"), "{} line 11 has 1 fields", id="blank line"),
        pytest.param(with_line(b"1,2,3,\xff\n"), "{} line 11, column 'weight' has '\\\\xff'", id="not UTF-8"),
        pytest.param(with_line(b"1,2,3,4\0\n"), "{} line 11, column 'weight' has '4\\x00'", id="NUL"),
        pytest.param(with_line(b"1,inf,3,4\n"), "{} line 11, column 'price' has 'inf'; expected: a finite", id="inf"),
        pytest.param(with_line(b"1,-Infinity,3,4\n"), "column 'price' has '-Infinity'", id="infinity"),
        pytest.param(with_line(b"1,1e999,3,4\n"), "column 'price' has '1e999'", id="infinite by its exponent"),
        pytest.param(with_line(b"1," + b"9" * 400 + b",3,4\n"), "column 'price' has '999", id="infinite by its digits"),
        pytest.param(with_line(b"1,nan,3,4\n"), "column 'price' has 'nan'", id="nan"),
        pytest.param(with_line(b"1,hello,3,4\n"), "column 'price' has 'hello'", id="text"),
        pytest.param(with_line(b"1,1-2,3,4\n"), "{} line 11, column 'price' has '1-2'", id="malformed number"),
        pytest.param(with_line(b"1,1.2.3,3,4\n"), "{} line 11, column 'price' has '1.2.3'", id="two points"),
        pytest.param(with_line(b"1, 2,3,4\n"), "column 'price' has ' 2'", id="space"),
        pytest.param(with_line(b'1,"2",3,4\n'), "column 'price' has '\"2\"'", id="quotes"),
        pytest.param(with_line(b"1,2,3,4\r\n"), "column 'weight' has '4\\r'", id="carriage return"),
        pytest.param(with_line(b"1,2," + b"3" * 5_000_000 + b",4\n"), "column 'shop' has '33333", id="line of 5 MB"),
        pytest.param(with_line(b",2,3,4\n"), "{} line 11, column 'kind' has ''", id="target missing"),
        pytest.param(with_line(b"2,2,3,4\n"), "{} line 11 has the target 2; expected: a whole", id="unknown class"),
        pytest.param(with_line(b"0.5,2,3,4\n"), "{} line 11 has the target 0.5", id="target no class"),
        pytest.param(ONE_CLASS, "all 60 rows of {} are of one class, 'yes'", id="one class only"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused(world: World, file: str, content: bytes, message: str) -> None:
    files = {"train.csv": TRAIN.text().encode(), "val.csv": VAL.text().encode(), file: content}
    world.publish(files["train.csv"], files["val.csv"], make_encoder(TRAIN, ["no", "yes"], {"shop": 6}))
    result = world.run()
    assert result.code == 3, result.log
    assert message.format(f"{PROCESSED}/{file}") in result.log
    assert "do: " in result.log or "fields" in message
    assert world.leftovers() == []


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("", "it is no JSON"),
        ("[]", "the whole file is a list"),
        ("[" * 200_000, "it is nested too deeply"),
        ('{"version": 2}', "version is 2; expected: 1"),
        ('{"version": 1, "key": ["id"], "features": [], "target": {"name": "kind"}}', "target has no classes"),
        (json.dumps(make_encoder(Table(["kind"], []), ["no", "yes"], {})), "2 classes and 0 features"),
        (json.dumps(make_encoder(TRAIN, ["no"], {})), "1 classes and 3 features"),
    ],
)
def test_bad_encoders_are_refused(world: World, encoder: str, message: str) -> None:
    world.publish(TRAIN.text(), VAL.text(), encoder)
    result = world.run()
    assert result.code == 3
    assert f"{PROCESSED}/encoder.json" in result.log
    assert message in result.log
    assert world.leftovers() == []


def remove_partition(root: Path) -> None:
    shutil.rmtree(root / PROCESSED)


def remove_mark(root: Path) -> None:
    (root / PROCESSED / "_meta.json").unlink()


def tear_table(root: Path) -> None:
    file = root / PROCESSED / "train.csv"
    file.write_bytes(file.read_bytes()[:-10])


def change_table(root: Path) -> None:
    file = root / PROCESSED / "val.csv"
    file.write_bytes(file.read_bytes().replace(b"1", b"2"))


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (remove_partition, 4, "there is no such partition"),
        (remove_mark, 4, "but no _meta.json"),
        (tear_table, 3, f"{PROCESSED}/train.csv has"),
        (change_table, 3, f"{PROCESSED}/val.csv has sha256"),
    ],
)
def test_partitions_that_are_missing_or_torn_are_refused(
    day: World, spoil: Callable[[Path], None], code: int, message: str
) -> None:
    spoil(day.root)
    result = day.run()
    assert result.code == code
    assert message in result.log
    assert day.leftovers() == []


@pytest.mark.parametrize("ds", ["2026-11-31", "yesterday", "20261121", ""])
def test_ds_that_is_no_date_is_wrong_usage(ds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        training.main(["--ds", ds])
    assert exit_.value.code == 2
    assert "is no date" in capsys.readouterr().err


def test_data_folder_that_is_not_writable_fails(day: World) -> None:
    day.root.chmod(0o555)
    result = day.run()
    day.root.chmod(0o755)
    assert result.code == 1
    assert f"cannot be written or read by user {os.getuid()}" in result.log
    assert "do: mount" in result.log


def test_full_disk_while_the_tables_are_copied_fails(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(small_disk, capsys)
    world.publish_tables(make_table(12_000, 1), make_table(100, 2))
    result = world.run()
    assert result.code == 1
    assert "no space left on the device" in result.log
    assert world.leftovers() == []


def test_full_disk_while_the_model_is_written_fails(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(small_disk, capsys)
    world.publish_tables(make_table(800, 1), make_table(100, 2))
    result = world.run("--param", "early_stopping_round=0", "--param", "min_data_in_leaf=1", "--log-every", "500")
    assert result.code == 1
    assert "best iteration" in result.log
    assert "no space left on the device" in result.log
    assert world.leftovers() == []


def test_a_failed_run_leaves_the_earlier_model(day: World) -> None:
    day.train("--param", "num_iterations=3")
    before = day.outputs()
    day.publish(TRAIN.text(), ONE_CLASS, make_encoder(TRAIN, ["no", "yes"], {}))
    assert day.run().code == 3
    assert day.outputs() == before


def test_help_needs_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        training.main(["--help"])
    assert exit_.value.code == 0
    assert "--params-json JSON" in capsys.readouterr().out


def test_earlier_days_are_not_touched(day: World) -> None:
    day.train("--param", "num_iterations=3")
    assert training.main(["--ds", "2026-11-22", "--data-dir", str(day.root)]) == 4
    assert sorted(path.name for path in (day.root / "models").glob("[!.]*")) == [DAY]
