"""What the notebook finds in a day is what is in the day: counted again here, with nothing but the csv module."""

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.conftest import NEWEST, SCORED, notebook, our_data, run_notebook

PROBE = """{
    "day": DS,
    "share": share,
    "dirty_lines": [int(line) + 2 for line in dirty[dirty].index],
    "by_hour": {int(hour): int(rows) for hour, rows in by_hour["rows"].dropna().items()},
    "by_channel": {name: [int(rows), positive] for name, rows, positive in shares["channel"].itertuples()},
    "drawn": list(shares),
    "scored": None if scored is None else [[a, b, int(n)] for (a, b), n in
        scored.groupby([TARGET, "prediction"]).size().items()],
    "colours": [INK, BLUE, ORANGE],
}"""


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


OWN_PROBE = (
    '{"lines": [int(line) + 2 for line in dirty[dirty].index], "drawn": list(shares), '
    '"kinds": sorted(answers[TARGET].unique())}'
)
# By type: the properties of the target, and labels as programs and people write them, each of a row of its own.
SPELLINGS: dict[str, tuple[str, str, list[str]]] = {
    "integers": (
        "integer",
        '"missingValues": ["NA"], "constraints": {"required": true, "enum": [0, "1"]}',
        ["0.0", "1.0", " 1", "0 ", "1.", "+1", "1e0", "1.5e1", "10E-1", "x", "0.5", "7", "NA", " ", ""],
    ),
    "booleans": (
        "boolean",
        '"trueValues": ["yes", "1"], "falseValues": ["no", "0"], "constraints": {"enum": [true, "no"]}',
        ["yes", " no", "1.0", "0.0", "1", "no ", "1e0", "0e0", "Yes", "true", "2", " "],
    ),
}
FIRST_KEY = 900719925474099301
SPELT_PROBE = (
    '{"lines": [int(line) + 2 for line in dirty[dirty].index], "answers": [[*row] for row in '
    "answers[[*KEY, TARGET]].merge(keys[~dirty], on=KEY).itertuples(index=False)]}"
)
FILES = ["data.csv", "target.csv", "schema.json"]
COLUMNS = ["id", "weight", "shape", "place", "owner", "seen", "note"]


@pytest.fixture(scope="module")
def looks(data: Path) -> dict[str, dict[str, Any]]:
    """What the notebook showed of each folder, in one kernel: its start takes longer than the cells."""
    folder = data.parent
    (folder / "empty").mkdir()
    for name in FILES:
        shutil.copytree(data / "raw" / NEWEST, folder / name / "raw" / NEWEST)
        (folder / name / "raw" / NEWEST / name).unlink()
    import_own_data(folder / "own")
    for name in SPELLINGS:
        prepare_spelt_day(folder / name, *SPELLINGS[name])
    (folder / "later").mkdir()
    our_data(folder / "later").generate(NEWEST, "--rows=500", "--only=data")
    asked = {
        "scored": ("days", SCORED, PROBE),
        "newest": ("days", "", PROBE),
        "no such day": ("days", "2026-01-01", "None"),
        **{name: (name, "", "None") for name in ("empty", *FILES)},
        "own": ("own", "", OWN_PROBE),
        "later": ("later", "", "None"),
        **{name: (name, "", SPELT_PROBE) for name in SPELLINGS},
    }
    found = [({"ML_DATA": f"/data/{where}", "ML_DS": ds}, probe) for where, ds, probe in asked.values()]
    return dict(zip(asked, run_notebook(folder, *found), strict=True))


