"""exchange against a real Postgres and a real S3-compatible server: what comes in, what goes out, what goes wrong."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_ml import own as host_own
from airflow_ml.data import Data as HostData

from tests.harness import LOCK, PATIENCE_S, RESTRICTED, ROOT, Finished, docker, images
from tests.images.exchange_lab import BUCKET, DS, PASSWORD, SECRET_KEY, Lab, serve
from tests.images.proxy_lab import Proxy

LATER, OWN_DAY = "2026-11-22", "2026-12-10"
LABELS_LATER = "Labels that come later need a Dag of their own"
FEED = """
CREATE TABLE feed (id text, day date, amount numeric(10,2), n bigint, x double precision, ok boolean, at timestamptz);
INSERT INTO feed VALUES
  ('007', '2026-11-21', 1.50, 9007199254740993, 0.1, true, '2026-11-21 10:00:00.000001+02'),
  ('b',   '2026-11-21', NULL, NULL, 'NaN', NULL, NULL),
  ('c',   '2026-11-22', 2.00, 1, 1e300, false, '2026-11-22 00:00+00');
"""
QUERY = "SELECT * FROM feed WHERE day = $1 ORDER BY id"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("exchange") / "connections"
    folder.mkdir()
    with serve(folder) as lab:
        lab.sql(FEED)
        lab.publish()
        yield lab


# --- ingest ---


def test_ingest_takes_the_rows_of_the_day_with_their_types(lab: Lab) -> None:
    done = lab.ingest("--connection=shop", f"--query={QUERY}", "--target-query=SELECT id FROM feed WHERE day = $1")
    assert done.line["rows"] == {"data": 2, "target": 2}
    found = lab.parquet(f"/data/incoming/{DS}/data")
    assert found["types"] == {
        "id": "String", "day": "Date", "amount": "String", "n": "Int64", "x": "Float64", "ok": "Boolean",
        "at": "Datetime(time_unit='us', time_zone='UTC')",
    }  # fmt: skip
    first, second = found["rows"]
    assert first == ["007", DS, "1.50", 9007199254740993, 0.1, True, f"{DS} 08:00:00.000001+00:00"]
    assert second[:4] == ["b", DS, None, None]
    assert {"data", "target"} == lab.data.mark(f"incoming/{DS}")["outputs"].keys()


def test_ingest_of_the_same_rows_gives_the_same_bytes(lab: Lab) -> None:
    hashes = []
    for _ in range(2):
        lab.ingest("--connection=shop", f"--query={QUERY}", ds=LATER)
        hashes.append(lab.data.hash(f"incoming/{LATER}/data"))
    assert hashes[0] == hashes[1]


def test_ingest_holds_few_rows_in_memory(lab: Lab) -> None:
    """Two million rows of 200 bytes need 400 MB as a whole, and much more in the bytes of Postgres."""
    query = "SELECT g AS id, repeat(md5(g::text), 6) AS text FROM generate_series(1, 2000000) g WHERE $1 IS NOT NULL"
    done = lab.exchange("ingest", f"--ds={LATER}", "--connection=shop", f"--query={query}", options=("--memory=300m",))
    assert done.line["rows"] == {"data": 2_000_000}


CANNOT_INGEST = {
    "no such table": ("SELECT * FROM nowhere WHERE day = $1", 2, 'relation "nowhere" does not exist'),
    "no such column": ("SELECT nope FROM feed WHERE day = $1", 2, 'column "nope" does not exist'),
    "no SQL": ("SELEC $1", 2, "syntax error"),
    "two statements": ("SELECT $1; DROP TABLE feed", 2, "multiple commands"),
    "a change": ("DELETE FROM feed WHERE day = $1 RETURNING *", 2, "syntax error"),
    "a change inside": ("SELECT setval('s', 7) WHERE $1 IS NOT NULL", 2, "read-only transaction"),
    "no day": ("SELECT * FROM feed", 2, "without $1"),
    "two parameters": ("SELECT * FROM feed WHERE day = $1 AND id = $2", 1, "requires 2"),
    "a key of bytes": ("SELECT gen_random_uuid() AS id, $1 AS day", 3, "column 1 has the type uuid"),
    "a list": ("SELECT ARRAY[1] AS list, $1 AS day", 3, "column 1 has the type integer[]"),
    "a list of intervals": ("SELECT ARRAY[interval '1 day'], $1 AS day", 3, "has the type interval[]"),
    "a range": ("SELECT int4range(1, 5) AS r, $1 AS day", 3, "column 1 has the type int4range"),
    "an address": ("SELECT $1 AS day, '::1'::inet AS ip", 3, "column 2 has the type inet"),
    "bits": ("SELECT B'101' AS bits, $1 AS day", 3, "column 1 has the type bit"),
    "XML": ("SELECT '<a/>'::xml AS x, $1 AS day", 3, "column 1 has the type xml"),
    "a time of day": ("SELECT '10:00'::time AS at, $1 AS day", 3, "has the type time without time zone"),
    "a number that the driver reads as -1": ("SELECT 4294967295::oid AS o, $1 AS day", 3, "has the type oid"),
    "a function, which comes as its number": ("SELECT 'now'::regproc AS f, $1 AS day", 3, "has the type regproc"),
    "money under another name": ("SELECT 5::price AS p, $1 AS day", 3, "column 1 has the type price"),
    "an interval": ("SELECT interval '1 day' AS i, $1 AS day", 3, "column 1 has the type interval"),
    "money, which the driver reads as cents": ("SELECT $1 AS day, 1::money AS price", 3, "column 2 has the type money"),
    "nothing": ("", 2, "neither is given: --query or --target-query, --object or --target-object"),
    "no columns": ("SELECT FROM feed WHERE day = $1", 3, "the query has no columns"),
    "a row in a row": ("SELECT row(1, 2) AS pair, $1 AS day", 3, "column 1 has the type record"),
    "one name twice": ("SELECT 1 AS a, 2 AS a, $1 AS day", 3, "'a' has more than one occurrence"),
    "an endless date": ("SELECT date 'infinity' AS until, $1 AS day", 3, "the column 'until' of the query has a time"),
    "an endless time": ("SELECT timestamptz '-infinity' AS since, $1 AS day", 3, "years 1 to 9999"),
    "a day before the years": ("SELECT date '0044-03-15 BC' AS ides, $1 AS day", 3, "years 1 to 9999"),
    "a transaction that writes": ("SELECT set_config('transaction_read_only', 'off', false), $1 AS d", 2, "read-write"),
    "a type after many rows": ("SELECT 1 / (50001 - g) AS n FROM generate_series(1, 60000) g WHERE $1 IS NOT NULL",
                               3, "division by zero"),
    "an endless time after many rows": ("SELECT CASE WHEN g < 60000 THEN now() ELSE 'infinity' END AS since, $1 AS day "
                                        "FROM generate_series(1, 60000) g", 3, "years 1 to 9999"),
    "no rows yet": ("SELECT * FROM feed WHERE day = $1::date + 100", 4, "gives no rows for 2026-11-21"),
}  # fmt: skip


@pytest.mark.parametrize(("query", "code", "message"), CANNOT_INGEST.values(), ids=CANNOT_INGEST)
def test_ingest_says_what_is_wrong_with_a_query(lab: Lab, query: str, code: int, message: str) -> None:
    lab.sql("CREATE SEQUENCE IF NOT EXISTS s; DROP DOMAIN IF EXISTS price; CREATE DOMAIN price AS money")
    before = lab.data.files()
    done = lab.ingest("--connection=shop", f"--query={query}", code=code)
    assert message in done.log
    assert "Traceback" not in done.log
    assert lab.data.files() == before
    assert lab.sql("SELECT count(*) FROM feed") == "3"


def test_types_of_the_database_that_keep_their_values_are_taken_in(lab: Lab) -> None:
    lab.sql("CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN age AS int; CREATE DOMAIN old AS age")
    values = {
        "'glad'::mood": "glad", "99::old": 99, "'{\"a\": 1}'::jsonb": '{"a": 1}', "'NaN'::numeric": "nan",
        "'-Infinity'::numeric": "-inf", "1e-30::numeric": f"0.{29 * '0'}1", "1e40::numeric + 0.5": f"1{40 * '0'}.5",
        "0.5::real": 0.5, "'a'::char(3)": "a  ", "'b'::name": "b", "NULL": None, "2::smallint": 2,
    }  # fmt: skip
    columns = ", ".join(f"{value} AS c{number}" for number, value in enumerate(values))
    lab.ingest("--connection=shop", f"--query=SELECT {columns}, $1 AS day")
    found = lab.parquet(f"/data/incoming/{DS}/data")["rows"][0]
    assert dict(zip([*values, "$1"], found, strict=True)) == {**values, "$1": DS}


@pytest.mark.parametrize(("encoding", "code"), [("LATIN1", 0), ("SQL_ASCII", 3)])
def test_texts_of_a_database_in_another_encoding_are_read_as_they_are(lab: Lab, encoding: str, code: int) -> None:
    """An SQL_ASCII database does not know the encoding of its texts, so they must be in UTF-8."""
    lab.sql(f"CREATE DATABASE {encoding} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    database = {"host": "db", "login": "feed", "password": PASSWORD, "schema": encoding.lower()}
    lab.connect("old", conn_type="postgres", **database)
    query = "SELECT chr(246) AS umlaut, $1 AS day"
    done = lab.ingest("--connection=old", f"--query={query}", code=code)
    if code:
        assert 'invalid byte sequence for encoding "UTF8"' in done.log
    else:
        assert lab.parquet(f"/data/incoming/{DS}/data")["rows"][0][0] == "ö"


def test_ingest_keeps_the_bytes_of_objects(lab: Lab) -> None:
    content = "id;n\nä;1,5\n"
    lab.put(f"in/{DS}.csv", content)
    lab.put(f"in/{DS}-target.csv", "id;y\nä;1\n")
    done = lab.ingest(
        *("--connection=store", f"--object=s3://{BUCKET}/in/{{ds}}.csv"),
        f"--target-object=s3://{BUCKET}/in/{{ds}}-target.csv",
    )
    assert lab.data.read(f"incoming/{DS}/data") == content
    assert done.line["objects"]["data"]["size"] == len(content.encode())
    assert {"data", "target"} == lab.data.mark(f"incoming/{DS}")["outputs"].keys()


def test_ingest_of_a_day_without_a_target_removes_the_old_one(lab: Lab) -> None:
    lab.put(f"again/{DS}.csv", "id\n1\n")
    for more in ([f"--target-object=s3://{BUCKET}/again/{{ds}}.csv"], []):
        lab.ingest("--connection=store", f"--object=s3://{BUCKET}/again/{{ds}}.csv", *more)
    assert lab.data.mark(f"incoming/{DS}")["outputs"].keys() == {"data"}


def test_a_day_that_was_taken_in_becomes_raw_data_with_its_lineage(lab: Lab) -> None:
    """From an object store, through import, to prepare; with the bytes that the generator made."""
    ds = "2026-12-02"
    lab.data.generate(ds, "--rows=2000")
    for name in ("data", "target"):
        lab.put(f"chain/{ds}/{name}.csv", f"@raw/{ds}/{name}.csv")
    generated = lab.data.mark(f"raw/{ds}")["outputs"]
    lab.data.python(f"import os; os.rename('/data/raw/{ds}/schema.json', '/data/schema.json')")
    lab.data.remove(f"raw/{ds}")
    lab.exchange(
        *("ingest", f"--ds={ds}", "--connection=store", f"--object=s3://{BUCKET}/chain/{{ds}}/data.csv"),
        f"--target-object=s3://{BUCKET}/chain/{{ds}}/target.csv",
    )
    lab.data.stage("preprocessing", "import", f"--ds={ds}", "--incoming", "--schema=/data/schema.json")
    mark = lab.data.mark(f"raw/{ds}")
    assert {name: output["sha256"] for name, output in mark["outputs"].items()} == {
        name: output["sha256"] for name, output in generated.items()
    }
    assert mark["steps"]["import"]["inputs"].keys() == {f"incoming/{ds}/data", f"incoming/{ds}/target"}
    assert lab.data.prepare(ds).line["rows_in"] == 2000


PAYMENTS = """
CREATE TABLE payments AS
SELECT lpad(g::text, 5, '0') AS id, date '2026-12-03' AS day, (g / 8.0)::numeric(10, 3) AS amount,
  CASE WHEN g % 9 > 0 THEN g END::bigint AS n, sqrt(g) AS x, g % 2 = 0 AS ok,
  timestamptz '2026-12-03 00:00:00.5+02' + g * interval '1 minute' AS at, E'a, "b"\n' || g % 3 AS note, g % 3 > 0 AS y
