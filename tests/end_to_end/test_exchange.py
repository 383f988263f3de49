"""A connection of Airflow's, through the real scheduler and engine proxy, to a database and back."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT, docker, images
from tests.images.exchange_lab import PUBLISH, SCORES

from .conftest import (
    COMMAND_TIMEOUT_S,
    DAY,
    EXPORT,
    PROJECT,
    RUN_TIMEOUT_S,
    Results,
    Stack,
    champion_stays,
    compose_stack,
    data,
)

DS = "2026-03-01"
# A shop's payments of two days, a thousand each; the label is among the columns.
DRAFTED, TAKEN_IN = "2026-03-02", "2026-03-03"
# A day whose labels come a week later.
UNLABELLED, WEEK_LATER = "2026-03-05", "2026-03-12"
PAYMENTS = f"""
CREATE TABLE payments AS
SELECT format('P%s-%s', to_char(day, 'YYYYMMDD'), lpad(n::text, 4, '0')) AS id, day::date AS day,
  day + n * interval '80 s' AS paid_at, (5 + n % 95 + 0.25)::numeric(9, 2) AS amount,
  CASE WHEN n % 9 > 0 THEN n % 400 END AS card_age_days, (ARRAY['shop', 'online', 'phone'])[1 + n % 3] AS channel,
  n % 4 > 0 AS authenticated, (n % 31 = 0)::int AS is_fraud
FROM generate_series(timestamptz '{DRAFTED} 00:00+00', '{TAKEN_IN} 00:00+00', '1 day') AS day,
  generate_series(1, 1000) AS n
"""


@pytest.fixture
def password(stack: Stack) -> Iterator[str]:
    """The connection `warehouse`: the stack's own Postgres."""
    secret = compose_stack.settings()["ML_POSTGRES_PASSWORD"]
    address = {"conn_type": "postgres", "host": "postgres", "login": "airflow", "schema": "airflow"}
    stack.airflow.request("POST", "/connections", {"connection_id": "warehouse", "password": secret, **address})
    yield secret
    stack.airflow.request("DELETE", "/connections/warehouse")


def test_predictions_go_to_a_database_and_come_back(stack: Stack, password: str) -> None:
    publish = ["run", "--rm", data.mount, "--entrypoint=python", images()["base"], "-c", PUBLISH, DS, SCORES, "3"]
    docker(*publish)
    # A second round replaces what the first has left.
    for replaced in (0, 3):
        run = stack.run("exchange_round", {"ds": DS})
        results = stack.results("exchange_round", run)
        assert results["exchange", "export"]["replaced"] == replaced
        assert results["exchange", "ingest"]["rows"] == {"data": 3}
    assert data.mark(f"predictions/{DS}")["outputs"].keys() == {"predictions.csv", "predictions.parquet"}
    shown = str(results) + "".join(
        stack.airflow.log_of("exchange_round", run, task) for task in stack.airflow.tasks("exchange_round", run)
    )
    assert "/run/connections/warehouse.json" in shown
    assert password not in shown
    listed = docker(
        "exec", f"{PROJECT}-scheduler-1", "python", "-c", "import os; print(os.listdir('/run/connections'))"
    )
    assert listed.stdout == "[]\n"


@pytest.fixture
def shop(stack: Stack) -> Iterator[None]:
    """A table in the stack's own Postgres, and the connection `shop`, as docs/use.md adds it."""
    sql(PAYMENTS)
    password = compose_stack.settings()["ML_POSTGRES_PASSWORD"]
    inside(
        "scheduler", "airflow", "connections", "add", "shop", "--conn-type=postgres", "--conn-host=postgres",
        "--conn-login=airflow", f"--conn-password={password}", "--conn-schema=airflow",
    )  # fmt: skip
    yield
    inside("scheduler", "airflow", "connections", "delete", "shop")
    sql("DROP TABLE payments")


