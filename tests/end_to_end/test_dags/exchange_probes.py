"""A Dag that brings a day's predictions to a database and takes them in again. The tests bring the predictions."""

from airflow.sdk import DAG

from ml import DS, dag_defaults, fixed, form, stage

with DAG("exchange_round", schedule=None, params=form("ds"), **dag_defaults()):
    where, query = fixed("table", "exchange_scores"), fixed("query", "SELECT * FROM exchange_scores WHERE ds = $1")
    parquet = stage("exchange parquet", [DS], doc="Reads and writes `predictions/{ds}`.")
    export = stage("exchange export", [DS, where], connection="warehouse", read_only=True, doc="Reads. Writes a table.")
    ingest = stage("exchange ingest", [DS, query], connection="warehouse", doc="Reads it. Writes `incoming/{ds}`.")
    parquet >> export >> ingest