FROM generate_series(1, 300) g
"""
KINDS = {"id": "string", "day": "date", "amount": "number", "n": "integer", "x": "number", "ok": "boolean",
         "at": "datetime", "note": "string", "y": "boolean"}  # fmt: skip
ROLES = {"id": "key", "day": "ignore", "at": "time", "y": "target"}


def test_rows_of_a_query_become_raw_data_without_loss(lab: Lab) -> None:
    """Each type of Postgres in the text that the schema reads; the target is one of the columns."""
    ds = "2026-12-03"
    lab.sql(PAYMENTS)
    fields = [{"name": name, "type": kind, "role": ROLES.get(name, "feature")} for name, kind in KINDS.items()]
    lab.data.write("payments.json", json.dumps({"fields": fields, "primaryKey": ["id"]}))
    query = "SELECT * FROM payments WHERE day = $1 ORDER BY id"
    lab.exchange("ingest", f"--ds={ds}", "--connection=shop", f"--query={query}")
    lab.data.stage("preprocessing", "import", f"--ds={ds}", "--incoming", "--schema=/data/payments.json")
    done = lab.data.prepare(ds)
    assert (done.line["rows_in"], done.line["rows_out"]) == (300, 300)
    first, ninth = lab.data.rows(f"processed/{ds}/train_data.csv")[:9:8]
    assert first == {
        "id": "00001", "amount": "0.125", "n": "1", "x": "1.0", "ok": "false", "at": "2026-12-02T22:01:00.500",
        "note": 'a, "b"\n1', "y": "true",
    }  # fmt: skip
    assert (ninth["id"], ninth["n"], ninth["y"]) == ("00009", "", "false")


def test_labels_that_come_later_are_deliveries_and_none_yet_is_no_error(lab: Lab) -> None:
    """First the data alone; then no labels, some, the same ones, and all."""
    ds = "2026-12-04"
    lab.sql("CREATE TABLE sales AS SELECT lpad(g::text, 5, '0') AS id, date '2026-12-04' AS day, g AS n"
            " FROM generate_series(1, 300) g; CREATE TABLE frauds (id text, day date, y int)")  # fmt: skip
    kinds = {
        "id": ("string", "key"),
        "day": ("date", "ignore"),
        "n": ("integer", "feature"),
        "y": ("integer", "target"),
    }
    fields = [{"name": name, "type": kind, "role": role} for name, (kind, role) in kinds.items()]
    lab.data.write("sales.json", json.dumps({"fields": fields, "primaryKey": ["id"]}))
    labels = "--target-query=SELECT id, y FROM frauds WHERE day = $1 ORDER BY id"
    data = ["--connection=shop", "--query=SELECT * FROM sales WHERE day = $1 ORDER BY id", labels]
    done = lab.ingest(*data, ds=ds)
    assert done.line["rows"] == {"data": 300}
    assert f"WARNING exchange ingest: no labels yet: the query for target gives no rows for {ds}" in done.log
    assert f"the day is taken in without them. {LABELS_LATER}" in done.log
    assert lab.data.mark(f"incoming/{ds}")["outputs"].keys() == {"data"}
    take_in = ["preprocessing", "import", f"--ds={ds}", "--incoming", "--schema=/data/sales.json"]
    lab.data.stage(*take_in)
    delivered = []
    for known in (0, 200, 200, 300):
        lab.sql(f"DELETE FROM frauds; INSERT INTO frauds SELECT id, day, n % 2 FROM sales WHERE n <= {known}")
        done = lab.ingest("--connection=shop", labels, ds=ds)
        assert done.line["rows"] == ({"target": known} if known else {})
        # Labels that are asked for alone are asked for again.
        assert "WARNING" not in done.log
        assert ("INFO exchange ingest: no labels yet" in done.log) is (known == 0)
        delivery = ["preprocessing", "import-target", f"--ds={ds}", "--incoming"]
        done = lab.data.stage(*delivery, code=0 if known else 4)
        delivered.append(done.line.get("file"))
    assert delivered == [None, "target.csv", "target.csv", "target-2.csv"]
    assert lab.data.mark(f"raw/{ds}")["steps"]["import-target-2"]["inputs"].keys() >= {f"incoming/{ds}/target"}
    # The data was neither taken in nor imported again.
    assert lab.data.stage(*take_in).line["cached"]
    done = lab.data.stage("preprocessing", "prepare", f"--ds={ds}", "--max-rejected=1")
    assert done.line["rows_out"] == 300


def test_target_object_that_is_not_there_yet_is_no_error(lab: Lab) -> None:
    ds, later = "2026-12-06", f"--target-object=s3://{BUCKET}/late/{{ds}}-target.csv"
    lab.put(f"late/{ds}.csv", "id\n1\n")
    done = lab.ingest("--connection=store", f"--object=s3://{BUCKET}/late/{{ds}}.csv", later, ds=ds)
    assert done.line["objects"].keys() == {"data"}
    assert "WARNING exchange ingest: no labels yet: " in done.log
    assert LABELS_LATER in done.log
    done = lab.ingest("--connection=store", later, ds=ds)
    assert (done.line["objects"], "WARNING" in done.log) == ({}, False)
    lab.put(f"late/{ds}-target.csv", "id,y\n1,1\n")
    lab.ingest("--connection=store", later, ds=ds)
    assert lab.data.mark(f"incoming/{ds}")["outputs"].keys() == {"data", "target"}


# --- own, from a table and from an object ---

DRAFT = ("--draft-only", f"--ds={OWN_DAY}")


def own(lab: Lab, folder: Path, *arguments: str, network: str = "") -> Finished:
    """`./airflow-ml own` in a folder, with the data and the network of the lab."""
    settings = {"ML_DATA": lab.data.source, "ML_EXCHANGE_NETWORK": network or lab.name}
    command = [ROOT / "airflow-ml", "own", *DRAFT, *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **settings}, text=True, capture_output=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    assert PASSWORD not in done.stdout + done.stderr
    return done


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    """A folder with connections that only their owner can read, and a table of customers without a day."""
    for name in ("shop", "store"):
        (tmp_path / f"{name}.json").write_bytes((lab.folder / f"{name}.json").read_bytes())
        (tmp_path / f"{name}.json").chmod(0o600)
    lab.sql("DROP TABLE IF EXISTS customers; CREATE TABLE customers AS SELECT 'C' || g AS customer, g % 40 AS months,"
            " (g * 7 % 90)::numeric(6, 2) AS spent, g % 5 = 0 AS churned FROM generate_series(1, 200) g")  # fmt: skip
    return tmp_path


CUSTOMERS = ("--connection=shop.json", "--query=SELECT * FROM customers ORDER BY customer", "--target=churned")


def test_own_drafts_the_schema_of_a_table_and_publishes_its_rows(
    lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = own(lab, folder, *CUSTOMERS)
    assert done.returncode == 0, done.stderr
    schema = json.loads((folder / "shop.schema.json").read_text())
    assert {field["name"]: field["role"] for field in schema["fields"]} == {
        "customer": "key", "months": "feature", "spent": "feature", "churned": "target",
    }  # fmt: skip
    assert "The schema of shop, in shop.schema.json" in done.stdout
    assert lab.data.mark(f"incoming/{OWN_DAY}")["outputs"]["data"]["rows"] == 200
    # What comes after the draft, up to the Dags, which are the same for all data.
    monkeypatch.chdir(folder)
    parser = argparse.ArgumentParser()
    host_own.configure(parser)
    found = host_own.check(parser.parse_args(CUSTOMERS))
    published = host_own.publish(found, OWN_DAY, [], HostData(lab.data.source, "10001:10001", "1g"))
    assert published["rows"] == {"data.csv": 200, "target.csv": 200}
    assert lab.data.mark(f"raw/{OWN_DAY}")["steps"]["import"]["inputs"].keys() == {f"incoming/{OWN_DAY}/data"}
    # The day is that of this source alone.
    assert own(lab, folder, *CUSTOMERS[:2]).returncode == 0
    other = own(lab, folder, CUSTOMERS[0], "--query=SELECT * FROM customers WHERE months > 3", CUSTOMERS[2])
    assert other.returncode == 2
    assert f"the day {OWN_DAY} has other raw data already, made by import" in other.stderr
    lab.data.remove(f"raw/{OWN_DAY}")


def test_own_drafts_the_schema_of_an_object_with_its_labels_by_themselves(lab: Lab, folder: Path) -> None:
    lab.put("own/data.csv", "".join(["id,n\n", *(f"{n},{n % 9}\n" for n in range(100))]))
    objects = ["--connection=store.json", f"--object=s3://{BUCKET}/own/data.csv"]
    labels = [f"--target-object=s3://{BUCKET}/own/{{ds}}-labels.csv", "--key=id"]
    done = own(lab, folder, *objects, *labels)
    assert (done.returncode, f"store has no labels of {OWN_DAY} yet" in done.stderr) == (4, True)
    lab.put(f"own/{OWN_DAY}-labels.csv", "".join(["id,y\n", *(f"{n},{n % 2}\n" for n in range(100))]))
    done = own(lab, folder, *objects, *labels)
    assert done.returncode == 0, done.stderr
    fields = json.loads((folder / "store.schema.json").read_text())["fields"]
    assert [field["name"] for field in fields if field["role"] == "target"] == ["y"]


CANNOT_OWN = {
    "a table that is missing": (["--query=SELECT * FROM nowhere"], 2, 'relation "nowhere" does not exist'),
    "no rows": (["--query=SELECT * FROM customers WHERE months > 99"], 4, f"gives no rows for {OWN_DAY}"),
    "another column": (["--query=SELECT * FROM customers", "--target=gone"], 2, "there is no column 'gone' in"),
    "no place": ([], 2, "--connection is given with no place"),
    "a wrong password": (["--connection=wrong.json", "--query=SELECT 1 AS a"], 2, "password authentication failed"),
    "a connection that is missing": (["--connection=gone.json", "--query=SELECT 1"], 2, "gone.json is no file"),
    "no connection": (["--connection=none.json", "--query=SELECT 1 AS a"], 3, "the connection none"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), CANNOT_OWN.values(), ids=CANNOT_OWN)
def test_own_says_what_is_wrong_with_a_source(
    lab: Lab, folder: Path, arguments: list[str], code: int, message: str
) -> None:
    shop = json.loads((folder / "shop.json").read_text())
    (folder / "wrong.json").write_text(json.dumps({**shop, "password": "not-it"}))
    (folder / "none.json").write_text("[]")
    done = own(lab, folder, "--connection=shop.json", "--target=churned", *arguments)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "shop.schema.json").exists()


@pytest.mark.parametrize("network", ["none", "no-such-network"])
def test_own_names_the_setting_of_a_network_that_is_not_there(lab: Lab, folder: Path, network: str) -> None:
    done = own(lab, folder, *CUSTOMERS, network=network)
    assert (done.returncode, f"ML_EXCHANGE_NETWORK is {network}" in done.stderr) == (2, True), done.stderr


# --- export ---


def rows_of(lab: Lab, table: str) -> list[str]:
    return lab.sql(f"SELECT to_json(t) FROM {table} t ORDER BY ds, id").splitlines()


def test_export_makes_the_table_and_a_second_export_gives_the_same_rows(lab: Lab) -> None:
    first = lab.export("--connection=shop", "--table=scores")
    assert (first.line["created"], first.line["rows"], first.line["replaced"]) == (True, 3, 0)
    rows = rows_of(lab, "scores")
    assert json.loads(rows[0]) == {
        "ds": DS, "id": "007", "prediction": "0", "probability_0": 0.9, "probability_1": 0.1,
        "model": "models/2026-11-15", "model_version": "3", "run_id": "0a1b2c",
    }  # fmt: skip
    assert [json.loads(row)["id"] for row in rows] == ["007", "8", 'a,"b"\nc']
    second = lab.export("--connection=shop", "--table=scores")
    assert (second.line["created"], second.line["rows"], second.line["replaced"]) == (False, 3, 3)
    assert rows_of(lab, "scores") == rows
    lab.publish("id,prediction,probability_0,probability_1\n9,1,0.5,0.5\n", 1, ds=LATER)
    lab.export("--connection=shop", "--table=scores", ds=LATER)
    assert rows_of(lab, "scores")[:3] == rows
    assert lab.sql("SELECT count(*) FROM scores") == "4"


def test_two_exports_at_the_same_time_leave_one_set_of_rows(lab: Lab) -> None:
    """Also where the table does not exist yet, and where the database's default is another isolation."""
    lab.sql("ALTER DATABASE shop SET default_transaction_isolation = 'serializable'")
    try:
        command = ["docker", "run", *RESTRICTED, f"--network={lab.name}", lab.data.mount, *lab.options()]
        export = ["export", f"--ds={DS}", "--connection=shop", "--table=twice"]
        running = [
            subprocess.Popen([*command, images()["exchange"], *export], stderr=subprocess.PIPE) for _ in range(4)
        ]
        for one in running:
            _, log = one.communicate(timeout=PATIENCE_S)
            assert one.returncode == 0, log.decode()
    finally:
        lab.sql("ALTER DATABASE shop RESET default_transaction_isolation")
    assert lab.sql("SELECT count(*) FROM twice") == "3"


