"""What comes after `predict` where the settings say so, and the Dag that takes in data in the generator's place."""

import sys
from pathlib import Path

import pytest
from airflow.utils.state import TaskInstanceState

from ml.engines.docker import host_config
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, Dags, day, make_bag
from tests.harness import dags_of_the_docs

NIGHT = day("2026-11-16", 23)


def predict(monkeypatch: pytest.MonkeyPatch, export: str, form: str) -> tuple[Dags, dict[str, str]]:
    monkeypatch.setenv("ML_EXPORT", export)
    monkeypatch.setenv("ML_PREDICTIONS_FORMAT", form)
    bag = make_bag(DAGS)
    return bag.dags, bag.import_errors


@pytest.mark.parametrize(
    ("export", "form", "after"),
    [
        ("none", "csv", {"explain"}),
        ("none", "parquet", {"explain", "parquet"}),
        ("warehouse scores.predictions", "csv", {"explain", "export"}),
        ("lake s3://bucket/{ds}.parquet", "parquet", {"explain", "parquet", "export"}),
    ],
)
def test_settings_decide_what_comes_after_predict(
    monkeypatch: pytest.MonkeyPatch, export: str, form: str, after: set[str]
) -> None:
    dags, errors = predict(monkeypatch, export, form)
    assert errors == {}
    assert dags["predict"].get_task("predict").downstream_task_ids == after


@pytest.mark.parametrize(
    ("export", "form", "name"),
    [
        ("", "csv", "ML_EXPORT"),
        ("warehouse", "csv", "ML_EXPORT"),
        ("warehouse scores s3://bucket/{ds}", "csv", "ML_EXPORT"),
        ("none", "", "ML_PREDICTIONS_FORMAT"),
        ("none", "arrow", "ML_PREDICTIONS_FORMAT"),
    ],
)
def test_settings_that_are_wrong_are_the_import_error_of_predict(
    monkeypatch: pytest.MonkeyPatch, export: str, form: str, name: str
) -> None:
    _, errors = predict(monkeypatch, export, form)
    assert {Path(file).name for file in errors} == {"predict.py"}
    assert f"{name} is " in next(iter(errors.values()))


@pytest.mark.parametrize("value", ["3", "100"])
def test_setting_is_what_the_form_of_predict_shows_as_reasons(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ML_REASONS", value)
    monkeypatch.delitem(sys.modules, "ml.form")
    monkeypatch.delitem(sys.modules, "ml")
    bag = make_bag(DAGS)
    assert bag.import_errors == {}
    assert bag.dags["predict"].params["reasons"] == int(value)


@pytest.mark.parametrize("value", ["", "-1", "101", "few", "1.5"])
def test_setting_of_reasons_that_is_wrong_is_an_import_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ML_REASONS", value)
    monkeypatch.delitem(sys.modules, "ml.form")
    monkeypatch.delitem(sys.modules, "ml")
    errors = make_bag(DAGS).import_errors
    assert errors
    assert all("ML_REASONS is " in error for error in errors.values())


def test_only_the_export_has_a_network_and_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_EXCHANGE_NETWORK", "shop_default")
    monkeypatch.setenv("ML_CONNECTIONS_VOLUME", "airflow-ml_connections")
    dags, _ = predict(monkeypatch, "warehouse scores", "parquet")
    parquet, export = (dags["predict"].get_task(name) for name in ("parquet", "export"))
    assert parquet.network_mode == "none"
    assert [mount["Target"] for mount in host_config(parquet._work())["mounts"]] == ["/data"]
    assert export.network_mode == "shop_default"
    (data, connections) = host_config(export._work())["mounts"]
    assert (data["Target"], data["ReadOnly"]) == ("/data", True)
    assert dict(connections) == {
        "Target": "/run/connections", "Source": "airflow-ml_connections", "Type": "volume", "ReadOnly": True,
    }  # fmt: skip
    assert "--network NETWORK" in export.doc_md
    assert "--network" not in parquet.doc_md


@pytest.mark.parametrize(
    ("export", "expected"),
    [
        ("warehouse scores.day", ["export", "--ds=2026-11-16", "--table=scores.day", "--connection=warehouse"]),
        (
            "lake s3://b/{{ds}}/{ds}.parquet",
            ["export", "--ds=2026-11-16", "--object=s3://b/{{ds}}/{ds}.parquet", "--connection=lake"],
        ),
    ],
)
def test_place_reaches_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, export: str, expected: list[str]
) -> None:
    monkeypatch.setenv("ML_EXPORT", export)
    (tmp_path / "predict.py").write_text((DAGS / "predict.py").read_text())
    airflow = Airflow(tmp_path)
    run = airflow.manual("predict", NIGHT)
    airflow.run_task(run, "export")  # without a network it fails, after its fields are rendered
    assert [word for word in airflow.shown_fields(run, "export")["command"] if word] == expected


def test_dag_that_takes_in_data_is_ten_lines_and_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ML_EXCHANGE_NETWORK", "shop_default")
    example, _ = dags_of_the_docs()
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    (tmp_path / "example.py").write_text(example)
    airflow = Airflow(tmp_path)
    dag = make_bag(tmp_path).dags["take_in_payments"]
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {"ingest": {"import"}, "import": set()}
    assert [asset.name for asset in dag.get_task("import").outlets] == ["raw"]
    run = airflow.manual("take_in_payments", NIGHT)
    assert airflow.arguments(run, "ingest") == [
        "ingest", "--ds=2026-11-16", "--query=SELECT * FROM payments WHERE day = $1 ORDER BY id", "--connection=shop",
    ]  # fmt: skip
    assert airflow.arguments(run, "import") == [
        "import", "--ds=2026-11-16", "--incoming", "--schema=/data/schemas/payments.json",
    ]  # fmt: skip


def test_dag_that_takes_in_late_labels_is_ten_lines_and_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ML_EXCHANGE_NETWORK", "shop_default")
    _, example = dags_of_the_docs()
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    (tmp_path / "example.py").write_text(example)
    airflow = Airflow(tmp_path)
    run = airflow.manual("take_in_frauds", NIGHT)
    query = "SELECT id, is_fraud FROM frauds WHERE paid_on = $1 ORDER BY id"
    assert airflow.arguments(run, "ingest") == [
        "ingest", "--ds=2026-11-09", f"--target-query={query}", "--connection=shop",
    ]  # fmt: skip
    # There are no rows in the result of a task that has failed.
    assert airflow.run_task(run, "import_target").ti.state == TaskInstanceState.SKIPPED
    command = airflow.shown_fields(run, "import_target")["command"]
    assert command == ["import-target", "--ds=2026-11-09", "--incoming"]
