"""The benchmarks that need an engine only: each returns the rows of the table that it measured."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

from figures import Row
from lab import FEW, LARGE, MODEL, SMALL, Lab, Measured, alternate

FAKER_ROWS = 5_000
# About as many rows as the demo has a day, and the day that ends the period of the backtest.
ROWS_OF_DEMO, LAST_OF_BACKTEST = 20_000, "2026-11-19"
IMPORTED = "2026-11-23"
# How often what takes seconds is measured, whatever --repeats says of the rest.
OFTEN = 7
# The same trees, the same numbers: any difference means that not the same work was measured.
TOLERANCE = 1e-12
# In how many shards a day is measured.
SHARDS = 8


def best(runs: Sequence[Measured]) -> float:
    """The least time: what else a machine does can only add."""
    return min(run.seconds for run in runs)


def samples(ours: Sequence[Measured], theirs: Sequence[Measured]) -> dict[str, Any]:
    """Each single measurement."""
    return {
        side: [{"seconds": run.seconds, "cpu_seconds": run.cpu_seconds, "peak_bytes": run.peak_bytes} for run in runs]
        for side, runs in (("ours", ours), ("theirs", theirs))
    }


def generator(lab: Lab) -> list[Row]:
    """Rows per second: the whole stage, its start included, against the bare loop of a Faker program."""
    count = min(FAKER_ROWS, lab.rows)
    ours, theirs = alternate(
        lambda: lab.step("generate"),
        lambda: lab.program("generator", "faker_rows", str(count), "/data/bench/faker"),
        1 if lab.repeats == 1 else OFTEN,
    )
    rate = lab.rows / best(ours)
    faker_rate = count / min(run.result["seconds"] for run in theirs)
    row = Row(
        f"generate, {lab.rows:,} rows",
        f"{rate:,.0f} rows/s",
        f"Faker, row by row: {faker_rate:,.0f} rows/s",
        rate / faker_rate,
        "{:.0f} x",
        ">=",
        100,
        samples(ours, theirs),
    )
    return [row]


def preprocessing(lab: Lab) -> list[Row]:
    """Time of `prepare` and `split`, two processes, against one pandas program that does the work of both."""
    lab.need("generate")
    ours, theirs = alternate(
        lambda: (lab.step("prepare"), lab.step("split")),
        lambda: lab.program("prediction", "pandas_prepare", f"/data/raw/{SMALL}", "/data/bench/pandas"),
        lab.repeats,
    )
    check_same_counts(*ours[0], theirs[0])
    ours_s, theirs_s = min(prepare.seconds + split.seconds for prepare, split in ours), best(theirs)
    most_ours = max(run.peak_bytes for pair in ours for run in pair)
    most_theirs = max(run.peak_bytes for run in theirs)
    taken = samples([run for pair in ours for run in pair], theirs)
    head = f"prepare + split, {lab.rows:,} rows"
    speed = Row(
        head, f"{ours_s:.1f} s", f"the same in pandas: {theirs_s:.1f} s", theirs_s / ours_s, "{:.1f} x", ">=", 4, taken
    )
    memory = Row(
        f"{head}: memory",
        f"{most_ours / 1e6:,.0f} MB",
        f"the same in pandas: {most_theirs / 1e6:,.0f} MB",
        most_ours / most_theirs,
    )
    return [speed, memory]


def check_same_counts(prepare: Measured, split: Measured, pandas: Measured) -> None:
    """Both must have rejected and kept the same number of rows, or they did not do the same work."""
    names = ("rows_in", "rows_out", "rejected")
    ours, theirs = ({name: run.result[name] for name in names} for run in (prepare, pandas))
    ours["split"], theirs["split"] = (run.result["train_rows"] + run.result["val_rows"] for run in (split, pandas))
    if ours != theirs:
        raise SystemExit(f"error: preprocessing and pandas_prepare.py disagree: {json.dumps([ours, theirs])}")


def training(lab: Lab) -> list[Row]:
    """Time of the stage against `lightgbm.train` on the same files with the same parameters."""
    lab.need("train")
    ours, theirs = alternate(
        lambda: lab.step("train"),
        lambda: lab.program(
            "training", "bare_train", f"/data/processed/{SMALL}", f"/data/{MODEL}/params.json", "/data/bench/bare"
        ),
        lab.repeats,
    )
    ours_s, theirs_s = best(ours), best(theirs)
    row = Row(
        f"train, {lab.rows:,} rows, {theirs[0].result['iterations']} iterations",
        f"{ours_s:.1f} s",
        f"lightgbm.train: {theirs_s:.1f} s",
        ours_s / theirs_s,
        "{:.2f} x",
        "<=",
        1.15,
        samples(ours, theirs),
    )
    return [row]


def scoring(lab: Lab) -> list[Row]:
    """Scoring alone, on an array in memory; and the stage from file to file, beside LightGBM's own way to do that."""
    lab.need("features")
    array, table = "/data/bench/features.npy", "/data/bench/features.csv"
    lab.program("prediction", "read_features", f"/data/features/{SMALL}/features.csv", "1", array, table)
    model = f"/data/{MODEL}/model.txt"

    def score(image: str, who: str) -> Measured:
        return lab.program(image, "score_array", who, model, array, f"/data/bench/{who}.npy")

    ours, theirs = alternate(lambda: score("prediction", "stage"), lambda: score("training", "lightgbm"), lab.repeats)
    compared = lab.program("prediction", "compare_scores", "/data/bench/stage.npy", "/data/bench/lightgbm.npy")
    if compared.result["max_difference"] > TOLERANCE:
        raise SystemExit(f"error: the scores differ from LightGBM's by {compared.result['max_difference']}")
    ours_s, theirs_s = (min(min(run.result["seconds"]) for run in runs) for runs in (ours, theirs))
    calls = {"ours": [run.result["seconds"] for run in ours], "theirs": [run.result["seconds"] for run in theirs]}
    files, bare = alternate(
        lambda: lab.step("predict"),
        lambda: lab.program("training", "predict_file", model, table, "/data/bench/scores.csv"),
        lab.repeats,
    )
    return [
        Row(
            f"score {lab.rows:,} rows in memory",
            f"{ours_s:.2f} s",
            f"LightGBM's predict: {theirs_s:.2f} s",
            ours_s / theirs_s,
            "{:.2f} x",
            "<=",
            1.0,
            calls,
        ),
        Row(
            f"predict, {lab.rows:,} rows, file to file",
            f"{best(files):.1f} s",
            f"LightGBM's file predict: {best(bare):.1f} s",
            best(files) / best(bare),
            samples=samples(files, bare),
        ),
    ]