def test_export_takes_the_types_of_a_table_that_is_there(lab: Lab) -> None:
    lab.sql("CREATE SCHEMA own; CREATE TABLE own.scores (note text DEFAULT 'mine', ds date, id varchar(8),"
            " prediction smallint, probability_1 real, probability_0 real, model text, model_version int,"
            " run_id text)")  # fmt: skip
    lab.export("--connection=shop", "--table=own.scores")
    row = json.loads(rows_of(lab, "own.scores")[0])
    assert (row["note"], row["prediction"], row["model_version"], row["id"]) == ("mine", 0, 3, "007")


COLUMNS = "ds date, {}, prediction text, probability_0 float8, probability_1 float8, model text, model_version text"
CANNOT_EXPORT = {
    "a key that is no number": (
        COLUMNS.format("id bigint") + ", run_id text",
        3,
        "invalid input syntax for type bigint",
    ),
    "a key that is too long": (COLUMNS.format("id varchar(2)") + ", run_id text", 3, "value too long"),
    "a key that is too long for char": (COLUMNS.format("id char(2)") + ", run_id text", 3, "value too long"),
    "a key that is too long for a domain": (COLUMNS.format("id two_places") + ", run_id text", 3, "value too long"),
    "a domain's check": (COLUMNS.format("id not_eight") + ", run_id text", 3, "violates check constraint"),
    "a column that is missing": (COLUMNS.format("id text"), 2, 'column "run_id"'),
    "a constraint": (COLUMNS.format("id text CHECK (id <> '8')") + ", run_id text", 3, "violates check constraint"),
    "a column that must have a value": (COLUMNS.format("id text, x int NOT NULL") + ", run_id text", 3, "null value"),
}


