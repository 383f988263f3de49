"""Takes a file of your own, a table or an object to a model in production, its predictions and a report.

Drafts the schema of the file beside it, unless there is one, and shows it: read it, correct it, call this again.
With --connection, the stage `exchange` takes in the rows of a query, or an object, in place of the file. Publishes the
data as the raw data of a day, trains through Airflow, promotes the first model of such data, scores and
evaluates the day. Pauses generate_data, because the demo's feed has other columns.
Exit codes: 0 done; 1 a task failed, or the stack did not start; 2 wrong usage; 3 the file or its schema cannot be
used as it is, or the history in MLflow cannot be signed, the message says why; 4 the source has no rows of the day, or
no labels, yet.
"""

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ml import machine, up
from airflow_ml.airflow_api import Airflow
from airflow_ml.by_hand import Result, in_container, run_stage
from airflow_ml.common import WRONG_USAGE, AirflowMlError, day, nearest, settings
from airflow_ml.data import DATA_FOLDER, Data, is_there, load_data, run_in_base
from airflow_ml.draft import draft, read_draft, schema_beside, table, target_of
from airflow_ml.run_day import Results, connect, run_dag, run_dags, summarize
from airflow_ml.source import LABEL_PLACES, PLACES, Source, take_in

# Options of `infer-schema` that say what the values do not show. A schema that is there already says it itself.
FACTS = ("key", "entity", "weight", "missing", "assume")
# Options of `infer-schema` and `import` that say how the file is to be read.
CONTAINER = ("delimiter", "encoding")
# Options that name a column of the data.
COLUMNS = ("target", "key", "entity", "weight")
# A longer first line is no header of columns that people name. So much of it is shown.
LONGEST_HEADER, SHOWN_HEADER = 1 << 20, 200
# What stages call a column without a name; see csv_input.py of the preprocessing.
UNNAMED = re.compile(r"column_\d+_*")
# What a raw day was made of; `exists` without a mark is a folder that somebody filled by hand.
READ_RAW = """
import json, pathlib, sys
ds = json.load(sys.stdin)["ds"]
def mark(folder):
    try:
        return json.loads((folder / "_meta.json").read_text())
    except (OSError, ValueError):
        return None
raw, incoming = (pathlib.Path("/data") / kind / ds for kind in ("raw", "incoming"))
print(json.dumps({"exists": raw.exists(), "mark": mark(raw), "incoming": mark(incoming)}))
"""
# What `registry decide` says of a version that is in production after it.
IN_PRODUCTION = ("promoted", "stays champion")


@dataclass(frozen=True)
class Own:
    """The data of one day, in a file or a source, the labels if they are in a file of their own, the schema."""

    data: Path | Source
    labels: Path | None
    schema: Path

    @property
    def name(self) -> str:
        """What people call the data."""
        return self.data.name

    @property
    def files(self) -> dict[str, Path]:
        """The files by the option of `infer-schema` and `import` that names each, without the schema."""
        files = {"data": self.data, "target": self.labels}
        return {option: path for option, path in files.items() if isinstance(path, Path)}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    today = datetime.now(timezone.utc).date().isoformat()
    add = parser.add_argument
    add("--data", type=Path, metavar="FILE", help="the rows: CSV or Parquet, also compressed")
    add("--target", metavar="COLUMN", help="the column to predict; not needed where the labels come by themselves")
    add("--labels", type=Path, metavar="FILE", help="the key and the column to predict, if they are in their own file")
    add("--ds", type=day, default=today, metavar="YYYY-MM-DD", help="the day of the data (default: today, UTC)")
    add(
        "--schema",
        type=Path,
        metavar="FILE",
        help="the schema (default: NAME.schema.json beside the data or connection)",
    )
    add("--draft-only", action="store_true", help="stop after the draft of the schema")
    add("--replace", action="store_true", help="publish the day also if it has other raw data, which is replaced")
    source = parser.add_argument_group("for data in a database or an object store, in place of --data")
    source.add_argument("--connection", type=Path, metavar="FILE", help="where and as whom, such as shop.json")
    source.add_argument("--query", metavar="SQL", help="gives the rows; $1 is the day, a date")
    source.add_argument("--target-query", metavar="SQL", help="gives the labels, if they come by themselves")
    source.add_argument("--object", metavar="URL", help="the rows, such as s3://bucket/feed/{ds}.csv; {ds} is the day")
    source.add_argument("--target-object", metavar="URL", help="the labels, if they come by themselves")
    facts = parser.add_argument_group("for the draft")
    facts.add_argument("--key", action="append", metavar="COLUMN", help="identifies a row; can be repeated")
    facts.add_argument("--entity", metavar="COLUMN", help="what rows belong to, such as a customer")
    facts.add_argument("--weight", metavar="COLUMN", help="how much each row counts, a number above 0; no feature")
    facts.add_argument("--missing", action="append", metavar="TEXT", help="a text that means missing; can be repeated")
    facts.add_argument(
        "--assume", action="append", metavar="COLUMN=FORMAT", help="how to read a column that has two readings"
    )
    facts.add_argument("--delimiter", metavar="C", help="what separates the fields (default: recognised)")
    facts.add_argument("--encoding", metavar="NAME", help="the encoding of the text (default: recognised)")


