"""The names of places outside of /data, as options give them: connections, tables, objects. Standard library only."""

import re
from argparse import ArgumentTypeError

from stagekit import UsageError

CONNECTION = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-]")
TABLE = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_$]*\.)?[A-Za-z_][A-Za-z0-9_$]*")
OBJECT = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]+)/(?P<path>[^\0]*[^/\0])")
DAY = "{ds}"
SNAPSHOT = "; or take what is there now with --snapshot"


def connection_name(text: str) -> str:
    """The type of a connection's name, which is the name of a file."""
    if not CONNECTION.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no name of a connection: letters, digits, `_`, `-` and `.`")
    return text


def table_name(text: str) -> str:
    """The type of a table, with or without its schema: plain names, as written without quotes."""
    if not TABLE.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no table such as predictions or scores.predictions")
    return text.lower()  # as Postgres reads names without quotes


def object_address(text: str) -> str:
    """The type of an object's address."""
    if not OBJECT.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no object such as s3://bucket/folder/{DAY}.csv")
    return text


def split_address(address: str, ds: str, snapshot: bool | None = None) -> tuple[str, str]:
    """The bucket and the path of a day's object.

    Errors: UsageError for an address that is the same on each day, unless a snapshot is asked for; None: there is none.
    """
    found = OBJECT.fullmatch(address.replace(DAY, ds))
    if found is None or not (snapshot or ds in found["path"]):
        raise UsageError(
            f"the object {address} is the same for each day",
            expected=f"a path with {DAY}, which becomes {ds}",
            do=f"write {DAY} where the day belongs{SNAPSHOT if snapshot is not None else ''}",
        )
    return found["bucket"], found["path"]


def one_of(first: tuple[str, object], second: tuple[str, object]) -> None:
    """Errors: UsageError unless exactly one of two options, each with its value, is given. An empty text is none."""
    if bool(first[1]) == bool(second[1]):
        found = "both are given" if first[1] else "neither is given"
        raise UsageError(f"{found}: {first[0]}, {second[0]}", expected="one of them", do="name the place once")
