"""The data sets: what is peculiar about each, what the draft must find, and what becomes of its rows.

Tables of packages are taken as they are, if nothing else is said. Those made here are `tables.churn` with a quirk.
"""

import gzip
import random
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from tests.data_sets.tables import Table, churn, from_json, from_package, from_scikit_learn, written
from tests.harness import images, python

MADE, SCIKIT_LEARN = "made here", "scikit-learn"
ISO = "%Y-%m-%dT%H:%M:%S"
MISSING = ("", "NA")
# Makes a set's files in a folder: the data, and the labels if they are apart.
Make = Callable[[Path], "tuple[Path, ...]"]


@dataclass(frozen=True)
class DataSet:
    """A data set.

    `make` writes its file, or its two. `ask` are the options that `own` needs beside --data and --target; `refused` are
    words of the refusal without them. `types` are the types that the draft must find, `ignored` the columns that it
    leaves out; `warned` are words of a warning of the draft. `missing` are the texts that mean "missing". `rejected`
    rows are not trained on, for the reason `because`; nor are `unlabelled` ones. `roc_auc` is the least that a model
    reaches; `unfit` are words of the refusal if there can be none, `why_unfit` says so for people.
    """

    name: str
    origin: str
    quirk: str
    table: Callable[[], Table]
    target: str
    make: Make | None = None
    ask: tuple[str, ...] = ()
    refused: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ("",)
    rejected: int = 0
    because: str = ""
    unlabelled: int = 0
    roc_auc: float = 0.8
    warned: str = ""
    unfit: str = ""
    why_unfit: str = ""

    def files(self, folder: Path) -> tuple[Path, ...]:
        """Write the files."""
        return self.make(folder) if self.make else (written(self.table(), folder / f"{self.name}.csv"),)

    @property
    def calls(self) -> int:
        """How many calls of `own` lead to a model."""
        return 2 if self.refused else 1


def of_package(name: str, path: str, quirk: str, target: str, **more: object) -> DataSet:
    """A CSV file of a package, as it is."""
    origin = path.partition("/")[0]
    return DataSet(name, origin, quirk, lambda: from_package(path), target, **more)  # type: ignore[arg-type]


def of_scikit_learn(name: str, quirk: str, target: str, **more: object) -> DataSet:
    """A data set that scikit-learn ships."""
    return DataSet(name, SCIKIT_LEARN, quirk, lambda: from_scikit_learn(name, target), target, **more)  # type: ignore[arg-type]


def made(name: str, quirk: str, table: Callable[[], Table], make: Make | None = None, **more: object) -> DataSet:
    """A table made here."""
    return DataSet(name, MADE, quirk, table, "churned", make, **more)  # type: ignore[arg-type]


# --- how files are written ---


def as_csv(table: Callable[[], Table], name: str, **dialect: str) -> Make:
    return lambda folder: (written(table(), folder / name, **dialect),)


def as_gzip(folder: Path) -> tuple[Path, ...]:
    path = folder / "compressed.csv.gz"
    path.write_bytes(gzip.compress(written(churn(), folder / "plain.csv").read_bytes()))
    return (path,)


def as_zip(folder: Path) -> tuple[Path, ...]:
    path = folder / "zipped.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(written(churn(), folder / "inside.csv"), "inside.csv")
    return (path,)


# The image has polars, which writes Parquet and zstd; this host may have neither.
POLARS = "import polars, sys; polars.read_csv('/own/plain.csv', infer_schema_length=None){types}.{write}"

TYPED = ".with_columns(polars.col('last_seen').str.to_datetime())"


def with_polars(name: str, write: str, types: str = "") -> Make:
    """A file that polars writes from the plain CSV, in the image."""

    def make(folder: Path) -> tuple[Path, ...]:
        written(churn(), folder / "plain.csv")
        folder.chmod(0o777)
        code = POLARS.format(types=types, write=write.format(path=f"/own/{name}"))
        python(images()["preprocessing"], code, f"--volume={folder}:/own")
        return (folder / name,)

    return make