@pytest.fixture(scope="module")
def domains(lab: Lab) -> None:
    """Of another domain, and of a text."""
    lab.sql("CREATE DOMAIN places AS varchar(2); CREATE DOMAIN two_places AS places;"
            " CREATE DOMAIN ten_places AS varchar(10);"
            " CREATE DOMAIN not_eight AS text CHECK (VALUE <> '8')")  # fmt: skip


@pytest.mark.usefixtures("domains")
def test_export_keeps_each_key_that_char_or_a_domain_has_room_for(lab: Lab) -> None:
    for kind in ("char(10)", "ten_places"):
        lab.sql(f"DROP TABLE IF EXISTS roomy; CREATE TABLE roomy ({COLUMNS.format(f'id {kind}')}, run_id text)")
        lab.export("--connection=shop", "--table=roomy")
        assert [json.loads(row)["id"].strip() for row in rows_of(lab, "roomy")] == ["007", "8", 'a,"b"\nc']


@pytest.mark.usefixtures("domains")
@pytest.mark.parametrize(("columns", "code", "message"), CANNOT_EXPORT.values(), ids=CANNOT_EXPORT)
def test_export_that_does_not_fit_changes_nothing(lab: Lab, columns: str, code: int, message: str) -> None:
    lab.sql(f"DROP TABLE IF EXISTS misfit; CREATE TABLE misfit ({columns}, old int DEFAULT 1)")
    lab.sql("ALTER TABLE misfit ALTER old SET DEFAULT 2; ALTER TABLE misfit DISABLE TRIGGER ALL")
    done = lab.export("--connection=shop", "--table=misfit", code=code)
    assert message in done.log
    assert "Traceback" not in done.log
    assert "libpq" not in done.log
    assert lab.sql("SELECT count(*) FROM misfit") == "0"


