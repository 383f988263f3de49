"""The command lines that the containers get: in each kind of run, with each field of the form."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.models import DagRun
from airflow.models.trigger import Trigger
from airflow.models.variable import Variable
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState

from ml.operator import StageOperator
from ml.rules import read_rules
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, day

REJECTED, SEED = "--max-rejected=0.1", "--seed=42"
BY_DAG = "--by=the Dag train_model"
NIGHT = day("2026-11-16", 23)

# A Dag of somebody who lets Airflow's asset partitions drive it, made of the same parts.
PARTITIONED_DAG = """
from airflow.sdk import DAG, PartitionedAssetTimetable
from ml import DS, RAW, dag_defaults, form, stage, wait_for

timetable = PartitionedAssetTimetable(assets=RAW)
with DAG("partitioned", schedule=timetable, params=form("ds", "wait_hours"), **dag_defaults()):
    wait_for(RAW)
    stage("generator", [DS], task_id="generate", doc="")
"""

# Each kind of run of a Dag, and the day that it is about; a partition needs a Dag of its own.
RUNS: dict[str, tuple[Callable[[Airflow, str], DagRun], str]] = {
    "scheduled": (lambda airflow, dag_id: airflow.scheduled(dag_id, "2026-11-02", "2026-11-09"), "2026-11-02"),
    "manual": (lambda airflow, dag_id: airflow.manual(dag_id, NIGHT), "2026-11-16"),
    "manual, with a logical date": (
        lambda airflow, dag_id: airflow.manual(dag_id, NIGHT, logical_date=day("2026-11-03")),
        "2026-11-03",
    ),
    "manual, day picked": (lambda airflow, dag_id: airflow.manual(dag_id, NIGHT, {"ds": "2026-10-30"}), "2026-10-30"),
    "manual, day picked, with a logical date": (
        lambda airflow, dag_id: airflow.manual(dag_id, NIGHT, {"ds": "2026-10-30"}, logical_date=day("2026-11-04")),
        "2026-10-30",
    ),
    "manual, of a partition": (
        lambda airflow, _: airflow.manual("partitioned", NIGHT, partition_key="2026-11-14"),
        "2026-11-14",
    ),
    "asset-triggered": (
        lambda airflow, dag_id: airflow.asset_triggered(dag_id, NIGHT, [("raw", {})]),
        "2026-11-16",
    ),
    "asset-triggered, by a day's data": (
        lambda airflow, dag_id: airflow.asset_triggered(dag_id, NIGHT, [("raw", {"ds": "2026-11-11"})]),
        "2026-11-11",
    ),
    "asset-triggered, by several days and assets": (
        lambda airflow, dag_id: airflow.asset_triggered(
            dag_id,
            NIGHT,
            [("raw", {"ds": "2026-11-11"}), ("raw", {"ds": "2026-11-12"}), ("models", {"ds": "2026-11-08"})],
        ),
        "2026-11-12",
    ),
    "asset-triggered, of a partition": (
        lambda airflow, _: airflow.partitioned("partitioned", NIGHT, "2026-11-13"),
        "2026-11-13",
    ),
}


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "partitioned.py").write_text(PARTITIONED_DAG)
    example = (DAGS / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    (folder / "example.py").write_text(example)
    return Airflow(folder, DAGS)


DECISION = [
    f"--rules-json={json.dumps(read_rules()['decision'])}",
    f"--card-json={json.dumps(read_rules()['card'])}",
]


@pytest.mark.parametrize("kind", RUNS)
def test_day_is_the_one_that_the_run_is_about(airflow: Airflow, kind: str) -> None:
    make_run, expected = RUNS[kind]
    assert airflow.arguments(make_run(airflow, "generate_data"), "generate")[0] == f"--ds={expected}"


@pytest.mark.parametrize("kind", RUNS)
def test_day_of_an_alert_is_the_one_that_the_run_is_about(
    airflow: Airflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("ML_ALERTS_FOLDER", str(tmp_path))
    monkeypatch.setattr(StageOperator, "_run", fail)
    make_run, expected = RUNS[kind]
    # Not the Dag of another test: two runs of a Dag cannot have one logical date.
    run = make_run(airflow, "monitor")
    airflow.run_task(run, "evaluate" if run.dag_id == "monitor" else "generate")
    assert f"\nDay: {expected}\n" in (tmp_path / "alerts.log").read_text()


def fail(self: StageOperator, _: Any) -> dict[str, Any]:
    raise AirflowFailException(f"{self.stage} failed")


# The week's schedule has a test of its own, in test_sensor.py.
@pytest.mark.parametrize(
    ("dag_id", "kind"),
    [*(("predict", kind) for kind in RUNS), *(("train_model", kind) for kind in RUNS if kind != "scheduled")],
)
def test_day_waited_for_is_the_one_that_the_run_is_about(airflow: Airflow, dag_id: str, kind: str) -> None:
    make_run, expected = RUNS[kind]
    run = make_run(airflow, dag_id)
    airflow.run_task(run, "wait_for_raw")
    assert airflow.shown_fields(run, "wait_for_raw")["day"] == expected


def test_backfilled_runs_wait_for_their_own_days(airflow: Airflow) -> None:
    runs = airflow.backfilled("predict", "2026-10-01", "2026-10-04")
    for run in runs:
        airflow.run_task(run, "wait_for_raw")
    found = [airflow.shown_fields(run, "wait_for_raw")["day"] for run in runs]
    assert found == ["2026-10-01", "2026-10-02", "2026-10-03"]


def test_dag_of_the_readme_works_on_the_day_that_triggered_it(airflow: Airflow) -> None:
    run = airflow.asset_triggered("check_data", NIGHT, [("raw", {"ds": "2026-11-11"})])
    assert airflow.arguments(run, "prepare") == ["prepare", "--ds=2026-11-11"]


def test_weekly_training_is_about_its_sunday(airflow: Airflow) -> None:
    run = airflow.scheduled("train_model", "2026-11-02", "2026-11-10")
    assert airflow.arguments(run, "train") == ["--ds=2026-11-08"]


def test_backfilled_runs_are_about_their_own_days(airflow: Airflow) -> None:
    runs = airflow.backfilled("generate_data", "2026-10-01", "2026-10-04")
    found = [airflow.arguments(run, "generate") for run in runs]
    assert found == [[f"--ds=2026-10-0{number}", SEED] for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("dag_id", "task_id", "form", "expected"),
    [
        ("generate_data", "generate", {"rows": 5000}, ["--ds=2026-11-16", "--rows=5000", "--seed=42"]),
        ("generate_data", "generate", {"rows": 1, "seed": 0}, ["--ds=2026-11-16", "--rows=1", "--seed=0"]),
        ("train_model", "prepare", {}, ["prepare", "--ds=2026-11-16", "--days=1", "--max-rejected=0.1"]),
        ("train_model", "prepare", {"max_rejected": 0}, ["prepare", "--ds=2026-11-16", "--days=1", "--max-rejected=0"]),
        (
            "train_model",
            "prepare",
            {"max_rejected": 0.05, "days": 7},
            ["prepare", "--ds=2026-11-16", "--days=7", "--max-rejected=0.05"],
        ),
        (
            "train_model",
            "split",
            {"val_fraction": 0.25, "seed": 7, "days": 7, "min_days": 5},
            ["split", "--ds=2026-11-16", "--days=7", "--min-days=5", "--val-fraction=0.25", "--seed=7"],
        ),
        (
            "train_model",
            "split",
            {},
            ["split", "--ds=2026-11-16", "--days=1", "--min-days=1", "--val-fraction=0.2", "--seed=0"],
        ),
        (
            "train_model",
            "split",
            {"seed": None, "val_fraction": None, "days": None, "min_days": None},
            ["split", "--ds=2026-11-16"],
        ),
        (
            "train_model",
            "check_parameters",
            {"lightgbm": {"num_leaves": 3}},
            ["--ds=2026-11-16", '--params-json={"num_leaves": 3}', "--check-parameters"],
        ),
        ("train_model", "train", {}, ["--ds=2026-11-16"]),
        ("train_model", "train", {"lightgbm": {}}, ["--ds=2026-11-16"]),
        (
            "train_model",
            "train",
            {"lightgbm": {"num_leaves": 63, "verbose": "it's <odd> {{ ds }}"}},
            [
                "--ds=2026-11-16",
                '--params-json={"num_leaves": 63, "verbose": "it\\u0027s \\u003codd\\u003e {{ ds }}"}',
            ],
        ),
        ("train_model", "train", {"tuned_max_age": 28}, ["--ds=2026-11-16", "--tuned-max-age=28"]),
        ("train_model", "train", {"tuned_max_age": 0}, ["--ds=2026-11-16", "--tuned-max-age=0"]),
        ("train_model", "train", {"ranks": 1}, ["--ds=2026-11-16"]),
        ("train_model", "train", {"ranks": None}, ["--ds=2026-11-16"]),
        ("train_model", "train", {"ranks": 3}, ["--ds=2026-11-16", "--ranks=3"]),
        ("tune_model", "tune", {}, ["--ds=2026-11-16", "--trials=30", "--seed=0"]),
        (
            "tune_model",
            "tune",
            {"trials": 50, "minutes": 20, "search_seed": 7, "seed": 3},
            ["--ds=2026-11-16", "--trials=50", "--minutes=20", "--seed=7"],
        ),
        (
            "tune_model",
            "split",
            {"search_seed": 7, "seed": 3},
            ["split", "--ds=2026-11-16", "--days=1", "--min-days=1", "--val-fraction=0.2", "--seed=3"],
        ),
        (
            "backtest",
            "backtest",
            {},
            ["backtest", "--ds=2026-11-16", "--windows=1,7,28", "--every=0,1,7,28"],
        ),
        (
            "backtest",
            "backtest",
            {"windows": "3", "every": None, "force": True},
            ["backtest", "--ds=2026-11-16", "--windows=3", "--force"],
        ),
        ("backtest", "encode_days", {"days": 90}, ["encode-days", "--ds=2026-11-16", "--days=90"]),
        ("train_model", "validate", {}, ["validate", "--ds=2026-11-16", *DECISION]),
        ("train_model", "validate", {"force": True}, ["validate", "--ds=2026-11-16", *DECISION, "--force"]),
        ("train_model", "resolve", {}, ["resolve", "--or-none"]),
        ("train_model", "register", {}, ["register", "--ds=2026-11-16", BY_DAG]),
        ("train_model", "decide", {}, ["decide", "--ds=2026-11-16", "--promote=auto", BY_DAG]),
        ("train_model", "decide", {"promote": "manual"}, ["decide", "--ds=2026-11-16", "--promote=manual", BY_DAG]),
        ("predict", "resolve", {}, ["resolve"]),
        ("monitor", "label", {"as_of": "2026-11-20"}, ["label", "--ds=2026-11-16", "--as-of=2026-11-20"]),
        (
            "train_model",
            "prepare",
            {"as_of": "2026-11-20", "days": 3},
            ["prepare", "--ds=2026-11-16", "--days=3", "--as-of=2026-11-20", "--max-rejected=0.1"],
        ),
        *(
            (
                dag,
                "split",
                {"as_of": "2026-11-20", "days": 3, "min_days": None, "val_fraction": None, "seed": None},
                ["split", "--ds=2026-11-16", "--days=3", "--as-of=2026-11-20"],
            )
            for dag in ("train_model", "tune_model")
        ),
        ("train_model", "train", {"as_of": "2026-11-20"}, ["--ds=2026-11-16", "--as-of=2026-11-20"]),
        (
            "tune_model",
            "tune",
            {"as_of": "2026-11-20"},
            ["--ds=2026-11-16", "--trials=30", "--seed=0", "--as-of=2026-11-20"],
        ),
        ("predict", "resolve", {"as_of": True}, ["resolve", "--as-of=2026-11-16T23:00:00+00:00"]),
        ("predict", "resolve", {"as_of": True, "ds": "2026-10-30"}, ["resolve", "--as-of=2026-10-30"]),
        (
            "promote_model",
            "promote",
            {"reason": "the challenger"},
            ["promote", "--by=the Dag promote_model", "--reason=the challenger"],
        ),
        (
            "promote_model",
            "promote",
            {"version": "3", "reason": "the number that the form offers"},
            ["promote", "--version=3", "--by=the Dag promote_model", "--reason=the number that the form offers"],
        ),
        (
            "promote_model",
            "promote",
            {"version": 3, "reason": "it's <better> {{ ds }}"},
            ["promote", "--version=3", "--by=the Dag promote_model", "--reason=it's <better> {{ ds }}"],
        ),
        (
            "roll_back_model",
            "roll_back",
            {"reason": "it is worse"},
            ["roll-back", "--by=the Dag roll_back_model", "--reason=it is worse"],
        ),
    ],
)
def test_form_reaches_the_command_line(
    airflow: Airflow, dag_id: str, task_id: str, form: dict[str, object], expected: list[str]
) -> None:
    assert airflow.arguments(airflow.manual(dag_id, NIGHT, form), task_id) == expected


@pytest.mark.parametrize(
    ("dag_id", "task_id", "form"),
    [
        ("train_model", "register", {}),
        ("train_model", "decide", {}),
        ("promote_model", "promote", {"reason": "better"}),
        ("roll_back_model", "roll_back", {"reason": "worse"}),
    ],
)
def test_person_who_triggers_a_run_is_the_one_who_did_it(
    airflow: Airflow, dag_id: str, task_id: str, form: dict[str, object]
) -> None:
    run = airflow.manual(dag_id, NIGHT, form, triggering_user_name="maria")
    assert "--by=maria" in airflow.arguments(run, task_id)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("models/2026-11-01", ["resolve", "--model=models/2026-11-01"]),
        (" /data/models/2026-11-01\n", ["resolve", "--model=/data/models/2026-11-01"]),
        ("  ", ["resolve"]),
    ],
)
def test_model_in_production_is_read_when_the_task_runs(airflow: Airflow, value: str, expected: list[str]) -> None:
    run = airflow.manual("predict", NIGHT)
    Variable.set("model_path", value)
    try:
        assert airflow.arguments(run, "resolve") == expected
    finally:
        Variable.delete("model_path")


def test_promotion_in_the_middle_of_a_run_changes_nothing_for_it(airflow: Airflow) -> None:
    run = airflow.manual("predict", NIGHT)
    resolved = {"model": "models/2026-11-08", "version": "3", "run_id": "abc", "model_sha256": "0f"}
    airflow.set_result(run, "resolve", resolved)
    Variable.set("model_path", "models/2026-11-15")
    try:
        assert airflow.arguments(run, "features") == [
            "features",
            "--ds=2026-11-16",
            "--model=models/2026-11-08",
            REJECTED,
        ]
        assert airflow.arguments(run, "predict") == [
            "predict", "--ds=2026-11-16", "--model=models/2026-11-08",
            "--model-version=3", "--model-run-id=abc", "--model-sha256=0f",
        ]  # fmt: skip
    finally:
        Variable.delete("model_path")


@pytest.mark.parametrize("reasons", [0, None])
def test_reasons_are_skipped_unless_the_form_asks_for_them(airflow: Airflow, reasons: int | None) -> None:
    run = airflow.manual("predict", NIGHT, {"reasons": reasons})
    airflow.set_result(run, "resolve", {"model": "models/2026-11-08", "version": None, "run_id": None})
    assert airflow.run_task(run, "explain").ti.state == "skipped"


def test_reasons_are_of_the_model_that_scored(airflow: Airflow) -> None:
    run = airflow.manual("predict", NIGHT, {"reasons": 5})
    resolved = {"model": "models/2026-11-08", "version": "3", "run_id": "abc", "model_sha256": "0f"}
    airflow.set_result(run, "resolve", resolved)
    assert airflow.arguments(run, "explain") == [
        "--ds=2026-11-16", "--model=models/2026-11-08",
        "--model-version=3", "--model-run-id=abc", "--model-sha256=0f", "--reasons=5",
    ]  # fmt: skip


def test_model_of_the_variable_has_no_version(airflow: Airflow) -> None:
    run = airflow.manual("predict", NIGHT)
    airflow.set_result(run, "resolve", {"model": "models/2026-11-08", "version": None, "run_id": None})
    assert airflow.arguments(run, "predict") == ["predict", "--ds=2026-11-16", "--model=models/2026-11-08"]


def test_last_try_goes_on_with_the_model_that_was_resolved_last(airflow: Airflow) -> None:
    run = airflow.manual("predict", NIGHT)
    commands = []
    for _ in range(3):
        airflow.run_task(run, "resolve")
        commands.append([word for word in airflow.shown_fields(run, "resolve")["command"] if word])
    assert commands == [["resolve"], ["resolve"], ["resolve", "--or-last"]]


GATE = f"--rules-json={json.dumps(read_rules()['gate'])}"


@pytest.mark.parametrize(
    ("champion", "encoded", "of_encode", "of_compare"),
    [
        ({"model": None, "version": None}, {"champion": None}, [], []),
        (
            {"model": "models/2026-11-08", "version": "3"},
            {"champion": "models/2026-11-08", "incomparable": None},
            ["--model=models/2026-11-08"],
            ["--champion=models/2026-11-08", "--champion-version=3"],
        ),
        (
            {"model": "models/2026-11-08", "version": "3"},
            {"champion": "models/2026-11-08", "incomparable": "the field amount is new"},
            ["--model=models/2026-11-08"],
            ["--champion=models/2026-11-08", "--champion-version=3", "--incomparable=the field amount is new"],
        ),
    ],
)
def test_candidate_is_compared_with_the_champion_that_was_found(
    airflow: Airflow, champion: dict[str, str], encoded: dict[str, str], of_encode: list[str], of_compare: list[str]
) -> None:
    run = airflow.manual("train_model", NIGHT)
    airflow.set_result(run, "resolve", champion)
    day_of_run = "--ds=2026-11-16"
    assert airflow.arguments(run, "encode_validation") == ["encode-validation", day_of_run, *of_encode]
    airflow.set_result(run, "encode_validation", encoded)
    assert airflow.arguments(run, "compare") == ["compare", day_of_run, *of_compare, GATE]


def test_monitoring_takes_its_rules_and_what_the_report_shows(airflow: Airflow) -> None:
    run = airflow.manual("monitor", NIGHT, {"ds": "2026-11-15"})
    monitoring = f"--rules-json={json.dumps(read_rules()['monitoring'])}"
    assert airflow.arguments(run, "evaluate") == ["evaluate", "--ds=2026-11-15", monitoring]
    assert airflow.arguments(run, "confirm") == ["confirm", "--ds=2026-11-15", monitoring]
    assert airflow.arguments(run, "page") == ["page", "--ds=2026-11-15", "--images-json={}", "--model-name=airflow-ml"]


@pytest.mark.parametrize(
    ("ds", "form", "breaches", "state", "started"),
    [
        ("2026-09-06", {}, [], "skipped", 0),
        ("2026-09-07", {"retrain": True}, [], "skipped", 0),
        ("2026-09-08", {}, ["amount has moved"], "skipped", 0),
        ("2026-09-09", {"retrain": True}, ["amount has moved"], "success", 1),
    ],
)
def test_training_starts_on_a_breach_where_that_is_asked_for(
    airflow: Airflow, ds: str, form: dict[str, object], breaches: list[str], state: str, started: int
) -> None:
    run = airflow.manual("monitor", NIGHT, {"ds": ds, **form})
    airflow.set_result(run, "confirm", {"breaches": breaches})
    assert airflow.run_task(run, "retrain").ti.state == state
    found = airflow.runs("train_model", f"breach__{ds}")
    assert [found_run.conf for found_run in found] == [{"ds": ds}] * started


def test_days_with_late_labels_are_evaluated_again_one_after_the_other(airflow: Airflow) -> None:
    """Each state of the labels starts one run; only the newest day's may start a training."""
    days: list[dict[str, Any]] = [{"ds": f"2026-08-{number}", "labels": "5f0a"} for number in (11, 12, 13)]
    days[1]["shards"] = 4
    for of_day in range(2):
        run = airflow.manual("monitor_late_labels", NIGHT)
        airflow.set_result(run, "late_labels", {"days": days, "more": 0})
        if of_day == 0:
            for number, day in enumerate(days):
                outcome = airflow.run_task(run, "evaluate_again", new_try=number == 0)
                assert outcome.ti.state == "deferred", outcome.error
                started = [bool(airflow.runs("monitor", f"labels__{one['ds']}__5f0a")) for one in days]
                assert started == [number >= place for place in range(3)]
                (found,) = airflow.runs("monitor", f"labels__{day['ds']}__5f0a")
                with create_session() as session:
                    session.merge(found).set_state(DagRunState.FAILED if number == 1 else DagRunState.SUCCESS)
                # The trigger itself is Airflow's, and asks its supervisor, which is not here.
                Trigger.submit_event(airflow.waiting(run, "evaluate_again").trigger_id, TriggerEvent(("", {})))
        assert airflow.run_task(run, "evaluate_again", new_try=of_day == 1).ti.state == "success"
    confs = [airflow.runs("monitor", f"labels__{day['ds']}__5f0a")[0].conf for day in days]
    assert confs == [
        {"ds": "2026-08-11", "retrain": False},
        {"ds": "2026-08-12", "shards": 4, "retrain": False},
        {"ds": "2026-08-13"},
    ]


def test_container_knows_which_task_it_works_for(airflow: Airflow) -> None:
    run = airflow.manual("train_model", NIGHT)
    fields = airflow.rendered(run, "train")
    who = {"dag": "train_model", "task": "train", "run": run.run_id}
    assert fields["environment"] == {
        **{f"ML_{key.upper()}_ID": value for key, value in who.items()},
        "ML_TRY_NUMBER": "1",
        "ML_IMAGE_ID": "sha256:training",
    }
    assert fields["labels"] == {
        **{f"airflow-ml.{key}": value for key, value in who.items()},
        "airflow-ml.map-index": "-1",
        "airflow-ml.data": "data",
        "airflow-ml.try": "1",
        "airflow-ml.last-try": "2",
    }