def as_two_files(folder: Path) -> tuple[Path, ...]:
    """Data and labels apart, the labels in another order."""
    table = coded()
    labels = list(table.only("customer", "churned").rows)
    random.Random(0).shuffle(labels)
    data = table.only(*(name for name in table.columns if name != "churned"))
    return (
        written(data, folder / "apart.csv"),
        written(Table(("customer", "churned"), tuple(labels)), folder / "labels.csv"),
    )


def with_damaged_lines(folder: Path) -> tuple[Path, ...]:
    """Two lines with a field too many, far from each other, and one with a field too few."""
    path = written(churn(), folder / "damaged.csv")
    lines = path.read_text().splitlines()
    lines[50] += ",surplus"
    lines[300] += ",surplus"
    lines[301] = lines[301].rpartition(",")[0]
    path.write_text("\n".join(lines) + "\n")
    return (path,)


# --- tables with a quirk ---


def reformatted(pattern: str) -> Table:
    """Times in another format."""
    return churn().mapped("last_seen", lambda text: datetime.strptime(text, ISO).strftime(pattern))


def in_seconds() -> Table:
    """Times as seconds since 1970."""
    return churn().mapped(
        "last_seen", lambda text: f"{datetime.strptime(text, ISO).replace(tzinfo=timezone.utc).timestamp():.0f}"
    )


def german() -> Table:
    """As a spreadsheet in German writes it."""
    table = churn().mapped("spend", lambda text: f"{float(text) * 100:,.2f}".translate(str.maketrans(",.", ".,")))
    table = table.mapped("plan", {"basic": "Einzel", "family": "Familie", "business": "Geschäft"}.__getitem__)
    return table.mapped("last_seen", lambda text: datetime.strptime(text, ISO).strftime("%d.%m.%Y"))


def early_in_the_month() -> Table:
    """Dates of which each fits day/month and month/day."""
    chance = random.Random(1)
    return churn().with_column(
        "last_seen", [f"{chance.randint(1, 9):02d}/{chance.randint(1, 9):02d}/2026" for _ in range(400)]
    )


def coded() -> Table:
    """Keys such as 00007, which are no numbers."""
    return churn().mapped("customer", lambda text: text[1:])


def sparse(token: str) -> Table:
    """Every fiftieth spend and plan is missing."""
    table = churn()
    for name in ("spend", "plan"):
        table = table.with_column(name, [token if i % 50 == 7 else text for i, text in enumerate(table.column(name))])
    return table


def unlabelled() -> Table:
    """Every second customer has no label yet."""
    return churn().with_column("churned", ["" if i % 2 else t for i, t in enumerate(churn().column("churned"))])


def repeated() -> Table:
    """Eight customers are there twice."""
    table = churn(392)
    return Table(table.columns, (*table.rows, *table.rows[40:48]))


def with_notes() -> Table:
    """Notes with line breaks, quotes and commas, each another text."""
    return churn().with_column("note", [f'call {i}:\n"later", he said' for i in range(400)])


def with_idle_columns() -> Table:
    """A column with one value, and one without any."""
    return churn().with_column("country", ["CH"] * 400).with_column("fax", [""] * 400)


def wide() -> Table:
    """300 more numbers that say nothing."""
    chance, table = random.Random(2), churn(300)
    extra = [[f"{chance.random():.3f}" for _ in range(300)] for _ in table.rows]
    names = [f"sensor {number}" for number in range(300)]
    rows = zip(table.rows, extra, strict=True)
    return Table((*table.columns, *names), tuple((*row, *more) for row, more in rows))


def lonely() -> Table:
    """One customer of whom nobody knows whether they left."""
    return churn().with_column("churned", ["unknown", *churn().column("churned")[1:]])


def foreign() -> Table:
    """Names and values in other scripts, with blanks, brackets and signs."""
    table = churn().named(age="Âge (années)", spend="支出 [€]", plan="тариф", newsletter="ニュース 📧")
    return table.mapped("тариф", {"basic": "базовый", "family": "семейный", "business": "деловой"}.__getitem__)