@pytest.fixture(scope="module")
def shown(looks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return looks["scored"]


@pytest.fixture(scope="module")
def good(data: Path) -> list[dict[str, str]]:
    """The good rows of the day, each with its answer: those that `prepare` did not reject."""
    rejected = rejected_lines(data)
    answers = {row["transaction_id"]: row["is_fraud"] for row in rows_of(data / "raw" / SCORED / "target.csv")}
    rows = enumerate(rows_of(data / "raw" / SCORED / "data.csv"), 2)
    return [{**row, "is_fraud": answers[row["transaction_id"]]} for line, row in rows if line not in rejected]


def rejected_lines(data: Path) -> set[int]:
    rejected = rows_of(data / "processed" / SCORED / "rejected.csv")
    return {int(row["line"]) for row in rejected if row["file"] == "data.csv"}


def fraud_share(rows: list[dict[str, str]]) -> float:
    return sum(row["is_fraud"] == "1" for row in rows) / len(rows)


def test_every_cell_runs_without_error_or_warning(shown: dict[str, Any]) -> None:
    assert (shown["errors"], shown["warnings"]) == ([], [])
    assert shown["probe"]["day"] == SCORED


def test_dirty_rows_found_by_hand_are_those_that_the_stage_rejects(data: Path, shown: dict[str, Any]) -> None:
    expected = rejected_lines(data)
    assert len(expected) > 50
    assert set(shown["probe"]["dirty_lines"]) == expected
    assert f"**{len(expected):,} of 6,000 rows are dirty**" in " ".join(shown["texts"])


def test_fraud_share_is_that_of_the_good_rows(shown: dict[str, Any], good: list[dict[str, str]]) -> None:
    assert 0.01 < fraud_share(good) < 0.1
    assert shown["probe"]["share"] == pytest.approx(fraud_share(good), abs=1e-12)
    assert f"**is_fraud = 1 for {fraud_share(good):.2%} of the {len(good):,} clean rows**" in shown["texts"]


def test_volume_by_hour_counts_every_good_row(shown: dict[str, Any], good: list[dict[str, str]]) -> None:
    counted = Counter(int(row["time"][11:13]) for row in good)
    assert {int(hour): rows for hour, rows in shown["probe"]["by_hour"].items()} == counted


def test_fraud_share_by_channel(shown: dict[str, Any], good: list[dict[str, str]]) -> None:
    channels = {row["channel"] for row in good}
    assert set(shown["probe"]["by_channel"]) == channels == {"chip", "contactless", "online", "phone"}
    for channel in channels:
        rows = [row for row in good if row["channel"] == channel]
        assert shown["probe"]["by_channel"][channel] == [len(rows), pytest.approx(fraud_share(rows))]


def test_predictions_are_compared_with_the_target(data: Path, shown: dict[str, Any]) -> None:
    answers = {row["transaction_id"]: row["is_fraud"] for row in rows_of(data / "raw" / SCORED / "target.csv")}
    pairs = Counter(
        (answers[row["transaction_id"]], row["prediction"])
        for row in rows_of(data / "predictions" / SCORED / "predictions.csv")
        if row["transaction_id"] in answers
    )
    assert pairs["1", "1"] > 0
    assert {(real, called): rows for real, called, rows in shown["probe"]["scored"]} == pairs
    assert f"**{pairs.total():,} scored rows have a target.**" in shown["texts"][-1]


def test_figures_are_drawn_without_a_background(shown: dict[str, Any]) -> None:
    assert len(shown["figures"]) == 3
    for figure in shown["figures"]:
        assert min(figure["size"]) > 300
        assert figure["colours"] > 50
        assert figure["corner"][3] == 0


@pytest.mark.parametrize("page", ["#ffffff", "#111111"], ids=["light", "dark"])
def test_figures_can_be_read_on_a_page(shown: dict[str, Any], page: str) -> None:
    """At least 3:1, what WCAG 2.2 asks for of graphics and of large text."""
    for colour in shown["probe"]["colours"]:
        lighter, darker = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, colour


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_newest_day_is_opened_and_without_predictions_says_so(looks: dict[str, dict[str, Any]]) -> None:
    shown = looks["newest"]
    assert (shown["errors"], shown["warnings"]) == ([], [])
    assert (shown["probe"]["day"], shown["probe"]["scored"]) == (NEWEST, None)
    assert shown["texts"][-1].startswith(f"No predictions of {NEWEST} yet: trigger the Dag `predict`")
    assert len(shown["figures"]) == 2


def test_day_that_is_not_there_is_named_in_one_line(looks: dict[str, dict[str, Any]]) -> None:
    shown = looks["no such day"]
    assert shown["errors"] == [
        [
            f"not there: found the days {SCORED}, {NEWEST} in /data/days; "
            "expected: raw/2026-01-01 with its _meta.json; do: "
            "name another day as DS or another folder as DATA in the first cell, or make the day: "
            "docker run --rm -v data:/data airflow-ml-generator --ds 2026-01-01"
        ]
    ]
    assert (shown["figures"], shown["probe"]) == ([], None)


def test_folder_without_a_day_is_named_in_one_line(looks: dict[str, dict[str, Any]]) -> None:
    [[message]] = looks["empty"]["errors"]
    assert message.startswith(
        "not there: found no day in /data/empty; expected: raw/YYYY-MM-DD with its _meta.json; do: "
    )


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_gone_from_a_day_is_named(looks: dict[str, dict[str, Any]], name: str) -> None:
    where = f"/data/{name}/raw/{NEWEST}"
    assert looks[name]["errors"] == [
        [f"not there: found no {name} in {where}; expected: it beside _meta.json; do: make the day again"]
    ]


def test_day_whose_labels_come_later_shows_what_is_there_and_says_so(looks: dict[str, dict[str, Any]]) -> None:
    """It said to make the day again."""
    shown = looks["later"]
    assert shown["texts"][0] == f"**{NEWEST}**: 500 rows of data, its labels come later"
    assert " of 500 rows are dirty**" in shown["texts"][1]
    assert shown["errors"] == [
        [
            f"not there: found no labels of {NEWEST}, because they come later than its data; "
            f"expected: /data/later/raw/{NEWEST}/target.csv; "
            "do: wait for them, or name an earlier day as DS in the first cell"
        ]
    ]
    assert shown["warnings"] == shown["figures"] == []


def import_own_data(folder: Path) -> None:
    """An integer key, a class by name; a bad number, an empty required value, two rows without target.

    Three fields are sensitive, the only time among them, and the schema does not know the last column. A second
    delivery has the label of one of the two rows, a corrected one, and one that cannot be read.
    """
    kinds = ["ant", "bee", "cat"]
    data = [
        [
            str(1000 + i),
            f"{i % 7}.5",
            "round" if i % 2 else "flat",
            f"secret-{i % 3}",
            f"secret {i}",
            f"2026-11-20T07:08:{i:02}",
            "x",
        ]
        for i in range(60)
    ]
    data[5][1], data[6][2] = "heavy", ""
    target = [[row[0], kinds[i % 3]] for i, row in enumerate(data) if i not in (9, 12)]
    later = [[data[12][0], "ant"], [data[3][0], "cat"], [data[4][0], "?"]]
    schema = """{"fields": [
      {"name": "id", "type": "integer", "role": "key", "constraints": {"required": true}},
      {"name": "weight", "type": "number", "role": "feature"},
      {"name": "shape", "type": "string", "role": "feature", "constraints": {"required": true}},
      {"name": "place", "type": "string", "role": "feature", "sensitive": true},
      {"name": "owner", "type": "string", "role": "ignore", "sensitive": true},
      {"name": "seen", "type": "datetime", "role": "time", "sensitive": true},
      {"name": "kind", "type": "string", "role": "target",
       "constraints": {"required": true, "enum": ["ant", "bee", "cat"]}}
    ], "primaryKey": ["id"]}"""
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "schema.json").write_text(schema)
    for name, rows in (
        ("data", [COLUMNS, *data]),
        ("target", [["id", "kind"], *target]),
        ("later", [["id", "kind"], *later]),
    ):
        (folder / "own" / f"{name}.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    files = [
        f"--{name}=/data/own/{name}.{end}" for name, end in (("data", "csv"), ("target", "csv"), ("schema", "json"))
    ]
    our_data(folder).stage("preprocessing", "import", "--ds", NEWEST, *files)
    our_data(folder).stage("preprocessing", "import-target", "--ds", NEWEST, "--target=/data/own/later.csv")