def test_export_into_a_table_that_drops_rows_is_an_error(lab: Lab) -> None:
    lab.sql("CREATE TABLE dropping (" + COLUMNS.format("id text") + ", run_id text);"
            " CREATE FUNCTION drop8() RETURNS trigger AS"
            " 'BEGIN IF NEW.id = ''8'' THEN RETURN NULL; END IF; RETURN NEW; END' LANGUAGE plpgsql;"
            " CREATE TRIGGER t BEFORE INSERT ON dropping FOR EACH ROW EXECUTE FUNCTION drop8()")  # fmt: skip
    assert "2 of the 3 rows" in lab.export("--connection=shop", "--table=dropping", code=1).log
    assert lab.sql("SELECT count(*) FROM dropping") == "0"


def test_export_as_a_user_who_may_not_create_tables(lab: Lab) -> None:
    lab.sql("CREATE ROLE clerk LOGIN PASSWORD 'clerk-pw'; CREATE TABLE granted (" + COLUMNS.format("id text")
            + ", run_id text); GRANT SELECT, INSERT, DELETE ON granted TO clerk")  # fmt: skip
    lab.connect("clerk", conn_type="postgres", host="db", login="clerk", password="clerk-pw", schema="shop")
    lab.export("--connection=clerk", "--table=granted")
    assert lab.sql("SELECT count(*) FROM granted") == "3"
    assert "permission denied" in lab.export("--connection=clerk", "--table=not_there", code=2).log
    assert "permission denied" in lab.export("--connection=clerk", "--table=scores", code=2).log


