"""Takes in a day of data from a database or an object store, and brings predictions there.

Reads   ingest   a query's rows, or objects; /run/connections/NAME.json
        parquet  predictions/{ds}: predictions.csv
        export   predictions/{ds}: predictions.csv; /run/connections/NAME.json
Writes  ingest   incoming/{ds}: data, target; `preprocessing import --incoming` makes raw/{ds} from them
        parquet  predictions/{ds}: predictions.parquet
        export   a table, or an object
Exit codes: 0 done; 1 failed, such as a server out of reach; 2 wrong usage, such as a wrong password or query;
3 bad input, such as a value that the table does not take; 4 the day is not there yet.
"""

import sys
from collections.abc import Sequence

from stagekit import Command, option, run_stage

from places import connection_name, object_address, table_name

CONNECTION = option(
    "--connection",
    type=connection_name,
    required=True,
    metavar="NAME",
    help="where and as whom: the file /run/connections/NAME.json",
)
# The examples reach a server on the Docker network `shop`.
SHOP = '--network shop -v "$PWD"/shop.json:/run/connections/shop.json:ro'

COMMANDS = (
    Command(
        "ingest",
        "take in a day's data, targets or both as they are delivered: a query's rows, or an object",
        run="ingest:ingest",
        example="--connection shop --query 'SELECT * FROM payments WHERE day = $1 ORDER BY id'",
        docker=SHOP,
        options=(
            CONNECTION,
            option("--query", metavar="SQL", help="gives the day's rows; $1 is the day, a date"),
            option(
                "--target-query",
                metavar="SQL",
                help="gives the day's targets, if they come by themselves; no rows: no labels yet",
            ),
            option("--object", type=object_address, metavar="URL", help="such as s3://bucket/feed/{ds}.csv"),
            option("--target-object", type=object_address, metavar="URL", help="the same, as an object"),
            option("--snapshot", action="store_true", help="take what is there now from a source that names no day"),
        ),
    ),
    Command("parquet", "write a day's predictions in Parquet too, beside the CSV file", run="parquet:parquet"),
    # What it changes is elsewhere, where no mark records whether it is done: neither --force nor --explain.
    Command(
        "export",
        "bring a day's predictions to a table, or to an object in Parquet; it replaces that day there",
        run="export:export",
        example="--connection shop --table scores",
        docker=SHOP,
        options=(
            CONNECTION,
            option("--table", type=table_name, metavar="[SCHEMA.]TABLE", help="made if it is missing"),
            option("--object", type=object_address, metavar="URL", help="such as s3://bucket/scores/{ds}.parquet"),
        ),
        publishes=False,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns the exit code."""
    return run_stage("exchange", __doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