def reasons(lab: Lab) -> list[Row]:
    """Rows per second with reasons, file to file, against the bare call of LightGBM that `shap` makes."""
    lab.need("features", FEW)
    array, table = "/data/bench/few.npy", "/data/bench/few.csv"
    lab.program("prediction", "read_features", f"/data/features/{FEW}/features.csv", "1", array, table)
    model = f"/data/{MODEL}/model.txt"
    ours, theirs = alternate(
        lambda: lab.step("explain", FEW),
        lambda: lab.program("explanation", "explain_array", model, array),
        lab.repeats,
    )
    rate, bare = (run[0].result["rows"] / best(run) for run in (ours, theirs))
    return [
        Row(
            f"explain, {ours[0].result['rows']:,} rows, file to file",
            f"{rate:,.0f} rows/s",
            f"LightGBM's call, as shap makes it: {bare:,.0f} rows/s",
            rate / bare,
            "{:.2f} x",
            samples=samples(ours, theirs),
        )
    ]


def backtest(lab: Lab) -> list[Row]:
    """Sixty days of the usual rows of the demo, prepared: from there to the figures. Fewer days with few rows."""
    days, windows = (60, "1,7,28") if lab.rows >= ROWS_OF_DEMO else (4, "1,2")
    rows = min(lab.rows, ROWS_OF_DEMO)
    lab.program("generator", "generate_days", LAST_OF_BACKTEST, str(days), str(rows))
    period = (f"--ds={LAST_OF_BACKTEST}", f"--days={days}")
    lab.command("preprocessing", "prepare", *period)
    encode = lab.command("preprocessing", "encode-days", *period)
    walk = lab.command("training", "backtest", period[0], f"--windows={windows}", "--every=0,1,7,28")
    seconds, models = encode.seconds + walk.seconds, walk.result["models"]
    return [
        Row(
            f"backtest of {days} days of {rows:,} rows, windows {windows}",
            f"{seconds:,.0f} s",
            f"{models:,} models",
            seconds / models,
            "{:.2f} s a model",
            samples={"encode": asdict(encode), "backtest": asdict(walk)},
        )
    ]


def tables(lab: Lab) -> list[Row]:
    """The encoded table train.csv in three formats: how long polars takes to write and to read it, and its size."""
    lab.need("split")
    found = lab.program(
        "preprocessing", "table_formats", f"/data/processed/{SMALL}/train.csv", "/data/bench/formats", str(lab.repeats)
    ).result
    csv = found.pop("CSV")
    return [
        Row(
            f"train.csv of {lab.rows:,} rows as {name}: {what}",
            f"CSV: {csv[key] * factor:,.2f} {unit}",
            f"{name}: {figures[key] * factor:,.2f} {unit}",
            csv[key] / figures[key],
            samples={"csv": csv, name: figures},
        )
        for name, figures in found.items()
        for what, key, factor, unit in (
            ("write", "write", 1, "s"),
            ("read", "read", 1, "s"),
            ("size", "bytes", 1e-6, "MB"),
        )
    ]