def inside(service: str, *words: str, stdin: str | None = None) -> str:
    """What a command in the container of a service prints."""
    done = compose_stack.compose("exec", "--no-TTY", service, *words, stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sql(statement: str) -> str:
    """What psql prints in the stack's Postgres."""
    psql = ["psql", "--username=airflow", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]
    return inside("postgres", *psql, stdin=f"{statement};")


@pytest.mark.usefixtures("shop")
def test_dag_of_the_docs_takes_in_a_day(stack: Stack) -> None:
    """First a day without a schema, which is drafted from its rows; then the next day."""
    dag, schema = "take_in_payments", "/data/schemas/payments.json"
    run = stack.airflow.trigger(dag, {"ds": DRAFTED})
    assert stack.airflow.wait(dag, run, RUN_TIMEOUT_S) == "failed"
    assert f"there is no file {schema}" in stack.explain(dag, run)
    data.stage(
        "preprocessing", "infer-schema", f"--data=/data/incoming/{DRAFTED}/data", "--target-column=is_fraud",
        f"--out={schema}",
    )  # fmt: skip
    results = stack.results(dag, stack.run(dag, {"ds": TAKEN_IN}))
    assert results["exchange", "ingest"]["rows"] == {"data": 1000}
    assert data.mark(f"raw/{TAKEN_IN}")["outputs"].keys() == {"data.csv", "target.csv", "schema.json"}
    assert data.prepare(TAKEN_IN).line["rows_out"] == 1000
    (row,) = (row for row in data.rows(f"processed/{TAKEN_IN}/train_data.csv") if row["id"] == "P20260303-0031")
    assert row.items() >= {
        "paid_at": "2026-03-03T00:41:20", "amount": "36.25", "card_age_days": "31", "channel": "online",
        "authenticated": "true", "is_fraud": "1",
    }.items()  # fmt: skip


@pytest.mark.usefixtures("shop")
def test_dag_of_the_docs_takes_in_labels_a_week_later(stack: Stack) -> None:
    """First there are none: nothing is delivered, and nothing fails."""
    files = ["--data=/data/incoming/late.csv", "--schema=/data/incoming/late.json"]
    kinds = {"id": ("string", "key"), "amount": ("number", "feature"), "is_fraud": ("integer", "target")}
    fields = [{"name": name, "type": kind, "role": role} for name, (kind, role) in kinds.items()]
    data.write("incoming/late.json", json.dumps({"fields": fields, "primaryKey": ["id"]}))
    data.write("incoming/late.csv", "id,amount\nP1,5.5\nP2,6.5\n")
    data.stage("preprocessing", "import", f"--ds={UNLABELLED}", *files)
    sql("CREATE TABLE frauds (id text, paid_on date, is_fraud int)")
    try:
        for rows in ({}, {"target": 2}):
            run = stack.run("take_in_frauds", {"ds": WEEK_LATER})
            assert stack.results("take_in_frauds", run)["exchange", "ingest"]["rows"] == rows
            states = {task["task_id"]: task["state"] for task in stack.airflow.tasks("take_in_frauds", run)}
            assert states == {"ingest": "success", "import_target": "success" if rows else "skipped"}
            sql(f"INSERT INTO frauds VALUES ('P1', '{UNLABELLED}', 0), ('P2', '{UNLABELLED}', 1)")
    finally:
        sql("DROP TABLE frauds")
    assert data.mark(f"raw/{UNLABELLED}")["outputs"]["target.csv"]["rows"] == 2


@pytest.mark.usefixtures("shop")
def test_predict_ends_with_a_table_where_the_setting_names_one(stack: Stack, day: Results) -> None:
    """The second run replaces the rows of the first."""
    scored, table = day["prediction", "predict"], EXPORT.split()[1]
    try:
        for replaced in (0, scored["rows"]):
            results = stack.results("exchange_predictions", stack.run("exchange_predictions", {"ds": DAY}))
            assert results["exchange", "export"]["replaced"] == replaced
            rows = f"SELECT count(*), count(DISTINCT transaction_id), sum((prediction = '1')::int) FROM {table}"
            assert sql(rows) == f"{scored['rows']}|{scored['rows']}|{scored['predicted']['1']}\n"
    finally:
        sql(f"DROP TABLE IF EXISTS {table}")


@pytest.mark.usefixtures("shop", "day")
def test_one_command_leads_from_a_table_to_a_model_in_production(stack: Stack, tmp_path: Path) -> None:
    secret = compose_stack.settings()["ML_POSTGRES_PASSWORD"]
    address = {"conn_type": "postgres", "host": "postgres", "login": "airflow", "schema": "airflow"}
    (tmp_path / "shop.json").write_text(json.dumps({**address, "password": secret}))
    query = "SELECT * FROM payments WHERE day = $1 ORDER BY id"
    command = [ROOT / "airflow-ml", "own", "--connection=shop.json", f"--query={query}", "--target=is_fraud"]
    with champion_stays(stack):
        done = subprocess.run(
            [*command, f"--ds={DRAFTED}"], cwd=tmp_path, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "published      1,000 rows" in done.stdout
    assert f"models/{DRAFTED} (champion)" in done.stdout
    assert "Later    this command with another --ds" in done.stdout
    assert secret not in done.stdout + done.stderr
