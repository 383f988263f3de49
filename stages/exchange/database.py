"""A Postgres database: one transaction of it, and errors that say what to do. Through ADBC, with polars' frames."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
from adbc_driver_postgresql import dbapi
from stagekit import BadInput, StageError, UsageError, progress

from connection import Connection

KINDS = ("postgres", "postgresql")
EXTRA = ("sslmode", "sslrootcert", "options")
CONNECT_SECONDS = 10
# Rows that a query returns in one part. They are in memory twice, as Postgres' bytes and as a frame.
PART_ROWS = 50_000
# What a server says when it answers, and will not let this user in on a retry either.
REFUSED = re.compile(
    r"password authentication failed|no password supplied|no pg_hba.conf entry|SSL"
    r"|(role|database) \"[^\"]*\" does not exist"
)
# The classes of SQLSTATE: what they mean for an exit code. All others may work later.
WRONG_VALUE, WRONG_STATEMENT = ("22", "23"), ("25", "42", "0A", "3F")
SQLSTATE = re.compile(
    r"^[A-Z_]+: |Query was: .*|[.]? SQLSTATE: .*|Failed to prepare query: |LINE \d+: .*"
    r"|\[libpq\] Failed to execute (query '.*': |prepared statement: PGRES_FATAL_ERROR )(?=ERROR)",
    re.DOTALL,
)
# Postgres' types that keep their values here; an enum does, too. Others come as something else: $1.00 as 100, the oid
# 4294967295 as -1, an interval as nothing.
READ_TYPES = (
    *("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "name"),
    *("json", "jsonb", "date", "timestamp", "timestamptz"),
)
# The columns of the prepared statement feed_types that have another type; a domain has the type that it is made of.
OTHER_TYPES = f"""
    WITH RECURSIVE columns AS (
        SELECT number, type::oid AS named, type::oid AS made_of
        FROM pg_prepared_statements, unnest(result_types) WITH ORDINALITY AS types(type, number)
        WHERE name = 'feed_types'
        UNION ALL
        SELECT number, named, typbasetype FROM columns JOIN pg_type ON pg_type.oid = made_of WHERE typtype = 'd'
    )
    SELECT number, format_type(named, NULL) FROM columns JOIN pg_type ON pg_type.oid = made_of
    WHERE typtype NOT IN ('d', 'e')
        AND NOT (typnamespace = 'pg_catalog'::regnamespace AND typname IN ('{"', '".join(READ_TYPES)}'))
    ORDER BY number
