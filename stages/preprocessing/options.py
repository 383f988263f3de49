"""The options of each command, for the parser."""

import argparse
from pathlib import Path

from table_schema import MOST_CATEGORIES


def configure_prepare(parser: argparse.ArgumentParser) -> None:
    """Add what `prepare` takes."""
    parser.add_argument(
        "--max-rejected",
        type=lambda text: _fraction(text, open_ends=False),
        default=0.1,
        metavar="FRACTION",
        help="fail when more than this fraction of a file's rows is rejected (default: %(default)s)",
    )
    parser.add_argument(
        "--model", metavar="PARTITION", help="prepare unlabelled data for this model, such as models/2026-11-21"
    )


def configure_split(parser: argparse.ArgumentParser) -> None:
    """Add what `split` takes."""
    parser.add_argument(
        "--val-fraction",
        type=lambda text: _fraction(text, open_ends=True),
        default=0.2,
        metavar="FRACTION",
        help="how many of the rows validate the model (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides which rows these are (default: %(default)s)")
    parser.add_argument(
        "--max-categories",
        type=_categories,
        default=MOST_CATEGORIES,
        metavar="N",
        help="values of a text feature that are told apart (default and most: %(default)s)",
    )


def configure_encode_validation(parser: argparse.ArgumentParser) -> None:
    """Add what `encode-validation` takes."""
    parser.add_argument(
        "--model",
        metavar="PARTITION",
        help="encode for this model, such as models/2026-11-15; without one, or where it is empty, nothing is written",
    )


def configure_import(parser: argparse.ArgumentParser) -> None:
    """Add what `import` takes."""
    for name, what in (
        ("data", "the rows to learn from or to score"),
        ("target", "what is to be predicted, by key; not for a day that is only scored"),
        ("schema", "the Table Schema of both"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)


def configure_infer_schema(parser: argparse.ArgumentParser) -> None:
    """Add what `infer-schema` takes."""
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="a data.csv")
    parser.add_argument("--target", type=Path, metavar="FILE", help="its target.csv")
    parser.add_argument(
        "--key", action="append", default=[], metavar="COLUMN", help="identifies a row; may be repeated"
    )
    parser.add_argument("--entity", metavar="COLUMN", help="what rows belong to, such as a customer")
    parser.add_argument(
        "--missing", action="append", default=[], metavar="TEXT", help='means "missing", such as NA; may be repeated'
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the schema")
    parser.add_argument("--force", action="store_true", help="overwrite that file")


def _fraction(text: str, *, open_ends: bool) -> float:
    value = float(text)
    if (0 < value < 1) if open_ends else (0 <= value <= 1):
        return value
    raise argparse.ArgumentTypeError(
        f"{text} is not {'between' if open_ends else 'from'} 0 {'and' if open_ends else 'to'} 1"
    )


def _categories(text: str) -> int:
    if 1 <= int(text) <= MOST_CATEGORIES:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MOST_CATEGORIES}")