def run(arguments: argparse.Namespace) -> int:
    """Take the file through the pipeline, and print a summary."""
    own = check(arguments)
    machine.images()
    data = load_data()
    if not arguments.replace and is_there(data) and (isinstance(own.data, Source) or not arguments.draft_only):
        require_own_or_free_day(own, arguments.ds, data)
    if isinstance(own.data, Source):
        take_in(own.data, arguments.ds, data)
    schema = ensure_schema(own, arguments, data)
    print(f"The schema of {own.name}, in {own.schema}:\n\n{table(schema)}\n", flush=True)
    if arguments.draft_only:
        print("Correct it if it is wrong, then call this again without --draft-only.")
        return 0
    up.start()
    published = publish(own, arguments.ds, options(arguments, CONTAINER), data)
    results = take_day(connect(), own, arguments.ds)
    rows = published["rows"]["data.csv"]
    print("\n" + summarize(results, "published", rows, settings()["ML_DATA"], arguments.ds))
    if isinstance(own.data, Source):
        print(own.data.next_days(arguments.ds))
    return 0


# --- arguments ---


def check(arguments: argparse.Namespace) -> Own:
    """The files that the arguments name. Errors: AirflowMlError (exit code 2), before anything is built or started."""
    source = source_of(arguments)
    own = Own(source or arguments.data, arguments.labels, arguments.schema or schema_beside(place_of(arguments)))
    for option, path in own.files.items():
        require_file(path, "--labels" if option == "target" else f"--{option}")
    if arguments.schema and not arguments.draft_only:
        require_file(own.schema, "--schema")
    if own.schema.exists():
        return check_against(own, arguments)
    labels = next((name for name in ("labels", *LABEL_PLACES) if getattr(arguments, name)), "").replace("_", "-")
    if not labels and not arguments.target:
        raise usage("nothing says what to predict", "--target COLUMN, or --labels FILE for labels in their own file")
    if labels and arguments.target:
        raise usage(
            f"--target and --{labels} are both given", f"one of them: the column in --{labels} beside the key counts"
        )
    for option, path in own.files.items():
        require_columns(path, options(arguments, ("key",) if option == "target" else COLUMNS))
    return own


def source_of(arguments: argparse.Namespace) -> Source | None:
    """The source that the arguments name; None for a file. Errors: AirflowMlError (exit code 2)."""
    places = {name: getattr(arguments, name) for name in PLACES if getattr(arguments, name)}
    if bool(arguments.data) == bool(arguments.connection):
        found = "--data and --connection are both given" if arguments.data else "nothing says where the data is"
        raise usage(found, "--data FILE, or --connection FILE with --query SQL or --object URL")
    if arguments.data:
        if places:
            raise usage(
                f"--{next(iter(places)).replace('_', '-')} is given without --connection", "both, or --data FILE"
            )
        return None
    kinds = {name.removeprefix("target_") for name in places}
    if len(kinds) != 1 or not kinds & places.keys():
        found = " and ".join(f"--{name.replace('_', '-')}" for name in places) or "no place"
        raise usage(
            f"--connection is given with {found}",
            "--query SQL or --object URL; for labels that come by themselves, also --target-query or --target-object",
        )
    if arguments.labels:
        raise usage(
            "--labels and --connection are both given", "labels of the same place: --target-query or --target-object"
        )
    if not arguments.connection.is_file():
        raise usage(
            f"--connection {arguments.connection} is no file",
            'a file such as {"conn_type": "postgres", "host": "db", "login": "me", "password": "...", "schema": "db"}',
            "write it; stages/exchange/README.md has the keys",
        )
    return Source(arguments.connection, places)