def raw_tables(lab: Lab) -> list[Row]:
    """How much faster `prepare` could be if raw data were Parquet, in processor seconds.

    At best, reading Parquet takes the place of reading CSV; beyond reach, its types make all checks needless too.
    Before `prepare`, `import` makes either of them the raw data of a day.
    """
    prepare = min((lab.step("prepare") for _ in range(lab.repeats)), key=lambda run: run.cpu_seconds)
    found = lab.program(
        "preprocessing", "raw_readers", f"/data/raw/{SMALL}", "/data/bench/raw", str(lab.repeats)
    ).result
    whole, parquet = prepare.cpu_seconds, found["parquet"]
    files = {"CSV": f"/data/raw/{SMALL}/data.csv", "Parquet": "/data/bench/raw/data.parquet"}
    imports = {form: _import(lab, file) for form, file in files.items()}
    imported = [
        Row(
            f"import of {form}, {lab.rows:,} rows, processor time",
            f"{seconds:.2f} s",
            f"prepare: {whole:.2f} s",
            seconds / whole,
            samples={"prepare": whole, "import": seconds},
        )
        for form, seconds in imports.items()
    ]
    return imported + [
        Row(
            f"prepare, {lab.rows:,} rows, processor time: {what}",
            f"all of prepare: {whole:.2f} s",
            f"data.csv: {found[key]:.2f} s, as Parquet: {parquet:.2f} s",
            whole / (whole - found[key] + parquet),
            samples={"prepare": whole, **found},
        )
        for what, key in (
            ("without the CSV reader", "csv"),
            ("without the CSV reader and all checks", "csv and checks"),
        )
    ]


def _import(lab: Lab, file: str) -> float:
    """Processor seconds of `import` of a file with the data of the small day, the least of all runs."""
    raw = f"/data/raw/{SMALL}"
    files = (f"--data={file}", f"--target={raw}/target.csv", f"--schema={raw}/schema.json")
    call = ("import", f"--ds={IMPORTED}", *files, "--force")
    return min(lab.command("preprocessing", *call).cpu_seconds for _ in range(lab.repeats))


def memory(lab: Lab) -> list[Row]:
    """The peak of the container's memory on the large day against that on the usual one."""
    rows = []
    for step in ("generate", "prepare", "split", "features", "predict"):
        small, large = lab.need(step, SMALL), lab.need(step, LARGE)
        # The target is about generate, prepare, features and predict; split is shown beside them.
        sign = "" if step == "split" else "<="
        rows.append(
            Row(
                f"memory of {step}, {lab.large:,} rows",
                f"{large.peak_bytes / 1e6:,.0f} MB",
                f"{lab.rows:,} rows: {small.peak_bytes / 1e6:,.0f} MB",
                large.peak_bytes / small.peak_bytes,
                "{:.2f} x",
                sign,
                3,
                samples([large], [small]),
            )
        )
    return rows


def shards(lab: Lab) -> list[Row]:
    """A day in shards against the day in one container, in processor seconds: the shards run one after the other here.

    On as many machines the day takes as long as its slowest shard and the merge. The results must be equal.
    """
    rows = []
    for step, stage in (
        ("prepare", "preprocessing"),
        ("features", "preprocessing"),
        ("predict", "prediction"),
        ("label", "preprocessing"),
        ("evaluate", "prediction"),
    ):
        whole, command = lab.step(step), [*lab.arguments(step), f"--shards={SHARDS}"]
        parts = [lab.command(stage, *command, f"--shard={number}") for number in range(1, SHARDS + 1)]
        merge = lab.command(stage, *command)
        same = ({name: value for name, value in run.result.items() if name != "seconds"} for run in (whole, merge))
        if next(same) != next(same):
            raise SystemExit(f"error: {step} in shards has another result: {merge.result}, not {whole.result}")
        slowest = max(parts, key=lambda run: run.cpu_seconds)
        for what, run in (("slowest shard", slowest), ("merge", merge)):
            rows.append(
                Row(
                    f"{step}, {lab.rows:,} rows in {SHARDS} shards, processor time: {what}",
                    f"{run.cpu_seconds:.2f} s",
                    f"one container: {whole.cpu_seconds:.2f} s",
                    run.cpu_seconds / whole.cpu_seconds,
                    samples=samples([*parts, merge], [whole]),
                )
            )
    split = lab.step("split")
    rows.append(
        Row(
            f"split, {lab.rows:,} rows, processor time",
            f"{split.cpu_seconds:.2f} s",
            f"in {split.seconds:.2f} s",
            split.cpu_seconds / split.seconds,
        )
    )
    return rows


def start(lab: Lab) -> list[Row]:
    """`docker run STAGE --help` against a container of the base that does nothing; medians, in turn."""
    rows = []
    for stage in ("generator", "preprocessing", "training", "prediction"):
        ours, theirs = alternate(
            partial(lab.seconds_of_container, stage, "--help"),
            partial(lab.seconds_of_container, "base", "-c", "pass"),
            1 if lab.repeats == 1 else OFTEN,
        )
        rows.append(
            Row(
                f"{stage} --help",
                f"{median(ours):.2f} s",
                f"idle base container: {median(theirs):.2f} s",
                median(ours) - median(theirs),
                "{:+.2f} s",
                "<=",
                0.5,
                {"ours": ours, "theirs": theirs},
            )
        )
    return rows