def test_export_writes_one_parquet_object_with_the_same_bytes_each_time(lab: Lab) -> None:
    path = f"out/day={DS}/scores.parquet"
    for _ in range(2):
        done = lab.export("--connection=store", f"--object=s3://{BUCKET}/out/day={{ds}}/scores.parquet")
        etag = lab.objects()[path]
    assert done.line["rows"] == 3
    found = lab.parquet(f"s3://{BUCKET}/{path}")
    assert found["types"]["ds"] == "Date"
    assert found["types"]["probability_1"] == "Float64"
    assert found["rows"][1] == [DS, 'a,"b"\nc', "1", 0.25, 0.75, "models/2026-11-15", "3", "0a1b2c"]
    lab.export("--connection=store", f"--object=s3://{BUCKET}/out/day={{ds}}/scores.parquet")
    assert lab.objects()[path] == etag


def test_export_of_a_million_rows_needs_little_memory(lab: Lab) -> None:
    line = "'%d,0,0.5,0.5\\n' % n for n in range(1_000_000)"
    code = (
        "from pathlib import Path; from stagekit.publication import Publication\n"
        "with Publication(Path('/data'), 'predictions/2026-12-01', 'predict') as p:\n"
        "    with p.path('predictions.csv').open('w') as file:\n"
        "        file.write('id,prediction,probability_0,probability_1\\n')\n"
        f"        file.writelines({line})\n"
        "    p.rows['predictions.csv'] = 1_000_000"
    )
    lab.python(code)
    for place in ("--table=many", f"--object=s3://{BUCKET}/many/{{ds}}.parquet"):
        connection = "--connection=shop" if "table" in place else "--connection=store"
        done = lab.exchange("export", "--ds=2026-12-01", connection, place, options=("--memory=400m",))
        assert done.line["rows"] == 1_000_000
    assert lab.sql("SELECT count(DISTINCT id) FROM many") == "1000000"