def place_of(arguments: argparse.Namespace) -> Path:
    """The file that the schema is beside."""
    place: Path = arguments.data or arguments.connection
    return place


def check_against(own: Own, arguments: argparse.Namespace) -> Own:
    """The files, with a schema that is there already: what the arguments say of a draft would not be followed."""
    if given := options(arguments, FACTS):
        raise usage(
            f"{own.schema} is there already, so {given[0].partition('=')[0]} would not be followed",
            f"no {', '.join('--' + name for name in FACTS)} with a schema",
            f"correct {own.schema}, or remove it to draft it again",
        )
    target = target_of(read_draft(own.schema))
    if arguments.target and arguments.target != target:
        raise usage(
            f"{own.schema} says that {target or 'nothing'} is the target, and --target is {arguments.target}",
            "the same column",
            f"correct {own.schema}, or remove it to draft it again",
        )
    require_readable(own.schema, "--schema")
    return own


def usage(found: str, expected: str, do: str = "") -> AirflowMlError:
    """The error of arguments that are wrong."""
    return AirflowMlError(found, expected=expected, do=do, exit_code=WRONG_USAGE)


def require_file(path: Path, option: str) -> None:
    if not path.is_file():
        raise usage(f"{option} {path} {'is a folder' if path.is_dir() else 'does not exist'}", "a file")
    require_readable(path, option)


def require_readable(path: Path, option: str) -> None:
    """A stage runs as the owner of the data, who must be able to read the file."""
    status = path.stat()
    if not (status.st_mode & 0o004 or str(status.st_uid) == settings()["ML_UID"]):
        raise usage(
            f"{option} {path} can be read by its owner alone",
            f"that user {settings()['ML_UID']}, who owns the data, can read it too",
            f"chmod o+r {path}",
        )
    if not os.access(path, os.R_OK):
        raise usage(f"{option} {path} cannot be read by you", "a file that you can read")


def require_columns(path: Path, named: Iterable[str]) -> None:
    """Errors: AirflowMlError if a file lacks a column that is `named`, such as `--target=churned`.

    A name is only looked for in the first line of a plain file. All else the stage sees, once its image is built,
    such as `column_1`, its name for a first column without one.
    """
    line = first_line(path)
    columns = re.split(r'[,;|\t"]+', line)
    for option, _, name in (one.partition("=") for one in named):
        if line and not UNNAMED.fullmatch(name) and name not in line.replace('""', '"'):
            raise usage(
                f"{path} has no column {name!r}, which {option} names{nearest(name, columns)}",
                f"a name of its first line: {line[:SHOWN_HEADER]}{'...' * (len(line) > SHOWN_HEADER)}",
                "correct the name, or remove the lines before the header",
            )


def first_line(path: Path) -> str:
    """The first line of a file of text in UTF-8; empty if it is none, such as one that is compressed, or Parquet."""
    with path.open("rb") as file:
        line = file.readline(LONGEST_HEADER)
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return ""
    # Other formats begin with control characters; so does UTF-16, for half of its bytes are 0.
    return text if text.replace("\t", " ").isprintable() and len(line) < LONGEST_HEADER else ""


def options(arguments: argparse.Namespace, names: tuple[str, ...]) -> list[str]:
    """The given ones of these options, as a stage takes them."""
    given = {name: getattr(arguments, name) for name in names}
    values = [(name, value if isinstance(value, list) else [value]) for name, value in given.items() if value]
    return [f"--{name}={one}" for name, several in values for one in several]


# --- steps ---


