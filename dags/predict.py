"""Scores the day's data with the model in production.

Runs daily at 03:00 UTC, after the data and, on Sundays, the new model; waits for data that is late. Reads `raw/{ds}`
and the model; writes `features/{ds}` and `predictions/{ds}`. `resolve` chooses the model once for the whole run: the
model that the Variable `model_path` names, such as `models/2026-11-15`, or else the champion of MLflow's registry. A
promotion in the middle of a run counts from the next run on. With `as_of` a past day is scored by the model that was
in production on that day. If MLflow is out of reach, the last try uses the champion that was resolved last, and logs
a warning. A day that is not scored by `ML_DEADLINE` sends an alert.

With `reasons` of the form, or `ML_REASONS`, above 0, `explain` writes `explanations/{ds}`: for each row the features
that moved its score most. It comes after `predict`: if it fails, the predictions are published and delivered all the
same, and a warning is sent.

With `shards` of the form above 1, each shard of the day has a container of its own, on any node: `features_shards` and
`predict_shards` work on the shards, `features` and `predict` make the day of them, with the same bytes as without.

With `shadow_days` of `rules.json` above 0, `shadow_features` and `shadow_predict` score the day with the version in
shadow too, into `shadows/{ds}-v{version}`. They come after `predict`, and change nothing of it.

With `ML_PREDICTIONS_FORMAT=parquet`, `parquet` adds `predictions.parquet`. If `ML_EXPORT` names a connection and a
place, `export` brings the predictions to a table of a database, or to an object store.
"""

from airflow.sdk import DAG, chain

from ml import (
    AS_OF,
    DS,
    EXPLANATIONS,
    FEATURES,
    MODEL_PATH,
    MODELS,
    OR_LAST,
    PREDICTIONS,
    RAW,
    REGISTRY,
    SHARDS,
    at,
    dag_defaults,
    deliver_predictions,
    flag,
    form,
    from_result,
    name_shadow,
    option,
    resolved_model,
    score_in_shadow,
    scored_by,
    stage,
    stage_of_shards,
    wait_for,
)

with DAG(
    "predict",
    description="Scores the day's data with the model in production",
    doc_md=__doc__,
    schedule=at("0 3 * * *"),
    deadline=scored_by("0 3 * * *"),
    params=form("ds", "wait_hours", "max_rejected", "as_of", "reasons", "shards", "force"),
    max_active_runs=3,
    tags=["ml", "prediction"],
    **dag_defaults(),
):
    wait_for_raw = wait_for(RAW, lists_shards=True)
    resolve = stage(
        "registry resolve",
        [MODEL_PATH, AS_OF, OR_LAST, *name_shadow()],
        uses=[REGISTRY, MODELS],
        doc="Reads the registry. Writes `registry/production`, and `models/{ds}-v{version}` if `models/{ds}` is no "
        "longer what was registered; its result names the model of this run.",
    )
    model = resolved_model(resolve)
    as_resolved = [
        from_result(resolve, "model-version", "version"),
        from_result(resolve, "model-run-id", "run_id"),
        from_result(resolve, "model-sha256", "model_sha256"),
    ]
    features_shards = stage_of_shards(
        wait_for_raw,
        "preprocessing features",
        [DS, model, flag("force")],
        uses=[RAW, MODELS],
        doc="Reads `raw/{ds}` and the model's encoder. Writes `shards/{ds}-features-KofN`: the shard's rows of "
        "`features/{ds}`. Skipped if the form's `shards` is 1.",
    )
    features = stage(
        "preprocessing features",
        [DS, model, option("max-rejected"), SHARDS, flag("force")],
        uses=[RAW, MODELS],
        makes=[FEATURES],
        after_shards=True,
        doc="Reads `raw/{ds}` and the model's encoder. Writes `features/{ds}`: `features.csv`, `rejected.csv`.",
    )
    predict_shards = stage_of_shards(
        wait_for_raw,
        "prediction predict",
        [DS, model, *as_resolved, flag("force")],
        uses=[MODELS],
        doc="Reads `shards/{ds}-features-KofN` and the model. Writes `shards/{ds}-predictions-KofN`: the shard's rows "
        "of `predictions/{ds}`. Skipped if the form's `shards` is 1.",
    )
    predict = stage(
        "prediction predict",
        [DS, model, *as_resolved, SHARDS, flag("force")],
        uses=[FEATURES, MODELS],
        makes=[PREDICTIONS],
        after_shards=True,
        doc="Reads `features/{ds}` and the model. Writes `predictions/{ds}`: `predictions.csv`.",
    )

    explain = stage(
        "explanation",
        [DS, model, *as_resolved, option("reasons"), flag("force")],
        uses=[FEATURES, MODELS],
        makes=[EXPLANATIONS],
        task_id="explain",
        only_if="reasons",
        doc="Reads `features/{ds}` and the model. Writes `explanations/{ds}`: `reasons.csv`, `contributions.json`. "
        "Skipped unless the form's `reasons` is above 0.",
    )

    wait_for_raw >> resolve >> features_shards >> [features, predict_shards] >> predict
    predict >> [explain, *deliver_predictions()]
    chain(predict, *score_in_shadow(resolve))