def test_own_data_with_other_columns_and_three_classes(looks: dict[str, dict[str, Any]]) -> None:
    shown = looks["own"]
    assert (shown["errors"], shown["warnings"]) == ([], [])
    assert shown["probe"] == {"lines": [7, 8, 11], "drawn": ["weight", "shape"], "kinds": ["ant", "bee", "cat"]}
    cats = [i for i in range(60) if i == 3 or (i % 3 == 2 and i not in (5, 6, 9))]
    assert f"**kind = cat for {len(cats) / 57:.2%} of the 57 clean rows**" in shown["texts"]


def prepare_spelt_day(folder: Path, kind: str, target: str, labels: list[str]) -> None:
    """A day with each of these labels, keys that are spelt in two ways, and two keys with two labels each.

    No float holds the keys, and two of them are no integers of 64 bits. A code of the weight is spelt in another way.
    """
    good = labels[:2] * 10
    rows = [*labels, *good]
    data = [f'{FIRST_KEY + n}.0,"{n},5"' for n in range(len(rows) + 2)]
    data[0] = f'{FIRST_KEY},"-9,0"'
    data += ["x,1", f"{2**70},1"]
    targets = [f"{FIRST_KEY + n:020},{label}" for n, label in enumerate(rows)]
    last = FIRST_KEY + len(rows)
    targets += [f"{last},{label}" for label in good[:2]] + [f"{last + 1},{good[0]}"] * 2
    schema = f"""{{"fields": [
      {{"name": "id", "type": "integer", "role": "key", "constraints": {{"required": true}}}},
      {{"name": "weight", "type": "number", "role": "feature", "decimalChar": ",", "missingValues": ["-9"],
       "constraints": {{"minimum": "0,0"}}}},
      {{"name": "answer", "type": "{kind}", "role": "target", {target}}}
    ]}}"""
    (folder / "own").mkdir(parents=True)
    for name, text in (
        ("schema.json", schema), ("data.csv", "\n".join(["id,weight", *data])),
        ("target.csv", "\n".join(["id,answer", *targets])),
    ):  # fmt: skip
        (folder / "own" / name).write_text(f"{text}\n")
    files = [f"--{name.partition('.')[0]}=/data/own/{name}" for name in FILES]
    our_data(folder).stage("preprocessing", "import", "--ds", NEWEST, *files)
    our_data(folder).stage("preprocessing", "prepare", "--ds", NEWEST, "--max-rejected=1")