# --- servers and connections that do not work ---

BROKEN_DATABASES = {
    "wrong password": ({"password": "wrong-password-x"}, 2, "password authentication failed"),
    "no password": ({"password": ""}, 2, "no password supplied"),
    "no such user": ({"login": "nobody"}, 2, "password authentication failed"),
    "no such database": ({"schema": "nowhere"}, 2, 'database "nowhere" does not exist'),
    "no such host": ({"host": "nowhere"}, 1, "could not translate host name"),
    "nobody listens": ({"port": 5433}, 1, "Connection refused"),
    "no Postgres": ({"host": "store", "port": 8333}, 1, "postgres://store:8333"),
    "TLS is required": ({"extra": {"sslmode": "require"}}, 2, "does not support SSL"),
    "another kind": ({"conn_type": "mysql"}, 2, "type 'mysql'"),
    "an extra that nobody knows": ({"extra": {"cursor": "x"}}, 2, "has cursor in its extra"),
}


@pytest.mark.parametrize(("change", "code", "message"), BROKEN_DATABASES.values(), ids=BROKEN_DATABASES)
def test_a_database_that_cannot_be_used_is_named_without_its_password(
    lab: Lab, change: dict[str, object], code: int, message: str
) -> None:
    good = {"conn_type": "postgres", "host": "db", "login": "feed", "password": PASSWORD, "schema": "shop"}
    lab.connect("broken", **{**good, **change})
    for command in (["ingest", f"--query={QUERY}"], ["export", "--table=scores"]):
        done = lab.exchange(*command, f"--ds={DS}", "--connection=broken", code=code)
        assert message in done.log
        assert "wrong-password-x" not in done.log
        assert "Traceback" not in done.log


BROKEN_STORES = {
    "wrong secret": ({"password": "wrong-secret-key"}, BUCKET, 2, "SignatureDoesNotMatch"),
    "wrong key": ({"login": "AKIDWRONG"}, BUCKET, 2, "InvalidAccessKeyId"),
    "no such bucket": ({}, "nowhere", 2, "there is no bucket nowhere"),
    "no such host": ({"extra": {"endpoint_url": "http://nowhere:8333"}}, BUCKET, 1, "s3://feed/"),
    "nobody listens": ({"extra": {"endpoint_url": "http://store:8399"}}, BUCKET, 1, "s3://feed/"),
    "no object store": ({"extra": {"endpoint_url": "http://db:5432"}}, BUCKET, 1, "s3://feed/"),
    "no secret": ({"password": None}, BUCKET, 2, "has no password"),
    "another kind": ({"conn_type": "http"}, BUCKET, 2, "type 'http'"),
}


@pytest.mark.parametrize(("change", "bucket", "code", "message"), BROKEN_STORES.values(), ids=BROKEN_STORES)
def test_a_store_that_cannot_be_used_is_named_without_its_secret(
    lab: Lab, change: dict[str, object], bucket: str, code: int, message: str
) -> None:
    extra = {"endpoint_url": "http://store:8333"}
    good = {"conn_type": "aws", "login": "AKIDTEST", "password": SECRET_KEY, "extra": extra}
    lab.connect("broken", **{**good, **change})
    for command in ("ingest", "export"):
        done = lab.exchange(command, f"--ds={DS}", "--connection=broken", f"--object=s3://{bucket}/x/{{ds}}", code=code)
        assert message in done.log
        assert "wrong-secret-key" not in done.log
        assert "Traceback" not in done.log


def test_a_key_that_may_only_read_exports_nothing(lab: Lab) -> None:
    lab.put(f"read/{DS}", "id\n1\n")
    extra = {"endpoint_url": "http://store:8333"}
    lab.connect("reader", conn_type="aws", login="AKIDREAD", password=SECRET_KEY, extra=extra)
    lab.ingest("--connection=reader", f"--object=s3://{BUCKET}/read/{{ds}}")
    done = lab.export("--connection=reader", f"--object=s3://{BUCKET}/denied/{{ds}}", code=2)
    assert "AccessDenied" in done.log
    assert f"denied/{DS}" not in lab.objects()


