"""A table of predictions: one day of it is replaced in one transaction."""

import secrets
from typing import Any

import polars as pl
from stagekit import BadInput

from connection import Connection
from database import Session, quoted, session
from predictions import DAY, Predictions, explained

TYPES = {pl.Date: "date", pl.Float64: "double precision", pl.String: "text"}
# Postgres cuts longer names without an error.
LONGEST_NAME = 63
# The type of each column without its length; a domain has the type that it is made of. Without the -1, char and bit are
# named as those of one place.
COLUMN_TYPES = """
    WITH RECURSIVE columns AS (
        SELECT attname::text AS name, atttypid AS type FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT name, typbasetype FROM columns JOIN pg_type ON pg_type.oid = type WHERE typtype = 'd'
    )
    SELECT name, format_type(type, -1) FROM columns JOIN pg_type ON pg_type.oid = type WHERE typtype <> 'd'
"""


def replace_day(connection: Connection, table: str, predictions: Predictions) -> dict[str, Any]:
    """Replace a day's rows of a table by the day's predictions; the table is made if it is missing.

    Either all of it happens or nothing. Of two at the same time the second waits, and replaces the rows of the first.
    Returns `table`, `rows`, how many were `replaced`, and whether the table was `created`.
    """
    if long := [name for name in predictions.schema if len(name.encode()) > LONGEST_NAME]:
        raise BadInput(f"the column {long[0]!r} has {len(long[0].encode())} bytes", expected=f"{LONGEST_NAME} at most",
                       do="rename the key, or shorten the class")  # fmt: skip
    loaded, name = f"airflow_ml_{secrets.token_hex(4)}", quoted(table.split(".")).replace(", ", ".")
    with session(connection) as database:
        database.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        # Until the end of the transaction; each statement after it sees what the one before has committed.
        database.run("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"airflow-ml export {name}")
        created = bool(database.value("SELECT to_regclass($1) IS NULL", name))
        if created:
            columns = (f"{quoted([column])} {TYPES[kind]}" for column, kind in predictions.schema.items())
            database.run(f"CREATE TABLE {name} ({', '.join(columns)})")
        with explained(predictions):
            database.load(loaded, predictions.parts())
        replaced = _count(database, f"DELETE FROM {name} WHERE {quoted([DAY])} = $1", predictions.ds)
        inserted = _insert(database, name, loaded, predictions)
        predictions.require_rows(inserted, name)
        database.commit()
    return {"table": table, "rows": inserted, "replaced": replaced, "created": created}


def _insert(database: Session, name: str, loaded: str, predictions: Predictions) -> int:
    """Insert the loaded rows, converted to the types of the table's columns; returns their number.

    The conversion is to the type without its length: a text that is too long is an error, and is not cut. A cast to
    the type with its length, or to a domain, would cut it without an error.
    """
    converted = dict(database.run(COLUMN_TYPES, name).iter_rows())
    values = (
        f"CAST({quoted([column])} AS {converted[column]})" if column in converted else quoted([column])
        for column in predictions.schema
    )
    columns = quoted(list(predictions.schema))
    return _count(database, f"INSERT INTO {name} ({columns}) SELECT {', '.join(values)} FROM pg_temp.{loaded}")


def _count(database: Session, change: str, *values: Any) -> int:
    """Run a statement that changes rows; returns how many."""
    return int(database.value(f"WITH changed AS ({change} RETURNING 1) SELECT count(*) FROM changed", *values))