"""
# The release that names the types of a statement before it runs.
NAMES_TYPES = 160_000
PANIC = re.compile(r'ErrString\("([^".]*)')


class OutOfReach(StageError):
    """The server does not answer, or has ended the session; a later try may succeed."""


class Session:
    """One transaction of a database."""

    def __init__(self, connection: Connection, driver: Any) -> None:
        self._connection, self._driver = connection, driver

    def run(self, statement: str, *values: Any) -> pl.DataFrame:
        """Run one statement with the values of $1, $2, ...; returns its rows, which are few."""
        with self._explained(), self._cursor() as cursor:
            cursor.execute(statement, list(values) or None)
            return cursor.fetch_polars()

    def value(self, statement: str, *values: Any) -> Any:
        """The one value that a statement returns."""
        return self.run(statement, *values).item()

    def parts(self, query: str, *values: Any) -> Iterator[pl.DataFrame]:
        """The rows of a query, part by part; none if there are no rows. The query changes nothing."""
        self.run("SET TRANSACTION READ ONLY")
        self._require_types(query)
        self.run(f"DECLARE feed NO SCROLL CURSOR FOR {query}", *values)
        with progress("reading the query's rows", None, "rows") as advance:
            while (part := self.run(f"FETCH {PART_ROWS} FROM feed")).height:
                advance(part.height)
                yield part

    def _require_types(self, query: str) -> None:
        """Errors: BadInput for a column that would be read as something else."""
        if self.value("SELECT current_setting('server_version_num')::int") < NAMES_TYPES:
            return
        self.run(f"PREPARE feed_types (date) AS {query}")
        for number, name in self.run(OTHER_TYPES).iter_rows():
            raise BadInput(
                f"the query's column {number} has the type {name}, which no file of the pipeline has",
                expected="numbers, booleans, texts, dates and times",
                do="convert it in the query, such as CAST(price AS numeric), EXTRACT(epoch FROM lasted) or "
                "CAST(its_name AS text)",
            )

    def load(self, table: str, parts: Iterator[pl.DataFrame]) -> None:
        """Write frames to a new table that only this connection sees, and that ends with it."""
        mode = "create"
        for part in parts:
            with self._explained(), self._driver.cursor() as cursor:
                cursor.adbc_ingest(table, part, mode=mode, temporary=True)
            mode = "append"

    def commit(self) -> None:
        with self._explained():
            self._driver.commit()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._driver.cursor() as cursor:
            # With COPY, the default, errors come late and have no SQLSTATE, and FETCH is no statement.
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            yield cursor

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except dbapi.Error as error:
            raise explain(self._connection, error) from None
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            # The server has answered, and polars makes no frame of the answer. A panic has its reason inside.
            said = PANIC.search(str(error))
            reason = self._connection.hide(said[1] if said else str(error))
            raise BadInput(
                f"{address(self._connection)}: the columns of the query are not a table ({reason})",
                expected="names that differ, and numbers, booleans, texts, dates and times",
                do="name or convert them in the query, such as CAST(the_column AS text) AS its_name",
            ) from None


@contextmanager
def session(connection: Connection) -> Iterator[Session]:
    """A transaction; what is not committed is undone.

    Errors: OutOfReach; UsageError where the server refuses the user, or a statement is wrong; BadInput where a value
    does not fit.
    """
    connection.require_kind(KINDS, "a query or a table")
    connection.require_extra(EXTRA)
    try:
        driver = dbapi.connect(_conninfo(connection))
    except dbapi.Error as error:
        raise explain(connection, error) from None
    try:
        yield Session(connection, driver)
    finally:
        driver.close()


def quoted(names: Sequence[str]) -> str:
    """Names as SQL has them, commas between."""
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def explain(connection: Connection, error: Exception) -> StageError:
    """The error of a server in words, without secrets."""
    state = getattr(error, "sqlstate", None) or ""
    said = connection.hide(SQLSTATE.sub("", str(error)))
    what = f"{address(connection)}: {said}"
    if state.startswith(WRONG_VALUE):
        return BadInput(what, expected="values that the statement takes", do="correct the query, the table or the data")
    if state.startswith(WRONG_STATEMENT):
        return UsageError(
            what, expected="a statement that this user may run there", do="correct it, or grant the right"
        )
    if not state and REFUSED.search(said):
        return UsageError(
            what, expected="a server that takes this user", do=f"correct the connection {connection.name}"
        )
    return OutOfReach(
        what,
        expected=f"an answer within {CONNECT_SECONDS} s",
        do="see whether the server is up, and whether this container's network reaches it; then run this again",
    )


def address(connection: Connection) -> str:
    """Where the database is, for people."""
    return f"postgres://{connection.host}:{connection.port or 5432}/{connection.database}"


def _conninfo(connection: Connection) -> str:
    """The connection as libpq reads it."""
    values = {
        "host": connection.host,
        "port": connection.port or 5432,
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.database,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "airflow-ml",
        **connection.extra,
        # Otherwise a server sends texts in the encoding of its database, and they are read as UTF-8.
        "client_encoding": "UTF8",
    }
    quoted = {key: str(value).replace("\\", "\\\\").replace("'", "\\'") for key, value in values.items()}
    return " ".join(f"{key}='{value}'" for key, value in quoted.items())