def test_a_day_that_is_not_there_yet_is_waited_for(lab: Lab) -> None:
    lab.ingest("--connection=store", f"--object=s3://{BUCKET}/never/{{ds}}.csv", code=4)
    lab.export("--connection=shop", "--table=scores", ds="2026-01-01", code=4)


def test_an_export_that_is_damaged_half_way_leaves_the_object_and_the_table_as_they_were(lab: Lab) -> None:
    """The mark names the bytes, but no program can read them: as from a writer with a fault."""
    ds, rows = "2026-12-05", "".join(f"{n},0,0.5,0.5\n" for n in range(5_000))
    head = "id,prediction,probability_0,probability_1\n"
    lab.publish(head + rows, 5_000, ds)
    place = f"--object=s3://{BUCKET}/half/{{ds}}"
    lab.export("--connection=store", place, ds=ds)
    lab.export("--connection=shop", "--table=half", ds=ds)
    objects, table = lab.objects(), lab.sql("SELECT count(*) FROM half")
    lab.publish(f"{head}{rows}x,0,much,0.5\n", 5_001, ds)
    for arguments in (["--connection=store", place], ["--connection=shop", "--table=half"]):
        assert f"predictions/{ds}/predictions.csv" in lab.export(*arguments, ds=ds, code=3).log
    assert (lab.objects(), lab.sql("SELECT count(*) FROM half")) == (objects, table)


def test_under_airflow_the_connection_is_in_a_folder_of_the_task(lab: Lab) -> None:
    (lab.folder / "0123").mkdir()
    (lab.folder / "0123").chmod(0o755)
    (lab.folder / "shop.json").rename(lab.folder / "0123/shop.json")
    try:
        lab.export("--connection=shop", "--table=scores", code=2)
        options = ("--env=ML_CONNECTIONS=/run/connections/0123",)
        lab.exchange("export", f"--ds={DS}", "--connection=shop", "--table=scores", options=options)
    finally:
        (lab.folder / "0123/shop.json").rename(lab.folder / "shop.json")


def test_airflow_gives_the_stage_its_connection_through_the_engine_proxy(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator, the proxy's judgement, the file in the volume, the stage, the database: all of them real."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("ML_REASONS", "0")  # the forms show it, so it is read with the package
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "dags")])
    from ml import connections
    from ml.operator import StageOperator

    tmp_path.chmod(0o755)
    (folder := tmp_path / "volume").mkdir()
    volume = f"{lab.name}-connections"
    docker("volume", "create", "--opt=type=none", "--opt=o=bind", f"--opt=device={folder}", volume)
    allowed = [f"--env=ML_STAGE_NETWORKS=exchange={lab.name}", f"--env=ML_CONNECTIONS_VOLUME={volume}"]
    monkeypatch.setattr(connections, "FOLDER", folder)
    shop = {"conn_type": "postgres", "host": "db", "login": "feed", "password": PASSWORD, "schema": "shop"}
    try:
        with Proxy(f"--env=ML_DATA={lab.data.source}", *allowed) as proxy:
            for name, value in {
                "ML_DOCKER_HOST": proxy.url, "ML_IMAGE_LOCK": str(LOCK), "ML_DATA": lab.data.source,
                "ML_STAGE_MEMORY": "512m", "ML_UID": "10001", "ML_GID": "10001", "ML_MODEL_NAME": "airflow-ml",
                "ML_EXCHANGE_NETWORK": lab.name, "ML_CONNECTIONS_VOLUME": volume,
                "ML_ENGINE": "docker", "AIRFLOW_CONN_SHOP": json.dumps(shop),
            }.items():  # fmt: skip
                monkeypatch.setenv(name, value)
            command = ["export", f"--ds={DS}", "--table=by_airflow"]
            stage = {"stage": "exchange", "command": command, "network": "exchange", "connection": "shop"}
            assert StageOperator(task_id="export", **stage).execute({})["rows"] == 3
            other = StageOperator(task_id="no", stage="generator", command=[], network="exchange", connection="shop")
            with pytest.raises(Exception, match=r"refuses .*NetworkMode"):
                other.execute({})
    finally:
        docker("volume", "rm", volume, check=False)
    assert lab.sql("SELECT count(*) FROM by_airflow") == "3"
    assert list(folder.iterdir()) == []


def test_no_secret_is_where_others_can_see_it(lab: Lab) -> None:
    """Neither in `docker inspect`, nor in the process list, nor in what was published."""
    lab.ingest("--connection=shop", f"--query={QUERY}")
    name = f"{lab.name}-seen"
    query = "SELECT pg_sleep(300)::text AS x, $1 AS day"
    command = ["run", "--detach", f"--name={name}", f"--network={lab.name}", lab.data.mount, *lab.options()]
    docker(*command, images()["exchange"], "ingest", f"--ds={LATER}", "--connection=shop", f"--query={query}")
    try:
        seen = docker("inspect", name).stdout + docker("top", name, "-ef").stdout
        code = "import pathlib; print([p.read_bytes() for p in pathlib.Path('/proc').glob('[0-9]*/environ')])"
        seen += docker("exec", name, "python", "-c", code).stdout
    finally:
        docker("rm", "--force", name)
    seen += lab.data.python("import pathlib; print([p.read_text() for p in pathlib.Path('/data').rglob('_meta.json')])")
    assert "incoming" in seen
    assert PASSWORD not in seen
    assert SECRET_KEY not in seen