@pytest.mark.parametrize("name", SPELLINGS)
def test_labels_are_read_as_the_stages_read_them(data: Path, looks: dict[str, dict[str, Any]], name: str) -> None:
    """Labels such as 1.0 and 1e0 were dropped, and keys above 2**53 became equal."""
    shown, processed = looks[name], data.parent / name / "processed" / NEWEST
    assert (shown["errors"], shown["warnings"]) == ([], [])
    trained = [[row["id"], row["answer"]] for row in rows_of(processed / "train_data.csv")]
    rejected = [int(row["line"]) for row in rows_of(processed / "rejected.csv") if row["file"] == "data.csv"]
    assert len(trained) >= 26
    assert (sorted(shown["probe"]["answers"]), shown["probe"]["lines"]) == (sorted(trained), rejected)


def test_values_of_sensitive_fields_are_not_shown(looks: dict[str, dict[str, Any]]) -> None:
    page = looks["own"]["page"]
    assert "owner" in page
    assert "heavy" in page
    assert "secret" not in page
    assert "07:08" not in page
    assert len(looks["own"]["figures"]) == 1, "no chart by the hours of a sensitive time"


def test_data_of_a_volume_can_be_read_and_not_written(volume: str) -> None:
    [shown] = run_notebook(volume, ({}, "[DS, len(data)]"), ds=SCORED)
    assert (shown["errors"], shown["probe"]) == ([], [SCORED, 500])
    done = notebook(volume, "-c", "open('/data/raw/other', 'w')")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
