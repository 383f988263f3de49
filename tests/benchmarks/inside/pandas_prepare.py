"""The work of `prepare` and `split` in pandas, as one would write it in a notebook: the whole day in memory.

Usage: pandas_prepare.py RAW FOLDER. Runs in the prediction image, whose pandas it uses. Checks both files against
schema.json, joins them, writes rejected.csv, train_data.csv, train.csv, val.csv and encoder.json. Prints as JSON the
counts that the stage also prints, so that the two can be compared. As there, the second half reads
train_data.csv, what the first half wrote. What it spares itself: a second start of Python, the values in the reasons,
hashes and commit marks, and everything about files that are no CSV.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

TRUTH = {
    "true": True,
    "True": True,
    "TRUE": True,
    "1": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "0": False,
}
DATETIME = "%Y-%m-%dT%H:%M:%SZ"
FOLDS, MOST_CATEGORIES = 5, 255


def convert(text: pd.Series, kind: str) -> pd.Series:
    """Text to a field's type; missing where the text is no such value."""
    if kind == "integer":
        number = pd.to_numeric(text, errors="coerce")
        return number.where(number % 1 == 0)
    if kind == "number":
        return pd.to_numeric(text, errors="coerce")
    if kind == "boolean":
        return text.map(TRUTH)
    if kind == "datetime":
        return pd.to_datetime(text, format=DATETIME, errors="coerce")
    return text


def broken_rules(field: dict[str, Any], text: pd.Series, value: pd.Series) -> dict[str, pd.Series]:
    """For each rule of a field which rows break it."""
    constraints, name = field.get("constraints", {}), field["name"]
    rules = {}
    if constraints.get("required") or field["role"] in ("key", "entity", "target"):
        rules[f"{name}: missing"] = text.isna()
    if field["type"] != "string":
        rules[f"{name}: no {field['type']}"] = text.notna() & value.isna()
    if "minimum" in constraints:
        rules[f"{name}: below minimum"] = value < constraints["minimum"]
    if "maximum" in constraints:
        rules[f"{name}: above maximum"] = value > constraints["maximum"]
    if "enum" in constraints:
        rules[f"{name}: not allowed"] = value.notna() & ~value.isin(constraints["enum"])
    if "pattern" in constraints:
        rules[f"{name}: pattern"] = text.notna() & ~text.str.fullmatch(constraints["pattern"], na=False)
    return rules


def check(texts: pd.DataFrame, fields: list[dict[str, Any]], key: list[str]) -> tuple[pd.DataFrame, pd.Series]:
    """The typed rows, and for each rejected one the reasons; of the sound rows the first with a key is kept."""
    typed = pd.DataFrame({field["name"]: convert(texts[field["name"]], field["type"]) for field in fields})
    rules: dict[str, pd.Series] = {}
    for field in fields:
        rules |= broken_rules(field, texts[field["name"]], typed[field["name"]])
    bad = np.logical_or.reduce(list(rules.values()))
    reasons = pd.Series("", index=texts.index[bad], dtype=object)
    for reason, broken in rules.items():
        reasons[broken[bad]] += reason + "; "
    repeated = typed.index[~bad][typed.loc[~bad, key].duplicated()]
    return typed, pd.concat([reasons, pd.Series(f"{key[0]}: duplicate", index=repeated)])


def rejected_rows(file: str, texts: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Lines of rejected.csv."""
    reasons = reasons.sort_index()
    rows = texts.loc[reasons.index].fillna("").agg(",".join, axis=1)
    return pd.DataFrame({"file": file, "line": reasons.index + 2, "reason": reasons, "row": rows})


def prepare(raw: Path, folder: Path, fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Check and join; write train_data.csv and rejected.csv. Returns the counts."""
    key = [field["name"] for field in fields if field["role"] == "key"]
    of_data = [field for field in fields if field["role"] != "target"]
    of_target = [field for field in fields if field["role"] in ("key", "target")]
    data_texts = pd.read_csv(raw / "data.csv", dtype=str, keep_default_na=False, na_values=[""])
    target_texts = pd.read_csv(raw / "target.csv", dtype=str, keep_default_na=False, na_values=[""])
    data, data_reasons = check(data_texts, of_data, key)
    target, target_reasons = check(target_texts, of_target, key)
    sound_target = target.drop(target_reasons.index)
    joined = data.drop(data_reasons.index).reset_index().merge(sound_target, on=key, how="inner").set_index("index")
    lonely = data.index.difference(joined.index).difference(data_reasons.index)
    data_reasons = pd.concat([data_reasons, pd.Series("no target for this key", index=lonely)])
    orphans = sound_target.index[~sound_target[key[0]].isin(data[key[0]])]
    target_reasons = pd.concat([target_reasons, pd.Series("no data for this target row", index=orphans)])
    rejected = [
        rejected_rows("data.csv", data_texts, data_reasons),
        rejected_rows("target.csv", target_texts, target_reasons),
    ]
    pd.concat(rejected).to_csv(folder / "rejected.csv", index=False)
    kept = joined[[field["name"] for field in fields if field["role"] != "ignore"]]
    whole = [field["name"] for field in fields if field["type"] == "integer" and field["name"] in kept]
    kept = kept.astype({name: np.int64 for name in whole if kept[name].notna().all()})
    kept.to_csv(folder / "train_data.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S")
    counts = {"data.csv": len(data_reasons), "target.csv": len(target_reasons)}
    return {"rows_in": len(data), "rows_out": len(kept), "rejected": counts}


def encode(
    rows: pd.DataFrame, train: pd.DataFrame, fields: list[dict[str, Any]]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The target's code and the features as numbers, categories by the rows that train; and what each code means."""
    target = next(field["name"] for field in fields if field["role"] == "target")
    columns: dict[str, Any] = {target: rows[target]}
    categories = {}
    for field in fields:
        name = field["name"]
        if field["role"] == "time":
            time = rows[name].dt
            columns |= {f"{name}_hour": time.hour, f"{name}_weekday": time.day_of_week, f"{name}_day": time.day}
        elif field["role"] == "feature" and field["type"] == "string":
            categories[name] = sorted(train[name].value_counts().index[:MOST_CATEGORIES])
            codes = pd.Index(categories[name]).get_indexer(rows[name])
            columns[name] = pd.Series(codes, rows.index).astype("Int16").mask(codes < 0)
        elif field["role"] == "feature" and field["type"] == "boolean":
            columns[name] = rows[name].astype(np.uint8)
        elif field["role"] == "feature":
            columns[name] = rows[name]
    return pd.DataFrame(columns), categories


def split(folder: Path, fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Read train_data.csv; write train.csv, val.csv, encoder.json. Returns the counts."""
    times = [field["name"] for field in fields if field["role"] == "time"]
    rows = pd.read_csv(folder / "train_data.csv", parse_dates=times, keep_default_na=False, na_values=[""])
    entity, target = (next(f["name"] for f in fields if f["role"] == role) for role in ("entity", "target"))
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    train, val = next(splitter.split(rows, rows[target], rows[entity]))
    encoded, categories = encode(rows, rows.iloc[train], fields)
    (folder / "encoder.json").write_text(json.dumps(categories))
    encoded.iloc[train].to_csv(folder / "train.csv", index=False)
    encoded.iloc[val].to_csv(folder / "val.csv", index=False)
    return {"train_rows": len(train), "val_rows": len(val)}


def main() -> int:
    raw, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    fields = json.loads((raw / "schema.json").read_text())["fields"]
    print(json.dumps(prepare(raw, folder, fields) | split(folder, fields)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
