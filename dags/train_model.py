"""Trains a model on the data of one day or several, checks it where it will serve, and judges it.

Runs on Sundays at 02:00 UTC, on that day's data, and waits for data that is late. The form's `days` adds the days
before it; one that cannot be used is left out, with a warning. Each step is a container of an
image of its own: no step can use another's libraries, and only files below `/data` pass between them. Reads
`raw/{ds}`; writes `processed/{ds}`, `models/{ds}`, `plots/{ds}` and `comparisons/{ds}`. A model whose scores differ
where it will serve fails `validate` and is never registered.

`register` makes it a version in MLflow, the challenger. `compare` scores it and the champion, the model in production,
on the same validation rows. `decide` promotes it if it passes the gate of `rules.json`, unless the form says
`manual`; else it stays the challenger, and MLflow and the log say why. A person promotes with the Dag `promote_model`.
If the form says `ask`, the task `ask` shows a person what was found and waits for the answer, and `answer` does it. A
run that waits holds no worker, and lets other runs train.

With `shards` of the form above 1, `prepare_shards` checks each shard of the day in a container of its own, and
`prepare` makes the day of them, with the same bytes as without.

With `shadow_days` of `rules.json` above 0, what may replace a champion is put into shadow instead: `predict` scores the
next days with it too, and `monitor` decides once so many days have labels.
"""

from airflow.sdk import DAG

from ml import (
    BY,
    COMPARISONS,
    DAY,
    DS,
    MODELS,
    PLOTS,
    PROCESSED,
    RANKS,
    RAW,
    REGISTRY,
    TUNING,
    answer_of,
    ask_person,
    at,
    dag_defaults,
    fixed,
    fixed_json,
    flag,
    form,
    from_result,
    given,
    option,
    option_json,
    prepare_in_shards,
    read_rules,
    shadow_days,
    split_days,
    stage,
    wait_for,
)

with DAG(
    "train_model",
    description="Trains, validates, registers and judges a model",
    doc_md=__doc__,
    schedule=at("0 2 * * 0"),
    params=form(
        *(
            "ds",
            "days",
            "min_days",
            "as_of",
            "promote",
            "answer_hours",
            "wait_hours",
            "max_rejected",
            "val_fraction",
            "seed",
            "lightgbm",
            "tuned_max_age",
            "shards",
            "ranks",
            "force",
        ),
        seed="split_seed",
        as_of="labels_as_of",
    ),
    # A run may wait for an answer for days while others train; each step works for one of them at a time.
    max_active_runs=4,
    tags=["ml", "training"],
    **dag_defaults(max_active_tis_per_dag=1),
):
    check_parameters = stage(
        "training",
        [DS, option_json("params-json", "lightgbm"), fixed("check-parameters")],
        task_id="check_parameters",
        doc="Reads the form's LightGBM parameters, and refuses one that LightGBM does not know. Writes nothing.",
    )
    wait_for_raw = wait_for(RAW, lists_shards=True)
    prepare_shards, prepare = prepare_in_shards(wait_for_raw, option("as-of"))
    split = split_days(option("as-of"))
    train = stage(
        "training",
        [DS, option_json("params-json", "lightgbm"), option("tuned-max-age"), option("as-of"), RANKS, flag("force")],
        task_id="train",
        ranks="{{ params.ranks or 1 }}",
        uses=[PROCESSED, TUNING],
        hours=6,
        doc="Reads `processed/{ds}`, and `best.json` of `tuning` if the form says how old it may be. Writes "
        "`models/{ds}`: the model as text, and its own scores of some rows.",
    )
    validate = stage(
        "prediction validate",
        [
            DS,
            fixed_json("rules-json", read_rules()["decision"]),
            fixed_json("card-json", read_rules()["card"]),
            flag("force"),
        ],
        uses=[PROCESSED, MODELS],
        makes=[MODELS],
        doc="Reads `models/{ds}`, and `val.csv` of `processed/{ds}`. Writes `metrics.json`, curves and the baseline "
        "that later days are compared with: the model is validated.",
    )
    plot = stage(
        "report plot",
        [DS, flag("force")],
        task_id="plot",
        uses=[MODELS],
        makes=[PLOTS],
        doc="Reads `models/{ds}`. Writes `plots/{ds}`: its curves, calibration and importances as pictures.",
    )
    register = stage(
        "registry register",
        [DS, BY],
        uses=[MODELS, PLOTS],
        makes=[REGISTRY],
        read_only=True,
        doc="Reads `models/{ds}` and `plots/{ds}`. Writes a run and a version in MLflow, the challenger.",
    )
    resolve = stage(
        "registry resolve --or-none",
        [],
        task_id="resolve",
        uses=[REGISTRY],
        doc="Reads the registry. Writes `models/{ds}-v{version}` if `models/{ds}` is no longer what was registered; "
        "its result names the model in production.",
    )
    encode_validation = stage(
        "preprocessing encode-validation",
        [DS, from_result(resolve, "model", "model"), flag("force")],
        uses=[PROCESSED, MODELS],
        doc="Reads `processed/{ds}` and the champion's encoder. Writes `comparisons/{ds}`: the validation rows "
        "as the champion knows them.",
    )
    compare = stage(
        "prediction compare",
        [
            DS,
            from_result(resolve, "champion", "model"),
            from_result(resolve, "champion-version", "version"),
            from_result(encode_validation, "incomparable", "incomparable"),
            fixed_json("rules-json", read_rules()["gate"]),
            flag("force"),
        ],
        uses=[MODELS, PROCESSED],
        makes=[COMPARISONS],
        doc="Reads both models and the same validation rows for each. Writes `comparison.json` of `comparisons/{ds}`.",
    )
    decide = stage(
        "registry decide",
        [DS, given("promote", "--promote auto|manual|ask"), *shadow_days(), BY],
        uses=[COMPARISONS],
        makes=[REGISTRY],
        read_only=True,
        doc="Reads `comparisons/{ds}`. Writes to MLflow what was decided and why; promotes what passed.",
    )
    ask = ask_person(f"trained on {DAY}", register.task_id, compare.task_id, decide.task_id)
    answer = answer_of(ask)

    check_parameters >> wait_for_raw >> prepare_shards >> prepare >> split >> train >> validate >> [plot, resolve]
    plot >> register >> decide
    resolve >> encode_validation >> compare >> decide >> ask >> answer