def ensure_schema(own: Own, arguments: argparse.Namespace, data: Data) -> dict[str, Any]:
    """The schema that is there, or a draft."""
    if own.schema.exists():
        return read_draft(own.schema)
    print(f"==> Drafting {own.schema} from {own.name}", file=sys.stderr)
    facts = draft_facts(arguments)
    if isinstance(own.data, Path):
        return draft(data, own.files, facts, own.schema)
    return draft(data, {}, [*own.data.files(arguments.ds), *facts], own.schema, data.mount(DATA_FOLDER))


def draft_facts(arguments: argparse.Namespace) -> list[str]:
    """What the arguments say of the files, as `infer-schema` takes it."""
    target = [f"--target-column={arguments.target}"] if arguments.target else []
    return [*target, *options(arguments, (*FACTS, *CONTAINER))]


def require_own_or_free_day(own: Own, ds: str, data: Data) -> None:
    """Errors: AirflowMlError (exit code 2) if the day has raw data that was not made from this file or source."""
    raw = run_in_base(data, ("-c", READ_RAW), {"ds": ds}, data.mount(DATA_FOLDER))
    if isinstance(own.data, Path):
        is_own = imported_from(raw["mark"]) == sha256_of(own.data)
    else:
        is_own = own.data.has_made(raw["mark"], raw["incoming"], ds)
    if is_own or not raw["exists"]:
        return
    raise usage(
        f"the day {ds} has other raw data already, made by {maker(raw['mark'])}",
        f"a day without raw data, or with that of {own.name}",
        "name another day with --ds (DS= of make), or replace that data with --replace (REPLACE=1)",
    )


def imported_from(mark: Mapping[str, Any] | None) -> str:
    """The sha256 of the data file that a raw day was imported from; empty if it was not."""
    try:
        return str(mark["steps"]["import"]["call"]["arguments"]["data"]["sha256"]) if mark else ""
    except (LookupError, TypeError):
        return ""


def maker(mark: Mapping[str, Any] | None) -> str:
    """What made a raw day, for people."""
    return " and ".join(mark["steps"]) if mark and mark.get("steps") else "hand"


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def publish(own: Own, ds: str, container: list[str], data: Data) -> Result:
    """Publish the files as the raw data of a day; `container` are options that say how to read them."""
    print(f"==> import for {ds}", file=sys.stderr)
    files = {**own.files, "schema": own.schema}
    incoming = [] if own.files else ["--incoming"]
    arguments = import_arguments(files, ds, [*incoming, *container])
    result = run_stage(data, "preprocessing", arguments, data.mount(DATA_FOLDER, writable=True), files=files)
    for file, how in result.get("read", {}).items():
        print(f"    read {file} as {how}", file=sys.stderr)
    return result


def import_arguments(files: Mapping[str, Path], ds: str, container: list[str]) -> list[str]:
    """The arguments of `import` for the files by option, the schema among them."""
    named = [f"--{option}={in_container(option, path)}" for option, path in files.items()]
    return ["import", f"--ds={ds}", *named, *container]


def take_day(airflow: Airflow, own: Own, ds: str) -> dict[str, Results]:
    """Train on the day, promote the first model of such data, score and evaluate the day."""
    if not airflow.is_paused("generate_data"):
        airflow.pause("generate_data")
        print("==> generate_data is paused: the demo's feed has other columns than your data", file=sys.stderr)
    results = run_dags(airflow, ["train_model"], ds)
    if reason := why_promote(results["train_model"], own.name):
        version = results["train_model"]["decide"]["version"]
        conf = {"version": int(version), "reason": reason}
        results["promote_model"] = run_dag(airflow, "promote_model", f"version {version}", conf)
    return results | run_dags(airflow, ["predict", "monitor"], ds)


def why_promote(trained: Results, name: str) -> str:
    """The reason to promote the model whatever the gate says; empty if nobody needs to.

    The first model of some data has no champion to be compared with, but without it no day can be scored.
    """
    decided = trained["decide"]
    if decided["decision"] in IN_PRODUCTION:
        return ""
    if not decided["champion"]:
        return f"the first model of {name}" + (
            f", although {'; '.join(decided['reasons'])}" if decided["reasons"] else ""
        )
    if incomparable := trained["encode-validation"].get("incomparable"):
        return f"the first model of {name}; the champion has another schema: {incomparable}"
    return ""