SETS = (
    of_scikit_learn("iris", "no key; three classes", "species", roc_auc=0.95),
    of_scikit_learn(
        "breast_cancer",
        "no key; blanks in the names of columns",
        "diagnosis",
        types={"mean radius": "number"},
        roc_auc=0.95,
    ),
    of_scikit_learn("digits", "no key; ten classes; 64 columns, some with one value", "digit", roc_auc=0.95),
    of_package(
        "penguins",
        "palmerpenguins/data/penguins.csv",
        "no key; NA among numbers and texts; the label comes first",
        "species",
        missing=MISSING,
        types={"bill_length_mm": "number", "year": "integer"},
        roc_auc=0.95,
    ),
    of_package(
        "penguins_raw",
        "palmerpenguins/data/penguins-raw.csv",
        "blanks, brackets and slashes in names; dates; remarks; columns with one value",
        "Species",
        missing=MISSING,
        types={"Culmen Length (mm)": "number", "Date Egg": "date"},
        warned="Individual ID: drafted as the entity",
        roc_auc=0.95,
    ),
    of_package("rossi", "lifelines/datasets/rossi.csv", "no key; nothing but whole numbers", "arrest"),
    of_package(
        "gbsg2",
        "lifelines/datasets/gbsg2.csv",
        "yes and no; Roman numerals",
        "cens",
        types={"tgrade": "string"},
        roc_auc=0.65,
    ),
    of_package(
        "lung", "lifelines/datasets/lung.csv", "228 rows; whole numbers as 3.0, empty cells", "status", roc_auc=0.6
    ),
    of_package(
        "actg175",
        "lifelines/datasets/ACTG175.csv",
        "a column without a name, as R writes the numbers of its rows",
        "cens",
        types={"column_1": "integer"},
        missing=MISSING,
        roc_auc=0.9,
    ),
    of_package(
        "lymph_node",
        "lifelines/datasets/lymph_node.csv",
        "three columns of dates such as 17-08-1984",
        "censdead",
        types={"diagdateb": "date", "deathdate": "date"},
    ),
    of_package(
        "recur",
        "lifelines/datasets/recur.csv",
        "several rows of a person, who must not be on both sides",
        "CENSOR",
        warned="ID: drafted as the entity",
        roc_auc=0.6,
    ),
    of_package(
        "democracies",
        "lifelines/datasets/dd.csv",
        "names of persons and countries; seven texts",
        "regime",
        ignored=("leaderspellreg",),
        roc_auc=0.95,
    ),
    of_package(
        "senators",
        "lifelines/datasets/canadian_senators.csv",
        "accents; commas inside quotes; times; True and False",
        "observed",
        types={"start_date": "datetime"},
        ignored=("Name", "Term (yyyy.mm.dd)"),
        roc_auc=0.9,
    ),
    of_package(
        "heart",
        "lifelines/datasets/stanford_heart.csv",
        "172 rows; every name in quotes; numbers below zero",
        "event",
        warned="id: drafted as the entity",
        roc_auc=0.5,
    ),
    of_package(
        "weather",
        "vega_datasets/_data/seattle-weather.csv",
        "no key; dates such as 2012/01/01; five classes",
        "weather",
        types={"date": "date"},
        roc_auc=0.75,
    ),
    of_package(
        "riots",
        "vega_datasets/_data/la-riots.csv",
        "63 rows; four classes; names and addresses that hardly repeat",
        "type",
        ignored=("address",),
        roc_auc=0.5,
    ),
    DataSet(
        "cars",
        "vega_datasets",
        "from JSON: null; names that hardly repeat; dates",
        lambda: from_json("vega_datasets/_data/cars.json"),
        "Origin",
        types={"Horsepower": "integer", "Year": "date"},
        roc_auc=0.9,
    ),
    made(
        "plain", "none: the table that the others start from", churn, types={"spend": "number", "last_seen": "datetime"}
    ),
    made(
        "german",
        "semicolons; 1.234,56; 24.12.2026; Latin-1",
        german,
        as_csv(german, "german.csv", delimiter=";", encoding="latin-1"),
        ask=("--encoding=latin-1",),
        refused="--encoding",
        types={"spend": "number", "last_seen": "date"},
    ),
    made(
        "spreadsheet",
        "UTF-16, tabs, CRLF: a spreadsheet's Unicode text",
        churn,
        as_csv(churn, "spreadsheet.txt", delimiter="\t", encoding="utf-16", newline="\r\n"),
        types={"spend": "number"},
    ),
    made("pipes", "pipes; a byte order mark", churn, as_csv(churn, "pipes.csv", delimiter="|", encoding="utf-8-sig")),
    made("compressed", "gzip", churn, as_gzip, types={"spend": "number"}),
    made("zipped", "a zip archive with one file", churn, as_zip, types={"spend": "number"}),
    made(
        "zstandard",
        "Zstandard",
        churn,
        with_polars("zstandard.csv.zst", "write_csv('{path}', compression='zstd')"),
        types={"spend": "number"},
    ),
    made(
        "columnar",
        "Parquet with numbers and times",
        churn,
        with_polars("columnar.parquet", "write_parquet('{path}')", TYPED),
        types={"spend": "number", "last_seen": "datetime"},
    ),
    made(
        "apart",
        "labels in a file of their own, in another order; keys such as 00007",
        coded,
        as_two_files,
        types={"customer": "string"},
    ),
    made(
        "money",
        "$1,234.56",
        lambda: churn().mapped("spend", lambda text: f"${float(text) * 100:,.2f}"),
        types={"spend": "number"},
    ),
    made(
        "padded",
        "a blank before each number",
        lambda: churn().mapped("spend", lambda text: f" {text}"),
        types={"spend": "number"},
    ),
    made("american", "11/27/2026 02:45 PM", lambda: reformatted("%m/%d/%Y %I:%M %p"), types={"last_seen": "datetime"}),
    made(
        "ambiguous",
        "03/04/2026: March or April?",
        early_in_the_month,
        ask=("--assume=last_seen=%d/%m/%Y",),
        refused="last_seen",
        types={"last_seen": "date"},
    ),
    made(
        "epoch",
        "seconds since 1970",
        in_seconds,
        warned="last_seen: these numbers could be seconds since 1970",
    ),
    made("question_marks", "? for missing", lambda: sparse("?"), missing=("?",), types={"spend": "number"}),
    made(
        "sentinels",
        "-999 for missing",
        lambda: sparse("-999").with_column("plan", churn().column("plan")),
        types={"spend": "number"},
        warned="8 (2.0%) are -999, and the others lie from 1 to 200.77: a code for missing?",
    ),
    made("dashes", "- for missing", lambda: sparse("-"), missing=("-",), types={"spend": "number"}),
    made(
        "pandas",
        "nan for missing, as pandas writes it",
        lambda: sparse("nan"),
        missing=("nan",),
        types={"spend": "number"},
    ),
    made(
        "damaged",
        "two lines with a field too many, one with a field too few",
        churn,
        with_damaged_lines,
        rejected=3,
        because="fields",
    ),
    made("repeated", "eight keys twice", repeated, rejected=8, because="duplicate", ask=("--key=customer",)),
    made(
        "unlabelled",
        "every second label is empty, because it is not known yet",
        unlabelled,
        unlabelled=200,
        warned='churned: 200 of 400 rows have no label: the draft has "partial": true',
    ),
    made(
        "notes",
        "line breaks, quotes and commas inside quotes; a text that never repeats",
        with_notes,
        ignored=("note",),
    ),
    made(
        "idle",
        "a column with one value, and one without any",
        with_idle_columns,
        ignored=("fax",),
        warned="country: always 'CH'",
    ),
    made(
        "telltale",
        "a column that is the label in other words",
        lambda: churn().with_column("contract", [{"yes": "ended", "no": "runs"}[t] for t in churn().column("churned")]),
        warned="contract: equals the target",
    ),
    made("wide", "307 columns for 300 rows", wide),
    made("few", "50 rows", lambda: churn(50), roc_auc=0.5),
    made(
        "lonely",
        "a class with one row",
        lonely,
        unfit="these have only one row: unknown",
        why_unfit="each class must be among the rows that train and among those that validate; the message names it",
    ),
    made("rare", "one label in fifty", lambda: churn(2000, 0.02)),
    made("foreign", "names and values in other scripts", foreign, types={"支出 [€]": "number", "тариф": "string"}),
)
